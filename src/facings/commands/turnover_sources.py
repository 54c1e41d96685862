"""Where the turnover benchmark's embeddings come from: a file, made up, or a recognition table and whatever embeds it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from torch import nn
from torch.utils.data import DataLoader

from facings.benchmark.turnover_data import (
    Embeddings,
    embed_rows,
    read_embeddings,
    synthetic_families,
    write_embeddings,
)
from facings.benchmark.turnover_sequence import days_of_rows
from facings.commands.analyze_embedder import embed
from facings.commands.first_gallery import table_reader
from facings.data.recognition import RecognitionDataset
from facings.data.tables import RecognitionRow
from facings.errors import ConfigError
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.tasks.checkpoint import load_model

SYNTHETIC = "synthetic"
KEPT = "embeddings.npz"


def read_data(cfg: DictConfig, folder: Path, console: Console) -> tuple[Embeddings, str, dict[str, str]]:
    """Embeddings, the data's name, and checksums: stored ones, made-up ones, or those of a table, which are then kept in `folder`
    as `embeddings.npz` for another run.

    Raises ConfigError where no source is given, or several; DataError, BundleError or CheckpointError for one that is at fault.
    """
    splits = {"enrol_splits": list(cfg.turnover.enrol_splits), "query_splits": list(cfg.turnover.query_splits)}
    chosen = _chosen(cfg)
    if cfg.turnover.embeddings == SYNTHETIC:
        families = int(cfg.turnover.families)
        if families < 1:
            raise ConfigError(f"turnover.families is {families}; expected 1 or more")
        return synthetic_families(families=families, seed=int(cfg.seed)), "synthetic families", {}
    if chosen == "turnover.embeddings":
        path = Path(str(cfg.turnover.embeddings))
        return read_embeddings(path, **splits), path.stem, {path.name: sha256(path)}
    source = Path(str(cfg.recognition.table))
    table = table_reader(str(cfg.turnover.reader), "turnover.reader")(str(source))
    sides = [(row, side) for row in table.rows if (side := _side(row, **splits)) is not None]
    rows, enrol = [row for row, _ in sides], np.array([side for _, side in sides], bool)
    if enrol.all() or not enrol.any():
        raise ConfigError(
            f"{source}: {enrol.sum()} rows to enrol from and {(~enrol).sum()} that ask; set turnover.enrol_splits "
            f"({', '.join(splits['enrol_splits'])}) and query_splits ({', '.join(splits['query_splits'])})"
        )
    checksums = {source.name: sha256(source)} if source.is_file() else {}
    if chosen == "bundle":
        bundle = Bundle.open(str(cfg.bundle))
        data = replace(embed_rows(Recognizer(bundle, threads=cfg.threads), rows), enrol=enrol)
        checksums[f"bundle {bundle.name}"] = sha256(bundle.path / "bundle.json")
    else:
        vectors, more = _embedded(cfg, rows, console)
        data = Embeddings(
            vectors,
            np.array([row.product_id for row in rows]),
            enrol,
            {row.product_id: row.category for row in rows},
        )
        checksums |= more
    if cfg.turnover.events:
        events = Path(str(cfg.turnover.events))
        data = replace(data, order=days_of_rows(events, rows))
        checksums[events.name] = sha256(events)
    write_embeddings(folder / KEPT, data)
    # A set in its own layout is many files; what was embedded of it is one.
    return data, source.stem, checksums | {KEPT: sha256(folder / KEPT)}


def _side(row: RecognitionRow, *, enrol_splits: Sequence[str], query_splits: Sequence[str]) -> bool | None:
    """Whether a row is an enrolment photo or a query, None for neither: by its split, and in a split that is both by its role;
    a gallery photo never asks."""
    enrols, asks = row.split in enrol_splits, row.split in query_splits
    if enrols and asks:
        return row.role != "query"
    return True if enrols else False if asks and row.role != "gallery" else None


def _chosen(cfg: DictConfig) -> str:
    """The one source that is given. Raises ConfigError for none, several, or a table that is missing."""
    given = {f"turnover.{name}": cfg.turnover[name] for name in ("embeddings", "checkpoint", "backbone")}
    given["bundle"] = None if OmegaConf.is_missing(cfg, "bundle") else cfg.bundle
    names = [name for name, value in given.items() if value]
    if len(names) != 1 or (names[0] != "turnover.embeddings" and not cfg.recognition.table):
        raise ConfigError(
            f"protocol=turnover needs turnover.embeddings=FILE.npz (or synthetic), or recognition.table=FILE.csv with one of "
            f"bundle=FOLDER, turnover.checkpoint=FILE.ckpt and turnover.backbone=NAME; got {' and '.join(names) or 'none'}"
            + ("" if cfg.recognition.table else ", no recognition.table")
        )
    return names[0]


def _embedded(
    cfg: DictConfig, rows: Sequence[RecognitionRow], console: Console
) -> tuple[NDArray[np.float32], dict[str, str]]:
    """(N, D) of the rows by a checkpoint, with its checksum, or by the frozen backbone; as evaluation shows them."""
    model: nn.Module
    if cfg.turnover.checkpoint:
        checkpoint = Path(str(cfg.turnover.checkpoint))
        model, config = load_model(checkpoint, "reid")
        size, mean, std = int(config["image_size"]), config["mean"], config["std"]
        checksums = {f"checkpoint {checkpoint.name}": sha256(checkpoint)}
    else:
        model = instantiate(cfg.turnover.frozen).eval()
        size, mean, std = int(cfg.turnover.frozen.image_size), list(cfg.turnover.mean), list(cfg.turnover.std)
        checksums = {}
    dataset = RecognitionDataset(
        rows, [0] * len(rows), image_size=size, mean=mean, std=std, margin=float(cfg.turnover.crop_margin)
    )
    loader: Any = DataLoader(dataset, batch_size=int(cfg.turnover.batch_size))
    return embed(model, track(loader, description="embedding", console=console)), checksums
