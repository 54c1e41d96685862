"""Time the COCO figures beside pycocotools on crowded pictures, in one run, and see that they are the same.

At the full size (500 pictures of 150 objects and 300 detections) pycocotools takes some three minutes.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.metric_speed import MetricComparison, checksum, compare, crowded_scene
from facings.benchmark.record import git_state, given_words
from facings.commands.script import script

DEFAULTS = {"images": 500, "objects": 150, "detections": 300, "seed": 0}


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int)
    parser.add_argument("--objects", type=int, help="objects a picture")
    parser.add_argument("--detections", type=int, help="detections a picture")
    parser.add_argument("--seed", type=int)
    parser.set_defaults(**DEFAULTS)
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (det-metric-speed)")
    options = parser.parse_args(arguments)
    run(options)
    return 0


def run(options: argparse.Namespace) -> None:
    """Compare, print, write. Raises ConfigError for what the user can mend."""
    console = Console()
    commit = git_state()
    if options.result:
        # An unknown ID is told before the minutes are spent.
        claim_of(options.result, available=("speedup", "max_abs_difference"))
    sizes = {name: getattr(options, name) for name in ("images", "objects", "detections")}
    scene = crowded_scene(**sizes, seed=options.seed)
    console.print(f"[dim]{' x '.join(f'{count} {name}' for name, count in sizes.items())}: evaluating with both[/]")
    compared = compare(scene)
    console.print(table(compared))
    figures = {"speedup": compared.speedup, "max_abs_difference": compared.max_abs_difference}
    console.print(f"speedup {figures['speedup']:.1f}, largest difference {figures['max_abs_difference']:.2g}")
    if options.result:
        changed = given_words(vars(options), DEFAULTS)
        write_claim(
            options.result,
            {name: {"value": value} for name, value in figures.items()},
            command=" ".join(["python scripts/metric_speed.py", *changed, f"--result {options.result}"]),
            data={"random crowded pictures": checksum(scene)},
            seeds=[options.seed],
            commit=commit,
        )


def table(compared: MetricComparison) -> Table:
    """Seconds and figures of both."""
    made = Table("", "facings", "pycocotools", title="COCO figures")
    made.add_row("seconds", f"{compared.seconds:.1f}", f"{compared.reference_seconds:.1f}")
    made.add_section()
    for name, value in compared.figures.items():
        made.add_row(name, f"{value:.6f}", f"{compared.reference[name]:.6f}")
    return made


if __name__ == "__main__":
    sys.exit(main())
