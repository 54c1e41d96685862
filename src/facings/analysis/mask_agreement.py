"""How well outlines fit, apart from whether anything was found: the mask IoU of what the boxes already agree on. Knows no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.analysis.comparison import PicturePair
from facings.masks import mask_iou


@dataclass(frozen=True)
class MaskAgreement:
    """Of M detections and the objects that they fit: IoU of the `boxes` and of the `masks` (0–1), `size` (root of the true box's
    area, pixels), `label`, `image_id`."""

    boxes: NDArray[np.float32]
    masks: NDArray[np.float32]
    size: NDArray[np.float32]
    label: NDArray[np.int64]
    image_id: NDArray[np.int64]

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Which are right as boxes at an IoU of 0.5, and wrong as masks."""
        return (self.boxes >= 0.5) & (self.masks < 0.5)

    def by_class(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """A row a class that occurs, lowest mean mask IoU first: `class`, `objects`, `box_iou`, `mask_iou`, `lost` (a number)."""
        rows = []
        for label in np.unique(self.label).tolist():
            own = self.label == label
            means = {"box_iou": float(self.boxes[own].mean()), "mask_iou": float(self.masks[own].mean())}
            rows.append({"class": names[label], "objects": int(own.sum()), **means, "lost": int(self.lost[own].sum())})
        return sorted(rows, key=lambda row: row["mask_iou"])


def mask_agreement(pairs: Sequence[PicturePair], *, score: float, threshold: float = 0.5) -> MaskAgreement:
    """Detections of at least `score`, best first, each with the free object of its class that its box overlaps most, by
    `threshold` or more.

    By hand: a round apple in a square, found as the whole square: the boxes agree, the masks as its half does.

    >>> from facings.analysis.comparison import Objects
    >>> box, zero = np.array([[0, 0, 8, 8]], np.float32), np.zeros(1, np.int64)
    >>> half, whole = [[0, 0, 8, 0, 8, 4, 0, 4]], [[0, 0, 8, 0, 8, 8, 0, 8]]
    >>> sides = [Objects(8, 8, box, zero, np.ones(1, np.float32), (outline,)) for outline in (half, whole)]
    >>> found = mask_agreement([PicturePair(1, "apple", *sides)], score=0.5)
    >>> found.boxes.tolist(), found.masks.tolist(), found.lost.tolist()
    ([1.0], [0.5], [False])

    Raises ValueError where there are no masks.
    """
    columns: list[tuple[float, float, float, int, int]] = []
    for pair in (pair.above(score) for pair in pairs):
        if not len(pair.found) or not len(pair.truth):
            continue
        overlap = pair.overlap() * (pair.found.labels[:, None] == pair.truth.labels[None])
        taken: dict[int, int] = {}
        for row in range(len(overlap)):
            best = int(overlap[row].argmax())
            if overlap[row, best] >= threshold:
                taken[row] = best
                overlap[:, best] = np.where(np.arange(len(overlap)) == row, overlap[:, best], -1)
        rows, objects = list(taken), list(taken.values())
        found, truth = pair.found.take(np.array(rows, np.int64)), pair.truth.take(np.array(objects, np.int64))
        shared = np.diagonal(mask_iou(found.masks(), truth.masks())) if rows else np.zeros(0)
        sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
        for place, (row, target) in enumerate(taken.items()):
            own_size = float(np.sqrt(max(0.0, float(sides[place, 0] * sides[place, 1]))))
            label = int(truth.labels[place])
            columns.append((float(overlap[row, target]), float(shared[place]), own_size, label, pair.image_id))
    values = np.array(columns, np.float64).reshape(-1, 5)
    boxes, masks, size = (values[:, column].astype(np.float32) for column in range(3))
    return MaskAgreement(boxes, masks, size, values[:, 3].astype(np.int64), values[:, 4].astype(np.int64))


def worst_outlines(pairs: Sequence[PicturePair], found: MaskAgreement, most: int) -> list[PicturePair]:
    """The pictures with the most outlines that are lost; of as many, those of lowest mean mask IoU first."""
    rank = {}
    for image in np.unique(found.image_id).tolist():
        own = found.image_id == image
        rank[image] = (-int(found.lost[own].sum()), float(found.masks[own].mean()))
    by_id = {pair.image_id: pair for pair in pairs}
    return [by_id[image] for image in sorted(rank, key=lambda image: (*rank[image], image))[:most]]


def boxes_as_masks(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """COCO results whose outline is their box: what masks are worth that a detector has not got.

    >>> boxes_as_masks([{"bbox": [1, 2, 3, 4]}])[0]["segmentation"]
    [[1, 2, 4, 2, 4, 6, 1, 6]]
    """
    made = []
    for record in records:
        x, y, width, height = record["bbox"]
        right, bottom = x + width, y + height
        made.append({**record, "segmentation": [[x, y, right, y, right, bottom, x, bottom]]})
    return made
