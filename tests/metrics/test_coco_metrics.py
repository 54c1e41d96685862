"""The COCO figures against pycocotools, at the limits that its own summary cannot give."""

import contextlib
import copy
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from facings.metrics.detection import coco_metrics

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


def oracle(truth: dict[str, Any], results: list[dict[str, Any]], limits: list[int]) -> dict[str, float]:
    """The same figures read out of pycocotools' arrays."""
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = copy.deepcopy(truth)
        reference.createIndex()
        evaluator = COCOeval(reference, reference.loadRes(copy.deepcopy(results)), "bbox")
        evaluator.params.maxDets = limits
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]

    def mean(values: Any) -> float:
        return float(values[values > -1].mean()) if (values > -1).any() else math.nan

    figures = {
        "ap": mean(precision[..., 0, 0]),
        "ap50": mean(precision[0, ..., 0, 0]),
        "ap75": mean(precision[5, ..., 0, 0]),
    }
    for index, area in enumerate(("small", "medium", "large"), start=1):
        figures[f"ap_{area}"] = mean(precision[..., index, 0])
    for index, limit in enumerate(limits):
        figures[f"ap_{limit}"] = mean(precision[..., 0, index])
        figures[f"ap50_{limit}"] = mean(precision[0, ..., 0, index])
        figures[f"ap75_{limit}"] = mean(precision[5, ..., 0, index])
        figures[f"ar_{limit}"] = mean(recall[..., 0, index])
    return figures


@pytest.mark.parametrize(
    ("pictures", "objects", "detections", "limits"),
    [(3, 12, 20, (300, 1000)), (1, 150, 700, (300, 1000)), (2, 130, 400, (100, 300)), (2, 4, 30, (1, 10, 100))],
)
def test_equals_pycocotools(
    scenes: Scenes, pictures: int, objects: int, detections: int, limits: tuple[int, ...]
) -> None:
    truth, results = scenes(np.random.default_rng(5), pictures=pictures, objects=objects, detections=detections)
    figures = coco_metrics(truth, results, max_detections=limits)
    expected = oracle(truth, results, list(limits))
    assert set(figures) == set(expected)
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name


def test_more_detections_than_the_limit_change_the_figure(scenes: Scenes) -> None:
    """The trap: a summary at 100 detections would say less of crowded shelves than there is."""
    truth, results = scenes(np.random.default_rng(1), pictures=1, objects=150, detections=700)
    figures = coco_metrics(truth, results, max_detections=(300, 1000))
    at_100 = coco_metrics(truth, results, max_detections=(100,))
    assert at_100["ar_100"] < figures["ar_300"] < figures["ar_1000"]
    assert figures["ap"] == figures["ap_300"] != at_100["ap_100"]


def test_crowd_regions_are_neither_right_nor_missed(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(2), pictures=2, objects=30, detections=40, crowd=True)
    expected = oracle(truth, results, [300, 1000])
    figures = coco_metrics(truth, results)
    assert figures["ap"] == pytest.approx(expected["ap"], abs=1e-6)


def test_first_limit_names_the_plain_figures_in_any_order(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(3), pictures=1, objects=150, detections=700)
    assert coco_metrics(truth, results, max_detections=(1000, 300))["ap"] == coco_metrics(truth, results)["ap_1000"]


def test_no_predictions_is_zero_where_there_is_truth(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(4), pictures=1, objects=3, detections=3)
    for annotation in truth["annotations"]:
        annotation["area"] = 20.0 * 20.0
    figures = coco_metrics(truth, [])
    assert set(figures) == set(coco_metrics(truth, results))
    assert figures["ap"] == figures["ar_1000"] == figures["ap_small"] == 0.0
    assert math.isnan(figures["ap_large"])


def test_no_truth_is_not_a_number(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(4), pictures=1, objects=3, detections=3)
    figures = coco_metrics(truth | {"annotations": []}, results)
    assert all(math.isnan(value) for value in figures.values())


def test_inputs_stay_as_they_were(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(4), pictures=1, objects=3, detections=3)
    before = copy.deepcopy((truth["annotations"], results))
    coco_metrics(truth, results)
    assert (truth["annotations"], results) == before


def test_says_nothing(scenes: Scenes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level("INFO")
    coco_metrics(*scenes(np.random.default_rng(4), pictures=1, objects=3, detections=3))
    assert caplog.records == [] and capsys.readouterr().out == ""


def test_prediction_of_a_strange_picture_is_refused(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(4), pictures=1, objects=3, detections=3)
    with pytest.raises(ValueError, match="image_id 9, which the ground truth does not list"):
        coco_metrics(truth, [*results, results[0] | {"image_id": 9}])
