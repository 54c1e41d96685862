"""COCO detection figures. Knows nothing of models: ground truth and predictions in, a dict out."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

_LOG = logging.getLogger(__name__)
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
    `max_detections`; for each m of them `ap_m`, `ap50_m`, `ap75_m`, `ar_m`. The precision array is read at the index of
    m: the evaluator's own summary would give AP at 100 detections.

    By hand: two objects 10 pixels wide. The better detection lies on the first (right), the other on nothing. Up to a
    recall of 0.5 the precision is 1, beyond it 0: of COCO's 101 recall points 0.00 to 0.50 are 51, AP = 51/101 at every
    IoU threshold, recall 1/2.

    >>> truth = {"images": [{"id": 1, "width": 99, "height": 99}], "categories": [{"id": 1, "name": "product"}]}
    >>> objects = [[0, 0, 10, 10], [50, 50, 10, 10]]
    >>> truth["annotations"] = [
    ...     {"id": n, "image_id": 1, "category_id": 1, "bbox": box, "area": 100, "iscrowd": 0}
    ...     for n, box in enumerate(objects, start=1)
    ... ]
    >>> found = [([0, 0, 10, 10], 0.9), ([80, 0, 10, 10], 0.8)]
    >>> results = [{"image_id": 1, "category_id": 1, "bbox": box, "score": score} for box, score in found]
    >>> figures = coco_metrics(truth, results)
    >>> round(figures["ap"] * 101, 6), figures["ar_300"]
    (51.0, 0.5)

    Raises ValueError when a prediction is of a picture that the ground truth does not list, or no limit is given.
    """
    if not max_detections:
        raise ValueError("max_detections is empty; give the most detections a picture that count, e.g. (300, 1000)")
    limits = sorted({int(limit) for limit in max_detections})
    first = int(max_detections[0])
    names = [f"{name}_{limit}" for limit in limits for name in ("ap", "ap50", "ap75", "ar")]
    names += ["ap", "ap50", "ap75", *(f"ap_{area}" for area in AREAS)]
    _check_pictures(ground_truth, predictions)
    if not ground_truth["annotations"]:
        return dict.fromkeys(names, float("nan"))
    if not predictions:
        return _without_predictions(ground_truth, names)
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


def _check_pictures(ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]]) -> None:
    strange = {prediction["image_id"] for prediction in predictions} - {image["id"] for image in ground_truth["images"]}
    if strange:
        raise ValueError(f"predictions of image_id {min(strange)}, which the ground truth does not list")


def _without_predictions(ground_truth: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Zero for every figure that has truth, nan for the sizes that have none, as the evaluator would say."""
    limits = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
    areas = [float(annotation["area"]) for annotation in ground_truth["annotations"] if not annotation.get("iscrowd")]
    figures = dict.fromkeys(names, 0.0 if areas else float("nan"))
    for name, (low, high) in limits.items():
        if not any(low <= area <= high for area in areas):
            figures[f"ap_{name}"] = float("nan")
    return figures


def _evaluate(
    ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], limits: Sequence[int], iou_type: str
) -> tuple[Any, Any, Any]:
    """Precision (T, R, K, areas, limits), recall (T, K, areas, limits), and the T IoU thresholds."""
    # The evaluator writes areas, ids and flags into what it gets: copies keep the caller's lists as they were.
    annotations = [dict(annotation) for annotation in ground_truth["annotations"]]
    truth = COCO({**ground_truth, "annotations": annotations}, print_function=_LOG.debug)
    results = truth.loadRes([dict(prediction) for prediction in predictions])
    evaluator = COCOeval_faster(truth, results, iou_type, print_function=_LOG.debug)
    evaluator.params.maxDets = list(limits)
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator.eval["precision"], evaluator.eval["recall"], np.asarray(evaluator.params.iouThrs)


def _mean(values: Any) -> float:
    """Mean over the entries that have truth (the evaluator marks the others -1)."""
    valid = np.asarray(values)[np.asarray(values) > -1]
    return float(valid.mean()) if valid.size else float("nan")
