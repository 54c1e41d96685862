"""Convert as many rows as SKU-110K has, on one core, and say how long it took and how much memory.

Rows are random but in the set's own format and grouping. Pictures are not asked (check=none): what is timed is the conversion.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.record import git_state
from facings.commands.script import script
from facings.data.adapters import sku110k
from facings.data.adapters.base import Report, prepare
from facings.files import sha256

ROWS, A_PICTURE, MIB = 1_700_000, 147, 1 << 20


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (data-convert)")
    options = parser.parse_args(arguments)
    run(options)
    return 0


def run(options: argparse.Namespace) -> None:
    """Make rows, convert, print, write. Raises ConfigError for what the user can mend."""
    console, commit = Console(), git_state()
    if options.result:
        claim_of(options.result, available=("seconds", "peak_mib"))
    if hasattr(psutil.Process(), "cpu_affinity"):
        psutil.Process().cpu_affinity(psutil.Process().cpu_affinity()[:1])
    with tempfile.TemporaryDirectory() as home:
        table = make_rows(Path(home) / "source", options.rows, options.seed)
        checksum = sha256(table)
        seconds, peak, report = timed(Path(home))
    boxes = sum(report.objects.values())
    console.print(f"{boxes} boxes of {sum(report.images.values())} pictures: {seconds:.1f} s, at most {peak:.0f} MiB")
    if options.result:
        changed = [f"--rows {options.rows}"] if options.rows != ROWS else []
        changed += [f"--seed {options.seed}"] if options.seed else []
        write_claim(
            options.result,
            {"seconds": {"value": seconds}, "peak_mib": {"value": peak}},
            command=" ".join(["python scripts/convert_speed.py", *changed, f"--result {options.result}"]),
            data={"random rows in SKU-110K's format": checksum},
            seeds=[options.seed],
            commit=commit,
        )


def make_rows(folder: Path, rows: int, seed: int) -> Path:
    """`annotations/annotations_train.csv` of `rows` boxes, some 147 a picture of 2448 × 3264 pixels."""
    rng = np.random.default_rng(seed)
    path = folder / "annotations" / "annotations_train.csv"
    path.parent.mkdir(parents=True)
    (folder / "images").mkdir()
    with path.open("w", encoding="utf-8") as file:
        written = number = 0
        while written < rows:
            count = min(int(rng.poisson(A_PICTURE)) + 1, rows - written)
            corner = rng.integers(0, (2200, 2900), (count, 2))
            side = rng.integers(20, 240, (count, 2))
            for (x, y), (w, h) in zip(corner.tolist(), side.tolist(), strict=True):
                file.write(f"train_{number}.jpg,{x},{y},{x + w},{y + h},object,2448,3264\n")
            written, number = written + count, number + 1
    return path


def timed(home: Path) -> tuple[float, float, Report]:
    """Seconds, the most memory that this process held meanwhile (MiB), and the report."""
    process, peak, done = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        report = prepare(
            lambda source, output, *, advance: sku110k.convert(source, output, advance=advance, check="none"),
            sku110k.CARD,
            home / "source",
            home / "out",
        )
        return time.perf_counter() - start, max(peak[0], process.memory_info().rss) / MIB, report
    finally:
        done.set()
        watcher.join()


if __name__ == "__main__":
    sys.exit(main())
