"""The redrawable AP against the COCO evaluator, also on pictures really drawn twice."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facings.metrics.average_precision import DrawnPrecision, average_precision
from facings.metrics.detection import coco_metrics

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.mark.parametrize(("objects", "detections"), [(12, 30), (60, 200)])
def test_equals_the_coco_evaluator(scenes: Scenes, objects: int, detections: int) -> None:
    truth, results = scenes(np.random.default_rng(8), pictures=4, objects=objects, detections=detections)
    expected = coco_metrics(truth, results)
    found = DrawnPrecision(truth, results).average_precision()
    assert found.mean() == pytest.approx(expected["ap"], abs=1e-6)
    assert found[0] == pytest.approx(expected["ap50"], abs=1e-6)
    assert found[5] == pytest.approx(expected["ap75"], abs=1e-6)


def test_a_draw_equals_a_dataset_with_copies_of_the_pictures(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(9), pictures=3, objects=10, detections=25)
    index = np.array([0, 2, 2])
    drawn_truth, drawn_results = copy.deepcopy(truth) | {"images": [], "annotations": []}, []
    for new, old in enumerate(index + 1, start=100):
        drawn_truth["images"].append({"id": new, "width": 1000, "height": 1000})
        for annotation in truth["annotations"]:
            if annotation["image_id"] == old:
                number = len(drawn_truth["annotations"]) + 1
                drawn_truth["annotations"].append(annotation | {"id": number, "image_id": new})
        drawn_results += [result | {"image_id": new} for result in results if result["image_id"] == old]
    found = DrawnPrecision(truth, results).average_precision(index)
    # Equal scores of the copies may be counted one by one or together: a hair of difference.
    assert found.mean() == pytest.approx(coco_metrics(drawn_truth, drawn_results)["ap"], abs=2e-2)


def test_intervals_hold_the_figure_and_narrow_with_pictures(scenes: Scenes) -> None:
    widths = []
    for pictures in (4, 40):
        truth, results = scenes(np.random.default_rng(10), pictures=pictures, objects=8, detections=16)
        drawn = DrawnPrecision(truth, results)
        low, high = drawn.intervals(repeats=100)["ap50"]
        assert low <= drawn.average_precision()[0] <= high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_no_detection_no_truth(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(4), pictures=2, objects=3, detections=3)
    assert (DrawnPrecision(truth, []).average_precision() == 0).all()
    assert np.isnan(DrawnPrecision(truth | {"annotations": []}, results).average_precision()).all()
    assert np.isnan(average_precision([True], 0))
