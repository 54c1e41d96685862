"""The main job from nothing to a verified bundle and its report: every verb in turn, on the embedded synthetic data.

Each step is the command that a user would type; this script only runs them, keeps the time, and sums up.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from facings.benchmark.claims import claim_of
from facings.benchmark.record import write_result

DATA = Path("data/synthetic/quickstart")
# Headline of the record → figure of the benchmark.
MEASURED = {
    "detection_ap50": "ap50",
    "reid_r1": "recognition_r1",
    "end_to_end_accuracy": "end_to_end_accuracy",
    "frame_ms_p50": "frame_ms_p50",
}


def main() -> int:
    """Run the chain. Returns 0, or the exit code of the first step that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (spine-quickstart)")
    parser.add_argument("--fast", action="store_true", help="one batch of training a model: does the chain hold?")
    options = parser.parse_args()
    console = Console()
    start = time.monotonic()
    folder = Path("logs/quickstart") / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    took: dict[str, float] = {}
    for title, words in steps(folder, fast=options.fast):
        console.rule(f"[bold]{title}[/]  ({(time.monotonic() - start) / 60:.1f} min so far)")
        console.print(f"[dim]facings {' '.join(words)}[/]", highlight=False, soft_wrap=True)
        began = time.monotonic()
        code = subprocess.run([sys.executable, "-m", "facings.commands.cli", *words], check=False).returncode
        if code:
            console.print(f"[red]{title} failed[/] (exit code {code}); after mending, run `make quickstart` again")
            return code
        took[title] = time.monotonic() - began
    minutes = (time.monotonic() - start) / 60
    figures = headline_figures(folder, minutes)
    console.print(summary(figures, took))
    console.print(f"report:            {folder / 'benchmark' / 'report.html'}")
    console.print(
        f"annotated picture: {next(iter(sorted((folder / 'predict').glob('*annotated*'))), folder / 'predict')}"
    )
    console.print(f"bundle:            {bundle_folder(folder)}")
    if options.result:
        record(options.result, figures, folder)
    return 0


def steps(folder: Path, *, fast: bool) -> list[tuple[str, list[str]]]:
    """The commands in their order, all writing below `folder`."""
    checkpoint = {task: str(folder / task / "checkpoints" / "best.ckpt") for task in ("detection", "reid")}
    bundle = str(bundle_folder(folder))
    debug = ["debug=fast"] if fast else []
    pictures = [str(path) for path in sorted((DATA / "images" / "val").glob("*.jpg"))[:1]] or [
        str(DATA / "images" / "val" / "000000.jpg")
    ]
    train = [
        (f"train the {noun}", ["train", f"experiment={task}/quickstart", f"hydra.run.dir={folder / task}", *debug])
        for task, noun in (("detection", "detector"), ("reid", "embedder"))
    ]
    evaluate = [
        (
            f"evaluate the {noun}",
            ["evaluate", f"checkpoint={checkpoint[task]}", f"hydra.run.dir={folder / ('evaluate-' + task)}"],
        )
        for task, noun in (("detection", "detector"), ("reid", "embedder"))
    ]
    table = DATA / "recognition.csv"
    export = [
        "export",
        f"detector={checkpoint['detection']}",
        f"embedder={checkpoint['reid']}",
        "name=quickstart",
        "version=1",
        f"output={folder}",
        f"gallery.table={table}",
        "gallery.split=val",
        f"calibration.table={table}",
        f"taxonomy={DATA / 'taxonomy.json'}",
        f"parity.images={DATA / 'images' / 'val'}",
        # After so short a training scores are low: at the usual 0.3 a third of the goods would not be reported.
        "score_threshold=0.2",
        f"hydra.run.dir={folder / 'export'}",
    ]
    benchmark = [
        "benchmark",
        f"bundle={bundle}",
        "benchmark_data=synthetic",
        f"recognition.table={table}",
        "recognition.split=val",
        f"hydra.run.dir={folder / 'benchmark'}",
    ]
    return [
        ("synthesize", ["synthesize", "name=quickstart", f"hydra.run.dir={folder / 'synthesize'}"]),
        *train,
        *evaluate,
        ("export", export),
        ("verify", ["verify", bundle]),
        ("benchmark", benchmark),
        ("predict", ["predict", bundle, *pictures, "--output", str(folder / "predict")]),
    ]


def bundle_folder(folder: Path) -> Path:
    """Where `facings export` puts the bundle."""
    return folder / "quickstart-1"


def headline_figures(folder: Path, minutes: float) -> dict[str, float]:
    """What the chain reached, taken from the benchmark of the exported bundle."""
    figures = benchmark_of(folder)["headline"]
    size = sum(path.stat().st_size for path in bundle_folder(folder).rglob("*") if path.is_file())
    measured = {name: float(figures[source]) for name, source in MEASURED.items()}
    return measured | {"bundle_mib": size / 2**20, "minutes": minutes}


def benchmark_of(folder: Path) -> dict[str, Any]:
    """What `facings benchmark` wrote."""
    content: dict[str, Any] = json.loads((folder / "benchmark" / "benchmark.json").read_text())
    return content


def summary(figures: dict[str, float], took: dict[str, float]) -> Table:
    """The closing table."""
    table = Table("figure", "value", title="quickstart")
    names = {
        "detection_ap50": "detection AP50",
        "reid_r1": "retrieval R@1",
        "end_to_end_accuracy": "end-to-end accuracy",
        "frame_ms_p50": "frame latency p50 (ms)",
        "bundle_mib": "bundle size (MiB)",
        "minutes": "whole chain (min)",
    }
    for key, name in names.items():
        table.add_row(name, f"{figures[key]:.3f}" if figures[key] < 1 else f"{figures[key]:.1f}")
    table.add_section()
    for title, seconds in took.items():
        table.add_row(title, f"{seconds:.0f} s")
    return table


def record(identifier: str, figures: dict[str, float], folder: Path) -> None:
    """Write the headline record."""
    claim, names, units = claim_of(identifier, available=sorted(figures))
    intervals = benchmark_of(folder)["headline_intervals"]
    metrics: dict[str, dict[str, Any]] = {name: {"value": figures[name]} for name in names}
    for name, metric in metrics.items():
        if name in units:
            metric["unit"] = units[name]
        if MEASURED.get(name) in intervals:
            metric["low"], metric["high"] = intervals[MEASURED[name]]
    environment = json.loads((folder / "detection" / "environment.json").read_text())
    recognition = json.loads((folder / "reid" / "environment.json").read_text())
    write_result(
        identifier,
        claim=claim,
        metrics=metrics,
        command=f"python scripts/quickstart.py --result {identifier}",
        data=environment["data"] | recognition["data"],
        seeds=[environment["seed"]],
        commit=environment["git"],
        folder=Path("results"),
    )


if __name__ == "__main__":
    sys.exit(main())
