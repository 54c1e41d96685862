"""The short study of detectors: backbone x size x head, AP against milliseconds, on snack shelves.

    python scripts/detector_study.py                                # trains, judges and exports every variant: about an hour
    python scripts/detector_study.py --latency --result det-study   # on a quiet machine: times, record, figure, table

One training at a time, on one thread. A variant that is finished is left as it is: after Ctrl-C the same command goes on.
What is varied stands in facings.benchmark.detector_study; docs/detector_study.md tells what came out.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.analysis.curve_figures import png
from facings.benchmark.claims import claim_of
from facings.benchmark.detector_study import (
    DISTURBANCE,
    FIGURES,
    IDENTIFIER,
    METRICS,
    VARIANTS,
    Training,
    Variant,
    chosen,
    front_of,
    study_table,
)
from facings.benchmark.graph_latency import time_graphs
from facings.benchmark.latency import DISTURBED
from facings.benchmark.record import git_state, write_result
from facings.benchmark.study_figure import draw_study
from facings.benchmark.turns import median_of
from facings.commands.detection_records import Judged
from facings.commands.script import script
from facings.commands.train import best_checkpoint
from facings.errors import ConfigError
from facings.export.networks import DetectorGraph, export_detector
from facings.files import atomic_write
from facings.tasks.checkpoint import load_model

ROOT = Path(__file__).resolve().parent.parent
PAGE, FIGURE = ROOT / "docs" / "detector_study.md", ROOT / "docs" / "detector_study.png"
BLOCK = re.compile(rf"(<!-- study:{IDENTIFIER} -->\n).*?(<!-- /study -->)", re.DOTALL)
OPSET, TOP_K, NMS_IOU = 20, 1000, 0.65
AGAIN = "python scripts/detector_study.py && python scripts/detector_study.py --latency --result " + IDENTIFIER
Metrics = dict[str, dict[str, Any]]


@script(__file__, interrupted="the same command goes on with the next unfinished variant")
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    run(parser().parse_args(words), Console())
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", nargs="*", default=[], metavar="NAME", help=f"variants: {', '.join(VARIANTS)}")
    made.add_argument("--latency", action="store_true", help="time the exported graphs instead of training")
    made.add_argument("--rounds", type=int, default=60, help="times that every graph is run")
    made.add_argument("--data-dir", default="data", help="folder that holds snack_shelves (default: data)")
    made.add_argument("--logs", type=Path, default=Path("logs/study"), help="where runs and graphs lie")
    made.add_argument("--result", metavar="ID", help=f"write results/ID.json ({IDENTIFIER}), docs' table and figure")
    return made


def run(options: argparse.Namespace, console: Console) -> None:
    """Train or time what is asked for; then the table, and with `--result` the record and its page."""
    commit = git_state()
    variants = chosen(options.only)
    if options.only and (options.result or options.latency):
        raise ConfigError("--result and --latency want all variants, timed in the same rounds; leave out --only")
    if options.result:
        claim_of(options.result, available=list(METRICS))
    if options.latency:
        measure_latency(variants, options, console)
    else:
        train_all(variants, options, console)
    metrics = collected(variants, options.logs)
    console.print(summary(variants, metrics))
    console.print(f"runs and graphs: {options.logs}")
    if options.result:
        if missing := [name for name in METRICS if name not in metrics]:
            raise ConfigError(
                f"--result: {missing[0]} was not measured; run the script with and without --latency first"
            )
        record(options, metrics, commit)
        console.print(f"record: results/{options.result}.json\nfigure: {FIGURE.relative_to(ROOT)}")
        console.print(f"table:  {PAGE.relative_to(ROOT)}")


def train_all(variants: Sequence[Variant], options: argparse.Namespace, console: Console) -> None:
    """Train, judge and export what is not finished, saying how far it is."""
    trainings = list({variant.training.name: variant.training for variant in variants}.values())
    waiting = [one for one in trainings if not is_finished(one, options.logs)]
    done, seconds = 0.0, 0.0
    for number, training in enumerate(trainings, start=1):
        started = time.monotonic()
        left = f", about {seconds / done * sum(map(work, waiting)) / 60:.0f} min left" if done else ""
        state = "trained already" if training not in waiting else f"training on {training.pictures} pictures{left}"
        console.rule(f"[bold]{number}/{len(trainings)} {training.name}[/]: {state}", align="left")
        if training in waiting:
            network_code.cache_clear()
            check_code(trainings, options.logs, network_code())
            train(training, options)
            waiting.remove(training)
            done, seconds = done + work(training), seconds + time.monotonic() - started
        for variant in variants:
            if variant.training == training:
                figures = judged(variant, options.logs)
                exported(variant, options.logs)
                console.print(
                    f"{variant.name}, tested at {variant.size} px: AP {figures['ap']['value']:.3f}", highlight=False
                )


def is_finished(training: Training, logs: Path) -> bool:
    """True where its run has ended. Raises ConfigError for one that was trained otherwise than it would be now."""
    folder = run_folder(training, logs)
    if not (folder / "results.json").is_file():
        return False
    if settings_of(training, logs).get("overrides") != training.overrides():
        raise ConfigError(f"{folder}: was trained with other settings; remove it, or choose another --logs")
    return True


def settings_of(training: Training, logs: Path) -> dict[str, Any]:
    """What the run was started with: `overrides`, and `code`, the network's and the loss's; nothing where that is not told."""
    path = run_folder(training, logs) / "study_settings.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def check_code(trainings: Sequence[Training], logs: Path, now: str | None = None) -> None:
    """Raises ConfigError where finished runs were trained by different code, or by other code than `now`'s: figures of the
    two would not tell variants apart."""
    codes = {one.name: settings_of(one, logs).get("code") for one in trainings if is_finished(one, logs)}
    expected = now or next(iter(codes.values()), None)
    if strange := [name for name, code in codes.items() if code != expected]:
        raise ConfigError(
            f"{logs / strange[0]}: was trained by another network or loss than the others; remove the runs that are of "
            "old code, or choose another --logs"
        )


@cache
def network_code() -> str:
    """Digest of the code of networks and losses, whatever its comments and layout."""
    digest = hashlib.sha256()
    for room in ("models", "losses"):
        for path in sorted((ROOT / "src" / "facings" / room).rglob("*.py")):
            digest.update(ast.dump(ast.parse(path.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()


def work(training: Training) -> float:
    """Pictures, counted in those of 320 px."""
    return training.pictures * (training.size / 320) ** 2


def train(training: Training, options: argparse.Namespace) -> None:
    """Run `facings train` on one thread; what an interrupted run left behind is removed first."""
    folder = run_folder(training, options.logs)
    if folder.exists():
        shutil.rmtree(folder)
    settings = {"overrides": training.overrides(), "code": network_code()}
    atomic_write(folder / "study_settings.json", json.dumps(settings, indent=1))
    words = ["train", *training.overrides(), f"paths.data_dir={options.data_dir}", f"hydra.run.dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "facings.commands.cli", *words], env=environment, check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        raise ConfigError(f"{training.name}: facings {' '.join(words)} ended with exit code {done.returncode}")


def judged(variant: Variant, logs: Path) -> dict[str, Any]:
    """Figures of both branches on the validation frames, with checksums of the data; kept beside the run, for
    as long as the network's code is the same."""
    path = run_folder(variant.training, logs) / f"judged_{variant.size}_{network_code()[:8]}.json"
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    folder = run_folder(variant.training, logs)
    one, many = (
        Judged(folder, branch=branch, image_size=variant.size, nms_iou=NMS_IOU)
        for branch in ("one_to_one", "one_to_many")
    )
    figures: dict[str, Any] = {
        "ap": one.metric("ap"),
        "ap50": one.metric("ap50"),
        "nms_ap": many.metric("ap"),
        "minutes": {"value": one.minutes},
        "checksums": one.checksums,
        "seed": one.seed,
    }
    atomic_write(path, json.dumps(figures, indent=1) + "\n")
    return figures


def exported(variant: Variant, logs: Path) -> Path:
    """The variant's one-to-one graph, made where it is missing or of older code."""
    folder = run_folder(variant.training, logs)
    path = folder / f"one_to_one_{variant.size}_{network_code()[:8]}.onnx"
    if not path.is_file():
        model, _ = load_model(best_checkpoint(folder), "detection", image_size=variant.size)
        beside = path.with_suffix(".part")
        graph = DetectorGraph(model.eval(), branch="one_to_one", top_k=TOP_K, nms_iou=NMS_IOU)
        export_detector(graph, beside, image_size=variant.size, opset=OPSET)
        beside.replace(path)
    return path


def measure_latency(variants: Sequence[Variant], options: argparse.Namespace, console: Console) -> None:
    """Time the graphs of all variants in the same rounds, on one thread, and keep the figures."""
    unfinished = [one.training.name for one in variants if not is_finished(one.training, options.logs)]
    if unfinished:
        raise ConfigError(f"--latency: {unfinished[0]} is not trained yet; run the script without --latency first")
    check_code([variant.training for variant in variants], options.logs)
    timed = {variant.graph: variant for variant in variants}
    graphs = {name: (exported(variant, options.logs), variant.size) for name, variant in timed.items()}
    with Progress(console=console) as progress:
        task = progress.add_task("rounds on 1 thread", total=options.rounds)
        times, others = time_graphs(graphs, threads=1, rounds=options.rounds, advance=lambda: progress.advance(task))
    figures: Metrics = {DISTURBANCE: {"value": others}}
    for variant in variants:
        one = times[variant.graph]
        figures |= {f"{variant.name}_ms": median_of(one.ms), f"{variant.name}_gflop": {"value": one.gflop}}
    atomic_write(options.logs / "latency.json", json.dumps(figures, indent=1) + "\n")
    if others > DISTURBED:
        console.print(f"[yellow]other programs took {others:.0%} of the processor: time it again[/]")


def collected(variants: Sequence[Variant], logs: Path) -> Metrics:
    """All that was measured of these variants so far, under the record's names."""
    path = logs / "latency.json"
    metrics: Metrics = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for variant in variants:
        figures = judged(variant, logs)
        metrics |= {f"{variant.name}_{figure}": figures[figure] for figure in FIGURES if figure in figures}
    return metrics


def summary(variants: Sequence[Variant], metrics: Metrics) -> Table:
    """The figures for people; the front is known once all variants were timed."""
    front = front_of(metrics) if set(METRICS) <= set(metrics) else []
    table = Table("variant", "AP", "95 %", "AP50", "with NMS", "ms", "GFLOP", "front", title="detector study")
    for variant in variants:
        own = {figure: metrics.get(f"{variant.name}_{figure}") for figure in FIGURES}
        ap = own["ap"] or {}
        cells = [f"{metric['value']:.3f}" if metric else "–" for metric in (own["ap50"], own["nms_ap"])]
        cells += [f"{metric['value']:.1f}" if metric else "–" for metric in (own["ms"], own["gflop"])]
        interval = f"{ap['low']:.3f}–{ap['high']:.3f}"
        table.add_row(variant.name, f"{ap['value']:.3f}", interval, *cells, "x" if variant.name in front else "")
    return table


def record(options: argparse.Namespace, metrics: Metrics, commit: str) -> None:
    """Write the record, and the figure and the table that are made from it."""
    claim, names, units = claim_of(options.result, available=list(metrics))
    kept = {name: metrics[name] | ({"unit": units[name]} if name in units else {}) for name in names}
    kept = {name: {key: rounded(value) for key, value in metric.items()} for name, metric in kept.items()}
    each = [judged(variant, options.logs) for variant in VARIANTS.values()]
    data = {name: checksum for one in each for name, checksum in one["checksums"].items()}
    seeds = sorted({int(one["seed"]) for one in each})
    write_result(
        options.result,
        claim=claim,
        metrics=kept,
        command=AGAIN,
        data=data,
        seeds=seeds,
        commit=commit,
        folder=ROOT / "results",
    )
    atomic_write(FIGURE, png(draw_study(kept)))
    atomic_write(PAGE, with_table(PAGE.read_text(encoding="utf-8"), kept))


def with_table(page: str, metrics: Metrics) -> str:
    """The page with the record's figure and table between its marks. Raises ConfigError where the marks are missing."""
    if not BLOCK.search(page):
        raise ConfigError(
            f"{PAGE.name}: has no <!-- study:{IDENTIFIER} --> … <!-- /study --> for the table to stand in"
        )
    others = f"Other programs took {metrics[DISTURBANCE]['value']:.0%} of the processor while the graphs were timed."
    body = f"![AP of each variant against its time]({FIGURE.name})\n\n{study_table(metrics)}\n{others}\n"
    return BLOCK.sub(lambda match: match[1] + body + match[2], page)


def rounded(value: Any) -> Any:
    """Six digits: what is beyond them is noise."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def run_folder(training: Training, logs: Path) -> Path:
    """Where the training's run lies."""
    return logs / training.name


if __name__ == "__main__":
    sys.exit(main())
