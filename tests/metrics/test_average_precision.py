"""The redrawable AP against the COCO evaluator, also on pictures really drawn twice."""

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facings.metrics.average_precision import DrawnPrecision, average_precision, paired_intervals
from facings.metrics.bootstrap import bootstrap_interval
from facings.metrics.detection import coco_metrics
from facings.metrics.matching import IouType

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.mark.parametrize(("objects", "detections"), [(12, 30), (60, 200)])
def test_equals_the_coco_evaluator(scenes: Scenes, objects: int, detections: int) -> None:
    truth, results = scenes(np.random.default_rng(8), pictures=4, objects=objects, detections=detections)
    expected = coco_metrics(truth, results)
    found = DrawnPrecision(truth, results).average_precision()
    assert found.mean() == pytest.approx(expected["ap"], abs=1e-6)
    assert found[0] == pytest.approx(expected["ap50"], abs=1e-6)
    assert found[5] == pytest.approx(expected["ap75"], abs=1e-6)


@pytest.mark.parametrize("iou_type", ["bbox", "segm", "boundary"])
@pytest.mark.parametrize(("crowd", "ties"), [(False, False), (True, False), (True, True)])
def test_equals_the_coco_evaluator_on_masks_crowds_and_ties(
    masked_scenes: Scenes, iou_type: IouType, crowd: bool, ties: bool
) -> None:
    rng = np.random.default_rng(13)
    truth, results = masked_scenes(rng, pictures=4, objects=12, detections=30, crowd=crowd, ties=ties)
    expected = coco_metrics(truth, results, iou_type=iou_type)
    drawn = DrawnPrecision(truth, results, iou_type=iou_type)
    found = drawn.average_precision()
    assert found.mean() == pytest.approx(expected["ap"], abs=1e-6)
    assert (found[0], found[5]) == pytest.approx((expected["ap50"], expected["ap75"]), abs=1e-6)
    assert drawn.average_precision(np.arange(4)[::-1]).tolist() == found.tolist()
    low, high = drawn.intervals(repeats=50)["ap"]
    assert low <= found.mean() <= high


def test_only_the_best_of_a_picture_and_category_count(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(8), pictures=2, objects=60, detections=200)
    expected = coco_metrics(truth, results, max_detections=(20,))["ap"]
    assert DrawnPrecision(truth, results, max_detections=20).average_precision().mean() == pytest.approx(expected)


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


def test_intervals_are_those_of_the_plain_bootstrap(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(6), pictures=8, objects=5, detections=10)
    drawn = DrawnPrecision(truth, results)
    expected = bootstrap_interval(lambda index: float(drawn.average_precision(index).mean()), 8, seed=3, repeats=40)
    assert drawn.intervals(seed=3, repeats=40)["ap"] == pytest.approx(expected)


def worse(results: list[dict[str, Any]], rng: np.random.Generator, share: float) -> list[dict[str, Any]]:
    """Without a share of the detections."""
    return [result for result in results if rng.random() > share]


def test_a_paired_difference_is_narrower_than_the_figures(scenes: Scenes) -> None:
    rng = np.random.default_rng(12)
    truth, results = scenes(rng, pictures=30, objects=8, detections=16)
    first, second = DrawnPrecision(truth, results), DrawnPrecision(truth, worse(results, rng, 0.2))
    difference = paired_intervals(first, second, repeats=100)["ap"]
    assert difference.value == pytest.approx(first.average_precision().mean() - second.average_precision().mean())
    assert 0 < difference.low < difference.value < difference.high and difference.wins == 1.0
    low, high = first.intervals(repeats=100)["ap"]
    assert difference.high - difference.low < high - low
    back = paired_intervals(second, first, repeats=100)["ap"]
    assert (back.low, back.high, back.wins) == pytest.approx((-difference.high, -difference.low, 0.0))


def test_nothing_is_better_than_itself(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(12), pictures=3, objects=8, detections=16)
    drawn = DrawnPrecision(truth, results)
    for difference in paired_intervals(drawn, drawn, repeats=20).values():
        assert (difference.value, difference.low, difference.high, difference.wins) == (0, 0, 0, 0.5)


def test_other_pictures_or_thresholds_are_no_pair(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(12), pictures=3, objects=8, detections=16)
    drawn = DrawnPrecision(truth, results)
    fewer = truth | {"images": truth["images"][:2]}
    with pytest.raises(ValueError, match="wants the same pictures; got 3 and 2"):
        paired_intervals(drawn, DrawnPrecision(fewer, results))
    with pytest.raises(ValueError, match="expected the same"):
        paired_intervals(drawn, DrawnPrecision(truth, results, thresholds=(0.5,)))


def test_two_hundred_draws_take_seconds() -> None:
    """150 pictures, 100 detections of each, 24 classes."""
    rng = np.random.default_rng(2)
    truth: dict[str, Any] = {"images": [{"id": n} for n in range(150)], "annotations": []}
    results = []
    for image in range(150):
        for _ in range(100):
            record = {"image_id": image, "category_id": int(rng.integers(24))}
            record["bbox"] = np.concatenate([rng.uniform(0, 500, 2), rng.uniform(20, 90, 2)]).tolist()
            if rng.random() < 0.4:
                truth["annotations"].append(record | {"id": len(truth["annotations"])})
            results.append(record | {"score": float(rng.random())})
    start = time.monotonic()
    DrawnPrecision(truth, results).intervals(repeats=200)
    assert time.monotonic() - start < 30
