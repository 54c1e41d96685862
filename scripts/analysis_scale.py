"""Analyse made-up pictures of crowded shelves, 3,000 of 150 products each, and tell the minutes and the memory."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from facings.benchmark.analysis_scale import METRICS, Measured, Scale, measure
from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.record import git_state, given_words
from facings.commands.script import script
from facings.errors import ConfigError

DEFAULTS = asdict(Scale())
HELP = {
    "images": "pictures",
    "objects": "products a picture",
    "detections": "detections a picture",
    "seed": "of all of it",
}


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, text in HELP.items():
        parser.add_argument(f"--{name}", type=int, default=DEFAULTS[name], help=f"{text} ({DEFAULTS[name]})")
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (bench-analysis)")
    options = parser.parse_args(arguments)
    run(options)
    return 0


def run(options: argparse.Namespace) -> None:
    """Measure, print, write. Raises ConfigError for what the user can mend."""
    console = Console()
    commit = git_state()
    scale = Scale(**{name: getattr(options, name) for name in DEFAULTS})
    scale.check()
    if options.result:
        claim_of(options.result, available=list(METRICS))
        if scale.images < DEFAULTS["images"] or scale.objects < DEFAULTS["objects"]:
            raise ConfigError(
                f"the record is of {DEFAULTS['images']} pictures of {DEFAULTS['objects']} products or more; leave out --result"
            )
    console.print(f"[dim]{', '.join(f'{count} {what}' for what, count in asdict(scale).items())}[/]")
    found = measure(scale)
    console.print(table(found))
    console.print(f"{found.minutes:.2f} minutes, {found.peak_gib:.2f} GiB at most")
    if options.result:
        changed = given_words(asdict(scale), DEFAULTS)
        write_claim(
            options.result,
            {"minutes": {"value": found.minutes}, "peak_gib": {"value": found.peak_gib}},
            command=" ".join(["python scripts/analysis_scale.py", *changed, f"--result {options.result}"]),
            data={},
            seeds=[scale.seed],
            commit=commit,
        )


def table(found: Measured) -> Table:
    """Seconds of each part."""
    made = Table("part", "seconds", title="the analysis of a large split")
    for name, value in found.seconds.items():
        made.add_row(name, f"{value:.1f}")
    return made


if __name__ == "__main__":
    sys.exit(main())
