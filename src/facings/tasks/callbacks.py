"""Lightning callbacks that every training uses.

Knows nothing of a task's contents.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """Exponential moving average of the weights, used for validation, tests and the saved `state_dict`.

    The decay rises as min(decay, (1 + n) / (10 + n)) over the n averaged steps, so that short trainings are not held
    back by their first weights (the ramp of TensorFlow's ExponentialMovingAverage). Batch-norm statistics are averaged too.
    """

    def __init__(self, decay: float = 0.998) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA decay is {decay}; expected 0 <= decay < 1")
        self.decay = decay

        def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            n = float(count)
            share = min(decay, (1 + n) / (10 + n))
            if not averaged.is_floating_point():
                return current
            return averaged * share + current * (1 - share)

        super().__init__(use_buffers=True, avg_fn=average)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every optimizer step."""
        return step_idx is not None


class SeedEachEpoch(Callback):
    """Start each epoch's global random numbers (dropout, drop path) from seed and epoch.

    A run that is resumed at an epoch's end thereby draws what the unbroken run draws.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.manual_seed(self.seed * 100_003 + trainer.current_epoch)


class ChannelsLast(Callback):
    """Lay 4-d weights out channels last: 1.6–2 times as fast on CPUs. Values are untouched."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        pl_module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class SameBatches(Callback):
    """Every epoch draws as the first one did: the same items, augmented alike.

    Lightning's own `overfit_batches` puts a sampler in place that knows nothing of P×K batches or of seeds.
    """

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        sampler: Any = trainer.train_dataloader.sampler  # type: ignore[union-attr]
        sampler.set_epoch(0)


class RecordConfig(Callback):
    """Put the resolved configuration into every checkpoint, so that the model can be built again from the file alone."""

    def __init__(self, task: str, config: Mapping[str, Any]) -> None:
        self.record = {"task": task, "config": json.dumps(config)}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["facings"] = dict(self.record)
