"""The script that times enrolment: small galleries, really made, enrolled into, committed and searched."""

import io
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from facings.analysis.curve_figures import png
from facings.analysis.enrolment_figure import draw_enrolment
from facings.benchmark.enrolment_speed import SpeedPoint, all_figures, headline
from tests.conftest import load_script

SMALL = ["--dimension", "16", "--repeats", "2", "--crop", "80"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("enrolment_speed")


def points() -> list[SpeedPoint]:
    return [
        SpeedPoint(views, *(views * share for share in (1e-6, 2e-6, 3e-6, 4e-6, 5e-3)), 1.0) for views in (96, 100_000)
    ]


def test_two_galleries_are_timed_printed_and_drawn(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--sizes", "200", "100", *SMALL, "--folder", str(tmp_path), "--figure", str(tmp_path / "speed.png")]
    assert script.main(words) == 0
    text = capsys.readouterr().out
    assert "Enrolment, commit and search" in text and text.index(" 96 ") < text.index(" 200 ")
    assert Image.open(tmp_path / "speed.png").size == (1056, 704)
    assert [path.name for path in tmp_path.iterdir()] == ["speed.png"], "galleries go again"


def test_a_record_wants_a_gallery_of_the_claimed_size(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--sizes", "100", *SMALL, "--result", "turn-speed"]) == 2
    assert "does not measure" in capsys.readouterr().err


def test_the_record_holds_every_gallery_beside_the_headline() -> None:
    found = all_figures(points())
    assert list(found)[:3] == list(headline(points())) == ["enroll8_p95_seconds", "commit_seconds_1e5", "search_ms_1e5"]
    assert found["enroll8_p95_seconds_1e2"] == {"value": pytest.approx(96 * 2e-6), "unit": "s"}
    assert found["search_ms_1e2"] == {"value": pytest.approx(0.48), "unit": "ms"}
    assert found["recall_1e5"] == {"value": 1.0} and len(found) == 2 * 6 + 1
    json.dumps(found, allow_nan=False)


def test_the_figure_shows_seconds_of_each_on_logarithmic_axes() -> None:
    made = [point.to_dict() for point in points()]
    figure = draw_enrolment(made[::-1], title="speed")
    (axis,) = figure.axes
    assert axis.get_xscale() == axis.get_yscale() == "log"
    lines = {line.get_label(): line for line in axis.get_lines()}
    np.testing.assert_allclose(lines["one search"].get_ydata(), np.array([96, 100_000]) * 5e-6)
    np.testing.assert_allclose(lines["one search"].get_xdata(), [96, 100_000])
    first = png(figure)
    assert first == png(draw_enrolment(made, title="speed")) and Image.open(io.BytesIO(first)).size == (1056, 704)
    with pytest.raises(ValueError, match="wants a gallery"):
        draw_enrolment([], title="none")
