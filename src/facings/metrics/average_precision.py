"""Average precision whose pictures can be drawn again: the interval that the COCO evaluator does not give.

Knows nothing of models. Written apart from `detection.py`, so that each checks the other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.metrics.bootstrap import Difference, draws, paired_difference, percentile_interval
from facings.metrics.matching import HEADLINE, THRESHOLDS, ClassMatches, IouType, Overlaps

RECALLS = np.linspace(0, 1, 101)
# Figure → what of the (T,) AP it is.
FIGURES = {"ap": lambda values: float(values.mean()), "ap50": lambda values: float(values[0])}


class DrawnPrecision:
    """Every detection matched once; AP then for any draw of the pictures, each weighted by how often it was drawn.

    `ground_truth`: COCO dict; `predictions`: COCO results; the best `max_detections` of each picture and category count.
    `thresholds`: IoU; `iou_type`: of boxes (`bbox`), masks (`segm`), or masks and their boundaries (`boundary`).
    """

    def __init__(
        self,
        ground_truth: Mapping[str, Any],
        predictions: Sequence[Mapping[str, Any]],
        *,
        max_detections: int = HEADLINE,
        thresholds: Sequence[float] = THRESHOLDS,
        iou_type: IouType = "bbox",
    ) -> None:
        overlaps = Overlaps(ground_truth, predictions, iou_type=iou_type, max_detections=max_detections)
        self._set(overlaps.match(thresholds), overlaps.image_ids, tuple(thresholds))

    @classmethod
    def of(cls, classes: Sequence[ClassMatches], image_ids: Sequence[int]) -> "DrawnPrecision":
        """Of detections that were matched elsewhere, for instance with some objects ignored."""
        drawn = cls.__new__(cls)
        drawn._set(classes, image_ids, classes[0].thresholds if classes else THRESHOLDS)
        return drawn

    def _set(self, classes: Sequence[ClassMatches], image_ids: Sequence[int], thresholds: tuple[float, ...]) -> None:
        self.image_ids, self.thresholds = list(image_ids), thresholds
        self._classes = [_Curve(matches) for matches in classes]

    def average_precision(self, index: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """(T,) mean over categories of AP at each IoU threshold; `index`: the drawn pictures (default: each once)."""
        count = len(self.image_ids)
        weight = np.ones(count) if index is None else np.bincount(index, minlength=count).astype(np.float64)
        found = [curve.average_precision(weight) for curve in self._classes]
        values = [value for value in found if value is not None]
        return np.mean(values, axis=0) if values else np.full(len(self.thresholds), np.nan)

    def drawn(self, *, seed: int = 0, repeats: int = 200) -> NDArray[np.float64]:
        """(repeats, T) AP of as many draws of the pictures; draw i is the same for the same seed and pictures."""
        return np.stack(
            [self.average_precision(index) for index in draws(len(self.image_ids), seed=seed, repeats=repeats)]
        )

    def intervals(self, *, seed: int = 0, repeats: int = 200) -> dict[str, tuple[float, float]]:
        """95 % intervals of `ap` (mean over the thresholds) and `ap50` (the first of them) over pictures.

        Where a category has a handful of objects, draws lie above the figure more often than below: a draw without the
        picture of a wrong detection gains more than one that has it twice loses. The interval leans upwards there; a
        difference (`paired_intervals`) hardly does, both sides leaning alike.
        """
        values = self.drawn(seed=seed, repeats=repeats)
        return {
            name: percentile_interval(np.array([figure(row) for row in values])) for name, figure in FIGURES.items()
        }


def paired_intervals(
    first: DrawnPrecision, second: DrawnPrecision, *, seed: int = 0, repeats: int = 200
) -> dict[str, Difference]:
    """Is the first better than the second? `ap` and `ap50` of the first minus those of the second, on the same draws.

    Two intervals that overlap say little: hard pictures are hard for both. The interval of the difference, drawn
    pairwise, leaves that out (Efron, Tibshirani: "An Introduction to the Bootstrap", 1993).

    Raises ValueError when the two were not judged on the same pictures in the same order, at the same thresholds.
    """
    if first.image_ids != second.image_ids:
        raise ValueError(
            f"a paired comparison wants the same pictures; got {len(first.image_ids)} and {len(second.image_ids)} "
            "pictures, or others or in another order"
        )
    if first.thresholds != second.thresholds:
        raise ValueError(f"IoU thresholds {first.thresholds} against {second.thresholds}; expected the same")
    whole = [side.average_precision() for side in (first, second)]
    values = [side.drawn(seed=seed, repeats=repeats) for side in (first, second)]
    differences = {}
    for name, figure in FIGURES.items():
        rows = [np.array([figure(row) for row in side]) for side in values]
        differences[name] = paired_difference(rows[0], rows[1], figure(whole[0]) - figure(whole[1]))
    return differences


def average_precision(hits: Sequence[bool], objects: int) -> float:
    """AP of one list of detections in descending score: precision made monotone, read at COCO's 101 recall points.

    By hand: right, wrong, right of 2 objects: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; made monotone 1, 2/3, 2/3.
    51 recall points up to 0.5 have precision 1, the other 50 have 2/3.

    >>> round(average_precision([True, False, True], 2) * 101, 4)
    84.3333
    """
    if objects == 0:
        return float("nan")
    hit = np.flatnonzero(np.asarray(hits, bool))
    right, seen = np.arange(1.0, len(hit) + 1), (hit + 1).astype(np.float64)
    return _read(right, seen, float(objects))


class _Curve:
    """One category, kept so that a new weighting of the pictures costs little.

    Precision can only be greatest where a detection is right, so that only those places are looked at.
    """

    def __init__(self, matches: ClassMatches) -> None:
        self.objects, self.pictures = matches.objects, matches.pictures
        self.hit = [np.flatnonzero(row) for row in matches.hits]
        self.ignored = [np.flatnonzero(row) for row in matches.ignored]
        # How many ignored detections stand before each right one.
        self.before = [np.searchsorted(i, h) for i, h in zip(self.ignored, self.hit, strict=True)]

    def average_precision(self, weight: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """(T,) AP when picture i counts `weight[i]` times, None when no object does."""
        total = float(weight @ self.objects)
        if total == 0:
            return None
        each = weight[self.pictures]
        seen = np.cumsum(each)
        values = np.zeros(len(self.hit))
        for row, (hit, ignored, before) in enumerate(zip(self.hit, self.ignored, self.before, strict=True)):
            if len(hit):
                skipped = np.concatenate([[0.0], np.cumsum(each[ignored])])[before]
                values[row] = _read(np.cumsum(each[hit]), seen[hit] - skipped, total)
        return values


def _read(right: NDArray[np.float64], seen: NDArray[np.float64], total: float) -> float:
    """AP from, at each right detection, how many were right and how many were seen so far; `total`: objects."""
    precision = right / np.maximum(seen, 1e-12)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(right / total, RECALLS, side="left")
    return float(precision[at[at < len(right)]].sum() / len(RECALLS))
