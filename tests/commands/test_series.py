"""Trainings for one table: which are made, and what is said of the time left."""

import io
import json
from pathlib import Path

from rich.console import Console

from facings.commands.series import finish_runs

LABELS = {"a": "the recipe", "b": "without this", "c": "without that"}


def finish(folder: Path, minutes: float) -> None:
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"minutes": minutes}))


def asked(folder: Path, *done: str) -> tuple[list[str], list[str]]:
    """Names that are made where `done` are finished, and the lines that are said."""
    for name in done:
        finish(folder / name, 10.0)
    made: list[str] = []

    def make(name: str) -> None:
        made.append(name)
        finish(folder / name, 4.0)

    said = io.StringIO()
    finish_runs(LABELS, lambda name: folder / name, make, Console(file=said, width=60))
    return made, [line.rstrip(" ─") for line in said.getvalue().splitlines()]


def test_what_is_finished_costs_no_time(tmp_path: Path) -> None:
    made, said = asked(tmp_path, "a", "b", "c")
    assert made == []
    assert said == ["1/3 the recipe", "2/3 without this", "3/3 without that"]


def test_the_time_left_is_that_of_what_is_not_finished(tmp_path: Path) -> None:
    made, said = asked(tmp_path, "a", "c")
    assert made == ["b"]
    assert said == ["1/3 the recipe", "2/3 without this, about 10 min left", "3/3 without that"]


def test_the_first_training_has_no_time_to_go_by(tmp_path: Path) -> None:
    made, said = asked(tmp_path)
    assert made == ["a", "b", "c"]
    assert said == ["1/3 the recipe", "2/3 without this, about 8 min left", "3/3 without that, about 4 min left"]
