"""COCO detection figures. Knows nothing of models: ground truth and predictions in, a dict out."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from facings.metrics.matching import HEADLINE, IouType, check_iou_type, masks_of

_LOG = logging.getLogger(__name__)
AREAS = ("small", "medium", "large")


def coco_metrics(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    max_detections: Sequence[int] = (100, 300, 1000),
    iou_type: IouType = "bbox",
    headline: int | None = None,
) -> dict[str, float]:
    """COCO average precision and recall (Lin et al.: "Microsoft COCO", ECCV 2014), 0–1, nan where there is no truth.

    `ground_truth`: COCO dict; `predictions`: COCO results (`image_id`, `category_id`, `bbox` xywh pixels, `score`; for
    masks `segmentation`, see `facings.metrics.rle`). `iou_type`: of boxes (`bbox`), of masks (`segm`), or the smaller of
    the masks' and of their boundaries' IoU (`boundary`; Cheng et al.: "Boundary IoU", CVPR 2021).

    Keys: `ap` (mean over IoU .50 to .95), `ap50`, `ap75`, `ap_small`, `ap_medium`, `ap_large`, all at `headline`
    detections a picture and category (300, or the first of `max_detections` where 300 is not among them: 100, COCO's
    own, would cut a crowded shelf short); for each m of `max_detections` `ap_m`, `ap50_m`, `ap75_m`, `ar_m`. The precision
    array is read at the index of m: the evaluator's own summary would give AP at 100 detections. Sizes are the area of
    the annotation and of the detection's box, or mask when masks are judged.

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

    Raises ValueError when a prediction is of a picture that the ground truth does not list, no limit is given, `headline`
    is not one of them, `iou_type` is unknown, or masks are missing or do not fit their picture.
    """
    check_iou_type(iou_type)
    if not max_detections:
        raise ValueError("max_detections is empty; give the most detections a picture that count, e.g. (300, 1000)")
    limits = sorted({int(limit) for limit in max_detections})
    if headline is None:
        headline = HEADLINE if HEADLINE in limits else int(max_detections[0])
    if headline not in limits:
        raise ValueError(f"headline is {headline}; expected one of max_detections, {limits}")
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
        figures[name] = figures[f"{name}_{headline}"]
    for index, area in enumerate(AREAS, start=1):
        figures[f"ap_{area}"] = _mean(precision[..., index, at[headline]])
    return figures


def per_class(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    max_detections: int = HEADLINE,
    iou_type: IouType = "bbox",
) -> list[dict[str, Any]]:
    """One row a category, in the order of their ids: `category_id`, `name`, `objects`, `ap`, `ap50`, `ap75`, `ar`.

    Figures as in `coco_metrics` at `max_detections`, nan for a category without an object. The mean of a column is the
    figure of the whole.

    By hand: one object of the first category, found; one of the second, missed.

    >>> truth = {"images": [{"id": 1, "width": 99, "height": 99}], "categories": [], "annotations": []}
    >>> box = {"image_id": 1, "bbox": [0, 0, 10, 10], "area": 100, "iscrowd": 0}
    >>> for number, name in enumerate(("apple", "pear"), start=1):
    ...     truth["categories"].append({"id": number, "name": name})
    ...     truth["annotations"].append(box | {"id": number, "category_id": number})
    >>> rows = per_class(truth, [box | {"category_id": 1, "score": 0.9}])
    >>> [(row["name"], row["objects"], round(row["ap"], 6)) for row in rows]
    [('apple', 1, 1.0), ('pear', 1, 0.0)]

    Raises ValueError as `coco_metrics` does.
    """
    check_iou_type(iou_type)
    _check_pictures(ground_truth, predictions)
    counted = Counter(entry["category_id"] for entry in ground_truth["annotations"] if not entry.get("iscrowd"))
    rows: list[dict[str, Any]] = [
        {"category_id": int(entry["id"]), "name": str(entry["name"]), "objects": counted[entry["id"]]}
        for entry in sorted(ground_truth["categories"], key=lambda entry: int(entry["id"]))
    ]
    names = ("ap", "ap50", "ap75", "ar")
    if not predictions or not counted:
        return [row | dict.fromkeys(names, 0.0 if row["objects"] else float("nan")) for row in rows]
    precision, recall, thresholds = _evaluate(ground_truth, predictions, [max_detections], iou_type)
    at = [int(np.argmin(np.abs(thresholds - share))) for share in (0.5, 0.75)]
    for number, row in enumerate(rows):
        own = precision[:, :, number, 0, 0]
        values = (own, own[at[0]], own[at[1]], recall[:, number, 0, 0])
        row |= {name: _mean(value) for name, value in zip(names, values, strict=True)}
    return rows


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
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    limits: Sequence[int],
    iou_type: IouType,
) -> tuple[Any, Any, Any]:
    """Precision (T, R, K, areas, limits), recall (T, K, areas, limits), and the T IoU thresholds."""
    # The evaluator writes areas, ids and flags into what it gets: copies keep the caller's lists as they were.
    annotations = [dict(annotation) for annotation in ground_truth["annotations"]]
    found = [dict(prediction) for prediction in predictions]
    if iou_type != "bbox":
        _pack_masks(ground_truth, annotations, found)
    truth = COCO({**ground_truth, "annotations": annotations}, print_function=_LOG.debug)
    evaluator = COCOeval_faster(truth, truth.loadRes(found), iou_type, print_function=_LOG.debug)
    evaluator.params.maxDets = list(limits)
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator.eval["precision"], evaluator.eval["recall"], np.asarray(evaluator.params.iouThrs)


def _pack_masks(
    ground_truth: Mapping[str, Any], annotations: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]
) -> None:
    """Give every record a compressed mask; take the detections' boxes away, or the evaluator would take their area."""
    pictures = {image["id"]: image for image in ground_truth["images"]}
    for record in (*annotations, *found):
        record["segmentation"] = masks_of([record], pictures[record["image_id"]])[0]
    for record in found:
        record.pop("bbox", None)


def _mean(values: Any) -> float:
    """Mean over the entries that have truth (the evaluator marks the others -1)."""
    valid = np.asarray(values)[np.asarray(values) > -1]
    return float(valid.mean()) if valid.size else float("nan")
