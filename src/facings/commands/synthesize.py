"""`facings synthesize`: make the embedded default data."""

import json
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from facings.benchmark.record import cores
from facings.commands.application import run_folder
from facings.commands.environment import command_line, write_environment
from facings.data.synthetic.dataset import SPLITS, Parameters, synthesize
from facings.data.synthetic.parameters import SequenceParameters
from facings.data.synthetic.sequence import SPLIT as SEQUENCE
from facings.errors import ConfigError


def run(cfg: DictConfig) -> Path:
    """Make (or find unchanged) the dataset; returns its folder. Raises ConfigError or DataError."""
    console = Console()
    start = time.monotonic()
    name = str(cfg.name)
    if not name or not all(c.isalnum() or c in "._-" for c in name) or name[0] == ".":
        raise ConfigError(f"name={name!r}: expected letters, digits and any of ._-; it becomes a folder's name")
    folder = Path(cfg.paths.data_dir) / "synthetic" / name
    parameters = parameters_of(cfg)
    total = frames_of(parameters)
    workers = int(cfg.workers) if cfg.workers is not None else cores()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("scenes", total=total)
        made = synthesize(
            folder,
            parameters,
            overwrite=bool(cfg.overwrite),
            workers=workers,
            advance=lambda: progress.advance(task),
        )
        progress.update(task, completed=total)
    files = json.loads((folder / "synthesize.json").read_text(encoding="utf-8"))["files"]
    write_environment(run_folder(cfg), seed=parameters.seed, data=files, command=command_line("synthesize"))
    console.print(summary(folder))
    did = f"made in {time.monotonic() - start:.0f} s" if made else "there already with these settings: nothing was made"
    console.print(f"data: {folder} ({did})")
    return folder


def parameters_of(cfg: DictConfig) -> Parameters:
    """The settings as parameters. Raises ConfigError for a value of the wrong kind."""
    settings = {field.name: cfg[field.name] for field in fields(Parameters)}
    settings["products_per_scene"] = _counts(cfg.products_per_scene)
    settings["cameras"] = _names("cameras", cfg.cameras)
    settings["resolution"] = _sides(cfg.resolution)
    settings |= {name: None if cfg[name] is None else str(cfg[name]) for name in ("cutouts", "cutout_images")}
    wanted = {field.name: cfg.sequence[field.name] for field in fields(SequenceParameters)}
    wanted["cameras"] = _names("sequence.cameras", cfg.sequence.cameras) or ()
    settings["sequence"] = SequenceParameters(**wanted) if cfg.sequence.frames else None
    return Parameters(**settings)


def frames_of(parameters: Parameters) -> int:
    """How many pictures of shelves the set has."""
    sequence = parameters.sequence
    return (
        parameters.train_scenes + parameters.val_scenes + (sequence.frames * len(sequence.cameras) if sequence else 0)
    )


def _names(setting: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = list(value) if isinstance(value, ListConfig) else [value]
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{setting}={value}: expected names of cameras, as [overhead, oblique]")
    return tuple(names)


def _sides(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = list(value) if isinstance(value, ListConfig) else []
    if len(sides) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) for side in sides):
        raise ConfigError(f"resolution={value}: expected [width, height] in pixels, as [640, 480] or [3840, 2160]")
    return sides[0], sides[1]


def _counts(value: Any) -> tuple[int, ...] | None:
    """null, a number, or several. Raises ConfigError for anything else."""
    if value is None:
        return None
    counts = list(value) if isinstance(value, ListConfig) else [value]
    if not counts or not all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
        raise ConfigError(f"products_per_scene={value}: expected null, a whole number, or a list of them")
    return tuple(counts)


def summary(folder: Path) -> Table:
    """Frames, objects and products of each split; of a sequence, too."""
    table = Table("split", "scenes", "objects", "a scene", "packaged", "produce", "products", title=str(folder))
    for split in (*SPLITS, SEQUENCE):
        if not (folder / f"instances_{split}.json").is_file():
            continue
        content = json.loads((folder / f"instances_{split}.json").read_text(encoding="utf-8"))
        objects = content["annotations"]
        produce = sum(entry["category_id"] == 2 for entry in objects)
        counts = (len(content["images"]), len(objects), f"{len(objects) / len(content['images']):.1f}")
        products = len({entry["product_id"] for entry in objects})
        table.add_row(split, *map(str, (*counts, len(objects) - produce, produce, products)))
    return table
