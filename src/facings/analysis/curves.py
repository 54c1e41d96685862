"""Precision, recall and F1 against the score. Knows nothing of how a curve is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.analysis.comparison import KINDS, MAX_DETECTIONS, Kind
from facings.metrics.average_precision import average_precision
from facings.metrics.matching import Overlaps
from facings.metrics.thresholds import F1Point, f1_optimal

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredHits:
    """All detections of a split in descending score.

    `names`: of the K classes; `scores` (n,) 0–1; `labels` (n,) int64, place in `names`; `hits` (T, n) bool: whether it
    takes an object of its class at each IoU of `thresholds`; `objects` (K,) int64: how many of each class there are.
    """

    names: tuple[str, ...]
    scores: Floats
    labels: NDArray[np.int64]
    hits: NDArray[np.bool_]
    objects: NDArray[np.int64]
    thresholds: tuple[float, ...]

    def of_class(self, label: int) -> "ScoredHits":
        """Those of one class."""
        own = self.labels == label
        objects = np.where(np.arange(len(self.objects)) == label, self.objects, 0)
        return ScoredHits(self.names, self.scores[own], self.labels[own], self.hits[:, own], objects, self.thresholds)

    def average_precision(self, row: int = 0) -> float:
        """Mean over the classes that have objects of AP at `thresholds[row]`; nan without any object."""
        classes = np.flatnonzero(self.objects).tolist()
        parts = [(self.of_class(label), int(self.objects[label])) for label in classes]
        values = [average_precision(part.hits[row].tolist(), count) for part, count in parts]
        return float(np.mean(values)) if values else float("nan")

    def best(self, row: int = 0) -> F1Point:
        """The cut of best F1 at `thresholds[row]`, one for all classes."""
        return f1_optimal(self.scores, self.hits[row], int(self.objects.sum()))


@dataclass(frozen=True)
class Curve:
    """What keeping the detections of at least `score` gives: all (n,), score descending, recall rising, 0–1."""

    precision: Floats
    recall: Floats
    score: Floats

    @property
    def f1(self) -> Floats:
        """(n,) harmonic mean of precision and recall, 0 where both are."""
        total = self.precision + self.recall
        return np.where(total > 0, 2 * self.precision * self.recall / np.maximum(total, 1e-12), 0)

    @property
    def envelope(self) -> Floats:
        """(n,) the best precision at this recall or any higher: what average precision is the area under."""
        return np.maximum.accumulate(self.precision[::-1])[::-1]


def match_split(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    kind: Kind = "boxes",
    thresholds: Sequence[float] = (0.5, 0.75),
    max_detections: int = MAX_DETECTIONS,
) -> ScoredHits:
    """The detections of all classes, matched as COCO does it at each IoU of `thresholds`.

    `ground_truth`: COCO dict; `predictions`: COCO results, the best `max_detections` of each picture and category count.
    """
    overlaps = Overlaps(ground_truth, predictions, iou_type=KINDS[kind], max_detections=max_detections)
    classes = overlaps.match(thresholds)
    counted = [~own.ignored.any(axis=0) for own in classes]
    scores = [own.scores[kept] for own, kept in zip(classes, counted, strict=True)]
    labels = [np.full(int(kept.sum()), number, np.int64) for number, kept in enumerate(counted)]
    hits = [own.hits[:, kept] for own, kept in zip(classes, counted, strict=True)]
    order = np.argsort(-np.concatenate([np.zeros(0), *scores]), kind="stable")
    return ScoredHits(
        names=tuple(own.name for own in classes),
        scores=np.concatenate([np.zeros(0), *scores])[order],
        labels=np.concatenate([np.zeros(0, np.int64), *labels])[order],
        hits=np.concatenate([np.zeros((len(thresholds), 0), bool), *hits], axis=1)[:, order],
        objects=np.array([own.objects.sum() for own in classes], np.int64),
        thresholds=tuple(thresholds),
    )


def precision_recall(found: ScoredHits, row: int = 0) -> Curve:
    """Precision and recall of all classes together at each score, at `thresholds[row]`.

    One point a different score: detections of equal score are kept or left out together.

    By hand: right, wrong, right of 4 objects, the last two of equal score: after the first 1/1 and 1/4, after all 2/3
    and 2/4.

    >>> hits, scores = np.array([[True, False, True]]), np.array([0.9, 0.4, 0.4])
    >>> curve = precision_recall(ScoredHits(("apple",), scores, np.zeros(3, np.int64), hits, np.array([4]), (0.5,)))
    >>> curve.precision.round(3).tolist(), curve.recall.tolist(), curve.score.tolist()
    ([1.0, 0.667], [0.25, 0.5], [0.9, 0.4])
    """
    last = np.flatnonzero(np.diff(found.scores, append=-1.0) != 0)
    right = np.cumsum(found.hits[row])[last]
    total = int(found.objects.sum())
    return Curve(right / (last + 1), right / total if total else np.zeros(len(last)), found.scores[last])
