"""Truth and detections of a split, picture by picture. Knows nothing of pixels, models or files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.boxes import iou, xywh_to_xyxy
from facings.masks import CropMask, from_rle, mask_iou
from facings.metrics.matching import IouType, box_overlap
from facings.metrics.rle import compressed

# What is laid over each other, and what the metrics call it.
Kind = Literal["boxes", "masks"]
KINDS: Mapping[Kind, IouType] = {"boxes": "bbox", "masks": "segm"}
# Of each picture and category: a lower limit would call objects of crowded shelves missed that were found.
MAX_DETECTIONS = 1000
# Share of a detection in a crowd region, and its IoU with an object, from which it counts as that's.
IN_CROWD = 0.5


@dataclass(frozen=True)
class Objects:
    """N objects of a picture of `height` × `width` pixels: truth, or what was found, best score first.

    `boxes` (N, 4) float32 xyxy pixels; `labels` (N,) int64, place in the list of categories; `scores` (N,) float32 0–1,
    1 for truth; `segmentations`: one a box, COCO polygons or run lengths, or None where there are no masks.
    """

    height: int
    width: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    segmentations: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def masks(self) -> list[CropMask]:
        """The masks, decoded anew at each call: all masks of a split at once would not fit. ValueError without any."""
        if self.segmentations is None:
            raise ValueError("there are no masks; compare boxes")
        return [from_rle(compressed(entry, self.height, self.width)) for entry in self.segmentations]

    def take(self, index: NDArray[Any]) -> "Objects":
        """Those of `index`: numbers, or a bool for each."""
        numbers = np.arange(len(self))[index]
        masks = None if self.segmentations is None else tuple(self.segmentations[i] for i in numbers)
        return Objects(self.height, self.width, self.boxes[numbers], self.labels[numbers], self.scores[numbers], masks)


@dataclass(frozen=True)
class PicturePair:
    """One picture: what is there, and what was found."""

    image_id: int
    name: str
    truth: Objects
    found: Objects

    def overlap(self, kind: Kind = "boxes") -> NDArray[np.float32]:
        """(found, truth) intersection over union, 0–1."""
        if kind == "boxes":
            return iou(self.found.boxes, self.truth.boxes)
        return mask_iou(self.found.masks(), self.truth.masks())

    def above(self, score: float) -> "PicturePair":
        """The same picture with the detections of at least `score`."""
        return PicturePair(self.image_id, self.name, self.truth, self.found.take(self.found.scores >= score))


def pair_pictures(
    ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], *, max_detections: int = MAX_DETECTIONS
) -> list[PicturePair]:
    """One pair a picture of the truth, in its order.

    `ground_truth`: COCO dict; `predictions`: COCO results; the best `max_detections` of each picture and category count.
    Crowd regions are no objects, and what lies in one of its category by half or more, and on no object, is left out.

    Raises ValueError for a prediction of a picture or category that the truth does not list.
    """
    numbers = {int(category["id"]): number for number, category in enumerate(ground_truth["categories"])}
    images = {int(image["id"]): image for image in ground_truth["images"]}
    truth: dict[int, list[Mapping[str, Any]]] = {identifier: [] for identifier in images}
    crowds: dict[int, list[Mapping[str, Any]]] = {identifier: [] for identifier in images}
    found: dict[int, list[Mapping[str, Any]]] = {identifier: [] for identifier in images}
    for annotation in ground_truth["annotations"]:
        side = crowds if annotation.get("iscrowd") else truth
        side[int(annotation["image_id"])].append(annotation)
    for prediction in predictions:
        if int(prediction["image_id"]) not in images:
            raise ValueError(f"predictions of image_id {prediction['image_id']}, which the truth does not list")
        if int(prediction["category_id"]) not in numbers:
            raise ValueError(f"predictions of category_id {prediction['category_id']}; the truth has {sorted(numbers)}")
        found[int(prediction["image_id"])].append(prediction)
    return [
        PicturePair(
            identifier,
            str(image.get("file_name", identifier)),
            _objects(image, truth[identifier], numbers),
            _objects(
                image,
                _apart(_best(found[identifier], max_detections), truth[identifier], crowds[identifier]),
                numbers,
            ),
        )
        for identifier, image in images.items()
    ]


def has_masks(ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every object and every detection has a mask, and there are some of both."""
    sides = (ground_truth["annotations"], predictions)
    return all(side and all(record.get("segmentation") for record in side) for side in sides)


def _best(records: Sequence[Mapping[str, Any]], limit: int) -> list[Mapping[str, Any]]:
    """Best score first, at most `limit` of each category."""
    kept: list[Mapping[str, Any]] = []
    counts: dict[int, int] = {}
    for record in sorted(records, key=lambda record: -float(record["score"])):
        category = int(record["category_id"])
        counts[category] = counts.get(category, 0) + 1
        if counts[category] <= limit:
            kept.append(record)
    return kept


def _apart(
    found: list[Mapping[str, Any]], truth: Sequence[Mapping[str, Any]], crowds: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Those that do not lie in a crowd region of their category, or lie on an object of it."""
    if not crowds or not found:
        return found
    boxes, regions, objects = (
        np.array([record["bbox"] for record in records], np.float64).reshape(-1, 4)
        for records in (found, crowds, truth)
    )
    own, there, here = (np.array([r["category_id"] for r in records], np.int64) for records in (found, crowds, truth))
    inside = (box_overlap(boxes, regions, np.ones(len(regions), bool)) >= IN_CROWD) & (own[:, None] == there[None])
    right = (box_overlap(boxes, objects) >= IN_CROWD) & (own[:, None] == here[None])
    return [record for record, out in zip(found, inside.any(axis=1) & ~right.any(axis=1), strict=True) if not out]


def _objects(image: Mapping[str, Any], records: Sequence[Mapping[str, Any]], numbers: Mapping[int, int]) -> Objects:
    masked = all(record.get("segmentation") for record in records)
    return Objects(
        height=int(image["height"]),
        width=int(image["width"]),
        boxes=xywh_to_xyxy(np.array([record["bbox"] for record in records], np.float32).reshape(-1, 4)),
        labels=np.array([numbers[int(record["category_id"])] for record in records], np.int64),
        scores=np.array([float(record.get("score", 1.0)) for record in records], np.float32),
        segmentations=tuple(record["segmentation"] for record in records) if masked else None,
    )
