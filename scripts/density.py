"""AP50 as shelves grow crowded: one checkpoint on held-out synthetic frames of about 100, 300 and 600 products.

    facings synthesize name=density products=120 'products_per_scene=[100,300,600]' image_size=960 train_scenes=150 \\
        val_scenes=12 enrol_photos=0
    facings train experiment=detection/density
    python scripts/density.py logs/train/detection/density/TIME/checkpoints/best.ckpt --result det-density

The held-out sets are made where they are missing: other goods, other scenes than any the training saw (another seed). Fails,
and writes no record, where a frame's detections fill the whole list: what lies beyond would be lost in silence.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.table import Table

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.density import RELEVANT, Density, density_of
from facings.benchmark.record import git_state, machine
from facings.commands.composition import compose_verb
from facings.commands.evaluate import evaluate_checkpoint
from facings.commands.script import script
from facings.commands.synthesize import run as synthesize
from facings.errors import ConfigError
from facings.files import atomic_write

PRODUCTS = 120


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="of a class-agnostic detector")
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 300, 600], help="products a frame, one set each")
    parser.add_argument("--scenes", type=int, default=30, help="frames of each set")
    parser.add_argument("--size", type=int, default=960, help="side of the frames in pixels")
    parser.add_argument("--top-k", type=int, default=1000, help="most detections a frame")
    parser.add_argument("--seed", type=int, default=1, help="of the held-out sets; the training's is 0")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--log-dir", type=Path, default=Path("logs"))
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (det-density)")
    run(parser.parse_args(arguments), Console())
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Make what is missing, evaluate, print, write. Raises ConfigError, CheckpointError or DataError."""
    commit = git_state()
    if options.result:
        claim_of(options.result, available=[f"ap50_{count}" for count in options.counts])
    folder = options.log_dir / "density" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    pl.seed_everything(0, workers=True, verbose=False)
    found: dict[int, Density] = {}
    checksums: dict[str, str] = {}
    for count in options.counts:
        home = held_out(count, options, folder)
        found[count], checksum = evaluated(home, options)
        checksums[f"{home.name}/instances_val.json"] = checksum
    console.print(table(found, options.top_k))
    content = {str(count): asdict(density) for count, density in found.items()}
    record = {
        "checkpoint": options.checkpoint,
        "top_k": options.top_k,
        "relevant": RELEVANT,
        "products_a_frame": content,
    }
    record |= {"data": checksums, "machine": machine(), "commit": commit}
    atomic_write(folder / "density.json", json.dumps(record, indent=2) + "\n")
    console.print(f"all figures: {folder / 'density.json'}")
    refuse_caps(found, options.top_k)
    if options.result:
        metrics = {
            f"ap50_{count}": dict(zip(("value", "low", "high"), density.ap50, strict=True))
            for count, density in found.items()
        }
        write_claim(
            options.result,
            metrics,
            command=f"python scripts/density.py {shown(options.checkpoint)} --result {options.result}",
            data=checksums,
            seeds=[options.seed],
            commit=commit,
        )


def held_out(count: int, options: argparse.Namespace, folder: Path) -> Path:
    """The folder of the set with about `count` products a frame, made where it is missing. Its val split is asked."""
    name = f"density-{count}"
    words = [f"name={name}", f"products={PRODUCTS}", f"products_per_scene={count}", f"image_size={options.size}"]
    words += ["train_scenes=1", f"val_scenes={options.scenes}", "enrol_photos=0", f"seed={options.seed}"]
    words += [f"paths.data_dir={options.data_dir}"]
    return synthesize(compose_verb("synthesize", words, output_dir=folder / name))


def evaluated(home: Path, options: argparse.Namespace) -> tuple[Density, str]:
    """Figures of one set, and the checksum of its truth."""
    words = [f"checkpoint='{options.checkpoint}'", f"annotations='{home / 'instances_val.json'}'"]
    words += [f"images='{home / 'images' / 'val'}'", "class_agnostic=true", f"top_k={options.top_k}", "batch_size=2"]
    found = evaluate_checkpoint(compose_verb("evaluate", words))
    predictions, frames = found.predictions, found.frames
    if frames is None:
        raise ConfigError(f"{options.checkpoint}: is of an embedder; expected a detector")
    return density_of(frames.ground_truth(), predictions, cap=options.top_k), frames.checksum()


def refuse_caps(found: Mapping[int, Density], top_k: int) -> None:
    """Raise ConfigError where a frame has as many relevant detections as the list holds."""
    for count, density in found.items():
        if density.capped:
            raise ConfigError(
                f"density-{count}: {len(density.capped)} frames (first: image {density.capped[0]}) have {top_k} detections "
                f"of a score of {RELEVANT} or more, as many as --top-k={top_k} lets through; raise it"
            )


def table(found: Mapping[int, Density], top_k: int) -> Table:
    """The figures, for people."""
    made = Table("products", "a frame", "AP50", "95 %", "AP", f"most detections (cap {top_k})", title="crowded shelves")
    for count, density in found.items():
        value, low, high = density.ap50
        cells: tuple[Any, ...] = (count, f"{density.objects:.1f}", f"{value:.3f}", f"{low:.3f}–{high:.3f}")
        made.add_row(*map(str, cells), f"{density.ap:.3f}", str(density.most))
    return made


def shown(path: str) -> str:
    """The path without the folders of this machine."""
    return Path(path).name if Path(path).is_absolute() else path


if __name__ == "__main__":
    sys.exit(main())
