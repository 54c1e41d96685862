"""`facings compare RUN RUN …`: what two or more runs found on the same pictures, and whether the difference is more than chance."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from facings.analysis.curve_figures import png
from facings.analysis.pareto_figure import Point, draw_pareto
from facings.benchmark.rows import read_rows
from facings.benchmark.verdict import FEW, LEVEL, REPEATS, Verdict
from facings.commands.benchmark_runs import JUDGED, FinishedRun, differences, read_run, refuse_unlike
from facings.commands.protocols import plain
from facings.commands.run_verdicts import judge
from facings.errors import ConfigError, FacingsError
from facings.files import atomic_write

# What is shown, where a run has it.
SHOWN = (
    "ap", "ap50", "mask_ap", "boundary_ap", "identification_r1", "recognition_r1", "end_to_end_f1", "product_ap50", "cacc",
    "acd", "mciou", "frame_ms_p50", "peak_mib", "bundle_mib",
)  # fmt: skip
TIMES = ("frame_ms_p50", "frame_ms_p95")
COSTS = {"frame_ms_p50": "ms a frame (median)", "bundle_mib": "MiB on disk"}


def main(words: Sequence[str]) -> int:
    """Compare and write. Returns 0; raises FacingsError for runs that cannot be compared, with the reason."""
    parser = argparse.ArgumentParser(prog="facings compare", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders, the first is what others are held "
                        "against; or one results file (benchmark.jsonl), whose runs are compared where they may be")  # fmt: skip
    parser.add_argument("--annotations", type=Path, metavar="FILE", help="where the truth lies now, if it was moved")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: logs/compare/TIME")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"draws of the pictures (default: {REPEATS})")
    options = parser.parse_args(list(words))
    if options.repeats < 1:
        raise ConfigError(f"--repeats is {options.repeats}; expected 1 or more")
    console = Console()
    output = options.output or Path("logs") / "compare" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    groups = groups_of(options.runs, console)
    for number, group in enumerate(groups):
        compare(group, output / str(number) if len(groups) > 1 else output, options, console)
    return 0


def groups_of(paths: Sequence[Path], console: Console) -> list[list[FinishedRun]]:
    """Runs that may be compared. Folders are one group, or refused; the runs of a results file are sorted into groups, and
    those without a partner are named."""
    if not any(path.is_file() for path in paths):
        runs = [read_run(path) for path in paths]
        if len(runs) < 2:
            raise ConfigError("one run alone; give two or more: facings compare RUN RUN")
        refuse_unlike(runs)
        return [runs]
    if len(paths) > 1:
        raise ConfigError("give run folders, or one results file")
    entries = [entry for entry in read_rows(paths[0]) if entry["protocol"] in JUDGED]
    folders = list(dict.fromkeys(paths[0].parent / str(entry["run"]) for entry in entries))
    groups: list[list[FinishedRun]] = []
    for folder in folders:
        try:
            run = read_run(folder)
        except FacingsError as fault:
            # Rows outlive the folders of their runs.
            console.print(f"left out: {fault}")
            continue
        group = next((group for group in groups if not differences(group[0].asked, run.asked)), None)
        if group is None:
            groups.append([run])
        else:
            group.append(run)
    for group in groups:
        if len(group) == 1:
            protocol = group[0].asked.protocol
            console.print(f"{group[0].folder}: no other run of protocol={protocol} was asked the same; left out")
    if not any(len(group) > 1 for group in groups):
        raise ConfigError(f"{paths[0]}: holds no two runs with answers by picture that were asked the same")
    return [group for group in groups if len(group) > 1]


def compare(runs: Sequence[FinishedRun], output: Path, options: argparse.Namespace, console: Console) -> None:
    """Print and write one group: `compare.json`, and `pareto.png` where the runs have a cost."""
    runs = named_apart(runs)
    found, pictures = judge(runs, annotations=options.annotations, seed=options.seed, repeats=options.repeats)
    notes = notes_of(runs, pictures)
    console.print(figures_table(runs))
    console.print(verdict_table(found))
    for note in notes:
        console.print(f"[yellow]{note}[/]")
    content: dict[str, Any] = {
        "schema": "facings.compare/1",
        "asked": asdict(runs[0].asked),
        "pictures": pictures,
        "runs": [
            {"name": r.name, "figures": r.figures, "intervals": r.intervals, "commit": r.commit, "machine": r.machine}
            for r in runs
        ],
        "verdicts": [verdict_entry(verdict) for verdict in found],
        "notes": notes,
        "seed": options.seed,
        "repeats": options.repeats,
    }
    if (cost := common_cost(runs)) is not None:
        (output / "pareto.png").parent.mkdir(parents=True, exist_ok=True)
        figure = draw_pareto(points(runs, cost), cost=COSTS[cost], gain="detection AP50")
        atomic_write(output / "pareto.png", png(figure))
        console.print(f"figure: {output / 'pareto.png'}", soft_wrap=True)
    atomic_write(output / "compare.json", json.dumps(plain(content), indent=2) + "\n")
    console.print(f"written: {output / 'compare.json'}", soft_wrap=True)


def verdict_entry(verdict: Verdict) -> dict[str, Any]:
    """As JSON says it."""
    named = {name: getattr(verdict, name) for name in ("figure", "first", "second")}
    return {**named, **asdict(verdict.difference), "p": verdict.p, "winner": verdict.winner}


def notes_of(runs: Sequence[FinishedRun], pictures: int) -> list[str]:
    """What a reader must know before believing."""
    notes = []
    if pictures < FEW:
        told = "one picture" if pictures == 1 else f"{pictures} pictures"
        notes.append(f"only {told}: intervals drawn from so few are too narrow, take more before you decide")
    if len({run.machine for run in runs}) > 1:
        notes.append("the runs are of different machines or versions of libraries: their times are not compared")
    if names := [run.name for run in runs if run.disturbed]:
        notes.append(f"other programs disturbed the times of {', '.join(names)}: times are not compared")
    if any("dirty" in run.commit or run.commit == "unknown" for run in runs):
        notes.append("not every run is of a committed state of the code: it cannot be repeated from its commit alone")
    return notes


def common_cost(runs: Sequence[FinishedRun]) -> str | None:
    """What the plot of AP50 is drawn over: time where it can be compared, else size; None where the runs tell neither, or have no
    AP50."""
    if not all("ap50" in run.figures for run in runs):
        return None
    usable = [name for name in COSTS if name not in TIMES or same_clock(runs)]
    return next((name for name in usable if all(name in run.figures for run in runs)), None)


def same_clock(runs: Sequence[FinishedRun]) -> bool:
    """Whether times can be held against each other: of one machine and versions of libraries, none disturbed."""
    return len({run.machine for run in runs}) == 1 and not any(run.disturbed for run in runs)


def points(runs: Sequence[FinishedRun], cost: str) -> list[Point]:
    """AP50 over the cost."""
    return [
        Point(run.name, run.figures[cost], run.figures["ap50"], *run.intervals.get("ap50", (None, None)))
        for run in runs
    ]


def figures_table(runs: Sequence[FinishedRun]) -> Table:
    """One column a run; times only where they can be compared."""
    made = Table("figure", *(run.name for run in runs), title="the runs")
    for name in SHOWN:
        if not any(name in run.figures for run in runs) or (name in TIMES and not same_clock(runs)):
            continue
        made.add_row(name, *(_cell(run, name) for run in runs))
    return made


def verdict_table(found: Sequence[Verdict]) -> Table:
    """Every other run against the first."""
    made = Table(
        "figure", "run", "minus the first", "95 %", "p", "verdict", title=f"against {found[0].first}, in pairs"
    )
    for verdict in found:
        d = verdict.difference
        interval = f"{d.low:+.4f} – {d.high:+.4f}"
        made.add_row(verdict.figure, verdict.second, f"{d.value:+.4f}", interval, f"{verdict.p:.3f}", verdict.winner)
    made.caption = f"verdict at {LEVEL:.0%}, p raised for several runs (Holm)"
    return made


def _cell(run: FinishedRun, name: str) -> str:
    if name not in run.figures:
        return ""
    value = f"{run.figures[name]:.4g}"
    return f"{value} ({run.intervals[name][0]:.3f} – {run.intervals[name][1]:.3f})" if name in run.intervals else value


def named_apart(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    """Runs whose folders have one name get a number."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} #{number}") if names.count(run.name) > 1 else run
        for number, run in enumerate(runs, start=1)
    ]
