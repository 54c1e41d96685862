"""The dense detector beside the baselines, on one experiment, in one table.

    python scripts/detector_baselines.py --data-dir DATA                            # every model on fruits_nuts_masks
    python scripts/detector_baselines.py --experiment detection/snack_shelves --models lite0 fcos retinanet --epochs 5
    python scripts/detector_baselines.py --set seed=1 trainer.precision=bf16-mixed --logs logs/baselines_bf16

All are trained over the same backbone on the experiment's data: the same pictures, augmentation and number of training
pictures, one training at a time. What is finished is left as it is: after Ctrl-C the same command goes on. Time it on a
machine that does nothing else; a second call only judges and times. What the baselines have of their own (learning rate, NMS,
widths) stands in facings.benchmark.detector_baselines, and under the table.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table
from torch import nn

from facings.benchmark.claims import claim_of
from facings.benchmark.detector_baselines import (
    CANDIDATES,
    DENSE,
    DISTURBANCE,
    EXPERIMENT,
    IDENTIFIER,
    METRICS,
    Candidate,
    chosen,
    settings_line,
)
from facings.benchmark.latency import DISTURBED
from facings.benchmark.record import git_state, write_result
from facings.commands.detection_records import Judged, Metrics
from facings.commands.detector_baselines import (
    Terms,
    figures_of,
    is_finished,
    load_trained,
    minutes_of,
    obstacle,
    pictures,
    time_models,
    train,
)
from facings.commands.script import script
from facings.errors import ConfigError
from facings.metrics.bootstrap import Difference

MISSING = "–"


@dataclass
class Row:
    """What is known of one model: `reason` why it is skipped, or its run's figures."""

    candidate: Candidate
    reason: str | None = None
    metrics: Metrics = field(default_factory=dict)
    difference: Difference | None = None


@script(__file__, interrupted="the same command goes on with the next unfinished model")
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    run(parser().parse_args(words), Console())
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data-dir", default="data", help="folder that holds the experiment's data (default: data)")
    made.add_argument("--experiment", default=EXPERIMENT, help=f"one of the dense detector (default: {EXPERIMENT})")
    made.add_argument("--epochs", type=int, help="for all models (default: the experiment's)")
    made.add_argument("--models", nargs="+", default=[], metavar="NAME", help=f"default: {' '.join(CANDIDATES)}")
    made.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="further overrides of every training, as image_size=320",
    )
    made.add_argument("--rounds", type=int, default=20, help="times that every model is timed (default: 20)")
    made.add_argument("--logs", type=Path, default=Path("logs/baselines"), help="where the runs lie")
    made.add_argument("--result", metavar="ID", help=f"write results/ID.json ({IDENTIFIER}); wants every model")
    return made


def run(options: argparse.Namespace, console: Console) -> None:
    """Train what is not trained, judge, time, print, write. Raises FacingsError for what the user can mend."""
    commit = git_state()
    check(options)
    terms = Terms(options.experiment, options.data_dir, options.logs, options.epochs, tuple(options.set))
    data = terms.data()
    rows = [Row(one, obstacle(one, terms, data)) for one in chosen(options.models)]
    entered = [row.candidate for row in rows if row.reason is None]
    for row in rows:
        if row.reason is not None:
            console.print(f"[yellow]{row.candidate.label} is skipped:[/] {escape(row.reason)}", highlight=False)
    if not entered:
        raise ConfigError("no model is left to train; the reasons stand above")
    if options.result and len(entered) < len(rows):
        raise ConfigError(f"--result {options.result}: wants every model; mend what is skipped, or leave --result out")
    train_all(entered, terms, data.labels, console)
    judged, models = judge_all([row for row in rows if row.reason is None], terms, console)
    others = time_all(rows, models, data, options.rounds, console)
    console.print(table(rows, title(options.experiment, pictures(data, terms), len(data.test_table.images))))
    console.print(f"runs: {options.logs}")
    if others > DISTURBED:
        console.print(f"[yellow]other programs took {others:.0%} of the processor: time it again[/]")
    if options.result:
        record(options, rows, others, judged, commit)
        console.print(f"record: results/{options.result}.json")


def check(options: argparse.Namespace) -> None:
    """Tell what cannot be before hours are spent. Raises ConfigError."""
    for name in ("epochs", "rounds"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} {value}: expected 1 or more")
    asked = chosen(options.models)
    if options.result:
        claim_of(options.result, available=list(METRICS))
        if len(asked) < len(CANDIDATES):
            raise ConfigError(f"--result {options.result}: wants every model; leave out --models")


def train_all(candidates: Sequence[Candidate], terms: Terms, labels: Sequence[str], console: Console) -> None:
    """Train what is not finished, saying how far it is."""
    waiting = [one for one in candidates if not is_finished(one, terms, labels)]
    took = [minutes_of(terms.folder(one)) for one in candidates if one not in waiting]
    for number, one in enumerate(candidates, start=1):
        left = f", about {sum(took) / len(took) * len(waiting):.0f} min left" if took else ""
        state = f"training{left}" if one in waiting else "trained already"
        console.rule(f"[bold]{number}/{len(candidates)} {one.label}[/]: {state}", align="left")
        if one in waiting:
            train(one, terms)
            waiting.remove(one)
            took.append(minutes_of(terms.folder(one)))


def judge_all(
    rows: Sequence[Row], terms: Terms, console: Console
) -> tuple[list[Judged], dict[str, tuple[nn.Module, dict[str, Any]]]]:
    """Fill in what each checkpoint reaches on the test pictures; the judged runs, and the models by name."""
    judged: list[Judged] = []
    models: dict[str, tuple[nn.Module, dict[str, Any]]] = {}
    dense = None
    for number, row in enumerate(rows, start=1):
        console.rule(f"{number}/{len(rows)} {row.candidate.label}: judging", align="left")
        folder = terms.folder(row.candidate)
        one = Judged(folder)
        dense = one if row.candidate.name == DENSE else dense
        models[row.candidate.name] = load_trained(folder)
        row.metrics, row.difference = figures_of(one, dense, models[row.candidate.name][0])
        judged.append(one)
    return judged, models


def time_all(
    rows: Sequence[Row],
    models: Mapping[str, tuple[nn.Module, Mapping[str, Any]]],
    data: Any,
    rounds: int,
    console: Console,
) -> float:
    """Fill in each model's milliseconds; returns what other programs took of the processor meanwhile, 0–1."""
    with Progress(console=console) as progress:
        task = progress.add_task("timing on 1 thread", total=rounds)
        times, others = time_models(models, data, rounds=rounds, advance=lambda: progress.advance(task))
    for row in rows:
        if row.candidate.name in times:
            row.metrics["ms"] = times[row.candidate.name]
    return others


def title(experiment: str, shown: int, tested: int) -> str:
    """What all models of the table have in common."""
    return f"{experiment}: {shown} training pictures each, judged on {tested} others"


def table(rows: Sequence[Row], heading: str) -> Table:
    """One row a model; under it, what the models have of their own, and why some are skipped."""
    notes = [
        "M: parameters in millions. min: of training, with one evaluation. ms: median of one picture through torch on one "
        "thread, all models in turn. AP - dense: paired over pictures.",
        settings_line([row.candidate for row in rows]),
        *(f"{row.candidate.label} is skipped: {row.reason}" for row in rows if row.reason is not None),
    ]
    made = Table(title=heading, caption=escape("\n".join(notes)), caption_justify="left", box=SIMPLE_HEAD)
    made.add_column("model")
    for name in ("M", "min", "AP", "AP50\n95 %", "mask\nAP", "ms", "AP - dense\n95 %"):
        made.add_column(name, justify="right")
    for row in rows:
        found = row.metrics
        made.add_row(
            row.candidate.label,
            number(found, "parameters", 1),
            number(found, "minutes", 1),
            number(found, "ap", 3),
            interval(found, "ap50"),
            number(found, "mask_ap", 3),
            number(found, "ms", 0),
            interval(found, "ap_difference", sign="+"),
        )
    return made


def number(metrics: Metrics, name: str, digits: int, sign: str = "") -> str:
    """The figure, or a dash where it was not measured."""
    return f"{metrics[name]['value']:{sign}.{digits}f}" if name in metrics else MISSING


def interval(metrics: Metrics, name: str, sign: str = "") -> str:
    """The figure, and on a second line its interval; or a dash."""
    if name not in metrics:
        return MISSING
    low, high = (f"{metrics[name][side]:{sign}.3f}" for side in ("low", "high"))
    return f"{number(metrics, name, 3, sign)}\n{low}{' to ' if sign else '–'}{high}"


def record(
    options: argparse.Namespace, rows: Sequence[Row], others: float, judged: Sequence[Judged], commit: str
) -> None:
    """Write the table's figures as a record. Raises ConfigError where one of them is missing."""
    found = {f"{row.candidate.name}_{name}": metric for row in rows for name, metric in row.metrics.items()}
    found[DISTURBANCE] = {"value": others}
    claim, names, units = claim_of(options.result, available=sorted(found))
    write_result(
        options.result,
        claim=claim,
        metrics={name: found[name] | ({"unit": units[name]} if name in units else {}) for name in names},
        command=command(options),
        data={name: checksum for one in judged for name, checksum in one.checksums.items()},
        seeds=sorted({one.seed for one in judged}),
        commit=commit,
        folder=Path("results"),
    )


def command(options: argparse.Namespace) -> str:
    """What gives the record again, without this machine's folders."""
    defaults = parser().parse_args([])
    words = ["python", "scripts/detector_baselines.py", "--data-dir", "DATA"]
    for name in ("experiment", "epochs", "rounds", "set"):
        value = getattr(options, name)
        if value != getattr(defaults, name):
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return shlex.join([*words, "--result", options.result])


if __name__ == "__main__":
    sys.exit(main())
