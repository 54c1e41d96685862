"""The COCO figures against pycocotools, at the limits that its own summary cannot give."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facings.metrics.detection import coco_metrics, per_class
from facings.metrics.matching import IouType
from tests.metrics.conftest import evaluated

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


def mean(values: Any) -> float:
    return float(values[values > -1].mean()) if (values > -1).any() else math.nan


def oracle(
    truth: dict[str, Any], results: list[dict[str, Any]], limits: list[int], headline: int, iou_type: str = "bbox"
) -> dict[str, float]:
    """The same figures read out of pycocotools' arrays."""
    precision, recall = evaluated(truth, results, limits, iou_type)
    first = limits.index(headline)
    figures = {
        "ap": mean(precision[..., 0, first]),
        "ap50": mean(precision[0, ..., 0, first]),
        "ap75": mean(precision[5, ..., 0, first]),
    }
    for index, area in enumerate(("small", "medium", "large"), start=1):
        figures[f"ap_{area}"] = mean(precision[..., index, first])
    for index, limit in enumerate(limits):
        figures[f"ap_{limit}"] = mean(precision[..., 0, index])
        figures[f"ap50_{limit}"] = mean(precision[0, ..., 0, index])
        figures[f"ap75_{limit}"] = mean(precision[5, ..., 0, index])
        figures[f"ar_{limit}"] = mean(recall[..., 0, index])
    return figures


@pytest.mark.parametrize(
    ("pictures", "objects", "detections", "limits", "headline"),
    [
        (3, 12, 20, (300, 1000), 300),
        (1, 150, 700, (300, 1000), 300),
        (2, 130, 400, (100, 300), 300),
        (2, 130, 400, (100, 200), 100),
        (2, 4, 30, (1, 10, 100), 1),
    ],
)
def test_equals_pycocotools(
    scenes: Scenes, pictures: int, objects: int, detections: int, limits: tuple[int, ...], headline: int
) -> None:
    truth, results = scenes(np.random.default_rng(5), pictures=pictures, objects=objects, detections=detections)
    figures = coco_metrics(truth, results, max_detections=limits)
    expected = oracle(truth, results, list(limits), headline)
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


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize(("crowd", "ties"), [(False, False), (True, False), (False, True), (True, True)])
def test_equals_pycocotools_on_masks_crowds_and_ties(
    masked_scenes: Scenes, iou_type: IouType, crowd: bool, ties: bool
) -> None:
    rng = np.random.default_rng(11)
    truth, results = masked_scenes(rng, pictures=4, objects=12, detections=30, crowd=crowd, ties=ties)
    expected = oracle(truth, results, [100, 300, 1000], 300, iou_type)
    figures = coco_metrics(truth, results, iou_type=iou_type)
    assert 0.05 < expected["ap"] < 0.95
    assert figures == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_crowd_regions_are_neither_right_nor_missed(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(2), pictures=2, objects=30, detections=40, crowd=True)
    assert coco_metrics(truth, results) == pytest.approx(oracle(truth, results, [100, 300, 1000], 300), abs=1e-6)


def test_plain_figures_are_those_at_300_or_as_told(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(3), pictures=1, objects=150, detections=700)
    figures = coco_metrics(truth, results)
    assert figures["ap"] == figures["ap_300"] != figures["ap_1000"]
    assert coco_metrics(truth, results, headline=1000)["ap"] == figures["ap_1000"]
    assert coco_metrics(truth, results, max_detections=(1000, 100))["ap"] == figures["ap_1000"]
    with pytest.raises(ValueError, match=r"headline is 5; expected one of max_detections, \[100, 300, 1000\]"):
        coco_metrics(truth, results, headline=5)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_per_class_equals_pycocotools_and_has_the_whole_for_its_mean(masked_scenes: Scenes, iou_type: IouType) -> None:
    truth, results = masked_scenes(np.random.default_rng(6), pictures=3, objects=10, detections=25)
    rows = per_class(truth, results, iou_type=iou_type)
    precision, recall = evaluated(truth, results, [300], iou_type)
    assert [row["category_id"] for row in rows] == [2, 5, 9]
    for number, row in enumerate(rows[:2]):
        assert row["ap"] == pytest.approx(mean(precision[:, :, number, 0]), abs=1e-6)
        assert row["ap50"] == pytest.approx(mean(precision[0, :, number, 0]), abs=1e-6)
        assert row["ap75"] == pytest.approx(mean(precision[5, :, number, 0]), abs=1e-6)
        assert row["ar"] == pytest.approx(mean(recall[:, number, 0]), abs=1e-6)
    assert rows[2]["objects"] == 0 and math.isnan(rows[2]["ap"])
    assert np.nanmean([row["ap"] for row in rows]) == pytest.approx(
        coco_metrics(truth, results, iou_type=iou_type)["ap"]
    )


def test_per_class_without_predictions_or_truth(masked_scenes: Scenes) -> None:
    truth, results = masked_scenes(np.random.default_rng(6), pictures=3, objects=10, detections=5)
    assert [row["ap"] for row in per_class(truth, [])] == pytest.approx([0, 0, math.nan], nan_ok=True)
    assert all(math.isnan(row["ar"]) for row in per_class(truth | {"annotations": []}, results))


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


def test_unknown_kind_of_overlap_is_refused(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(4), pictures=1, objects=3, detections=3)
    with pytest.raises(ValueError, match="iou_type is 'mask'; expected one of"):
        coco_metrics(truth, results, iou_type="mask")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="image_id 1 has no segmentation"):
        coco_metrics(truth, results, iou_type="segm")
