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
    names = list(labels)
    for number, name in enumerate(names):
        unfinished = sum(not _finished(folder(later)) for later in names[number:])
        left = f", about {sum(took) / len(took) * unfinished:.0f} min left" if took and unfinished else ""
        console.rule(f"{number + 1}/{len(names)} {labels[name]}{left}", align="left")
        if not _finished(folder(name)):
            make(name)
        took.append(run_minutes(folder(name)))


def _finished(run: Path) -> bool:
    return (run / "results.json").is_file()
