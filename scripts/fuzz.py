"""Spoil files for every parser of the store, 100,000 of them, and count what comes out that is not documented.

An input is told by its parser, the seed and its number: `--target NAME --number N` tries one again and says what came of it.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.fuzz import Outcome, input_of, run
from facings.benchmark.fuzz_targets import Target, checksum, targets
from facings.benchmark.record import git_state
from facings.commands.script import script
from facings.errors import ConfigError
from facings.suggestions import nearest

INPUTS = 100_000
FIGURES = ("inputs", "undocumented")


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 when something undocumented came out, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=INPUTS, help=f"over all parsers ({INPUTS})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", metavar="NAME", help="this parser alone")
    parser.add_argument("--number", type=int, help="with --target: this input alone, and what comes of it")
    parser.add_argument("--save", type=Path, default=Path("fuzz-findings"), help="where inputs of findings go")
    parser.add_argument("--result", metavar="ID", help=f"write results/ID.json (bundle-fuzz); needs {INPUTS} inputs")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fuzz.") as name:
        return fuzz(options, targets(Path(name) / "work"))


def fuzz(options: argparse.Namespace, parsers: dict[str, Target]) -> int:
    """Try, print, write. Raises ConfigError for an unknown parser or ID."""
    console, commit = Console(), git_state()
    if options.target is not None and options.target not in parsers:
        near = nearest(options.target, parsers) or f"; known are {', '.join(parsers)}"
        raise ConfigError(f"target {options.target!r}: unknown{near}")
    if options.number is not None:
        return again(options, parsers)
    if options.result:
        claim_of(options.result, available=FIGURES)
        if options.target is not None or options.inputs < INPUTS:
            raise ConfigError(f"the record is of all parsers and {INPUTS} inputs or more; leave out --result")
    chosen = parsers if options.target is None else {options.target: parsers[options.target]}
    with Progress(console=console) as progress:
        task = progress.add_task("inputs", total=options.inputs)
        outcome = run(
            chosen, options.inputs, seed=options.seed, save=options.save, progress=lambda n: progress.advance(task, n)
        )
    say(console, outcome, options.save)
    if options.result:
        figures = {"inputs": outcome.inputs, "undocumented": outcome.undocumented}
        given = [f"--inputs {options.inputs}"] + ([f"--seed {options.seed}"] if options.seed else [])
        write_claim(
            options.result,
            {name: {"value": value} for name, value in figures.items()},
            command=" ".join(["python scripts/fuzz.py", *given, f"--result {options.result}"]),
            data={"sound inputs": checksum(parsers)},
            seeds=[options.seed],
            commit=commit,
        )
    return 1 if outcome.findings else 0


def again(options: argparse.Namespace, parsers: dict[str, Target]) -> int:
    """One input once more, with the traceback of what comes out."""
    if options.target is None or options.number < 0:
        raise ConfigError("--number N, 0 or more, is of one parser: give --target NAME too")
    target = parsers[options.target]
    data = input_of(target, options.seed, options.number)
    sys.stdout.write(f"{len(data)} bytes: {data[:400]!r}\n")
    try:
        target.parse(data)
    except target.documented as fault:
        sys.stdout.write(f"refused, as documented: {type(fault).__name__}: {fault}\n")
        return 0
    sys.stdout.write("taken\n")
    return 0


def say(console: Console, outcome: Outcome, save: Path) -> None:
    """The outcome for a person."""
    refused = ", ".join(f"{count:,} {name}" for name, count in outcome.refused.most_common())
    seconds, which = outcome.slowest
    console.print(f"{outcome.inputs:,} inputs: {outcome.taken:,} taken, refused as documented: {refused}")
    console.print(f"[dim]slowest: {seconds:.2f} s of processor time ({which})[/]")
    for finding in outcome.findings[:20]:
        console.print(
            f"{finding.target} {finding.number}: {finding.kind}: {finding.detail.splitlines()[-1]}", markup=False
        )
    where = f"; inputs and tracebacks in {save}" if outcome.findings else ""
    console.print(f"{outcome.undocumented} undocumented{where}")


if __name__ == "__main__":
    sys.exit(main())
