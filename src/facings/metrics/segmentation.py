"""COCO figures of masks. Knows nothing of models: ground truth and predictions in, a dict out."""

from collections.abc import Mapping, Sequence
from typing import Any

from facings.metrics.detection import coco_metrics
from facings.metrics.matching import HEADLINE

BOUNDARY = ("ap", "ap50", "ap75")


def mask_metrics(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    max_detections: Sequence[int] = (100, 300, 1000),
    headline: int = HEADLINE,
    boundary: bool = True,
) -> dict[str, float]:
    """The figures of `coco_metrics` for masks, as `mask_ap`, `mask_ap50`, `mask_ap_small`, `mask_ar_300`, …

    With `boundary` also `boundary_ap`, `boundary_ap50` and `boundary_ap75` (Cheng et al., CVPR 2021), which a mask of a
    large object only reaches when its outline is right: its IoU counts within 2 % of the picture's diagonal of the outline.
    It costs a few milliseconds a mask.

    By hand: a truth of 40 × 40 pixels in a picture whose diagonal is 250, so that the boundary is 5 pixels wide. The
    detection lacks its upper 4 rows: mask IoU 36/40 = 0.9, right at 9 of COCO's 10 thresholds. The boundaries have
    40² - 30² = 700 and 36 · 40 - 26 · 30 = 660 pixels and share the lower 5 rows (5 · 40), both sides of the 31 rows above
    them (31 · 10), and the middle of the detection's first row, which is the last of the truth's upper band (30):
    540 / (700 + 660 - 540) = 0.66, right at 4 thresholds.

    >>> truth = {"images": [{"id": 1, "width": 200, "height": 150}], "categories": [{"id": 1, "name": "melon"}]}
    >>> box = lambda y: [[50, y, 90, y, 90, 90, 50, 90]]
    >>> one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [50, 50, 40, 40], "area": 1600, "iscrowd": 0}
    >>> truth["annotations"] = [one | {"segmentation": box(50)}]
    >>> found = {"image_id": 1, "category_id": 1, "segmentation": box(54), "score": 0.9}
    >>> figures = mask_metrics(truth, [found])
    >>> round(figures["mask_ap"], 6), round(figures["boundary_ap"], 6)
    (0.9, 0.4)

    Raises ValueError as `coco_metrics` does.
    """
    shared: dict[str, Any] = {"max_detections": max_detections, "headline": headline}
    figures = coco_metrics(ground_truth, predictions, iou_type="segm", **shared)
    figures = {f"mask_{name}": value for name, value in figures.items()}
    if boundary:
        edges = coco_metrics(ground_truth, predictions, iou_type="boundary", max_detections=(headline,))
        figures |= {f"boundary_{name}": edges[name] for name in BOUNDARY}
    return figures
