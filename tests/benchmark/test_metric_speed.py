"""The comparison with pycocotools, in small."""

import math
from types import ModuleType

import pytest

from facings.benchmark.metric_speed import MetricComparison, checksum, compare, crowded_scene
from tests.conftest import load_script


@pytest.fixture
def script() -> ModuleType:
    return load_script("metric_speed")


def test_both_agree_and_ours_is_faster() -> None:
    scene = crowded_scene(images=3, objects=150, detections=300)
    compared = compare(scene)
    assert compared.max_abs_difference < 1e-6
    assert compared.speedup > 1
    assert 0.2 < compared.figures["ap"] < 0.8
    assert compared.figures["ap_100"] < compared.figures["ap"]


def test_a_scene_is_the_same_for_the_same_seed() -> None:
    sizes = {"images": 1, "objects": 5, "detections": 9}
    assert checksum(crowded_scene(**sizes)) == checksum(crowded_scene(**sizes))
    assert checksum(crowded_scene(**sizes)) != checksum(crowded_scene(**sizes, seed=1))
    truth, results = crowded_scene(images=2, objects=5, detections=3)
    assert (len(truth["annotations"]), len(results)) == (10, 6)


def test_a_figure_that_only_one_has_is_a_difference() -> None:
    same = MetricComparison(1.0, 5.0, {"ap": 0.5, "ap_small": math.nan}, {"ap": 0.25, "ap_small": math.nan})
    assert (same.speedup, same.max_abs_difference) == (5.0, 0.25)
    assert MetricComparison(1.0, 5.0, {"ap": 0.5}, {"ap": 0.5, "ar": 0.5}).max_abs_difference == math.inf
    assert MetricComparison(1.0, 5.0, {"ap": math.nan}, {"ap": 0.5}).max_abs_difference == math.inf


def test_script_tells_both_and_refuses_an_unknown_record(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--images", "2", "--objects", "5", "--detections", "8"]) == 0
    assert "pycocotools" in capsys.readouterr().out
    assert script.main(["--images", "2", "--result", "det-nothing"]) == 2
    assert "result='det-nothing': unknown" in capsys.readouterr().err
