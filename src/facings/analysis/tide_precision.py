"""Mean AP as TIDE's authors take it: whoever was found or is there counts as a class. Knows nothing of why a detection is wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# 29 / 100 and 0.01 · 29 are not the same number, and recall is often exactly such a one.
RECALLS = np.arange(101) / 100


@dataclass(frozen=True)
class ScoredEntries:
    """Detections: `scores` (n,), `classes` (n,) numbers from 0, `hits` (n,) bool. Of equal scores the earlier comes first."""

    scores: NDArray[np.float64]
    classes: NDArray[np.int64]
    hits: NDArray[np.bool_]


def mean_precision(entries: ScoredEntries, objects: NDArray[np.int64]) -> float:
    """Mean of AP over the classes that have objects or detections, 0–1; nan when there is none. `objects` (K,) of each class.

    By hand: of class 0 one of two objects is found: 51 of 101 recall points have precision 1; class 1 has one false detection
    and no object, so an AP of 0; class 2 has neither and does not count.

    >>> entries = ScoredEntries(np.array([0.9, 0.8]), np.array([0, 1]), np.array([True, False]))
    >>> round(mean_precision(entries, np.array([2, 0, 0])) * 2 * 101, 9)
    51.0
    """
    order = np.lexsort((-entries.scores, entries.classes))
    classes, hits = entries.classes[order], entries.hits[order]
    edges = np.searchsorted(classes, np.arange(len(objects) + 1))
    values = []
    for number, count in enumerate(objects.tolist()):
        own = hits[edges[number] : edges[number + 1]]
        if len(own) or count:
            values.append(_precision(own, count))
    return float(np.mean(values)) if values else float("nan")


def _precision(hits: NDArray[np.bool_], objects: int) -> float:
    """AP of one class, detections best first."""
    if not objects or not len(hits):
        return 0.0
    right = np.cumsum(hits)
    precision = np.maximum.accumulate((right / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(right / objects, RECALLS, side="left")
    return float(np.append(precision, 0.0)[places].sum() / len(RECALLS))
