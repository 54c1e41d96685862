"""How right a bundle's masks are: AP of masks and of their boundaries, asked of the store runtime. Knows nothing of training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from facings.data.coco import CocoTable
from facings.errors import ConfigError, DataError
from facings.metrics.average_precision import DrawnPrecision
from facings.metrics.bootstrap import percentile_interval
from facings.metrics.detection import per_class
from facings.metrics.matching import IouType
from facings.metrics.segmentation import mask_metrics
from facings.runtime.recognizer import Recognizer

Results = Sequence[Mapping[str, Any]]
# Outputs of a detector's graph that masks are drawn from.
MASKS = {"coefficients", "masks"}
# Kind of IoU → how its figures are called.
KINDS: Mapping[IouType, str] = {"segm": "mask", "boundary": "boundary"}
# Figure → what of the (R, T) AP at COCO's thresholds it is.
FIGURES: Mapping[str, Callable[[Any], Any]] = {
    "ap": lambda drawn: drawn.mean(axis=1),
    "ap50": lambda drawn: drawn[:, 0],
    "ap75": lambda drawn: drawn[:, 5],
}


def check_masks(recognizer: Recognizer, table: CocoTable) -> None:
    """Raise ConfigError where the bundle draws no masks, DataError where no object has an outline."""
    path = recognizer.bundle.path
    if not recognizer.bundle.has("detector"):
        raise ConfigError(f"{path}: has no detector, so there are no masks; protocol=segmentation wants one with masks")
    if not MASKS & set(recognizer.signature("detector")["outputs"]):
        raise ConfigError(
            f"{path}: its detector draws no masks; train one with model.prototypes above 0 (experiment=detection/*_masks), or ask "
            "protocol=detection"
        )
    if not table.outlined:
        raise DataError(
            f"{table.source}: no object has a segmentation, so there is nothing to hold masks against; data/README.md names sets "
            "with outlines"
        )


def mask_summary(
    truth: Mapping[str, Any], results: Results, *, boundary: bool = True, seed: int = 0, repeats: int = 200
) -> dict[str, Any]:
    """`figures` as `mask_metrics` gives them, `intervals` at 95 % over pictures of AP, AP50 and AP75, and `classes`: a row a
    category with `name`, `objects`, and `mask_ap`, `mask_ap50`, `mask_ap75`, with `boundary` also `boundary_ap`.

    `truth`: COCO dict with a segmentation of every object; `repeats`: draws of the pictures.
    """
    kinds = {kind: name for kind, name in KINDS.items() if boundary or kind != "boundary"}
    intervals: dict[str, tuple[float, float]] = {}
    rows: list[dict[str, Any]] = []
    for kind, called in kinds.items():
        drawn = DrawnPrecision(truth, results, iou_type=kind).drawn(seed=seed, repeats=repeats)
        intervals |= {f"{called}_{name}": percentile_interval(of(drawn)) for name, of in FIGURES.items()}
        own = per_class(truth, results, iou_type=kind)
        rows = rows or [{"name": entry["name"], "objects": entry["objects"]} for entry in own]
        for row, entry in zip(rows, own, strict=True):
            row |= {f"{called}_{name}": entry[name] for name in (FIGURES if kind == "segm" else ("ap",))}
    figures = mask_metrics(truth, results, boundary=boundary)
    return {"figures": figures, "intervals": intervals, "classes": rows}


def outlined_objects(table: CocoTable) -> tuple[int, int]:
    """How many objects have an outline, and how many there are; those without are judged by their box."""
    outlines = np.array([s is not None for image in table.images for s in image.segmentations], bool)
    return int(outlines.sum()), len(outlines)
