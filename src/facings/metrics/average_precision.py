"""Average precision whose pictures can be drawn again: the interval that the COCO evaluator does not give.

Knows nothing of models. Written apart from `detection.py`, so that each checks the other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.boxes import iou, xywh_to_xyxy
from facings.metrics.bootstrap import bootstrap_interval

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = np.linspace(0, 1, 101)


class DrawnPrecision:
    """Every detection matched once; AP then for any draw of the pictures, each weighted by how often it was drawn.

    `ground_truth`: COCO dict without crowd regions; `predictions`: COCO results; the best `max_detections` of each
    picture and category count. `thresholds`: IoU.
    """

    def __init__(
        self,
        ground_truth: Mapping[str, Any],
        predictions: Sequence[Mapping[str, Any]],
        *,
        max_detections: int = 300,
        thresholds: Sequence[float] = THRESHOLDS,
    ) -> None:
        self.image_ids = [int(image["id"]) for image in ground_truth["images"]]
        self.thresholds = tuple(thresholds)
        truth = _grouped(ground_truth["annotations"])
        found = _grouped(predictions)
        categories = sorted({category for _, category in truth})
        self._classes = [
            _class_matches(category, self.image_ids, truth, found, max_detections, self.thresholds)
            for category in categories
        ]

    def average_precision(self, index: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """(T,) mean over categories of AP at each IoU threshold; `index`: the drawn pictures (default: each once)."""
        count = len(self.image_ids)
        weight = np.ones(count) if index is None else np.bincount(index, minlength=count).astype(np.float64)
        found = [_average_precision(weight, *parts) for parts in self._classes]
        values = [value for value in found if value is not None]
        return np.mean(values, axis=0) if values else np.full(len(self.thresholds), np.nan)

    def intervals(self, *, seed: int = 0, repeats: int = 200) -> dict[str, tuple[float, float]]:
        """95 % intervals of `ap` (mean over the thresholds) and `ap50` (the first of them) over pictures."""
        statistics = {
            "ap": lambda index: float(self.average_precision(index).mean()),
            "ap50": lambda index: float(self.average_precision(index)[0]),
        }
        count = len(self.image_ids)
        return {name: bootstrap_interval(f, count, seed=seed, repeats=repeats) for name, f in statistics.items()}


def average_precision(hits: Sequence[bool], objects: int) -> float:
    """AP of one list of detections in descending score: precision made monotone, read at COCO's 101 recall points.

    By hand: right, wrong, right of 2 objects: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; made monotone 1, 2/3, 2/3.
    51 recall points up to 0.5 have precision 1, the other 50 have 2/3.

    >>> round(average_precision([True, False, True], 2) * 101, 4)
    84.3333
    """
    hit = np.asarray(hits, bool)[None]
    found = _average_precision(np.ones(1), np.array([objects]), np.zeros(hit.shape[1], np.int64), hit)
    return float("nan") if found is None else float(found[0])


def _average_precision(
    weight: NDArray[np.float64], objects: NDArray[np.int64], owner: NDArray[np.int64], hits: NDArray[np.bool_]
) -> NDArray[np.float64] | None:
    """(T,) AP. `weight` (I,) of each picture, `objects` (I,), `owner` (n,) picture of a detection, `hits` (T, n)."""
    total = float((weight * objects).sum())
    if total == 0:
        return None
    each = weight[owner]
    right, seen = np.cumsum(hits * each, axis=1), np.cumsum(each)
    precision = right / np.maximum(seen, 1e-12)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = right / total
    values = np.zeros(len(hits))
    for row in range(len(hits)):
        at = np.searchsorted(recall[row], RECALLS - 1e-12, side="left")
        values[row] = precision[row, at[at < recall.shape[1]]].sum() / len(RECALLS)
    return values


def _grouped(records: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], list[Mapping[str, Any]]]:
    """Records by picture and category."""
    groups: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((int(record["image_id"]), int(record["category_id"])), []).append(record)
    return groups


def _class_matches(
    category: int,
    image_ids: Sequence[int],
    truth: Mapping[tuple[int, int], Sequence[Mapping[str, Any]]],
    found: Mapping[tuple[int, int], Sequence[Mapping[str, Any]]],
    limit: int,
    thresholds: Sequence[float],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Objects (I,) of each picture; owner (n,) and hits (T, n) of all its detections in descending score."""
    owners, scores, hits = [], [], []
    objects = np.array([len(truth.get((image, category), ())) for image in image_ids], np.int64)
    for number, image in enumerate(image_ids):
        best = sorted(found.get((image, category), ()), key=lambda record: -float(record["score"]))[:limit]
        if not best:
            continue
        boxes = [_boxes(records) for records in (best, truth.get((image, category), ()))]
        owners += [number] * len(best)
        scores += [float(record["score"]) for record in best]
        hits.append(_hits(iou(*boxes), thresholds))
    order = np.argsort(-np.array(scores), kind="stable")
    joined = np.concatenate(hits, axis=1) if hits else np.zeros((len(thresholds), 0), bool)
    return objects, np.array(owners, np.int64)[order], joined[:, order]


def _boxes(records: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
    return xywh_to_xyxy(np.array([record["bbox"] for record in records], np.float64).reshape(-1, 4))  # type: ignore[arg-type]


def _hits(overlap: NDArray[np.float32], thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """(T, n) whether each detection (rows of `overlap`, best first) takes a free object at each threshold."""
    hits = np.zeros((len(thresholds), len(overlap)), bool)
    if not overlap.shape[1]:
        return hits
    for row, threshold in enumerate(thresholds):
        free = overlap.copy()
        for index in range(len(overlap)):
            best = int(np.argmax(free[index]))
            if free[index, best] >= threshold:
                hits[row, index] = True
                free[:, best] = -1.0
    return hits
