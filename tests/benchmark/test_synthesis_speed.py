"""The time of synthetic scenes, in small."""

import numpy as np
import pytest

from facings.benchmark.claims import claim_of
from facings.benchmark.synthesis_speed import METRICS, SynthesisSpeed, measure, parameters
from tests.conftest import load_script


def test_a_rate_is_scenes_over_seconds() -> None:
    speed = SynthesisSpeed(np.array([0.1, 0.3]), np.array([50, 70]))
    figure = speed.figure()
    assert figure["value"] == pytest.approx(5.0)
    assert figure["low"] <= 5.0 <= figure["high"]


@pytest.mark.parametrize("calibrated", [True, False])
def test_scenes_are_counted_after_the_warmup(calibrated: bool) -> None:
    asked = parameters(size=128, products=20, calibrated=calibrated, seed=1)
    steps: list[int] = []
    speed = measure(asked, scenes=2, warmup=1, advance=lambda: steps.append(1))
    assert len(steps) == len(speed.seconds) == 2 and (speed.seconds > 0).all() and (speed.objects > 0).any()


def test_the_script_refuses_what_is_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    script = load_script("synthesis_speed")
    assert claim_of("synth-speed", available=METRICS)[1] == ["scenes_per_second_per_core"]
    assert script.main(["--size", "320", "--result", "synth-speed"]) == 2
    assert "--size 320: the record is of 640" in capsys.readouterr().err
    assert script.main(["--result", "synth-none"]) == 2
    assert script.main(["--size", "128", "--scenes", "1", "--planned", "12"]) == 0
    assert "calibrated" in capsys.readouterr().out
