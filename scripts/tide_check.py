"""Compare TIDE's figures with those of the authors' own package, tidecv, on random pictures of boxes and of masks."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from facings.analysis.tide import tide_figures
from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.record import git_state, given_words
from facings.benchmark.tide_check import METRICS, Scene, checksum, largest_difference, random_scene, tidecv_figures
from facings.commands.script import script

DEFAULTS = {"scenes": 20, "pictures": 30, "objects": 40, "seed": 0}
LIMITS = (100, 1000)


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, help="of boxes, and as many of masks")
    parser.add_argument("--pictures", type=int, help="pictures a scene")
    parser.add_argument("--objects", type=int, help="most objects a picture")
    parser.add_argument("--seed", type=int)
    parser.set_defaults(**DEFAULTS)
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (bench-tide)")
    options = parser.parse_args(arguments)
    run(options)
    return 0


def run(options: argparse.Namespace) -> None:
    """Compare, print, write. Raises ConfigError for what the user can mend."""
    console = Console()
    commit = git_state()
    if options.result:
        claim_of(options.result, available=list(METRICS))
    rng = np.random.default_rng(options.seed)
    table = Table("kind", "detections a picture", "scenes", "largest difference", title="TIDE against tidecv")
    scenes: list[Scene] = []
    worst = 0.0
    for masks in (False, True):
        own = [
            random_scene(rng, pictures=options.pictures, objects=options.objects, masks=masks)
            for _ in range(options.scenes)
        ]
        scenes += own
        for limit in LIMITS:
            apart = max(difference(scene, masks=masks, limit=limit) for scene in own)
            table.add_row("masks" if masks else "boxes", str(limit), str(len(own)), f"{apart:.2g}")
            worst = max(worst, apart)
    console.print(table)
    if options.result:
        changed = given_words(vars(options), DEFAULTS)
        write_claim(
            options.result,
            {name: {"value": worst} for name in METRICS},
            command=" ".join(["python scripts/tide_check.py", *changed, f"--result {options.result}"]),
            data={"random pictures": checksum(scenes)},
            seeds=[options.seed],
            commit=commit,
        )


def difference(scene: Scene, *, masks: bool, limit: int) -> float:
    """The largest over all gains (0–1) and counts."""
    ours = tide_figures(*scene, kind="masks" if masks else "boxes", max_detections=limit)
    return largest_difference(ours, tidecv_figures(*scene, masks=masks, max_detections=limit))


if __name__ == "__main__":
    sys.exit(main())
