"""Gradients of several batches in one step: the schedule counts steps, and a broken-off run goes on as if it had not been."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from facings.tasks.checkpoint import read_checkpoint
from facings.tasks.schedules import warmup_cosine
from tests.tasks.conftest import squares_config, training

UNJUDGED = ("trainer.limit_val_batches=0", "callbacks.best=null")


class Rates(Callback):
    """Each optimizer step's share of the full rate."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        group = optimizer.param_groups[0]
        self.seen.append(group["lr"] / group["initial_lr"])


class StopAfter(Callback):
    """Break off before this epoch, without shortening the schedule."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise StopIteration


@pytest.mark.parametrize("batch, steps", [(2, 2), (1, 4), (3, 1)], ids=["even", "single", "one left over"])
def test_the_schedule_counts_optimizer_steps(squares: Path, tmp_path: Path, batch: int, steps: int) -> None:
    """Eight pictures, two batches a step, three epochs."""
    words = ["trainer.accumulate_grad_batches=2", f"data.batch_size={batch}", "trainer.max_epochs=3", *UNJUDGED]
    run = training(squares_config(squares, tmp_path, *words))
    rates = Rates()
    run.trainer.callbacks.append(rates)
    run.fit()
    assert run.trainer.global_step == 3 * steps == len(rates.seen)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = warmup_cosine(optimizer, total_steps=3 * steps)
    wanted = []
    for _ in range(3 * steps):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates.seen == pytest.approx(wanted)


def test_gradients_add_up_to_their_mean(squares: Path, tmp_path: Path) -> None:
    """Two copies of one batch in a step are that batch in a step, where the norms take no statistics."""
    weights = []
    for name, words in (("one", []), ("two", ["trainer.accumulate_grad_batches=2"])):
        frozen = "+callbacks.freeze={_target_: facings.tasks.callbacks.Freeze, prefixes: [model.backbone]}"
        short = [
            f"trainer.limit_train_batches={1 if name == 'one' else 2}",
            "trainer.max_epochs=1",
            "optimizer=sgd",
            *UNJUDGED,
        ]
        run = training(squares_config(squares, tmp_path / name, frozen, *short, *words))
        batch = next(iter(run.data.train_dataloader()))
        run.data.train_dataloader = lambda batch=batch: torch.utils.data.DataLoader([batch] * 2, batch_size=None)
        run.fit()
        assert run.trainer.global_step == 1
        weights.append(dict(run.task.named_parameters()))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)


def test_an_accumulating_run_resumes(squares: Path, tmp_path: Path) -> None:
    words = ["trainer.accumulate_grad_batches=2", "trainer.max_epochs=3", *UNJUDGED]
    training(squares_config(squares, tmp_path / "unbroken", *words)).fit()
    broken = training(squares_config(squares, tmp_path / "first", *words))
    broken.trainer.callbacks.insert(0, StopAfter(1))
    broken.fit()
    checkpoint = tmp_path / "first" / "checkpoints" / "last.ckpt"
    assert read_checkpoint(checkpoint)["global_step"] == 2
    training(squares_config(squares, tmp_path / "second", *words)).fit(checkpoint)
    one, two = (read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("unbroken", "second"))
    assert one["global_step"] == two["global_step"] == 6
    assert all(torch.equal(value, two["state_dict"][name]) for name, value in one["state_dict"].items())
