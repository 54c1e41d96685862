"""Detections given to objects as the COCO evaluator gives them, but told one by one: who got what, at which IoU.

The figures that COCO does not have (intervals, thresholds, calibration, slices) all start here. Knows nothing of models.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from facings.metrics.rle import Rle, boundary, compressed

IouType = Literal["bbox", "segm", "boundary"]
# As the evaluator writes them: 0.05 steps, exact to the last bit, so that a tie at a threshold falls alike.
THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
# Detections a picture and category that count in the plain figures.
HEADLINE = 300


@dataclass(frozen=True)
class ClassMatches:
    """One category: n detections of all pictures in descending score, at T IoU thresholds.

    `objects` (I,) int64: how many of each picture count; `pictures` (n,) int64: the place of each detection's picture in
    the truth's list; `rows` (n,) int64: its place in the predictions; `scores` (n,) float64. `taken` (T, n) int64: the
    place of the object that it was given in the truth's annotations, or -1; `overlaps` (T, n) float64: its IoU with it;
    `ignored` (T, n) bool: counts neither as right nor as wrong.
    """

    category: int
    name: str
    thresholds: tuple[float, ...]
    objects: NDArray[np.int64]
    pictures: NDArray[np.int64]
    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    taken: NDArray[np.int64]
    overlaps: NDArray[np.float64]
    ignored: NDArray[np.bool_]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """(T, n) whether each detection is right."""
        return (self.taken >= 0) & ~self.ignored


@dataclass(frozen=True)
class _Block:
    """One picture and category. Pairs that overlap: `detection` and `target` (p,) into `rows` and `places`, `overlap`."""

    picture: int
    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    places: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    detection: NDArray[np.int64]
    target: NDArray[np.int64]
    overlap: NDArray[np.float64]


class Overlaps:
    """What overlaps what, computed once; `match` then gives the detections to the objects, with these or those ignored.

    `ground_truth`: COCO dict; `predictions`: COCO results (`bbox` xywh pixels; `segmentation` for masks); the best
    `max_detections` of each picture and category count. `iou_type`: of boxes, of masks (`segm`), or the smaller of the
    masks' and of their boundaries' (`boundary`; Cheng et al., CVPR 2021).

    Raises ValueError for another `iou_type`, and for masks that are missing or do not fit their picture.
    """

    def __init__(
        self,
        ground_truth: Mapping[str, Any],
        predictions: Sequence[Mapping[str, Any]],
        *,
        iou_type: IouType = "bbox",
        max_detections: int = HEADLINE,
    ) -> None:
        check_iou_type(iou_type)
        self.truth, self.predictions = ground_truth["annotations"], predictions
        self.image_ids = [int(image["id"]) for image in ground_truth["images"]]
        sizes = {int(image["id"]): image for image in ground_truth["images"]}
        objects, found = _grouped(self.truth), _grouped(predictions)
        names = {int(entry["id"]): str(entry["name"]) for entry in ground_truth.get("categories", ())}
        self.names = {
            category: names.get(category, str(category))
            for category in sorted({*names, *(category for _, category in objects)})
        }
        # The evaluator goes through the pictures by id: where scores tie, this decides who comes first.
        order = sorted(range(len(self.image_ids)), key=self.image_ids.__getitem__)
        self._blocks: dict[int, list[_Block]] = {category: [] for category in self.names}
        for category, blocks in self._blocks.items():
            for number in order:
                key = (self.image_ids[number], category)
                if key in objects or key in found:
                    places = np.array(objects.get(key, ()), np.int64)
                    rows = self._best(found.get(key, ()), max_detections)
                    blocks.append(self._block(number, sizes[key[0]], rows, places, iou_type))

    def match(
        self,
        thresholds: Sequence[float] = THRESHOLDS,
        *,
        ignored: NDArray[np.bool_] | None = None,
        ignored_alone: NDArray[np.bool_] | None = None,
    ) -> list[ClassMatches]:
        """One `ClassMatches` a category.

        In descending score each detection takes, of the objects still free that overlap it enough, the one that it
        overlaps most; an ignored one only when no other is left. `ignored` (A,) of the annotations, beside crowd
        regions, which any number of detections may take; `ignored_alone` (P,) of the predictions: ignored unless they
        take an object that counts.
        """
        crowd = np.array([bool(entry.get("iscrowd", 0)) for entry in self.truth], bool)
        ignored = crowd if ignored is None else crowd | ignored
        if ignored_alone is None:
            ignored_alone = np.zeros(len(self.predictions), bool)
        return [
            self._class_matches(category, blocks, tuple(thresholds), ignored, ignored_alone)
            for category, blocks in self._blocks.items()
        ]

    def nearest(self) -> NDArray[np.int64]:
        """(P,) the place of the object of its category that each prediction overlaps most, -1 for none.

        Predictions beyond the limit have none.
        """
        found = np.full(len(self.predictions), -1, np.int64)
        for block in (block for blocks in self._blocks.values() for block in blocks):
            order = np.argsort(block.overlap, kind="stable")
            found[block.rows[block.detection[order]]] = block.places[block.target[order]]
        return found

    def _best(self, rows: Sequence[int], limit: int) -> NDArray[np.int64]:
        scores = np.array([float(self.predictions[row]["score"]) for row in rows])
        return np.array(rows, np.int64)[np.argsort(-scores, kind="stable")[:limit]]

    def _block(
        self,
        number: int,
        image: Mapping[str, Any],
        rows: NDArray[np.int64],
        places: NDArray[np.int64],
        iou_type: IouType,
    ) -> _Block:
        found = [self.predictions[row] for row in rows]
        truth = [self.truth[place] for place in places]
        crowd = np.array([bool(entry.get("iscrowd", 0)) for entry in truth], bool)
        overlap = np.zeros((len(found), len(truth)))
        if found and truth:
            overlap = _overlap(found, truth, crowd, image, iou_type)
        detection, target = np.nonzero(overlap)
        scores = np.array([float(entry["score"]) for entry in found])
        return _Block(number, rows, scores, places, crowd, detection, target, overlap[detection, target])

    def _class_matches(
        self,
        category: int,
        blocks: Sequence[_Block],
        thresholds: tuple[float, ...],
        ignored: NDArray[np.bool_],
        ignored_alone: NDArray[np.bool_],
    ) -> ClassMatches:
        objects = np.zeros(len(self.image_ids), np.int64)
        for block in blocks:
            objects[block.picture] += int((~ignored[block.places]).sum())
        parts = [_give(block, thresholds, ignored[block.places]) for block in blocks]
        taken = np.concatenate([np.zeros((len(thresholds), 0), np.int64), *(part[0] for part in parts)], axis=1)
        overlaps = np.concatenate([np.zeros((len(thresholds), 0)), *(part[1] for part in parts)], axis=1)
        scores = np.concatenate([np.zeros(0), *(block.scores for block in blocks)])
        rows = np.concatenate([np.zeros(0, np.int64), *(block.rows for block in blocks)])
        pictures = np.concatenate([np.zeros(0, np.int64), *(np.full(len(b.rows), b.picture) for b in blocks)])
        order = np.argsort(-scores, kind="stable")
        taken, rows = taken[:, order], rows[order]
        left_out = np.where(taken >= 0, ignored[taken] if len(ignored) else False, ignored_alone[rows])
        return ClassMatches(
            category=category,
            name=self.names[category],
            thresholds=thresholds,
            objects=objects,
            pictures=pictures[order],
            rows=rows,
            scores=scores[order],
            taken=taken,
            overlaps=overlaps[:, order],
            ignored=left_out,
        )


def check_iou_type(iou_type: str) -> None:
    """Raise ValueError for an unknown kind of IoU."""
    if iou_type not in get_args(IouType):
        raise ValueError(f"iou_type is {iou_type!r}; expected one of {get_args(IouType)}")


def box_overlap(
    found: NDArray[np.float64], truth: NDArray[np.float64], crowd: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """(n, 4), (m, 4) xywh → (n, m) IoU in double precision; against a `crowd` (m,) region the share of the detection.

    By hand: boxes of 2 × 2, one pixel apart: shared 2, union 6; of a crowd region half the detection lies in it.

    >>> found, truth = np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 2, 2], [1.0, 0, 2, 2]])
    >>> box_overlap(found, truth, np.array([False, True])).round(4).tolist()
    [[0.3333, 0.5]]
    """
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum((found[:, :2] + found[:, 2:])[:, None], (truth[:, :2] + truth[:, 2:])[None])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    own = np.prod(found[:, 2:], axis=1)[:, None]
    union = own + np.prod(truth[:, 2:], axis=1)[None] - shared
    if crowd is not None:
        union = np.where(crowd[None], own, union)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def masks_of(records: Iterable[Mapping[str, Any]], image: Mapping[str, Any]) -> list[Rle]:
    """The records' masks in a picture (`height`, `width`). Raises ValueError where one is missing or does not fit."""
    masks = []
    for record in records:
        segmentation = record.get("segmentation")
        if segmentation is None:
            raise ValueError(
                f"a record of image_id {record['image_id']} has no segmentation; masks are judged where all have one"
            )
        try:
            masks.append(compressed(segmentation, int(image["height"]), int(image["width"])))
        except ValueError as fault:
            raise ValueError(f"image_id {record['image_id']}: {fault}") from fault
    return masks


def _overlap(
    found: Sequence[Mapping[str, Any]],
    truth: Sequence[Mapping[str, Any]],
    crowd: NDArray[np.bool_],
    image: Mapping[str, Any],
    iou_type: IouType,
) -> NDArray[np.float64]:
    """(n, m) IoU of one picture's records."""
    if iou_type == "bbox":
        boxes, targets = (np.array([record["bbox"] for record in records], np.float64) for records in (found, truth))
        return box_overlap(boxes, targets, crowd)
    flags = crowd.astype(int).tolist()
    masks = masks_of(found, image), masks_of(truth, image)
    overlap = np.asarray(coco_mask.iou(*masks, flags), np.float64)
    if iou_type == "boundary":
        bands = ([boundary(mask) for mask in side] for side in masks)
        banded = np.asarray(coco_mask.iou(*bands, flags), np.float64)
        overlap = np.where(crowd[None], overlap, np.minimum(overlap, banded))
    return overlap


def _grouped(records: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], list[int]]:
    """Places of the records by picture and category."""
    groups: dict[tuple[int, int], list[int]] = {}
    for place, record in enumerate(records):
        groups.setdefault((int(record["image_id"]), int(record["category_id"])), []).append(place)
    return groups


def _give(
    block: _Block, thresholds: tuple[float, ...], ignored: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`taken` and `overlaps` (T, n) of one picture and category; `ignored` (m,) of its objects."""
    taken = np.full((len(thresholds), len(block.rows)), -1, np.int64)
    overlaps = np.zeros(taken.shape)
    # The evaluator's own guard: a perfect overlap passes a threshold of 1.
    limits = [min(threshold, 1 - 1e-10) for threshold in thresholds]
    near = np.flatnonzero(block.overlap >= min(limits))
    detection, target, overlap = block.detection[near], block.target[near], block.overlap[near]
    # Each detection's wishes: objects that count before ignored ones, the greatest overlap first, of equals the later.
    order = np.lexsort((-target, -overlap, ignored[target], detection))
    crowd = block.crowd.tolist()
    gone: list[set[int]] = [set() for _ in limits]
    served = [-1] * len(limits)
    wishes = zip(detection[order].tolist(), target[order].tolist(), overlap[order].tolist(), strict=True)
    for who, what, share in wishes:
        for row, limit in enumerate(limits):
            if served[row] == who or share < limit or (what in gone[row] and not crowd[what]):
                continue
            served[row] = who
            gone[row].add(what)
            taken[row, who] = block.places[what]
            overlaps[row, who] = share
    return taken, overlaps
