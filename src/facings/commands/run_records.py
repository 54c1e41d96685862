"""Headline records out of finished runs: `python scripts/NAME.py ID RUN…`. Knows nothing of what is measured."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from facings.benchmark.claims import write_claim
from facings.benchmark.record import git_state
from facings.commands.script import script
from facings.errors import ConfigError

Metrics = dict[str, dict[str, Any]]


class Taken(NamedTuple):
    """A record's figures, and the seeds and data (name → checksum) that they stand on."""

    metrics: Metrics
    seeds: list[int]
    data: dict[str, str]


class RunRecord(NamedTuple):
    """What takes a record's figures from the folders of runs, and how many it wants: `runs`, or with `more` at least as many."""

    runs: int
    take: Callable[[Sequence[Path]], Taken]
    more: bool = False


def record(
    records: Mapping[str, RunRecord], identifier: str, runs: Sequence[Path], *, command: str, folder: Path
) -> Metrics:
    """Take the figures of one of `records` and write it. Raises ConfigError for an unknown ID or another number of runs."""
    if identifier not in records:
        raise ConfigError(f"record {identifier!r}: unknown; known are {', '.join(records)}")
    wanted = records[identifier]
    if len(runs) < wanted.runs or (len(runs) > wanted.runs and not wanted.more):
        wants = f"{wanted.runs} or more" if wanted.more else str(wanted.runs)
        raise ConfigError(f"record {identifier}: got {len(runs)} run folders, wants {wants}: {wanted.take.__doc__}")
    commit = git_state()
    metrics, seeds, data = wanted.take(runs)
    seeds = sorted(set(seeds))
    write_claim(identifier, metrics, command=command, data=data, seeds=seeds, commit=commit, folder=folder, others=True)
    return metrics


def main(name: str, text: str | None, records: Mapping[str, RunRecord], arguments: Sequence[str] | None = None) -> int:
    """The script `name`, which `text` explains. Returns 0, or 2 for what the user can mend."""

    @script(name)
    def taken(arguments: Sequence[str] | None = None) -> int:
        parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("record", help=", ".join(records))
        parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a finished `facings train`")
        parser.add_argument("--results", type=Path, default=Path("results"), help="where to write (default: results)")
        options = parser.parse_args(arguments)
        command = " ".join([f"python scripts/{name}.py", options.record, *map(str, options.runs)])
        metrics = record(records, options.record, options.runs, command=command, folder=options.results)
        table = Table("figure", "value", "95 % interval", title=options.record)
        for figure, metric in metrics.items():
            interval = f"{metric['low']:.3f} to {metric['high']:.3f}" if "low" in metric else ""
            table.add_row(figure, f"{metric['value']:.4f}", interval)
        Console().print(table)
        return 0

    return taken(arguments)
