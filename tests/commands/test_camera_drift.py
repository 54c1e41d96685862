"""Two weeks of one camera: what changed is named, what did not is not."""

import doctest
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from facings.analysis import drift_between
from facings.analysis.drift_between import two_weeks
from facings.commands.camera_drift import camera_drift, drift_section

NOON = datetime(2026, 3, 15, 12)


def shots(folder: Path, camera: str, darker: float, rng: np.random.Generator, days: int = 14) -> list:
    """A picture each half day, those of the last week `darker` by a factor."""
    found = []
    for number in range(2 * days):
        moment = NOON - timedelta(hours=12 * number)
        pixels = rng.integers(60, 200, (24, 24, 3)) * (darker if number < 14 else 1)
        path = folder / f"{camera}-{number}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        found.append((path, camera, moment if number % 2 else moment.replace(tzinfo=UTC)))
    return found


def test_worked_examples() -> None:
    assert doctest.testmod(drift_between, extraglobs={"np": np}).failed == 0


def test_a_camera_that_got_darker_is_named_and_the_other_is_not(tmp_path: Path, rng: np.random.Generator) -> None:
    asked = [*shots(tmp_path, "left", 0.5, rng), *shots(tmp_path, "right", 1.0, rng)]
    asked += [(tmp_path / "gone.png", None, NOON), (tmp_path / "gone.png", "left", None)]
    left, right = camera_drift(asked)
    assert (left["camera"], left["before"], left["after"]) == ("left", 14, 14)
    first = {entry["name"]: entry for entry in left["statistics"]}["brightness"]
    assert first["p_value"] < 0.01 and first["after"] < 0.6 * first["before"]
    assert all(entry["p_value"] > 0.01 for entry in right["statistics"])
    [section] = drift_section([left, right])
    assert "brightness" in section and "| right | 14 | 14 | nothing shown |" in section


def test_one_week_has_nothing_to_be_held_against(tmp_path: Path, rng: np.random.Generator) -> None:
    assert camera_drift(shots(tmp_path, "left", 0.5, rng, days=6)) == [] == camera_drift([])
    assert drift_section([]) == [] and two_weeks([]) == ([], [])
