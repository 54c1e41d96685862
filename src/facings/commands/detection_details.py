"""What lies behind a detector's AP: each class, each kind of picture and object, the best thresholds, the calibration."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from facings.analysis.slices import blur_slices, density_slices, gap_slices, laplacian_variance, size_slices
from facings.boxes import xywh_to_xyxy
from facings.data.coco import CocoTable
from facings.files import atomic_write
from facings.metrics.calibration import calibration_metrics
from facings.metrics.detection import per_class
from facings.metrics.matching import IouType
from facings.metrics.seams import seam_errors
from facings.metrics.thresholds import class_thresholds, threshold_metrics
from facings.runtime.images import read_image
from facings.tiles import Tiling, tile_grid

Predictions = Sequence[Mapping[str, Any]]
Rows = list[dict[str, Any]]
KINDS: dict[IouType, str] = {"bbox": "boxes", "segm": "masks"}
# Frames of more goods than COCO's headline counts must not lose them here.
MOST = 1000
FILE = "details.json"


def detection_details(
    table: CocoTable, predictions: Predictions, tiling: Tiling | None = None
) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures of the whole (best F1 and its threshold, optimal LRP, calibration error at that threshold, and of pictures
    that were looked at in tiles what is doubled, split or missed at the seams at that threshold), and the tables.

    Up to 1,000 detections a picture and class count. Tables, of the boxes and where both sides have outlines of the masks:
    `per_class`; `slices` by objects a picture, neighbour gap, object size and blur (of the pictures, at their own size).
    """
    truth = table.ground_truth()
    figures = threshold_metrics(truth, predictions, max_detections=MOST)
    threshold = figures["f1_threshold"]
    least = 0.0 if math.isnan(threshold) else threshold
    figures |= calibration_metrics(truth, predictions, min_score=least, max_detections=MOST)
    if tiling is not None:
        figures |= seam_figures(table, predictions, tiling, least)
    outlined = table.outlined and bool(predictions) and all("segmentation" in entry for entry in predictions)
    blur = {image.image_id: laplacian_variance(read_image(image.path)) for image in table.images}
    tables: dict[str, Any] = {}
    for kind, name in KINDS.items():
        if kind == "segm" and not outlined:
            continue
        limits: dict[str, Any] = {"iou_type": kind, "max_detections": MOST}
        classes = zip(
            per_class(truth, predictions, **limits), class_thresholds(truth, predictions, **limits), strict=True
        )
        tables[name] = {
            "per_class": [first | second for first, second in classes],
            "slices": {
                "objects a picture": density_slices(truth, predictions, **limits),
                "neighbour gap, in object sizes": gap_slices(truth, predictions, **limits),
                "object size, pixels": size_slices(truth, predictions, **limits),
                "blur of the picture, variance of the Laplacian": blur_slices(truth, predictions, blur, **limits),
            },
        }
    return figures, tables


def seam_figures(table: CocoTable, predictions: Predictions, tiling: Tiling, least: float) -> dict[str, float]:
    """`seam_products`, `seam_doubled`, `seam_split`, `seam_missed`: sums of `seam_errors` over the pictures, of detections with
    a score of `least` or more."""
    boxes: dict[int, list[list[float]]] = {}
    for entry in predictions:
        if float(entry["score"]) >= least:
            boxes.setdefault(int(entry["image_id"]), []).append(entry["bbox"])
    sums: Counter[str] = Counter()
    for image in table.images:
        found = xywh_to_xyxy(np.array(boxes.get(image.image_id, []), np.float32).reshape(-1, 4))
        grid = tile_grid(image.height, image.width, tiling.size, tiling.overlap)
        sums.update(seam_errors(image.boxes, found, grid))
    return {f"seam_{name}": float(count) for name, count in sums.items()}


def write_details(folder: Path, tables: Mapping[str, Any]) -> Path:
    """Write `details.json`; figures without a value are null."""
    path = folder / FILE
    atomic_write(path, json.dumps(_plain(tables), indent=1, ensure_ascii=False) + "\n")
    return path


def slices_table(tables: Mapping[str, Any]) -> Table:
    """The slices for the terminal."""
    shown = Table("what", "by", "slice", "objects", "ap", "ap50", "recall50", title="slices")
    for name, parts in tables.items():
        for by, rows in parts["slices"].items():
            for row in rows:
                values = (f"{row[key]:.3f}" for key in ("ap", "ap50", "recall50"))
                shown.add_row(name, by, str(row["slice"]), str(row["objects"]), *values)
    return shown


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
