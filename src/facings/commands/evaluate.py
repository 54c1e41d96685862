"""`facings evaluate`: accuracy of a checkpoint through torch, or of a bundle through the store runtime."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import nn

from facings.benchmark.bundle_results import bundle_results
from facings.benchmark.frames import label_numbers
from facings.benchmark.rows import PROTOCOLS
from facings.commands.application import run_folder
from facings.commands.detection_details import detection_details, slices_table, write_details
from facings.commands.environment import command_line, write_environment
from facings.commands.headlines import figures_json
from facings.commands.inspection import write_inspection
from facings.commands.retrieval_details import write_retrieval
from facings.commands.train import product_paths
from facings.data.coco import CocoTable, read_coco
from facings.data.doctor.retrieval_leaks import retrieval_leaks
from facings.data.tables import RecognitionRow, read_recognition_table
from facings.errors import ConfigError
from facings.export.enrolment import embed_views, views_of_rows
from facings.files import atomic_write, sha256
from facings.metrics.retrieval import retrieval_metrics
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.tasks.checkpoint import check_targets, checkpoint_config, load_model
from facings.tasks.detection import DetectionTask, detection_figures
from facings.tasks.reid import ReidTask
from facings.tiles import Tiling

Figures = dict[str, float]


class Evaluated(NamedTuple):
    """Figures, COCO results of a detector, checksums of the data, the frames that the results are of, how they were cut;
    an embedder's retrieval in detail, with the products of its labels."""

    figures: Figures
    predictions: list[dict[str, Any]]
    checksums: dict[str, str]
    frames: CocoTable | None
    tiling: Tiling | None
    retrieval: dict[str, Any] | None = None
    products: Sequence[str] = ()


# What a checkpoint may name as its data: naming is running.
DATA_TARGETS = ("facings.data.",)
# How many queries that were given away are named; all are counted.
LISTED = 10


def run(cfg: DictConfig) -> Figures:
    """Measure, print, and write `results.json` and `predictions/`. Returns the figures.

    Raises ConfigError, CheckpointError, BundleError or DataError for what the user can mend.
    """
    if bool(cfg.checkpoint) == bool(cfg.bundle):
        raise ConfigError("give one of checkpoint=FILE.ckpt and bundle=FOLDER")
    if bool(cfg.annotations) != bool(cfg.images):
        raise ConfigError("annotations (COCO JSON) and images (the folder of its pictures) are given together")
    console = Console()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    found = evaluate_checkpoint(cfg, console) if cfg.checkpoint else evaluate_bundle(cfg, console)
    figures, predictions, checksums, frames, tiling = found[:5]
    folder = run_folder(cfg)
    atomic_write(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    write_environment(folder, seed=int(cfg.seed), data=checksums, command=command_line("evaluate"))
    if frames is not None:
        atomic_write(folder / "predictions" / "detections.json", json.dumps(predictions))
        more, tables = detection_details(frames, predictions, tiling)
        figures = {**figures, **more}
        write_details(folder, tables)
        console.print(slices_table(tables))
        write_inspection(folder, frames, predictions, frames.labels)
    if found.retrieval is not None:
        write_retrieval(folder, found.retrieval, found.products)
    atomic_write(folder / "results.json", results_json(figures))
    table = Table("figure", "value", title=str(cfg.checkpoint or cfg.bundle))
    for name, value in figures.items():
        table.add_row(name, f"{value:.4f}")
    console.print(table)
    console.print(f"results: {folder / 'results.json'}")
    return figures


def results_json(figures: Figures) -> str:
    """Of `results.json`: the figures, and by which version of the protocol they were got."""
    told = {"protocol": "evaluate", "protocol_version": PROTOCOLS["evaluate"]}
    return json.dumps(told | json.loads(figures_json(figures)), indent=2) + "\n"


def evaluate_checkpoint(cfg: DictConfig, console: Console | None = None) -> Evaluated:
    """Figures, COCO results and frames (of a detector) and data checksums, through torch. An embedder's queries that occur
    in its gallery or its training are counted and named first."""
    kind, _ = checkpoint_config(cfg.checkpoint)
    model, data, config = checkpoint_data(cfg)
    task: DetectionTask | ReidTask
    if kind == "detection":
        if not cfg.class_agnostic and list(data.labels) != list(config["labels"]):
            raise ConfigError(
                f"{data.test_table.source}: has the categories {list(data.labels)}, the checkpoint {list(config['labels'])}; "
                "class_agnostic=true takes any box for a product"
            )
        trained = config["task"]["module"]
        settings = {key: trained[key] if cfg[key] is None else cfg[key] for key in ("branch", "top_k", "nms_iou")}
        settings["data_labels"] = label_numbers(config["labels"], data.labels)
        task = DetectionTask(model, nn.Identity(), **_untrained(), **settings)
    else:
        settings = {"coarse": data.coarse_labels(), "paths": product_paths(data), "tta": cfg.tta, "rerank": cfg.rerank}
        task = ReidTask(model, nn.Identity(), **_untrained(), **settings)
    leaks = _audit(data, console or Console(quiet=True)) if kind == "reid" and cfg.audit else {}
    trainer = pl.Trainer(
        accelerator="auto", devices=1, logger=False, enable_checkpointing=False, enable_model_summary=False
    )
    trainer.test(task, datamodule=data, verbose=False)
    if isinstance(task, DetectionTask):
        return Evaluated(dict(task.results), task.predictions, data.checksums(), data.test_table, data.tiling)
    return Evaluated(
        {**task.results, **leaks}, [], data.checksums(), None, None, task.report, [str(name) for name in data.products]
    )


def checkpoint_data(cfg: DictConfig) -> tuple[nn.Module, Any, dict[str, Any]]:
    """A checkpoint's model, the data module it is asked about, and the configuration of its training."""
    kind, _ = checkpoint_config(cfg.checkpoint)
    model, config = load_model(cfg.checkpoint, kind, image_size=cfg.image_size)
    source = _data_config(cfg, kind, config)
    check_targets(source, DATA_TARGETS, source=str(cfg.checkpoint))
    return model, instantiate(OmegaConf.create(source)), config


def _audit(data: Any, console: Console) -> Figures:
    """How many queries were given away: the same crop, or nearly, stands in the gallery or was trained on."""
    asked = {_place(row) for row in data.test_rows}
    # In leave-one-out the queries are their own gallery, and none of them finds itself.
    gallery = [row for row in data.gallery_rows if _place(row) not in asked]
    # Rows may be asked that were also trained on, as when a training is asked about itself: that is plain, and no leak.
    trained = [row for row in data.train_rows if _place(row) not in asked]
    others = list({_place(row): row for row in [*trained, *gallery]}.values())
    audit = retrieval_leaks(data.test_rows, others)
    for line in audit.lines(data.test_rows, others)[:LISTED]:
        console.print(f"[yellow]{line}[/]")
    return audit.figures()


def _place(row: RecognitionRow) -> tuple[Any, ...]:
    return row.path, row.box


def evaluate_bundle(cfg: DictConfig, console: Console) -> Evaluated:
    """The same of an exported bundle, through the store runtime."""
    if not cfg.annotations and not cfg.table:
        raise ConfigError("a bundle is asked about annotations=FILE.json images=FOLDER, table=FILE.csv, or both")
    bundle = Bundle.open(str(cfg.bundle))
    recognizer = Recognizer(bundle, threads=cfg.threads)
    figures: Figures = {}
    predictions: list[dict[str, Any]] = []
    checksums: dict[str, str] = {}
    frames: CocoTable | None = None
    if cfg.annotations:
        if not bundle.has("detector"):
            raise ConfigError(
                f"{bundle.path}: has no detector; leave out annotations, or export one with detector=CHECKPOINT"
            )
        frames = read_coco(cfg.annotations, cfg.images, class_agnostic=bool(cfg.class_agnostic))
        with Progress(console=console) as progress:
            task = progress.add_task("frames", total=len(frames.images))
            predictions = bundle_results(recognizer, frames, advance=lambda: progress.advance(task))
        figures |= detection_figures(frames.ground_truth(), predictions, boundary=True)
        checksums[frames.source.name] = frames.checksum()
    if cfg.table:
        figures |= _retrieve(recognizer, cfg, console)
        checksums[Path(cfg.table).name] = sha256(Path(cfg.table))
    return Evaluated(figures, predictions, checksums, frames, recognizer.tiling)


def _data_config(cfg: DictConfig, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint's own data, or the user's in its place."""
    source: dict[str, Any] = {**config["data"], "eval_batch_size": int(cfg.batch_size)}
    if kind == "detection" and cfg.annotations:
        own = {"annotations": str(cfg.annotations), "images": str(cfg.images)}
        source |= {"train": own, "val": own, "test": own}
    if kind == "reid" and cfg.table:
        gallery = {"split": cfg.table_split, "role": cfg.gallery_role}
        query = {"split": cfg.table_split, "role": cfg.table_role}
        source |= {"train": gallery, "gallery": gallery, "val": query, "test": query}
        source["table"] = {"_target_": "facings.data.tables.read_recognition_table", "path": str(cfg.table)}
    if kind == "reid":
        rows = {"gallery": cfg.gallery, "test": cfg.queries}
        source |= {name: OmegaConf.to_container(value) for name, value in rows.items() if value is not None}
    if cfg.image_size is not None:
        source["image_size"] = int(cfg.image_size)
    if kind == "detection":
        # Evaluation draws no batches of its own: what training wanted of the data need not hold for other data.
        source |= {"copy_paste": 0.0, "mosaic": 0.0}
        source |= {"class_agnostic": True} if cfg.class_agnostic else {}
        source |= {"tiles": OmegaConf.to_container(cfg.tiles)} if cfg.tiles is not None else {}
    return source


def _untrained() -> dict[str, Any]:
    """What a task wants for training, which evaluation never asks for."""
    return {"optimizer": torch.optim.SGD, "scheduler": torch.optim.lr_scheduler.ConstantLR, "learning_rate": 0.0}


def _retrieve(recognizer: Recognizer, cfg: DictConfig, console: Console) -> Figures:
    """R@1, R@5, mAP@R of the table's queries against the bundle's gallery; `not_enrolled` queries count as wrong."""
    gallery = recognizer.gallery
    if gallery is None:
        raise ConfigError(f"{cfg.bundle}: has no gallery to look for the table's products in")
    rows = read_recognition_table(cfg.table).select(split=cfg.table_split, role=cfg.table_role)
    views = views_of_rows(rows)
    with Progress(console=console) as progress:
        task = progress.add_task("crops", total=len(views))
        queries = embed_views(recognizer, views, lambda: progress.advance(task))
    index = {name: number for number, name in enumerate(gallery.items)}
    labels: NDArray[np.int64] = np.array([index.get(row.product_id, -1) for row in rows], np.int64)
    figures = retrieval_metrics(queries, labels, gallery.vectors, gallery.item)
    return figures | {"queries": float(len(rows)), "not_enrolled": float((labels < 0).sum())}
