"""How many wrong labels a search for them finds: some are planted, and looked for again. Knows nothing of pixels or files."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.analysis.comparison import pair_pictures
from facings.analysis.label_faults import detection_label_faults
from facings.boxes import iou, xywh_to_xyxy


@dataclass(frozen=True)
class Planted:
    """`truth`: COCO dict with the faults; `image_ids` (P,) and `boxes` (P, 4) xyxy of the objects that were spoiled; `kinds` (P,):
    `not labelled` where the label was taken away, `other class` where it was changed."""

    truth: Mapping[str, Any]
    image_ids: NDArray[np.int64]
    boxes: NDArray[np.float32]
    kinds: tuple[str, ...]


def plant_faults(truth: Mapping[str, Any], *, share: float = 0.03, seed: int = 0) -> Planted:
    """Spoil a `share` of the labels (one at least): half are taken away, half get another class, where there are several.

    Raises ValueError for a truth without objects, or a share that is not above 0 and at most a half.
    """
    annotations = list(truth["annotations"])
    if not annotations or not 0 < share <= 0.5:
        raise ValueError(
            f"share is {share} of {len(annotations)} objects; expected above 0 and at most 0.5 of one or more"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(annotations))[: max(1, round(share * len(annotations)))].tolist()
    classes = [int(category["id"]) for category in truth["categories"]]
    spoiled, kinds, gone = [copy.copy(entry) for entry in annotations], [], set()
    for number, place in enumerate(chosen):
        if len(classes) > 1 and number % 2:
            others = [name for name in classes if name != int(annotations[place]["category_id"])]
            spoiled[place]["category_id"] = int(rng.choice(others))
            kinds.append("other class")
        else:
            gone.add(place)
            kinds.append("not labelled")
    kept = [entry for place, entry in enumerate(spoiled) if place not in gone]
    boxes = xywh_to_xyxy(np.array([annotations[place]["bbox"] for place in chosen], np.float32).reshape(-1, 4))
    images = np.array([int(annotations[place]["image_id"]) for place in chosen], np.int64)
    return Planted({**truth, "annotations": kept}, images, boxes, tuple(kinds))


def planted_found(
    planted: Planted, predictions: Sequence[Mapping[str, Any]], *, most: int | None = None
) -> dict[str, float]:
    """Look for them: `planted`; `looked_at`, the most suspicious `most` places (default: as many as were planted); `found`,
    the share of the planted among them; `chance`, what as many places drawn among all objects would find.

    A suspicious place is a planted one where it overlaps it by an IoU of 0.5 or more.
    """
    names = [str(category["name"]) for category in planted.truth["categories"]]
    faults = detection_label_faults(pair_pictures(planted.truth, predictions), names)
    asked = faults[: len(planted.kinds) if most is None else most]
    hit = np.zeros(len(planted.kinds), bool)
    for fault in asked:
        same = np.flatnonzero(planted.image_ids == fault.image_id)
        if len(same):
            hit[same] |= iou(np.array([fault.box], np.float32), planted.boxes[same])[0] >= 0.5
    objects = len(planted.truth["annotations"]) + planted.kinds.count("not labelled")
    return {
        "planted": float(len(hit)),
        "looked_at": float(len(asked)),
        "found": float(hit.mean()),
        "chance": min(1.0, len(asked) / objects),
    }
