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
from facings.errors import ConfigError


def run(cfg: DictConfig) -> Path:
    """Make (or find unchanged) the dataset; returns its folder. Raises ConfigError or DataError."""
    console = Console()
    start = time.monotonic()
    name = str(cfg.name)
    if not name or not all(c.isalnum() or c in "._-" for c in name) or name[0] == ".":
        raise ConfigError(f"name={name!r}: expected letters, digits and any of ._-; it becomes a folder's name")
    folder = Path(cfg.paths.data_dir) / "synthetic" / name
    settings = {field.name: cfg[field.name] for field in fields(Parameters)}
    parameters = Parameters(**settings | {"products_per_scene": _counts(cfg.products_per_scene)})
    workers = int(cfg.workers) if cfg.workers is not None else cores()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("scenes", total=parameters.train_scenes + parameters.val_scenes)
        made = synthesize(
            folder,
            parameters,
            overwrite=bool(cfg.overwrite),
            workers=workers,
            advance=lambda: progress.advance(task),
        )
        progress.update(task, completed=parameters.train_scenes + parameters.val_scenes)
    files = json.loads((folder / "synthesize.json").read_text(encoding="utf-8"))["files"]
    write_environment(run_folder(cfg), seed=parameters.seed, data=files, command=command_line("synthesize"))
    console.print(summary(folder))
    did = f"made in {time.monotonic() - start:.0f} s" if made else "there already with these settings: nothing was made"
    console.print(f"data: {folder} ({did})")
    return folder


def _counts(value: Any) -> tuple[int, ...] | None:
    """null, a number, or several. Raises ConfigError for anything else."""
    if value is None:
        return None
    counts = list(value) if isinstance(value, ListConfig) else [value]
    if not counts or not all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
        raise ConfigError(f"products_per_scene={value}: expected null, a whole number, or a list of them")
    return tuple(counts)


def summary(folder: Path) -> Table:
    """Frames, objects and products of each split."""
    table = Table("split", "scenes", "objects", "a scene", "packaged", "produce", "products", title=str(folder))
    for split in SPLITS:
        content = json.loads((folder / f"instances_{split}.json").read_text(encoding="utf-8"))
        objects = content["annotations"]
        produce = sum(entry["category_id"] == 2 for entry in objects)
        counts = (len(content["images"]), len(objects), f"{len(objects) / len(content['images']):.1f}")
        products = len({entry["product_id"] for entry in objects})
        table.add_row(split, *map(str, (*counts, len(objects) - produce, produce, products)))
    return table
