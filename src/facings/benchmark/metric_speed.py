"""How fast the COCO figures are beside pycocotools, and whether they are the same. Knows nothing of models."""

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facings.errors import ConfigError
from facings.metrics.detection import AREAS, coco_metrics
from facings.metrics.matching import HEADLINE

LIMITS = (100, 300, 1000)
Scene = tuple[dict[str, Any], list[dict[str, Any]]]


@dataclass(frozen=True)
class MetricComparison:
    """Both evaluators on the same scene: seconds of each (the mean of `coco_metrics`' two runs), and their figures."""

    seconds: float
    reference_seconds: float
    figures: Mapping[str, float]
    reference: Mapping[str, float]

    @property
    def speedup(self) -> float:
        return self.reference_seconds / self.seconds

    @property
    def max_abs_difference(self) -> float:
        """Over all figures; infinite where one has a figure that the other lacks."""
        names = {*self.figures, *self.reference}
        return max(_apart(self.figures.get(name), self.reference.get(name)) for name in names)


def compare(scene: Scene) -> MetricComparison:
    """Evaluate with both, each timed from the dicts to the figures, in this process.

    `coco_metrics` runs before and after pycocotools: a machine that grows busier meanwhile slows down both.

    Raises ConfigError without pycocotools.
    """
    truth, results = scene
    figures, before = _timed(lambda: coco_metrics(truth, results, max_detections=LIMITS))
    reference, reference_seconds = _timed(lambda: pycocotools_figures(truth, results))
    _, after = _timed(lambda: coco_metrics(truth, results, max_detections=LIMITS))
    return MetricComparison((before + after) / 2, reference_seconds, figures, reference)


def pycocotools_figures(truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The figures of `coco_metrics`, read out of pycocotools' arrays.

    Raises ConfigError without pycocotools.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as fault:
        raise ConfigError(
            "pycocotools is what this is compared with: pip install pycocotools, or facings[dev]"
        ) from fault
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = {**truth, "annotations": [dict(entry) for entry in truth["annotations"]]}
        reference.createIndex()
        evaluator = COCOeval(reference, reference.loadRes([dict(entry) for entry in results]), "bbox")
        evaluator.params.maxDets = list(LIMITS)
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    figures: dict[str, float] = {}
    for index, limit in enumerate(LIMITS):
        figures[f"ap_{limit}"] = _mean(precision[..., 0, index])
        figures[f"ap50_{limit}"] = _mean(precision[0, ..., 0, index])
        figures[f"ap75_{limit}"] = _mean(precision[5, ..., 0, index])
        figures[f"ar_{limit}"] = _mean(recall[..., 0, index])
    figures |= {name: figures[f"{name}_{HEADLINE}"] for name in ("ap", "ap50", "ap75")}
    first = LIMITS.index(HEADLINE)
    return figures | {f"ap_{area}": _mean(precision[..., row, first]) for row, area in enumerate(AREAS, start=1)}


def crowded_scene(*, images: int, objects: int, detections: int, seed: int = 0) -> Scene:
    """Random truth and detections of one category, as on full shelves: COCO dict and results.

    Of the detections of a picture the first `objects` lie near an object each, off by a tenth of its size or so; the rest
    anywhere.
    """
    rng = np.random.default_rng(seed)
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "product"}]}
    results: list[dict[str, Any]] = []
    for image_id in range(1, images + 1):
        truth["images"].append({"id": image_id, "width": 1920, "height": 1080, "file_name": f"{image_id}.jpg"})
        boxes = np.concatenate([rng.uniform(0, (1800, 960), (objects, 2)), rng.uniform(15, 120, (objects, 2))], axis=1)
        for box in boxes.tolist():
            entry = {"id": len(truth["annotations"]) + 1, "image_id": image_id, "category_id": 1, "bbox": box}
            truth["annotations"].append(entry | {"area": box[2] * box[3], "iscrowd": 0})
        strays = np.concatenate(
            [rng.uniform(0, (1800, 960), (detections, 2)), rng.uniform(15, 120, (detections, 2))], axis=1
        )
        near = min(objects, detections)
        strays[:near] = np.maximum(boxes[:near] + rng.normal(0, 0.07, (near, 4)) * np.tile(boxes[:near, 2:], 2), 1)
        # Those near an object score higher, but not always.
        scores = np.clip(rng.normal(0.3, 0.2, detections) + 0.3 * (np.arange(detections) < near), 0.001, 0.999)
        for box, score in zip(strays.tolist(), scores.tolist(), strict=True):
            results.append({"image_id": image_id, "category_id": 1, "bbox": box, "score": score})
    return truth, results


def checksum(scene: Scene) -> str:
    """sha256 of the scene as JSON."""
    return hashlib.sha256(json.dumps(scene, sort_keys=True).encode()).hexdigest()


def _timed(work: Callable[[], dict[str, float]]) -> tuple[dict[str, float], float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def _apart(first: float | None, second: float | None) -> float:
    """How far two figures are apart; not at all when neither has a truth to be about."""
    if first is None or second is None or np.isnan(first) != np.isnan(second):
        return float("inf")
    return 0.0 if np.isnan(first) else abs(first - second)


def _mean(values: Any) -> float:
    """Mean over the entries that have truth (pycocotools marks the others -1)."""
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else float("nan")
