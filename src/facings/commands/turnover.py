"""`facings benchmark protocol=turnover`: the shop over many days. See docs/turnover.md."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from facings.analysis.curve_figures import png
from facings.analysis.turnover_figure import draw_turnover
from facings.benchmark.claims import claim_of
from facings.benchmark.record import write_result
from facings.benchmark.turnover import run_shop, summarise
from facings.benchmark.turnover_data import (
    Embeddings,
    embed_rows,
    read_embeddings,
    synthetic_families,
    write_embeddings,
)
from facings.benchmark.turnover_days import Protocol
from facings.commands.application import run_folder
from facings.commands.environment import command_line, write_environment
from facings.data.tables import read_recognition_table
from facings.errors import ConfigError
from facings.files import atomic_write, sha256
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.runtime.standard import Rates

SYNTHETIC = "synthetic"
AVAILABLE = (
    "relative_error", "fixed_threshold_relative_error", "coverage", "set_size", "picklist3", "correct_at_level", "leaf_share",
    "correct_when_said", "silent_share",
)  # fmt: skip


def run(cfg: DictConfig) -> dict[str, float]:
    """Run every shop, print, and write `turnover.json`, `turnover.png`. Returns the figures' values.

    Raises ConfigError, DataError or BundleError for what the user can mend.
    """
    console = Console()
    protocol, rates, seeds = settings(cfg)
    if cfg.result:
        claim_of(str(cfg.result), available=AVAILABLE)
    folder = run_folder(cfg)
    atomic_write(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=False))
    data, name, checksums = read_data(cfg, folder)
    command = command_line("benchmark")
    environment = write_environment(folder, seed=int(cfg.seed), data=checksums, command=command)
    shops = [
        run_shop(data, protocol, rates, seed=seed, classifier=bool(cfg.turnover.classifier))
        for seed in track(seeds, description="shops", console=console)
    ]
    content = {
        "schema": "facings.turnover/1",
        "data": name,
        "protocol": asdict(protocol),
        "seeds": seeds,
        **summarise(shops, rates),
        "rates": asdict(rates),
    }
    plain = _plain(content)
    atomic_write(folder / "turnover.json", json.dumps(plain, indent=2) + "\n")
    (folder / "turnover.png").write_bytes(png(draw_turnover(plain)))
    console.print(table(content["figures"], name))
    console.print(f"figure: {folder / 'turnover.png'}")
    if cfg.result:
        claim, names, _ = claim_of(str(cfg.result), available=AVAILABLE)
        fields = ("value", "low", "high")
        written = write_result(
            str(cfg.result),
            claim=claim,
            metrics={n: {f: v for f, v in content["figures"][n].items() if f in fields} for n in names},
            command=command,
            data=checksums,
            seeds=seeds,
            commit=environment["git"],
            folder=Path(cfg.paths.result_dir),
        )
        console.print(f"result: {written}")
    return {key: float(entry["value"]) for key, entry in content["figures"].items() if math.isfinite(entry["value"])}


def settings(cfg: DictConfig) -> tuple[Protocol, Rates, list[int]]:
    """Protocol, rates and seeds of a configuration. Raises ConfigError for what is out of range."""
    chosen = OmegaConf.to_container(cfg.turnover, resolve=True)
    assert isinstance(chosen, dict)
    own = {str(key): value for key, value in chosen.items()}
    try:
        protocol = Protocol(**{name: own[name] for name in Protocol.__dataclass_fields__})
        rates = Rates(**own["rates"])
    except (TypeError, ValueError) as fault:
        raise ConfigError(f"turnover: {fault}") from fault
    if int(own["seeds"]) < 1:
        raise ConfigError(f"turnover.seeds is {own['seeds']}; expected 1 or more")
    return protocol, rates, list(range(int(cfg.seed), int(cfg.seed) + int(own["seeds"])))


def read_data(cfg: DictConfig, folder: Path) -> tuple[Embeddings, str, dict[str, str]]:
    """Embeddings, the data's name, and checksums: stored ones, made-up ones, or a table's embedded by the bundle, which are then
    kept as `embeddings.npz` for another run."""
    splits = {
        "enrol_splits": list(cfg.turnover.enrol_splits),
        "query_splits": list(cfg.turnover.query_splits),
    }
    if cfg.turnover.embeddings == SYNTHETIC:
        return synthetic_families(families=40, seed=int(cfg.seed)), "synthetic families", {}
    if cfg.turnover.embeddings:
        path = Path(str(cfg.turnover.embeddings))
        return read_embeddings(path, **splits), path.stem, {path.name: sha256(path)}
    if OmegaConf.is_missing(cfg, "bundle") or not cfg.recognition.table:
        raise ConfigError(
            "protocol=turnover needs turnover.embeddings=FILE.npz (or synthetic), or bundle=FOLDER with recognition.table=FILE.csv"
        )
    table_path = Path(cfg.recognition.table)
    wanted = {name for names in splits.values() for name in names}
    rows = [row for row in read_recognition_table(table_path).rows if row.split in wanted]
    if not rows:
        raise ConfigError(
            f"{table_path}: no rows of the splits {', '.join(sorted(wanted))}; set turnover.enrol_splits, query_splits"
        )
    bundle = Bundle.open(str(cfg.bundle))
    recognizer = Recognizer(bundle, threads=cfg.threads)
    data = embed_rows(recognizer, rows, enrol_splits=splits["enrol_splits"])
    write_embeddings(folder / "embeddings.npz", data)
    checksums = {table_path.name: sha256(table_path), f"bundle {bundle.name}": sha256(bundle.path / "bundle.json")}
    return data, table_path.stem, checksums


def table(figures: Mapping[str, Mapping[str, float]], name: str) -> Table:
    """The figures for the terminal, means over days 1 to N and all shops."""
    made = Table("figure", "value", "95 % of the mean", title=f"turnover on {name}")
    for key, entry in figures.items():
        interval = f"{entry['low']:.4f} – {entry['high']:.4f}" if "low" in entry else ""
        made.add_row(key, f"{entry['value']:.4f}", interval)
    return made


def _plain(value: Any) -> Any:
    """Without what JSON cannot say: numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
