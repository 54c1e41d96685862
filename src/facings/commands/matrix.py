"""`facings benchmark` on lists: every bundle on every dataset, each pair in a folder of its own, and one table of all of them.

A pair that fails is named in the table, and the others go on.
"""

import json
import os
import re
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from facings.benchmark.matrix import HEADLINES, Cell, figure_row, less_is_better, shown_figure
from facings.benchmark.record import machine
from facings.benchmark.rows import FILE, PROTOCOLS
from facings.commands.application import run_folder, user_message
from facings.commands.benchmark_data import with_dataset
from facings.commands.environment import command_line, write_environment
from facings.commands.matrix_table import (
    entry,
    markdown,
    matrix_table,
    verdict_notes,
    verdict_table,
    verdicts_by_dataset,
)
from facings.commands.protocols import plain
from facings.commands.subject_bundles import EXPORTED, bundle_folder
from facings.errors import ConfigError, FacingsError
from facings.files import atomic_write

SCHEMA = "facings.benchmark-matrix/1"
# The only dataset of a protocol that draws its pictures itself.
DRAWN = "drawn"
One = Callable[[DictConfig, str], Mapping[str, float]]


def run(cfg: DictConfig, one: One) -> dict[str, float]:
    """Run every pair by `one`, print, and write `matrix.json` and `matrix.md`. All rows go to one results file.

    Returns the shown figure of each pair that was finished, as `BUNDLE/DATASET`. Raises ConfigError for lists that cannot be read
    before anything is run, and after all of them FacingsError where a pair failed.
    """
    console = Console()
    if cfg.result:
        raise ConfigError(
            "result wants one bundle and one dataset; a list's figures stand in matrix.json and benchmark.jsonl"
        )
    datasets = read_datasets(cfg)
    folder = run_folder(cfg)
    atomic_write(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    environment = write_environment(folder, seed=int(cfg.seed), data={}, command=command_line("benchmark"))
    bundles = open_bundles(cfg, folder / EXPORTED)
    cells: dict[str, dict[str, Cell]] = {name: {} for name in bundles}
    begun, total = time.monotonic(), len(bundles) * len(datasets)
    for number, (bundle, dataset) in enumerate((b, d) for b in bundles for d in datasets):
        console.rule(
            f"{number + 1} of {total}: {bundle} on {dataset}{_times(time.monotonic() - begun, number, total)}",
            align="left",
        )
        cells[bundle][dataset] = _cell(cfg, bundles[bundle], datasets[dataset], folder / bundle / dataset, folder, one)
        if (fault := cells[bundle][dataset].fault) is not None:
            console.print(f"failed: {fault}", style="red", markup=False)
    figure, notes = _figure(cfg, cells)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "protocol": str(cfg.protocol),
        "protocol_version": PROTOCOLS[cfg.protocol],
        "figure": figure,
        "less_is_better": figure is not None and less_is_better(figure),
        "datasets": list(datasets),
        **entry(cells, figure),
        "verdicts": verdicts_by_dataset(cfg, folder, cells),
        "notes": notes,
        "command": command_line("benchmark"),
        "commit": environment["git"],
        "seed": int(cfg.seed),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    content = plain(content)
    atomic_write(folder / "matrix.md", markdown(content))
    atomic_write(folder / "matrix.json", json.dumps(content, indent=2) + "\n")
    console.rule("all pairs", align="left")
    console.print(matrix_table(content))
    if (table := verdict_table(content)) is not None:
        console.print(table)
    for note in [*verdict_notes(content), *notes]:
        console.print(note, style="yellow", markup=False)
    console.print(f"all pairs: {folder / 'matrix.json'}, {folder / 'matrix.md'}", soft_wrap=True, markup=False)
    failed = [
        f"{b} on {d}: {cell.fault}" for b, row in cells.items() for d, cell in row.items() if cell.fault is not None
    ]
    if failed:
        raise FacingsError(f"{len(failed)} of {total} pairs failed:\n" + "\n".join(failed))
    return {
        f"{bundle}/{dataset}": float(cell["value"])
        for bundle, row in content["cells"].items()
        for dataset, cell in row.items()
        if cell.get("value") is not None
    }


def read_datasets(cfg: DictConfig) -> dict[str, DictConfig]:
    """Name → the configuration that asks this dataset. Without a list: what the configuration asks already.

    Raises ConfigError for an entry that cannot be read, and where two have one name, or one that is no folder's.
    """
    if cfg.protocol == "scale":
        if cfg.datasets:
            raise ConfigError("protocol=scale draws its own pictures; leave datasets out, and give bundles alone")
        return {DRAWN: cfg}
    if not cfg.datasets:
        return {_folder_name(own_name(cfg), "the data"): cfg}
    if cfg.recognition.table:
        raise ConfigError(
            "recognition.table with datasets: write it as recognition: {table: …} into the entry it belongs to"
        )
    found: dict[str, DictConfig] = {}
    for number, asked in enumerate(cfg.datasets):
        made = with_dataset(cfg, asked)
        name = _folder_name(str(made.data.name), f"datasets[{number}]")
        if name in found:
            raise ConfigError(f"datasets: two have the name {name!r}; give each its own")
        found[name] = made
    return found


def own_name(cfg: DictConfig) -> str:
    """What the data of one run are called: a shop that comes and goes is of a table, not of pictures."""
    if cfg.protocol == "turnover":
        return Path(str(cfg.recognition.table or cfg.turnover.embeddings or cfg.data.name)).stem
    return str(cfg.data.name)


def open_bundles(cfg: DictConfig, folder: Path) -> dict[str, Path | str]:
    """Name → the bundle's folder, or why there is none. Raises ConfigError where two have one name, or none is given."""
    asked = list(cfg.bundles) if cfg.bundles else [] if OmegaConf.is_missing(cfg, "bundle") else [cfg.bundle]
    if not asked:
        raise ConfigError("datasets are given without a bundle: facings benchmark bundles=[FOLDER,…] or bundle=FOLDER")
    found: dict[str, Path | str] = {}
    for number, given in enumerate(asked):
        try:
            made = bundle_folder(given, cfg, folder)
        except FacingsError as fault:
            # No folder is made of it, so that what was given can be its name: many checkpoints are called best.ckpt.
            found[f"{_file_of(given)}{f' #{number + 1}' if _file_of(given) in found else ''}"] = str(fault)
            continue
        name = _folder_name(made.resolve().name, f"bundles[{number}]")
        if name in found:
            raise ConfigError(f"bundles: two have the name {name!r}; export one of them under another")
        found[name] = made
    return found


def _file_of(given: Any) -> str:
    """What an entry names: itself, or of a mapping its first file."""
    if not OmegaConf.is_config(given):
        return str(given)
    files = [given[role] for role in ("onnx", "detector", "embedder") if given.get(role)]
    return str(files[0]) if files else str(given)


def _folder_name(name: str, where: str) -> str:
    if not re.fullmatch(r"[^/\\\x00]+", name) or name in (".", "..", EXPORTED):
        raise ConfigError(f"{where}: is named {name!r}, which cannot be a folder's name; give it another")
    return name


def _cell(cfg: DictConfig, bundle: Path | str, asking: DictConfig, folder: Path, home: Path, one: One) -> Cell:
    """One pair, run in `folder`, a part of the run's folder `home`."""
    if isinstance(bundle, str):
        return Cell(fault=bundle)
    own = OmegaConf.create(OmegaConf.to_container(asking, resolve=False))
    assert isinstance(own, DictConfig)
    ledger = Path(cfg.append_to) if cfg.append_to else home
    own.bundle, own.bundles, own.datasets = str(bundle), [], []
    own.paths.output_dir, own.append_to = str(folder), str(ledger)
    before = (ledger / FILE).stat().st_size if (ledger / FILE).is_file() else 0
    try:
        one(own, folder.relative_to(home).as_posix())
    except Exception as fault:
        message = user_message(fault)
        if message is None:
            # A fault of ours: the other pairs are still worth having, and so is where it came from.
            atomic_write(folder / "error.txt", traceback.format_exc())
            message = f"{type(fault).__name__}: {fault}; see {folder / 'error.txt'}"
        return Cell(fault=message)
    return Cell(_rows_of(ledger / FILE, before, os.path.relpath(folder, ledger)))


def _rows_of(path: Path, start: int, run: str) -> list[dict[str, Any]]:
    """Rows of a run that were appended behind the first `start` bytes; other runs may write there at the same time."""
    with path.open("rb") as file:
        file.seek(start)
        rows: list[dict[str, Any]] = [json.loads(line) for line in file.read().decode("utf-8").splitlines() if line]
    return [row for row in rows if row["run"] == run]


def _figure(cfg: DictConfig, cells: Mapping[str, Mapping[str, Cell]]) -> tuple[str | None, list[str]]:
    """The figure that the table shows, and what is to be said of it."""
    figure, notes = shown_figure(cells, HEADLINES[cfg.protocol]), []
    if cfg.figure is not None and shown_figure(cells, [str(cfg.figure)]) is None:
        known = sorted({str(row["metric"]) for of in cells.values() for cell in of.values() for row in cell.rows})
        notes.append(f"figure={cfg.figure}: no pair has it; they have {', '.join(known) or 'none'}")
    elif cfg.figure is not None:
        figure = str(cfg.figure)
    for bundle, of in cells.items():
        for dataset, cell in of.items():
            row = figure_row(cell.rows, figure) if figure is not None else None
            if row is not None and row["slice"].get("disturbed"):
                notes.append(f"{bundle} on {dataset}: other programs ran while it was timed")
    return figure, notes


def _times(seconds: float, done: int, total: int) -> str:
    """What it took so far, and from the mean of the pairs that are done, what is left."""
    if not done:
        return ""
    so_far, left = (timedelta(seconds=round(value)) for value in (seconds, seconds / done * (total - done)))
    return f", {so_far} so far, about {left} left"
