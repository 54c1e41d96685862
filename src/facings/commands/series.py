"""Trainings one after the other for one table: what is finished is left as it is, the rest is told with the time left."""

from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from facings.commands.run_files import run_minutes


def finish_runs(
    labels: Mapping[str, str], folder: Callable[[str], Path], make: Callable[[str], None], console: Console
) -> None:
    """Have `make` finish the run of each name of `labels` whose `folder` holds no results yet, in order."""
    took: list[float] = []
    for number, (name, label) in enumerate(labels.items(), start=1):
        left = f", about {sum(took) / len(took) * (len(labels) - number + 1):.0f} min left" if took else ""
        console.rule(f"{number}/{len(labels)} {label}{left}", align="left")
        if not (folder(name) / "results.json").is_file():
            make(name)
        took.append(run_minutes(folder(name)))
