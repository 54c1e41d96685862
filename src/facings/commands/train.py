"""`facings train`: compose, fit, evaluate, and leave a run folder that can be repeated and resumed."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table
from torch import nn

from facings.benchmark.record import write_result
from facings.commands.application import relaunchable, run_folder
from facings.commands.detection_details import detection_details, write_details
from facings.commands.environment import command_line, write_environment
from facings.commands.headlines import figures_json, training_claim
from facings.commands.inspect import tested_in_part
from facings.commands.inspection import TrainingBatchesSheet, write_inspection
from facings.commands.retrieval_details import write_retrieval
from facings.data.class_balance import balanced_weights
from facings.data.doctor.quick import cheap_checks, cheap_row_checks
from facings.errors import CheckpointError, ConfigError, DataError
from facings.files import atomic_write
from facings.tasks.allocator import keep_freed_memory
from facings.tasks.batch_size import batches_of, find_batch_size
from facings.tasks.callbacks import RecordConfig
from facings.tasks.checkpoint import load_fitting_weights, load_weights, read_checkpoint
from facings.tasks.reid import ReidTask

# What data.batch_size=auto never goes beyond.
LARGEST_BATCH = 256


def run(cfg: DictConfig) -> dict[str, float]:
    """Train what the configuration says. Returns the test (or, without test, validation) figures.

    Raises ConfigError, DataError or CheckpointError for what the user can mend.
    """
    start = time.monotonic()
    # Under trainer=ddp every process comes by here; the first one writes and prints.
    first = getattr(rank_zero_only, "rank", 0) == 0
    console = Console(quiet=not first)
    folder = run_folder(cfg)
    torch.set_float32_matmul_precision("high")
    if not torch.cuda.is_available():
        keep_freed_memory()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    automatic = OmegaConf.select(cfg, "data.batch_size") == "auto"
    data = instantiate(cfg.data, **({"batch_size": 1} if automatic else {}))
    if cfg.check_data:
        _refuse_spoiled(data)
    if hasattr(data, "labels"):
        with open_dict(cfg):
            cfg.labels = list(data.labels)
            cfg.num_classes = len(data.labels)
    if cfg.task.name == "reid" and OmegaConf.select(cfg, "model.categories") is not None:
        with open_dict(cfg):
            cfg.model.categories.paths = product_paths(data)[: data.num_train_products]
    model = build_model(cfg)
    task = build_task(cfg, data, model)
    if automatic:
        # Into the configuration too, so that the run can be repeated.
        cfg.data.batch_size = data.batch_size = _largest_batch(cfg, task, data)
        console.print(f"data.batch_size=auto: {data.batch_size}")
    resolved = plain_config(cfg)
    environment: dict[str, Any] = {}
    if first:
        atomic_write(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved), resolve=True))
        environment = write_environment(folder, seed=cfg.seed, data=data.checksums(), command=command_line("train"))
    if cfg.dry_run:
        dry_run(task, data, console)
        return {}
    resume, before = _starting_point(cfg, task, console)

    def spent() -> float:
        return before + (time.monotonic() - start) / 60

    trainer = build_trainer(cfg, resolved, spent)
    console.print(f"[bold]{cfg.run_name}[/]: run folder {folder}")
    _fit(trainer, task, data, resume, folder)
    figures = _final_figures(cfg, trainer, task, data)
    figures["minutes"] = spent()
    if not first:
        return figures
    _save_predictions(task, data, folder, partial=tested_in_part(resolved))
    atomic_write(folder / "results.json", figures_json(figures))
    console.print(results_table(str(cfg.run_name), figures))
    console.print(f"checkpoint: {best_checkpoint(folder)}")
    if cfg.result:
        claim = training_claim(str(cfg.result), figures, task)
        write_result(
            str(cfg.result),
            **claim,
            command=command_line("train"),
            data=data.checksums(),
            seeds=[int(cfg.seed)],
            commit=environment["git"],
            folder=Path(cfg.paths.result_dir),
        )
    return figures


def _refuse_spoiled(data: Any) -> None:
    """Raises DataError where the annotations hold what would spoil the training, or its figures, in silence."""
    reasons: list[str] = []
    if hasattr(data, "train_table"):
        source, reasons = data.train_table.source, cheap_checks(data.train_table, test=data.val_table)
    elif hasattr(data, "train_rows"):
        judged = [*data.val_rows, *data.test_rows]
        source, reasons = data.table.source, cheap_row_checks(data.train_rows, judged=judged)
    if reasons:
        raise DataError(
            f"{source}: would spoil the training:\n  "
            + "\n  ".join(reasons)
            + "\ntrain all the same with check_data=false"
        )


def build_model(cfg: DictConfig) -> nn.Module:
    """The untrained model of a configuration; the number of classes follows from the data's labels."""
    model: nn.Module = instantiate(cfg.model)
    return model


def build_task(cfg: DictConfig, data: Any, model: nn.Module) -> pl.LightningModule:
    """The LightningModule around the model, its loss and its optimizer."""
    optimizer, scheduler = instantiate(cfg.optimizer), instantiate(cfg.scheduler)
    if cfg.task.name == "reid":
        trained = data.num_train_products
        loss = instantiate(cfg.loss)(
            num_classes=trained, embedding_size=model.dimension, categories=data.category_paths()[:trained]
        )
        extra: dict[str, Any] = {"coarse": data.coarse_labels(), "paths": product_paths(data)}
    else:
        loss = instantiate(cfg.loss, **_class_weights(cfg, data))
        extra = {}
    return instantiate(  # type: ignore[no-any-return]
        cfg.task.module, model=model, loss=loss, optimizer=optimizer, scheduler=scheduler, **extra
    )


def product_paths(data: Any) -> list[list[str]]:
    """Each product's categories from coarse to fine with its id last, in label order."""
    return [[*path, product] for path, product in zip(data.category_paths(), data.products, strict=True)]


def _class_weights(cfg: DictConfig, data: Any) -> dict[str, list[float]]:
    """What `loss.class_weights=balanced` stands for; a list of another length than the labels is refused."""
    wanted = OmegaConf.select(cfg, "loss.class_weights")
    if wanted is None:
        return {}
    if wanted == "balanced":
        return {"class_weights": balanced_weights(data.train_table.class_counts())}
    if isinstance(wanted, str) or len(wanted) != len(data.labels):
        raise ConfigError(
            f"loss.class_weights={wanted}: expected balanced, null, or {len(data.labels)} numbers, one for each of "
            f"{', '.join(data.labels)}"
        )
    return {}


def build_trainer(cfg: DictConfig, resolved: Mapping[str, Any], spent: Callable[[], float]) -> pl.Trainer:
    """The Lightning trainer with the configured callbacks and loggers, and the record in every checkpoint. `spent`: minutes."""
    callbacks = [instantiate(node) for node in cfg.callbacks.values() if node is not None]
    callbacks.append(RecordConfig(str(cfg.task.name), resolved, spent))
    if cfg.task.name == "detection":
        callbacks.append(TrainingBatchesSheet(Path(cfg.paths.output_dir), cfg.mean, cfg.std, resolved["labels"]))
    loggers = [instantiate(node) for node in cfg.logger.values() if node is not None]
    trainer: pl.Trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)
    return trainer


def plain_config(cfg: DictConfig) -> dict[str, Any]:
    """The configuration with every reference resolved."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def dry_run(task: pl.LightningModule, data: Any, console: Console) -> None:
    """Build one batch, print its shapes, pass it through the loss once, and print the model's parts."""
    batch = next(iter(data.train_dataloader()))
    table = Table("entry", "shape", "type", title="one training batch")
    for key, value in batch.items():
        shape = tuple(value.shape) if hasattr(value, "shape") else f"list of {len(value)}"
        table.add_row(key, str(shape), str(getattr(value, "dtype", type(value).__name__)))
    console.print(table)
    console.print(pl.utilities.model_summary.ModelSummary(task, max_depth=2))
    console.print("dry run: nothing was trained")


def best_checkpoint(folder: Path) -> Path:
    """The best checkpoint of a run, or its last where no validation ran."""
    for name in ("best.ckpt", "last.ckpt"):
        if (folder / "checkpoints" / name).is_file():
            return folder / "checkpoints" / name
    raise CheckpointError(f"{folder}/checkpoints: holds neither best.ckpt nor last.ckpt; did the training finish?")


def results_table(title: str, figures: Mapping[str, float]) -> Table:
    """Figures as a table for the terminal."""
    table = Table("figure", "value", title=title)
    for name, value in figures.items():
        table.add_row(name, f"{value:.4f}")
    return table


def _largest_batch(cfg: DictConfig, task: pl.LightningModule, data: Any) -> int:
    """What `data.batch_size=auto` stands for: on the device and in the precision of the training, at the largest size that
    multi-scale training shows, and no more than an epoch holds.

    Raises ConfigError for several processes, whose machines may differ.
    """
    trainer = instantiate(cfg.trainer, callbacks=[], logger=False)
    if trainer.world_size > 1:
        raise ConfigError("data.batch_size=auto finds the size for one process; for several give a number")
    loader = data.train_dataloader()
    scales = getattr(task, "multi_scale", None)
    if scales is not None:
        task.multi_scale = (scales[1], scales[1])  # type: ignore[assignment]
    found = find_batch_size(
        task,
        batches_of(loader),
        largest=min(LARGEST_BATCH, len(loader.sampler)),
        device=trainer.strategy.root_device,
        context=trainer.precision_plugin.forward_context,
    )
    if scales is not None:
        task.multi_scale = scales
    return found


def _starting_point(cfg: DictConfig, task: pl.LightningModule, console: Console) -> tuple[str | None, float]:
    """Check `resume` and load `initial_weights`; returns the checkpoint for the trainer to go on from, and the minutes until it."""
    if cfg.resume and cfg.initial_weights:
        raise ConfigError(
            "resume and initial_weights are both set: the first goes on, the second starts anew; give one"
        )
    if cfg.initial_weights:
        content = read_checkpoint(cfg.initial_weights)
        anew = load_fitting_weights(task.model, content["state_dict"], source=str(cfg.initial_weights))  # type: ignore[arg-type]
        if anew:
            console.print(
                f"{cfg.initial_weights}: {len(anew)} weights do not fit and start anew: {', '.join(anew[:4])} …"
            )
    if not cfg.resume:
        return None, 0.0
    content = read_checkpoint(cfg.resume)
    kind = content["facings"]["task"]
    if kind != cfg.task.name:
        raise CheckpointError(f"{cfg.resume}: holds a {kind} run; this experiment is {cfg.task.name}")
    load_weights(task.model, content["state_dict"], source=str(cfg.resume))  # type: ignore[arg-type]
    # Checkpoints from before 2026-11-26 do not tell theirs.
    return str(cfg.resume), float(content["facings"].get("minutes", 0.0))


def _fit(trainer: pl.Trainer, task: pl.LightningModule, data: Any, resume: str | None, folder: Path) -> None:
    """Fit; after Ctrl-C say how to go on, and leave with 130."""
    try:
        with relaunchable("train"):
            trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
    except (KeyboardInterrupt, SystemExit):
        last = folder / "checkpoints" / "last.ckpt"
        hint = f"go on with the same command and resume={last}" if last.is_file() else "no epoch was finished yet"
        Console(stderr=True).print(f"interrupted in epoch {trainer.current_epoch}: {hint}")
        raise SystemExit(130) from None


def _final_figures(cfg: DictConfig, trainer: pl.Trainer, task: pl.LightningModule, data: Any) -> dict[str, float]:
    """Test figures of the best weights, else the last validation's."""
    if not cfg.test or not hasattr(data, "test_dataloader"):
        return {name: float(value) for name, value in trainer.callback_metrics.items()}
    # Processes that a cluster started have folders of their own; the checkpoints lie in the first one's.
    checkpoint = best_checkpoint(Path(trainer.strategy.broadcast(str(cfg.paths.output_dir))))
    load_weights(task.model, read_checkpoint(checkpoint)["state_dict"], source=str(checkpoint))  # type: ignore[arg-type]
    trainer.test(task, datamodule=data, verbose=False)
    names = {name.removeprefix("test/"): value for name, value in trainer.callback_metrics.items()}
    return {name: float(value) for name, value in names.items() if "/" not in name}


def _save_predictions(task: pl.LightningModule, data: Any, folder: Path, *, partial: bool) -> None:
    """A detector's predictions of the test split, its accuracy by slice, and what is worth a look; an embedder's retrieval in
    detail."""
    if isinstance(task, ReidTask) and task.report is not None:
        write_retrieval(folder, task.report, data.products)
    predictions = getattr(task, "predictions", None)
    if predictions is None:
        return
    atomic_write(folder / "predictions" / "test.json", json.dumps(predictions))
    if predictions and not partial:
        write_details(folder, detection_details(data.test_table, predictions, data.tiling)[1])
    if predictions:
        # Under debug=fast only a part of the split was looked at.
        write_inspection(folder, data.test_table, predictions, data.labels, only_predicted=partial)
