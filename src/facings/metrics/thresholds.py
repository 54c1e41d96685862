"""Where to cut the scores, and how good the detector is at that cut: F1 and LRP. Knows nothing of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.metrics.matching import HEADLINE, ClassMatches, IouType, Overlaps

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]
IOU = 0.5
NAN = float("nan")
PARTS = ("localization", "false_positive", "false_negative")


@dataclass(frozen=True)
class F1Point:
    """The cut with the best F1: keep scores of `threshold` or more. All 0–1; `threshold` nan where nothing is right."""

    f1: float
    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True)
class LrpPoint:
    """The cut with the least LRP error, 0 (all found, exactly) to 1 (nothing found), and what the error is made of.

    `localization`: mean of 1 - IoU of the right ones (0 to 1 - τ); `false_positive` = 1 - precision; `false_negative` =
    1 - recall. Nan where no detection is right.
    """

    lrp: float
    threshold: float
    localization: float
    false_positive: float
    false_negative: float


def f1_optimal(scores: Scores, hits: Flags, objects: int) -> F1Point:
    """The score threshold with the greatest F1 = 2 · right / (kept + objects); of equals the highest.

    `scores` (n,) and `hits` (n,) in any order. Detections of equal score are kept or left out together.

    By hand: 3 objects; right at 0.9, wrong at 0.8, right at 0.7 and wrong at 0.6. F1 after each: 2/4, 2/5, 4/6, 4/7.

    >>> f1_optimal(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]), 3)
    F1Point(f1=0.6666666666666666, threshold=0.7, precision=0.6666666666666666, recall=0.6666666666666666)
    """
    if not objects:
        return F1Point(NAN, NAN, NAN, NAN)
    cuts, right, kept = _cuts(scores, hits.astype(np.float64))
    if not right.any():
        return F1Point(0.0, NAN, NAN, 0.0)
    f1 = 2 * right / (kept + objects)
    best = int(np.argmax(f1))
    return F1Point(float(f1[best]), float(cuts[best]), float(right[best] / kept[best]), float(right[best] / objects))


def optimal_lrp(scores: Scores, overlaps: Scores, hits: Flags, objects: int, *, iou: float = IOU) -> LrpPoint:
    """The least localisation-recall-precision error over all score thresholds (Oksuz et al.: "Localization Recall
    Precision", ECCV 2018; "One Metric to Measure Them All", TPAMI 2021).

    LRP = (Σ over right detections of (1 - IoU) / (1 - τ) + wrong + missed) / (right + wrong + missed), τ = `iou`. Every
    score is tried as threshold, not a grid. `overlaps` (n,): IoU of each detection with its object.

    By hand: 2 objects; right at 0.9 with IoU 0.8, wrong at 0.8, right at 0.7 with IoU 0.6. Kept one: (0.2/0.5 + 0 + 1) / 2
    = 0.7. Kept two: (0.4 + 1 + 1) / 3 = 0.8. Kept three: (0.4 + 0.8 + 1 + 0) / 3 = 0.733.

    >>> hits = np.array([True, False, True])
    >>> best = optimal_lrp(np.array([0.9, 0.8, 0.7]), np.array([0.8, 0, 0.6]), hits, 2)
    >>> round(best.lrp, 6), best.threshold, round(best.localization, 6), best.false_positive, best.false_negative
    (0.7, 0.9, 0.2, 0.0, 0.5)
    """
    if not objects:
        return LrpPoint(NAN, NAN, NAN, NAN, NAN)
    cuts, right, kept = _cuts(scores, hits.astype(np.float64))
    if not right.any():
        return LrpPoint(1.0, NAN, NAN, NAN, 1.0)
    distance = _cuts(scores, np.where(hits, 1 - overlaps, 0.0))[1]
    wrong, missed = kept - right, objects - right
    lrp = (distance / (1 - iou) + wrong + missed) / (kept + missed)
    best = int(np.argmin(np.where(right > 0, lrp, np.inf)))
    return LrpPoint(
        lrp=float(lrp[best]),
        threshold=float(cuts[best]),
        localization=float(distance[best] / right[best]),
        false_positive=float(wrong[best] / kept[best]),
        false_negative=float(missed[best] / objects),
    )


def class_thresholds(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    iou_type: IouType = "bbox",
    max_detections: int = HEADLINE,
    iou: float = IOU,
) -> list[dict[str, Any]]:
    """One row a category, by id: `category_id`, `name`, `objects`, `recall` (at any score), and its own best cuts.

    `f1`, `f1_threshold`, `f1_precision`, `f1_recall` as in `F1Point`; `lrp`, `lrp_threshold`, `lrp_localization`,
    `lrp_false_positive`, `lrp_false_negative` as in `LrpPoint`. A detection is right at an IoU of `iou` or more. Figures are
    nan for a category without an object.
    """
    overlaps = Overlaps(ground_truth, predictions, iou_type=iou_type, max_detections=max_detections)
    rows = []
    for matches in overlaps.match((iou,)):
        row = {"category_id": matches.category, "name": matches.name, "objects": int(matches.objects.sum())}
        rows.append(row | {"recall": _recall([matches])} | _class_figures(matches, iou))
    return rows


def threshold_metrics(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    iou_type: IouType = "bbox",
    max_detections: int = HEADLINE,
    iou: float = IOU,
) -> dict[str, float]:
    """The whole in one dict, 0–1.

    `f1`, `f1_threshold`, `f1_precision`, `f1_recall`: the best cut when one threshold serves all categories, counted over
    all objects. `olrp` and its parts `olrp_localization`, `olrp_false_positive`, `olrp_false_negative`: means over
    categories, each at its own best cut (the papers' moLRP). `recall50` (named so when `iou` is 0.5): see `recall50`.

    By hand: two categories of one object. The first is found at 0.9, the second at 0.3 behind a wrong one at 0.4. All
    kept: F1 = 2 · 2 / (3 + 2) = 0.8; only the best: 2 · 1 / (1 + 2) = 0.67. LRP: 0 and (0 + 1 + 0) / 2.

    >>> truth = {"images": [{"id": 1}], "categories": [{"id": n, "name": str(n)} for n in (1, 2)]}
    >>> box = {"image_id": 1, "bbox": [0, 0, 10, 10]}
    >>> truth["annotations"] = [box | {"id": n, "category_id": n} for n in (1, 2)]
    >>> found = [box | {"category_id": 1, "score": 0.9}, box | {"category_id": 2, "score": 0.3}]
    >>> figures = threshold_metrics(truth, [*found, box | {"category_id": 2, "score": 0.4, "bbox": [50, 0, 10, 10]}])
    >>> figures["f1"], figures["f1_threshold"], figures["olrp"], figures["recall50"]
    (0.8, 0.3, 0.25, 1.0)
    """
    overlaps = Overlaps(ground_truth, predictions, iou_type=iou_type, max_detections=max_detections)
    classes = overlaps.match((iou,))
    counted = [matches for matches in classes if matches.objects.sum()]
    scores = np.concatenate([np.zeros(0), *(matches.scores[~matches.ignored[0]] for matches in classes)])
    hits = np.concatenate([np.zeros(0, bool), *(matches.hits[0, ~matches.ignored[0]] for matches in classes)])
    best = f1_optimal(scores, hits, sum(int(matches.objects.sum()) for matches in classes))
    figures = {f"recall{round(100 * iou)}": _recall(classes)}
    figures |= {"f1": best.f1, "f1_threshold": best.threshold, "f1_precision": best.precision, "f1_recall": best.recall}
    rows = [_class_figures(matches, iou) for matches in counted]
    parts = {"olrp": "lrp"} | {f"olrp_{part}": f"lrp_{part}" for part in PARTS}
    return figures | {name: _mean([row[column] for row in rows]) for name, column in parts.items()}


def recall50(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    iou_type: IouType = "bbox",
    max_detections: int = HEADLINE,
) -> float:
    """Share of all objects that a detection of their category finds at an IoU of 0.5, whatever its score.

    The best `max_detections` of each picture and category count. Nan without an object.

    By hand: of two objects one is found, by a detection of a score next to nothing.

    >>> truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "product"}]}
    >>> boxes = [[0, 0, 10, 10], [50, 50, 10, 10]]
    >>> truth["annotations"] = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes)]
    >>> recall50(truth, [{"image_id": 1, "category_id": 1, "bbox": boxes[0], "score": 0.001}])
    0.5
    """
    overlaps = Overlaps(ground_truth, predictions, iou_type=iou_type, max_detections=max_detections)
    return _recall(overlaps.match((IOU,)))


def _class_figures(matches: ClassMatches, iou: float) -> dict[str, float]:
    kept = ~matches.ignored[0]
    scores, hits, objects = matches.scores[kept], matches.hits[0, kept], int(matches.objects.sum())
    best, least = (
        f1_optimal(scores, hits, objects),
        optimal_lrp(scores, matches.overlaps[0, kept], hits, objects, iou=iou),
    )
    figures = {"f1": best.f1, "f1_threshold": best.threshold, "f1_precision": best.precision, "f1_recall": best.recall}
    figures |= {"lrp": least.lrp, "lrp_threshold": least.threshold}
    return figures | {f"lrp_{part}": float(getattr(least, part)) for part in PARTS}


def _cuts(scores: Scores, values: Scores) -> tuple[Scores, Scores, Scores]:
    """Each score that occurs, descending; the sum of `values` at or above it; how many detections those are."""
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)) if len(scores) else np.zeros(0, np.int64)
    return scores[last], np.cumsum(values[order])[last], (last + 1).astype(np.float64)


def _recall(classes: Sequence[ClassMatches]) -> float:
    objects = sum(int(matches.objects.sum()) for matches in classes)
    return sum(int(matches.hits[0].sum()) for matches in classes) / objects if objects else NAN


def _mean(values: Sequence[float]) -> float:
    """Mean of those that are numbers, nan without any."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else NAN
