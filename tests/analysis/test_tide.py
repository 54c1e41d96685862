"""TIDE against the authors' own package where it is installed, against cases worked by hand, and by its own laws."""

from typing import Any

import numpy as np
import pytest

from facings.analysis.tide import tide, tide_figures
from facings.analysis.tide_judgement import ERRORS, RIGHT, judge_picture
from facings.benchmark.tide_check import largest_difference, random_scene, tidecv_figures
from facings.errors import ConfigError

IMAGE = {"id": 1, "width": 200, "height": 100}


def record(category: int, x: float, width: float = 10, **more: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": category, "bbox": [x, 0, width, 10], **more}


def truth_of(*entries: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [IMAGE],
        "annotations": list(entries),
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("limit", [20, 1000])
def test_figures_equal_tidecv(masks: bool, limit: int) -> None:
    pytest.importorskip("tidecv", reason="tidecv is not installed: pip install --no-deps tidecv appdirs seaborn")
    for seed in range(3):
        scene = random_scene(np.random.default_rng(seed), pictures=6, objects=25, masks=masks)
        ours = tide_figures(*scene, kind="masks" if masks else "boxes", max_detections=limit)
        theirs = tidecv_figures(*scene, masks=masks, max_detections=limit)
        assert all(ours[f"{error} count"] > 0 for error in ERRORS), "the scene lacks a kind of error"
        assert largest_difference(ours, theirs) < 1e-12


def test_without_tidecv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tidecv", None)
    with pytest.raises(ConfigError, match="pip install --no-deps tidecv"):
        tidecv_figures({}, [], masks=False, max_detections=100)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (record(1, 1), None),
        # Shared 7 of 13: 0.54 is right; 6 of 14: 0.43 lies beside; 1 of 19: 0.05 is nothing.
        (record(1, 3), None),
        (record(1, 4), "localisation"),
        (record(1, 9), "background"),
        (record(2, 1), "classification"),
        # Of another class and beside.
        (record(2, 4), "both"),
        (record(1, 100), "background"),
    ],
)
def test_one_detection_beside_one_object(found: dict[str, Any], kind: str | None) -> None:
    result = tide(truth_of(record(1, 0)), [found | {"score": 0.5}])
    expected = dict.fromkeys(ERRORS, 0)
    if kind is not None:
        expected[kind] = 1  # type: ignore[index]
    # What a localisation or classification error could be mended to is not missed.
    expected["missed"] = int(kind in ("background", "both"))
    assert result.counts == expected
    assert result.ap == (1.0 if kind is None else 0.0)
    if kind == "localisation":
        assert result.gains["localisation"] == 1.0
    if kind == "classification":
        # The class that was named wrongly has neither objects nor detections then, and does not count.
        assert result.gains["classification"] == 1.0


def test_a_second_box_costs_precision_only() -> None:
    truth = truth_of(record(1, 0), record(1, 50))
    found = [record(1, 0, score=0.9), record(1, 1, score=0.8), record(1, 50, score=0.7)]
    result = tide(truth, found)
    assert result.counts["duplicate"] == 1 and sum(result.counts.values()) == 1
    # Precision 1 up to recall 1/2, then 2/3: 51 and 50 of 101 points.
    assert result.ap == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert result.gains["duplicate"] == pytest.approx(1 - result.ap)
    assert result.false_positives == pytest.approx(1 - result.ap)
    assert result.false_negatives == pytest.approx(0)
    rows, targets = result.of_kind("duplicate")
    assert rows.tolist() == [1] and targets.tolist() == [0]


def test_a_crowd_region_excuses_what_lies_in_it() -> None:
    truth = truth_of(record(1, 0), record(1, 100, width=50, iscrowd=1))
    found = [record(1, 110, score=0.9), record(1, 0, score=0.5), record(2, 110, score=0.9)]
    # The one of another class is not excused, and makes a class of AP 0.
    assert tide(truth, found[:2]).ap == 1.0
    assert tide(truth, found).ap == 0.5


def test_the_best_of_a_picture_count_whatever_their_class() -> None:
    truth = truth_of(record(1, 0), record(2, 50))
    found = [record(1, 0, score=0.9), record(2, 50, score=0.8)]
    assert tide(truth, found).ap == 1.0
    assert tide(truth, found, max_detections=1).counts["missed"] == 1


def test_nothing_found_and_nothing_there() -> None:
    nothing = tide(truth_of(record(1, 0)), [])
    assert nothing.ap == 0.0 and nothing.counts["missed"] == 1 and np.isnan(nothing.gains["missed"])
    empty = tide(truth_of(), [])
    assert np.isnan(empty.ap) and not any(empty.counts.values())
    stray = tide(truth_of(), [record(1, 0, score=0.5)])
    assert stray.ap == 0.0 and stray.counts["background"] == 1


@pytest.mark.parametrize("masks", [False, True])
def test_every_detection_is_counted_once(masks: bool) -> None:
    truth, found = random_scene(np.random.default_rng(9), pictures=5, objects=20, masks=masks)
    result = tide(truth, found, kind="masks" if masks else "boxes")
    assert len(result.rows) == sum(count for error, count in result.counts.items() if error != "missed")
    assert len(set(result.rows.tolist())) == len(result.rows)
    for error in ("localisation", "classification", "duplicate", "both"):
        assert (result.of_kind(error)[1] >= 0).all()  # type: ignore[arg-type]
    assert min(result.gains.values()) >= 0 and result.ap + max(result.gains.values()) <= 1


def test_judgement_of_no_objects_and_no_detections() -> None:
    judged = judge_picture(np.zeros((2, 0)), np.array([0, 1]), np.zeros(0, np.int64))
    assert [ERRORS[kind] for kind in judged.kinds] == ["background", "background"]
    judged = judge_picture(np.zeros((0, 2)), np.zeros(0, np.int64), np.array([0, 1]))
    assert judged.missed.all() and judged.lost.all() and RIGHT not in judged.kinds


@pytest.mark.parametrize("limits", [(0.5, 0.5), (0.5, 0.0), (1.2, 0.1)])
def test_limits_that_make_no_sense_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 < background < foreground <= 1"):
        tide(truth_of(), [], foreground=limits[0], background=limits[1])


def test_predictions_of_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="image_id 7"):
        tide(truth_of(), [record(1, 0, score=0.5) | {"image_id": 7}])
    with pytest.raises(ValueError, match="no segmentation"):
        tide(truth_of(record(1, 0)), [record(1, 0, score=0.5)], kind="masks")
