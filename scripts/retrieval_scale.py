"""Rank many queries against a million views exactly, from a file on disk: peak memory and minutes, checked by brute force.

The vectors are made up (seeded) and deleted afterwards; at the full size they take 0.5 GiB a 128 numbers.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.record import git_state, given_words
from facings.benchmark.retrieval_scale import METRICS, Scale, differences, make_vectors, measure
from facings.commands.script import script
from facings.errors import ConfigError

DEFAULTS = asdict(Scale())
HELP = {
    "queries": "how many ask",
    "views": "how many are asked",
    "dimension": "numbers a vector",
    "products": "products they are of",
    "depth": "length of the lists that are kept as well",
    "seed": "of the vectors",
}


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, text in HELP.items():
        parser.add_argument(f"--{name}", type=int, default=DEFAULTS[name], help=f"{text} ({DEFAULTS[name]})")
    parser.add_argument("--folder", type=Path, help="where the vectors lie meanwhile (default: the system's own)")
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (emb-scale)")
    options = parser.parse_args(arguments)
    run(options)
    return 0


def run(options: argparse.Namespace) -> None:
    """Make, measure, check, print, write. Raises ConfigError for what the user can mend, and for a wrong answer."""
    console = Console()
    commit = git_state()
    scale = Scale(**{name: getattr(options, name) for name in DEFAULTS})
    scale.check()
    if options.result:
        # What would be refused is told before the minutes are spent.
        claim_of(options.result, available=list(METRICS))
        if scale.queries < DEFAULTS["queries"] or scale.views < DEFAULTS["views"]:
            raise ConfigError(
                f"the record is of {DEFAULTS['queries']} queries and {DEFAULTS['views']} views or more; leave out --result"
            )
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="retrieval_scale.") as name:
        folder = Path(name)
        console.print(
            f"[dim]{', '.join(f'{count} {what}' for what, count in asdict(scale).items())}: making vectors[/]"
        )
        checksums = make_vectors(folder, scale)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("ranking, three passes", total=3 * scale.views)
            found = measure(folder, scale, lambda views: progress.advance(task, views))
        wrong = differences(folder, scale)
    if wrong:
        raise ConfigError(f"{wrong} answers of the sample differ from brute force; nothing is written")
    figures = ", ".join(f"{name} {value:.4f}" for name, value in found.figures.items() if not name.startswith("macro"))
    console.print(f"{found.peak_gib:.2f} GiB at most, {found.minutes:.2f} minutes; the sample equals brute force")
    console.print(f"[dim]{figures}[/]")
    if options.result:
        changed = given_words(asdict(scale), DEFAULTS)
        write_claim(
            options.result,
            {"peak_gib": {"value": found.peak_gib}, "minutes": {"value": found.minutes}},
            command=" ".join(["python scripts/retrieval_scale.py", *changed, f"--result {options.result}"]),
            data=checksums,
            seeds=[scale.seed],
            commit=commit,
        )


if __name__ == "__main__":
    sys.exit(main())
