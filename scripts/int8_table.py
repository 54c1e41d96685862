"""Detector and embedder in float32, float16 and int8: size, time on one thread and two, accuracy; one table, one run.

    python scripts/int8_table.py --result bundle-int8 detector=CHECKPOINT embedder=CHECKPOINT gallery.table=FILE.csv \\
        parity.images=FOLDER quantization.evaluation.annotations=FILE.json quantization.evaluation.images=FOLDER

The words are those of `facings export`. The float files are exported anew; the smaller ones are made as an export makes them,
with its gate: parts that cost too much accuracy stay in float, and no file may lose more than quantization.ap_loss or r1_loss. All
files of a network are timed in the same rounds. A record holds the worst of all numbers of threads. It wants a quiet machine: what
other programs took of the processor is printed.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.latency import DISTURBED
from facings.benchmark.record import git_state, given_words, machine
from facings.commands.int8_table import METRICS, PrecisionTable, as_records, measure, precision_table
from facings.commands.script import script
from facings.errors import ConfigError
from facings.files import atomic_write

THREADS = (1, 2)
DEFAULTS = {"rounds": 100, "seed": 0}


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="KEY=VALUE", help="overrides of `facings export`")
    parser.add_argument("--threads", type=int, nargs="*", default=list(THREADS))
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"({value})")
    parser.add_argument("--output", type=Path, help="JSON of all rows; default logs/int8_table/TIME.json")
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (bundle-int8)")
    options = parser.parse_intermixed_args(arguments)
    run(options, Console())
    return 0


def run(options: argparse.Namespace, console: Console) -> PrecisionTable:
    """Export, make smaller, time, print, write. Raises what the user can mend."""
    commit = git_state()
    if options.result:
        claim_of(options.result, available=METRICS)
        if tuple(options.threads) != THREADS:
            raise ConfigError(f"--threads {options.threads}: the record is of {THREADS}; leave out --result")
    found = measure(options.words, console, threads=options.threads, rounds=options.rounds, seed=options.seed)
    figures = found.headline(seed=options.seed)
    console.print(precision_table(found))
    if found.others > DISTURBED:
        console.print(f"[yellow]other programs took {found.others:.0%} of the processor: time it again[/]")
    for name, metric in figures.items():
        console.print(f"{name}: {metric['value']:.3f}", highlight=False)
    output = options.output or Path("logs/int8_table") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}.json"
    content = {"rows": as_records(found), "headline": figures, "machine": machine(), "commit": commit}
    atomic_write(output, json.dumps(content | {"data": found.data}, indent=2) + "\n")
    console.print(f"all figures: {output}")
    if options.result:
        words = [*map(shlex.quote, options.words), *given_words(vars(options), DEFAULTS)]
        write_claim(
            options.result,
            figures,
            command=" ".join(["python scripts/int8_table.py", *words, f"--result {options.result}"]),
            data=found.data,
            seeds=[options.seed],
            commit=commit,
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
