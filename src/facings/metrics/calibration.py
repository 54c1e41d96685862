"""Does a score of 0.7 mean that seven of ten are right? Calibration of detections. Knows nothing of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.metrics.matching import HEADLINE, ClassMatches, IouType, Overlaps

Values = NDArray[np.float64]
BINS = 25


@dataclass(frozen=True)
class Reliability:
    """What the scores say and what is true, in bins of equal width: `confidence`, `accuracy` (b,), nan where `count` is 0."""

    edges: Values
    confidence: Values
    accuracy: Values
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Mean over detections of |accuracy - confidence| of their bin; nan without a detection."""
        total = self.count.sum()
        return float(np.nansum(self.count * np.abs(self.accuracy - self.confidence)) / total) if total else float("nan")


def reliability(scores: Values, values: Values, *, bins: int = BINS) -> Reliability:
    """The reliability diagram. `scores` (n,) 0–1; `values` (n,): what a perfect score would be, 0–1, for instance 1 if right.

    By hand: two bins. Below 0.5: scores 0.2 and 0.4, one right; above: 0.9, right.

    >>> curve = reliability(np.array([0.2, 0.4, 0.9]), np.array([1.0, 0.0, 1.0]), bins=2)
    >>> curve.confidence.round(6).tolist(), curve.accuracy.tolist(), curve.count.tolist()
    ([0.3, 0.9], [0.5, 1.0], [2, 1])
    >>> round(curve.error, 6)
    0.166667

    Raises ValueError for scores outside 0–1.
    """
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(f"scores lie between {scores.min():g} and {scores.max():g}; expected 0 to 1")
    edges = np.linspace(0, 1, bins + 1)
    # A score on an edge belongs to the bin above it, 1 to the last.
    place = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=part, minlength=bins) for part in (scores, values)]
    confidence, accuracy = (np.divide(part, count, out=np.full(bins, np.nan), where=count > 0) for part in sums)
    return Reliability(edges, confidence, accuracy, count)


def detection_calibration_error(scores: Values, hits: NDArray[np.bool_], *, bins: int = BINS) -> float:
    """D-ECE over the score alone (Küppers et al.: "Multivariate Confidence Calibration for Object Detection", CVPRW 2020).

    Mean over detections of |precision - mean score| of their bin. Missed objects do not enter.

    By hand: two detections of 0.8 in one bin, one right: |0.5 - 0.8|.

    >>> round(detection_calibration_error(np.array([0.8, 0.8]), np.array([True, False])), 6)
    0.3
    """
    return reliability(scores, hits.astype(np.float64), bins=bins).error


def localization_calibration_error(
    scores: Values, overlaps: Values, categories: NDArray[np.int64], *, bins: int = BINS
) -> float:
    """LaECE (Oksuz et al.: "Towards Building Self-Aware Object Detectors", CVPR 2023): the score should be precision × IoU.

    For each category the mean over its detections of |precision · mean IoU of the right ones - mean score| of their bin;
    then the mean over categories that have a detection. `overlaps` (n,): IoU of the right ones, 0 for the wrong;
    `categories` (n,).

    By hand: the first category has two detections of 0.8, one right with IoU 0.6: |0.5 · 0.6 - 0.8| = 0.5. The second has
    one of 0.9 with IoU 0.9: 0. Their mean is 0.25.

    >>> figure = localization_calibration_error(np.array([0.8, 0.8, 0.9]), np.array([0.6, 0, 0.9]), np.array([1, 1, 2]))
    >>> round(figure, 6)
    0.25
    """
    errors = [
        reliability(scores[own], overlaps[own], bins=bins).error
        for own in (categories == category for category in np.unique(categories))
    ]
    return float(np.mean(errors)) if errors else float("nan")


def calibration_metrics(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    iou_type: IouType = "bbox",
    max_detections: int = HEADLINE,
    iou: float = 0.5,
    min_score: float = 0.0,
    bins: int = BINS,
) -> dict[str, float]:
    """`d_ece` and `laece`, 0 (calibrated) to 1, of the detections with a score of `min_score` or more.

    Right is a detection that COCO's matching gives an object at an IoU of `iou`; those on crowd regions are left out.
    Detectors report crowds of near-zero scores, rightly, and these hide the rest: give the threshold that the store will
    use as `min_score` (Kuzucu et al.: "On Calibration of Object Detectors", ECCV 2024).

    By hand: one object, found exactly with a score of 0.9: both are |1 - 0.9|.

    >>> truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "product"}]}
    >>> box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 10, 10]}
    >>> figures = calibration_metrics(truth | {"annotations": [box | {"id": 1}]}, [box | {"score": 0.9}])
    >>> {name: round(value, 6) for name, value in figures.items()}
    {'d_ece': 0.1, 'laece': 0.1}
    """
    overlaps = Overlaps(ground_truth, predictions, iou_type=iou_type, max_detections=max_detections)
    scores, found, categories = matched_scores(overlaps.match((iou,)), min_score=min_score)
    return {
        "d_ece": detection_calibration_error(scores, found > 0, bins=bins),
        "laece": localization_calibration_error(scores, found, categories, bins=bins),
    }


def matched_scores(
    classes: Sequence[ClassMatches], *, min_score: float = 0.0
) -> tuple[Values, Values, NDArray[np.int64]]:
    """Of all detections that count: scores, IoU with the object that each was given (0 for the wrong), and category.

    At the first IoU threshold of `classes`.
    """
    scores, overlaps, categories = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, np.int64)]
    for matches in classes:
        kept = ~matches.ignored[0] & (matches.scores >= min_score)
        scores.append(matches.scores[kept])
        overlaps.append(np.where(matches.hits[0], matches.overlaps[0], 0.0)[kept])
        categories.append(np.full(int(kept.sum()), matches.category))
    return np.concatenate(scores), np.concatenate(overlaps), np.concatenate(categories)
