"""Time enrolment, commit and search against galleries of 100 to 1,000,000 views, on this machine.

Enrolment is everything but finding and embedding: judging eight photos, comparing with the gallery, choosing views, the commit,
recalibration and what it says of the effect. A million views of 384 numbers take some 5 GB of memory and 2 GB of disk.

    python scripts/enrolment_speed.py --result turn-speed   # on a quiet machine: record, and docs/turn_speed.png
    python scripts/enrolment_speed.py --sizes 100 1000 --figure speed.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from facings.analysis.curve_figures import png
from facings.analysis.enrolment_figure import draw_enrolment
from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.enrolment_speed import SpeedPoint, Vectors, all_figures, checksum, measure
from facings.benchmark.record import git_state, given_words
from facings.commands.script import script
from facings.files import atomic_write
from facings.runtime.enrolment import Photo, Request, Settings, commit
from facings.runtime.gallery import Gallery
from facings.runtime.photo_checks import photo_faults

ROOT = Path(__file__).resolve().parent.parent
FIGURE = ROOT / "docs" / "turn_speed.png"
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
DEFAULTS = {"dimension": 384, "repeats": 20, "seed": 0, "crop": 640}
FALSE_ACCEPT_RATE = 0.01
FIGURES = ("enroll8_p95_seconds", "commit_seconds_1e5", "search_ms_1e5")


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="views of the galleries")
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the galleries are made, and go again")
    parser.add_argument(
        "--figure", type=Path, help=f"where the figure goes (with --result: {FIGURE.relative_to(ROOT)})"
    )
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (turn-speed); needs a size of 100,000")
    options = parser.parse_args(arguments)
    run(options)
    return 0


def run(options: argparse.Namespace) -> None:
    """Measure, print, write. Raises ConfigError for an unknown ID."""
    console, state = Console(), git_state()
    if options.result:
        claim_of(options.result, available=FIGURES if 100_000 in options.sizes else ())
    crops = np.random.default_rng(options.seed).integers(0, 256, (8, options.crop, options.crop, 3), dtype=np.uint8)

    def enrolling(gallery: Gallery, name: str, vectors: Vectors) -> None:
        settings = Settings()
        photos = [
            Photo(Path(f"{number}.jpg"), None, vector, tuple(photo_faults(crop, settings.limits)))
            for number, (crop, vector) in enumerate(zip(crops, vectors, strict=True))
        ]
        request = Request(name, tuple(photo.path for photo in photos), {"name": name})
        commit(gallery, [(request, photos)], settings, FALSE_ACCEPT_RATE)

    points = []
    for size in sorted(options.sizes):
        console.print(f"[dim]{size:,} views[/]")
        points.append(
            measure(
                size, dimension=options.dimension, repeats=options.repeats, seed=options.seed, enrolling=enrolling,
                folder=options.folder,
            )
        )  # fmt: skip
    console.print(table(points))
    target = options.figure or (FIGURE if options.result else None)
    if target is not None:
        title = f"Enrolment, commit and search, {options.dimension} numbers a view"
        atomic_write(target, png(draw_enrolment([point.to_dict() for point in points], title=title)))
        console.print(f"figure: {target}")
    if options.result:
        given = given_words(vars(options), DEFAULTS)
        if tuple(options.sizes) != SIZES:
            given.append(f"--sizes {' '.join(map(str, options.sizes))}")
        write_claim(
            options.result,
            all_figures(points),
            command=" ".join(["python scripts/enrolment_speed.py", *given, f"--result {options.result}"]),
            data={"random views": checksum(options.dimension, options.seed)},
            seeds=[options.seed],
            commit=state,
            others=True,
        )


def table(points: Sequence[SpeedPoint]) -> Table:
    """A row a gallery."""
    names = ("views", "enroll 8, p50 s", "p95 s", "commit s", "open s", "search ms", "recall")
    made = Table(*names, title="Enrolment, commit and search")
    for point in points:
        values = list(point.to_dict().values())
        made.add_row(f"{point.views:,}", *(f"{value:.4f}" for value in values[1:]))
    return made


if __name__ == "__main__":
    sys.exit(main())
