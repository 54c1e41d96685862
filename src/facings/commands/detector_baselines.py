"""The detectors of one table: trained on the same terms, judged on the same pictures, timed in turn.

Knows how `facings train` and `facings evaluate` are asked; which models there are stands in the benchmark's room.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from facings.benchmark.detector_baselines import (
    BACKBONE,
    CANDIDATES,
    DENSE,
    OWN_LOSSES,
    Candidate,
)
from facings.benchmark.turns import median_of, time_in_turn
from facings.commands.application import run_inside, user_message
from facings.commands.composition import check_overrides, compose_verb
from facings.commands.detection_records import REPEATS, Judged, Metrics
from facings.commands.train import best_checkpoint, build_model, plain_config
from facings.config import config_dir
from facings.errors import ConfigError, DataError
from facings.metrics.average_precision import paired_intervals
from facings.metrics.bootstrap import Difference
from facings.runtime.images import read_image
from facings.tasks.checkpoint import load_model
from facings.tasks.detection import check_capacity

DENSE_CLASS = "DenseDetector"


@dataclass(frozen=True)
class Terms:
    """What all trainings of a table have in common. `epochs` None: as many as the experiment has; `words`: further overrides
    of `facings train`; `logs`: the folder in which each model has its run."""

    experiment: str
    data_dir: str
    logs: Path
    epochs: int | None = None
    words: tuple[str, ...] = ()

    @cached_property
    def shared(self) -> list[str]:
        """Overrides of every training. Raises ConfigError for an experiment that is not of the dense detector.

        Validation comes once, at the end: nobody chooses among epochs by the pictures that are asked afterwards.
        """
        words = [f"experiment={self.experiment}", f"paths.data_dir={self.data_dir}", "logger=csv"]
        cfg = composed([*words, *self.words])
        kind = str(cfg.model["_target_"]).rpartition(".")[2]
        if kind != DENSE_CLASS:
            raise ConfigError(
                f"--experiment {self.experiment}: trains {kind}; give one of the dense detector, the baselines take over the rest"
            )
        epochs = self.epochs or int(cfg.trainer.max_epochs)
        once = [f"trainer.max_epochs={epochs}", f"trainer.check_val_every_n_epoch={epochs}", "trainer.max_time=null"]
        return [*words, *once]

    def folder(self, candidate: Candidate) -> Path:
        """Where the model's run lies."""
        return self.logs.resolve() / candidate.name

    def overrides(self, candidate: Candidate) -> list[str]:
        """Overrides of `facings train` for one model."""
        own = [] if candidate.name == DENSE else [*OWN_LOSSES, *own_model(self.experiment, candidate.name)]
        return [*self.shared, f"model=detector/{candidate.name}", *own, *candidate.settings, *self.words]

    def config(self, candidate: Candidate, labels: Sequence[str] = ()) -> DictConfig:
        """What `facings train` makes of the overrides and the data's labels."""
        if candidate not in self._configs:
            self._configs[candidate] = composed(self.overrides(candidate), output_dir=self.folder(candidate))
        cfg = deepcopy(self._configs[candidate])
        cfg.labels, cfg.num_classes = list(labels), len(labels)
        return cfg

    @cached_property
    def _configs(self) -> dict[Candidate, DictConfig]:
        """What was composed already: that takes a moment each."""
        return {}

    def data(self) -> Any:
        """The data module, which is the same for all. Raises DataError or ConfigError where it cannot be read."""
        try:
            return instantiate(self.config(CANDIDATES[DENSE]).data)
        except Exception as fault:
            reason = user_message(fault)
            if reason is None:
                raise
            raise DataError(reason) from fault


def composed(words: Sequence[str], *, output_dir: Path | None = None) -> DictConfig:
    """The configuration of a training. Raises ConfigError, with near names, for an override that does not fit."""
    try:
        return compose_verb("train", words, output_dir=output_dir)
    except HydraException:
        check_overrides("train", words)
        raise


def own_model(experiment: str, name: str) -> list[str]:
    """Overrides that leave a model as its own file has it, but for the backbone, where an experiment sets the dense one's."""
    own = as_written(OmegaConf.load(config_dir() / "model" / "detector" / f"{name}.yaml"))
    cfg = compose_verb("train", [f"experiment={experiment}", f"model=detector/{name}"])
    found = as_written(cfg.model)
    words = [f"~model.{key}" for key in found if key not in own]
    changed = [key for key in own if found[key] != own[key] and key not in BACKBONE]
    return words + [f"model.{key}={json.dumps(own[key])}" for key in changed]


def as_written(node: Any) -> dict[str, Any]:
    """A configuration as plain values, references left as they are."""
    plain = OmegaConf.to_container(node, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def obstacle(candidate: Candidate, terms: Terms, data: Any) -> str | None:
    """Why a baseline cannot be trained here, in words: its package is missing, or the data are not for it; else None.

    Raises ConfigError for the dense detector, which every table is about.
    """
    if candidate.outlines and not data.train_table.outlined:
        return "learns from outlines, and the data have none"
    cfg = terms.config(candidate, data.labels)
    cfg.model.pretrained = "none"
    try:
        model: Any = build_model(cfg)
        check_capacity(min(cfg.task.module.top_k, model.num_anchors), data.crowding())
    except Exception as fault:
        reason = user_message(fault)
        if reason is None:
            raise
        if candidate.name == DENSE:
            raise ConfigError(f"{candidate.name}: {reason}") from fault
        return reason
    return None


def is_finished(candidate: Candidate, terms: Terms, labels: Sequence[str]) -> bool:
    """True where its run has ended. Raises ConfigError for one that was trained otherwise than it would be now."""
    folder = terms.folder(candidate)
    if not (folder / "results.json").is_file():
        return False
    saved = as_written(OmegaConf.load(folder / "config.yaml"))
    wanted = plain_config(terms.config(candidate, labels))
    found = first_difference(portable(saved), portable(wanted))
    if found is not None:
        raise ConfigError(f"{folder}: was trained with other settings ({found}); remove it, or choose another --logs")
    return True


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved configuration as `dotted.key` → value, without the folders that run and data lie in."""
    homes = (str(config["paths"]["output_dir"]), str(config["paths"]["data_dir"]))
    flat: dict[str, Any] = {}

    def visit(node: Any, key: str) -> None:
        if isinstance(node, Mapping) and node:
            for name, value in node.items():
                visit(value, f"{key}.{name}" if key else str(name))
        elif isinstance(node, str):
            home = next((home for home in homes if node == home or node.startswith(home + "/")), "")
            flat[key] = node.removeprefix(home)
        else:
            flat[key] = node

    visit({key: value for key, value in config.items() if key != "paths"}, "")
    return flat


def first_difference(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """The first key in which two flat configurations differ, with both values; None where they are the same.

    >>> first_difference({"a": 1, "seed": 0}, {"a": 1, "seed": 1})
    'seed: 0, now 1'
    """
    for key in sorted({*saved, *wanted}):
        before, now = saved.get(key, "not set"), wanted.get(key, "not set")
        if before != now:
            return f"{key}: {before}, now {now}"
    return None


def train(candidate: Candidate, terms: Terms) -> None:
    """Run `facings train`; what an interrupted one left behind is written over. Raises ConfigError where it fails."""
    words = [*terms.overrides(candidate), f"hydra.run.dir={terms.folder(candidate)}"]
    run_inside(
        "train", words, failed=f"{candidate.name}: its training failed, for the reason above; --models leaves it out"
    )


def minutes_of(folder: Path) -> float:
    """How long a finished training took, with reading the data and the one evaluation."""
    return float(json.loads((folder / "results.json").read_text(encoding="utf-8"))["minutes"])


def pictures(data: Any, terms: Terms) -> int:
    """How many training pictures each model is shown."""
    epochs = terms.config(CANDIDATES[DENSE]).trainer.max_epochs
    count = data.samples_per_epoch or len(data.train_table.images)
    return int(epochs * (count // data.batch_size) * data.batch_size)


def figures_of(judged: Judged, dense: Judged | None, model: nn.Module) -> tuple[Metrics, Difference | None]:
    """What a model's checkpoint reached, and its difference to the dense one's box AP (None for that one itself)."""
    metrics: Metrics = {name: judged.metric(name) for name in ("ap", "ap50")}
    if "mask_ap" in judged.figures:
        metrics["mask_ap"] = judged.metric("mask_ap", "segm")
    metrics["minutes"] = {"value": judged.minutes}
    metrics["parameters"] = {"value": sum(parameter.numel() for parameter in model.parameters()) / 1e6}
    if dense is None or dense is judged:
        return metrics, None
    difference = paired_intervals(judged.drawn("bbox"), dense.drawn("bbox"), repeats=REPEATS)["ap"]
    metrics["ap_difference"] = {"value": difference.value, "low": difference.low, "high": difference.high}
    return metrics, difference


def load_trained(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The best model of a run, and how it is asked: `branch`, `top_k`, `nms_iou`."""
    model, config = load_model(best_checkpoint(folder), "detection")
    return model, {key: config["task"]["module"][key] for key in ("branch", "top_k", "nms_iou")}


def time_models(
    models: Mapping[str, tuple[nn.Module, Mapping[str, Any]]],
    data: Any,
    *,
    rounds: int,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Metrics, float]:
    """`ms` of each model for one test picture at the input's size through torch on one thread, from pixels to boxes (and
    masks as the model gives them); and what other programs took of the processor meanwhile, 0–1."""
    inputs = [_pixels(data, image.path) for image in data.test_table.images[:rounds]]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runs = {name: _run(model, options, inputs) for name, (model, options) in models.items()}
        ms, others = time_in_turn(runs, rounds=rounds, advance=advance)
    finally:
        torch.set_num_threads(threads)
    return {name: median_of(values) for name, values in ms.items()}, others


def _pixels(data: Any, path: Path) -> Tensor:
    pixels, _ = data.prepare(read_image(path))
    return torch.from_numpy(pixels)[None].contiguous(memory_format=torch.channels_last)


def _run(model: nn.Module, options: Mapping[str, Any], inputs: Sequence[Tensor]) -> Callable[[int], Any]:
    laid_out: Any = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(number: int) -> Any:
        with torch.inference_mode():
            return laid_out.predict(inputs[number % len(inputs)], **options)

    return run
