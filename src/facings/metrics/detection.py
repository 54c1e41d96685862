"""COCO detection figures. Knows nothing of models: ground truth and predictions in, a dict out."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

AREAS = ("small", "medium", "large")


def coco_metrics(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    max_detections: Sequence[int] = (300, 1000),
    iou_type: str = "bbox",
) -> dict[str, float]:
    """COCO average precision and recall (Lin et al.: "Microsoft COCO", ECCV 2014), 0–1, nan where there is no truth.

    `ground_truth`: COCO dict; `predictions`: COCO results (`image_id`, `category_id`, `bbox` xywh pixels, `score`).
    Keys: `ap` (mean over IoU .50 to .95), `ap50`, `ap75`, `ap_small`, `ap_medium`, `ap_large`, all at the first of
    `max_detections`; for each m of them `ap_m`, `ap50_m`, `ap75_m`, `ar_m`. The precision array is read at the index of m:
    the evaluator's own summary would give AP at 100 detections.
    """
    limits = sorted(max_detections)
    first = int(max_detections[0])
    names = [f"{name}_{limit}" for limit in limits for name in ("ap", "ap50", "ap75", "ar")]
    names += ["ap", "ap50", "ap75", *(f"ap_{area}" for area in AREAS)]
    if not ground_truth["annotations"]:
        return dict.fromkeys(names, float("nan"))
    if not predictions:
        return dict.fromkeys(names, 0.0)
    precision, recall, thresholds = _evaluate(ground_truth, predictions, limits, iou_type)
    at = {limit: index for index, limit in enumerate(limits)}
    figures: dict[str, float] = {}
    for limit in limits:
        figures[f"ap_{limit}"] = _mean(precision[..., 0, at[limit]])
        for share in (50, 75):
            row = int(np.argmin(np.abs(thresholds - share / 100)))
            figures[f"ap{share}_{limit}"] = _mean(precision[row, ..., 0, at[limit]])
        figures[f"ar_{limit}"] = _mean(recall[..., 0, at[limit]])
    for name in ("ap", "ap50", "ap75"):
        figures[name] = figures[f"{name}_{first}"]
    for index, area in enumerate(AREAS, start=1):
        figures[f"ap_{area}"] = _mean(precision[..., index, at[first]])
    return figures


def _evaluate(
    ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], limits: Sequence[int], iou_type: str
) -> tuple[Any, Any, Any]:
    """Precision (T, R, K, areas, limits), recall (T, K, areas, limits), and the T IoU thresholds."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(dict(ground_truth))
        results = truth.loadRes([dict(prediction) for prediction in predictions])
        evaluator = COCOeval_faster(truth, results, iou_type)
        evaluator.params.maxDets = list(limits)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval["precision"], evaluator.eval["recall"], np.asarray(evaluator.params.iouThrs)


def _mean(values: Any) -> float:
    """Mean over the entries that have truth (the evaluator marks the others -1)."""
    valid = np.asarray(values)[np.asarray(values) > -1]
    return float(valid.mean()) if valid.size else float("nan")
