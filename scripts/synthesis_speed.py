"""Time synthetic scenes: how many a core draws in a second, before calibrated cameras and before the four flat ones.

    python scripts/synthesis_speed.py --result synth-speed

The record is of calibrated cameras, at 640 pixels with about 60 labelled products a scene.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.record import git_state, given_words
from facings.benchmark.synthesis_speed import METRICS, SynthesisSpeed, measure, parameters
from facings.commands.script import script
from facings.errors import ConfigError

# `planned`: pieces in the whole wall's view, of which cameras that hang askew label some 60.
DEFAULTS = {"scenes": 48, "size": 640, "planned": 84, "seed": 0}
ABOUT = (50, 75)


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"({value})")
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (synth-speed)")
    run(parser.parse_args(arguments), Console())
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Measure, print, write. Raises ConfigError for an unknown ID, or scenes that are not what the claim names."""
    commit = git_state()
    if options.result:
        claim_of(options.result, available=METRICS)
        if options.size != DEFAULTS["size"]:
            raise ConfigError(f"--size {options.size}: the record is of {DEFAULTS['size']}; leave out --result")
    found: dict[str, SynthesisSpeed] = {}
    with Progress(console=console) as progress:
        task = progress.add_task("scenes", total=2 * options.scenes)
        for name, calibrated in (("calibrated", True), ("flat", False)):
            asked = parameters(size=options.size, products=options.planned, calibrated=calibrated, seed=options.seed)
            asked.check()
            found[name] = measure(asked, scenes=options.scenes, advance=lambda: progress.advance(task))
    table = Table("cameras", "scenes a second and core", "95 %", "objects a scene", title=f"{options.size} px")
    for name, speed in found.items():
        figure = speed.figure()
        interval = f"{figure['low']:.2f}–{figure['high']:.2f}"
        table.add_row(name, f"{figure['value']:.2f}", interval, f"{speed.objects.mean():.1f}")
    console.print(table)
    if options.result:
        write(options, found["calibrated"], commit)


def write(options: argparse.Namespace, speed: SynthesisSpeed, commit: str) -> None:
    """The record. Raises ConfigError where the scenes hold other than about 60 products."""
    mean = float(speed.objects.mean())
    if not ABOUT[0] <= mean <= ABOUT[1]:
        raise ConfigError(f"--planned {options.planned}: {mean:.1f} objects a scene; the record is of about 60")
    words = given_words(vars(options), DEFAULTS)
    write_claim(
        options.result,
        {name: speed.figure() for name in METRICS},
        command=" ".join(["python scripts/synthesis_speed.py", *words, f"--result {options.result}"]),
        data={},
        seeds=[options.seed],
        commit=commit,
    )


if __name__ == "__main__":
    sys.exit(main())
