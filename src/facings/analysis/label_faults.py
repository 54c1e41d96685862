"""Labels that look wrong, most suspicious first, and what to look at them with. Knows nothing of models or pixels.

In the manner of confident learning (Northcutt, Jiang, Chuang: "Confident learning", JAIR 2021) and of ObjectLab (Tkachenko et
al., 2023): a detector is believed about a class where it is at least as sure as it is, on average, when it is right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.analysis.comparison import PicturePair
from facings.boxes import iou, rounded
from facings.metrics.nearest import top_k

Fault = Literal["not labelled", "other class", "loose box", "nothing there"]
# Below the first IoU a detection is on nothing; above the second a box fits as well as boxes do.
NOTHING, FITS, TIGHT = 0.1, 0.5, 0.8
# A class with fewer right detections borrows the mean of all.
ENOUGH = 5


@dataclass(frozen=True)
class LabelFault:
    """`suspicion` 0–1; `box` xyxy pixels: what was found, or for `nothing there` what is labelled; `labelled` None where nothing
    is; `suggested` None where the label should go; `overlap`: IoU of the two."""

    image_id: int
    picture: str
    fault: Fault
    suspicion: float
    box: tuple[float, float, float, float]
    labelled: str | None
    suggested: str | None
    overlap: float


def detection_label_faults(pairs: Sequence[PicturePair], names: Sequence[str]) -> list[LabelFault]:
    """Of the labels of a split, given what a detector found that was not trained on it; most suspicious first.

    `names`: the classes by number. Of a detection that is sure of its class: `not labelled`, where it overlaps no object (score
    × 1 - IoU); `other class`, where the object under it has another and no detection of its own (score × IoU); `loose box`,
    where it fits its object, but not tightly (score × 1 - IoU). `nothing there`: an object that overlaps no detection of any
    score, as suspicious as the class is easily found (its mean recall); one a detector is blind to looks the same.

    By hand: both apples are found, with 0.8 and 0.6, so that 0.7 makes sure; 0.9 on an empty place is a label that lacks.

    >>> from facings.analysis.comparison import Objects
    >>> boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], np.float32)
    >>> truth = Objects(9, 99, boxes[:2], np.zeros(2, np.int64), np.ones(2, np.float32))
    >>> scores = np.array([0.9, 0.8, 0.6], np.float32)
    >>> found = Objects(9, 99, boxes[[2, 0, 1]], np.zeros(3, np.int64), scores)
    >>> [(f.fault, round(f.suspicion, 2)) for f in detection_label_faults([PicturePair(1, "a", truth, found)], ["apple"])]
    [('not labelled', 0.9)]
    """
    overlaps = [pair.overlap() for pair in pairs]
    sure, recall = _self_confidence(pairs, overlaps, len(names))
    faults: list[LabelFault] = []
    for pair, overlap in zip(pairs, overlaps, strict=True):
        faults += _of_detections(pair, overlap, names, sure)
        faults += _of_objects(pair, overlap, names, recall)
    return sorted(faults, key=lambda fault: (-fault.suspicion, fault.image_id, fault.box))


@dataclass(frozen=True)
class EmbeddingFault:
    """Crop `index` is labelled `labelled`; of its neighbours only `support` (0–1) agree, most say `suggested`."""

    index: int
    labelled: int
    suggested: int
    support: float

    @property
    def suspicion(self) -> float:
        return 1 - self.support


def embedding_label_faults(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], *, neighbours: int = 10
) -> list[EmbeddingFault]:
    """Crops whose nearest other crops mostly have one other label; most suspicious first. `vectors` (N, D) unit length.

    Each of the k neighbours votes with its similarity, where that is positive. A label that no other crop has gets no votes, so
    single crops are left out: they cannot agree with anyone.

    >>> vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    >>> embedding_label_faults(vectors, np.array([0, 0, 1, 1, 1]), neighbours=2)
    [EmbeddingFault(index=2, labelled=1, suggested=0, support=0.0)]

    Raises ValueError for labels of another number and fewer than one neighbour.
    """
    if len(labels) != len(vectors):
        raise ValueError(f"{len(labels)} labels for {len(vectors)} vectors; expected one of each")
    if len(vectors) < 2:
        return []
    each = np.arange(len(vectors))
    near = top_k(vectors, vectors, min(neighbours, len(vectors) - 1), left_out=(each, each))
    weight = np.maximum(np.where(np.isfinite(near.similarities), near.similarities, 0), 0).astype(np.float64)
    names, number = np.unique(labels, return_inverse=True)
    counts = np.bincount(number)
    votes = number[near.indices]
    faults = []
    for index in np.flatnonzero(counts[number] > 1).tolist():
        total = weight[index].sum()
        if total <= 0:
            continue
        own = np.bincount(votes[index], weights=weight[index], minlength=len(names)) / total
        best = int(own.argmax())
        if best != number[index] and own[best] > 0.5:
            faults.append(EmbeddingFault(index, int(labels[index]), int(names[best]), float(own[number[index]])))
    return sorted(faults, key=lambda fault: (-fault.suspicion, fault.index))


def faults_as_coco(faults: Sequence[LabelFault], truth: Mapping[str, Any]) -> dict[str, Any]:
    """A COCO dict of the truth's pictures and categories whose annotations are the suspicious places, with `fault`, `suspicion`,
    `labelled` and `suggested` beside the usual fields; the category is the suggested one, or else the labelled one."""
    numbers = {str(category["name"]): int(category["id"]) for category in truth["categories"]}
    annotations = []
    for identifier, fault in enumerate(faults, start=1):
        x1, y1, x2, y2 = fault.box
        size = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
        category = numbers[str(fault.suggested or fault.labelled)]
        more = {key: value for key, value in asdict(fault).items() if key not in ("image_id", "picture", "box")}
        annotations.append({"id": identifier, "image_id": fault.image_id, "category_id": category, **size, **more})
    return {"images": list(truth["images"]), "categories": list(truth["categories"]), "annotations": annotations}


def faults_as_fiftyone(faults: Sequence[LabelFault], truth: Mapping[str, Any]) -> dict[str, Any]:
    """The labels file of FiftyOne's `FiftyOneImageDetectionDataset`: boxes in shares of the picture, by its name without ending."""
    sizes = {int(image["id"]): (float(image["width"]), float(image["height"])) for image in truth["images"]}
    labels: dict[str, list[dict[str, Any]]] = {
        str(PurePath(str(image.get("file_name", image["id"]))).with_suffix("")): [] for image in truth["images"]
    }
    for fault in faults:
        width, height = sizes[fault.image_id]
        x1, y1, x2, y2 = fault.box
        labels[str(PurePath(fault.picture).with_suffix(""))].append(
            {
                "label": fault.fault,
                "bounding_box": [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height],
                "confidence": fault.suspicion,
                "attributes": {"labelled": fault.labelled, "suggested": fault.suggested, "iou": fault.overlap},
            }
        )
    return {"classes": sorted({fault.fault for fault in faults}), "labels": labels}


def _self_confidence(
    pairs: Sequence[PicturePair], overlaps: Sequence[NDArray[np.float32]], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(K,) mean score of the detections that fit an object of their class, and share of the objects that anything overlaps."""
    sums, hits, reached, objects = (np.zeros(classes) for _ in range(4))
    for pair, overlap in zip(pairs, overlaps, strict=True):
        same = pair.found.labels[:, None] == pair.truth.labels[None]
        fits = (overlap * same).max(axis=1, initial=0) >= FITS
        np.add.at(sums, pair.found.labels[fits], pair.found.scores[fits])
        np.add.at(hits, pair.found.labels[fits], 1)
        np.add.at(objects, pair.truth.labels, 1)
        np.add.at(reached, pair.truth.labels[overlap.max(axis=0, initial=0) >= NOTHING], 1)
    whole = sums.sum() / hits.sum() if hits.sum() else 1.0
    sure = np.where(hits >= ENOUGH, sums / np.maximum(hits, 1), whole)
    return sure, reached / np.maximum(objects, 1)


def _of_detections(
    pair: PicturePair, overlap: NDArray[np.float32], names: Sequence[str], sure: NDArray[np.float64]
) -> list[LabelFault]:
    found, truth = pair.found, pair.truth
    same = found.labels[:, None] == truth.labels[None]
    own = (overlap * same).max(axis=0, initial=0) >= FITS
    claimed: set[int] = set()
    kept: list[NDArray[np.float32]] = []
    faults = []
    for number in np.flatnonzero(found.scores >= sure[found.labels] - 1e-6).tolist():
        target = int(overlap[number].argmax()) if len(truth) else -1
        share = float(overlap[number, target]) if target >= 0 else 0.0
        score, label = float(found.scores[number]), int(found.labels[number])
        labelled = names[int(truth.labels[target])] if share >= NOTHING else None
        fault: Fault
        if share < NOTHING:
            # A second box on the same missing label is no second fault.
            if any(_overlap_of(found.boxes[number], box) >= FITS for box in kept):
                continue
            kept.append(found.boxes[number])
            fault, suspicion = "not labelled", score * (1 - share)
        elif share < FITS or target in claimed:
            continue
        elif label != truth.labels[target]:
            if own[target]:
                continue
            fault, suspicion = "other class", score * share
        elif share < TIGHT:
            fault, suspicion = "loose box", score * (1 - share)
        else:
            claimed.add(target)
            continue
        if target >= 0 and share >= FITS:
            claimed.add(target)
        box = rounded(found.boxes[number])
        faults.append(LabelFault(pair.image_id, pair.name, fault, suspicion, box, labelled, names[label], share))
    return faults


def _of_objects(
    pair: PicturePair, overlap: NDArray[np.float32], names: Sequence[str], recall: NDArray[np.float64]
) -> list[LabelFault]:
    best = overlap.max(axis=0, initial=0)
    return [
        LabelFault(
            pair.image_id,
            pair.name,
            "nothing there",
            float(recall[pair.truth.labels[number]] * (1 - best[number])),
            rounded(pair.truth.boxes[number]),
            names[int(pair.truth.labels[number])],
            None,
            float(best[number]),
        )
        for number in np.flatnonzero(best < NOTHING).tolist()
    ]


def _overlap_of(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(iou(first[None], second[None])[0, 0])
