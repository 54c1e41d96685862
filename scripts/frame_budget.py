"""Where the time of a frame goes: by stage, in the graphs alone, and in a stream whose scene stands still; and peak memory.

    python scripts/frame_budget.py --bundle bundles/demo-1 --result bundle-frame

Whole frames, their graphs on the same inputs, and the stream are timed in turn. Thresholds are set so that a frame holds as many
products as are asked for, whatever the detector makes of the picture: --frame takes a real one, scaled to size. It wants a
quiet machine: what other programs took of the processor is printed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.frame_budget import LARGE, MANY, METRICS, Budget, measure, peak_memory
from facings.benchmark.latency import DISTURBED
from facings.benchmark.record import git_state, given_words
from facings.commands.script import script
from facings.errors import ConfigError
from facings.files import sha256
from facings.runtime.images import read_image

DEFAULTS = {"products": 60, "height": 1080, "width": 1920, "threads": 2, "rounds": 50, "seed": 0}


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="the folder that `facings export` wrote")
    parser.add_argument("--frame", type=Path, help="a picture of a shelf (default: a drawn one)")
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"({value})")
    parser.add_argument("--no-memory", action="store_true", help="leave the large frame out")
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (bundle-frame)")
    options = parser.parse_args(arguments)
    run(options, Console())
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Measure, print, write. Raises ConfigError for an unknown ID, or settings that the claim does not name."""
    commit = git_state()
    settings = {name: getattr(options, name) for name in DEFAULTS}
    if options.result:
        claim_of(options.result, available=() if options.no_memory else METRICS)
        named = ("products", "height", "width", "threads")
        if changed := [name for name in named if settings[name] != DEFAULTS[name]]:
            raise ConfigError(
                f"--{changed[0]} {settings[changed[0]]}: the record is of {DEFAULTS[changed[0]]}; leave out --result"
            )
    picture = None
    if options.frame is not None:
        scaled = Image.fromarray(read_image(options.frame)).resize(
            (options.width, options.height), Image.Resampling.BILINEAR
        )
        picture = np.asarray(scaled)
    with Progress(console=console) as progress:
        task = progress.add_task("frames, graphs and stream in turn", total=options.rounds)
        budget = measure(options.bundle, picture=picture, advance=lambda: progress.advance(task), **settings)
    figures = budget.headline()
    show(budget, console)
    if not options.no_memory:
        peak = peak_memory(options.bundle, threads=options.threads, seed=options.seed)
        figures["peak_mib_12mp_500"] = {"value": float(peak["peak_mib"])}
        console.print(
            f"{LARGE[1]} x {LARGE[0]} pixels, {peak['products']} products: {peak['peak_mib']:.0f} MiB at most, "
            f"{peak['loaded_mib']:.0f} before the frame"
        )
        if options.result and peak["products"] < MANY:
            raise ConfigError(
                f"{options.bundle}: its detector gives {peak['products']} boxes a frame, the record is of {MANY}"
            )
    if options.result:
        write(options, settings, figures, commit)


def show(budget: Budget, console: Console) -> None:
    """Stages and graphs, then the headline."""
    table = Table("stage", "p50 ms", "p95 ms", title=f"A frame of {budget.products} products")
    for stage, times in budget.stages.items():
        table.add_row(stage, f"{times['p50']:.1f}", f"{times['p95']:.1f}")
    for role, ms in budget.graphs.items():
        table.add_row(f"{role}.onnx alone", f"{ms:.1f}", "")
    table.add_row("stream, nothing changed", *(f"{v:.1f}" for v in np.percentile(budget.stream, [50, 95])))
    console.print(table)
    headline = {name: figure["value"] for name, figure in budget.headline().items()}
    console.print(", ".join(f"{name} {value:.3f}" for name, value in headline.items()))
    if budget.others > DISTURBED:
        console.print(f"[yellow]disturbed: other programs took {budget.others:.0%} of the processor[/]")


def write(
    options: argparse.Namespace, settings: dict[str, int], figures: dict[str, dict[str, float]], commit: str
) -> None:
    """The record."""
    words = ["python scripts/frame_budget.py", f"--bundle {options.bundle}"]
    words += [f"--frame {options.frame}"] if options.frame else []
    words += given_words(settings, DEFAULTS)
    data = {"bundle": sha256(options.bundle / "SHA256SUMS")}
    if options.frame:
        data["frame"] = sha256(options.frame)
    write_claim(
        options.result,
        figures,
        command=" ".join([*words, f"--result {options.result}"]),
        data=data,
        seeds=[options.seed],
        commit=commit,
    )


if __name__ == "__main__":
    sys.exit(main())
