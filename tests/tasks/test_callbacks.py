"""Callbacks in real, tiny Lightning trainings."""

from pathlib import Path

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from facings.errors import ConfigError
from facings.tasks.callbacks import EMA
from facings.tasks.checkpoint import load_model, read_checkpoint
from tests.tasks.conftest import squares_config, training

FREEZE = "+callbacks.freeze={_target_: facings.tasks.callbacks.Freeze, prefixes: [%s]}"


def test_frozen_parts_stay_while_the_rest_learns(squares: Path, tmp_path: Path) -> None:
    """Two epochs with a validation after each, EMA on: of the frozen parts neither weights nor statistics move, nor
    do they in the average; the parts beside them do."""
    words = FREEZE % "model.backbone.conv_stem, model.backbone.bn1, model.backbone.blocks.1"
    run = training(squares_config(squares, tmp_path, words))
    before = {name: value.clone() for name, value in run.task.state_dict().items()}
    run.fit()
    state = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    parts = ("model.backbone.conv_stem.", "model.backbone.bn1.", "model.backbone.blocks.1.")
    learning = {name for name, p in run.task.named_parameters() if p.requires_grad and p.ndim > 1}
    for weights in (run.task.state_dict(), state["state_dict"], state["current_model_state"]):
        same = {name for name, value in before.items() if torch.equal(value, weights[name])}
        assert {name for name in before if name.startswith(parts)} <= same
        assert learning and not learning & same
    assert not any(p.requires_grad for p in run.task.model.backbone.blocks[1].parameters())
    assert all(p.requires_grad for p in run.task.model.backbone.blocks[2].parameters())


def test_prefixes_end_at_a_dot(squares: Path, tmp_path: Path) -> None:
    """`blocks.1` is not `blocks.10`, and `backbone.b` is nothing."""
    run = training(squares_config(squares, tmp_path, FREEZE % "model.neck.lateral.1", "trainer.max_epochs=1"))
    run.fit()
    frozen = [n for n, p in run.task.named_parameters() if not p.requires_grad]
    assert frozen and all(n.startswith("model.neck.lateral.1.") for n in frozen)


@pytest.mark.parametrize(
    "prefix, message",
    [
        (
            "model.backbone.block",
            r"no parameter is below 'model\.backbone\.block'; model\.backbone has: conv_stem, bn1, blocks",
        ),
        ("model.backbone.blocks.77", r"; model\.backbone\.blocks has: 0, 1, 2"),
        ("model.bakbone", r"; model has: backbone, neck"),
        ("backbone", r"; the task has: model"),
    ],
)
def test_a_prefix_that_fits_nothing_is_refused(squares: Path, tmp_path: Path, prefix: str, message: str) -> None:
    run = training(squares_config(squares, tmp_path, FREEZE % prefix))
    with pytest.raises(ConfigError, match=message):
        run.fit()


def test_freezing_everything_is_refused(squares: Path, tmp_path: Path) -> None:
    run = training(squares_config(squares, tmp_path, FREEZE % "model"))
    with pytest.raises(ConfigError, match="freezes every parameter"):
        run.fit()


def test_norms_may_go_on_taking_statistics(squares: Path, tmp_path: Path) -> None:
    words = FREEZE % "model.backbone"
    run = training(
        squares_config(squares, tmp_path, words.replace("]}", "], batch_norm: false}"), "trainer.max_epochs=1")
    )
    norms = [m for m in run.task.model.backbone.modules() if isinstance(m, _BatchNorm)]
    before = [norm.running_mean.clone() for norm in norms]
    run.fit()
    assert all(norm.training for norm in norms)
    assert not any(torch.equal(old, norm.running_mean) for old, norm in zip(before, norms, strict=True))


def test_average_of_a_weight_that_stays_is_that_weight() -> None:
    """To the last bit, for any count: a frozen weight must not wander by rounding."""
    model = torch.nn.Linear(64, 64)
    ema = EMA(0.998)
    average = ema._kwargs["avg_fn"]
    kept = model.weight.detach().clone()
    for count in range(1, 400):
        kept = average(kept, model.weight.detach(), count)
    assert torch.equal(kept, model.weight)


def test_average_by_hand() -> None:
    """After n steps the old average counts min(decay, (1 + n) / (10 + n)): 2/11 at n = 1, 0.5 at decay 0.5 and n = 100."""
    average = EMA(0.5)._kwargs["avg_fn"]
    old, new = torch.tensor([11.0]), torch.tensor([22.0])
    assert average(old, new, 1).item() == pytest.approx(11 * 2 / 11 + 22 * 9 / 11, rel=1e-6)
    assert average(old, new, 100).item() == pytest.approx(16.5)
    assert average(torch.tensor(3), torch.tensor(7), 1).item() == 7


def test_early_stopping_ends_a_training_that_stands_still(squares: Path, tmp_path: Path) -> None:
    """At rate 0 nothing rises: the second validation after the first is one too many."""
    words = [
        "callbacks=[early_stopping,frozen_stem]",
        "callbacks.early_stopping.patience=1",
        "task.module.learning_rate=0.0",
    ]
    run = training(squares_config(squares, tmp_path, *words, "trainer.max_epochs=6")).fit()
    assert run.trainer.current_epoch == 2 and run.trainer.should_stop
    assert not run.task.model.backbone.conv_stem.weight.requires_grad
    record = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["callbacks"]
    assert any(name.startswith("EarlyStopping") and state["wait_count"] == 1 for name, state in record.items())


def test_norms_are_left_alone_in_one_process(squares: Path, tmp_path: Path) -> None:
    run = training(squares_config(squares, tmp_path, "trainer.max_epochs=1")).fit()
    assert not [m for m in run.task.modules() if type(m).__name__.startswith("Synced")]


def test_compiling_a_part_that_does_not_exist_is_refused(squares: Path, tmp_path: Path) -> None:
    run = training(squares_config(squares, tmp_path, "callbacks=compiled", "callbacks.compile.part=model.bakbone"))
    with pytest.raises(ConfigError, match=r"no such part; model has: backbone, neck"):
        run.fit()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_compiled_training_is_the_same(squares: Path, tmp_path: Path) -> None:
    """An epoch taken up from a plain run's checkpoint, with and without: losses to 1e-4, checkpoints of the same names."""
    short = ["trainer.limit_train_batches=2", "trainer.limit_val_batches=0", "callbacks.best=null"]
    training(squares_config(squares, tmp_path / "start", "trainer.max_epochs=1", *short)).fit()
    losses, states = [], []
    for name, words in (("plain", []), ("compiled", ["callbacks=compiled"])):
        run = training(squares_config(squares, tmp_path / name, *words, *short))
        run.fit(tmp_path / "start" / "checkpoints" / "last.ckpt")
        assert run.trainer.global_step == 4
        losses.append(float(run.trainer.callback_metrics["train/loss_epoch"]))
        states.append(read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["state_dict"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert list(states[0]) == list(states[1])
    model, _ = load_model(tmp_path / "compiled" / "checkpoints" / "last.ckpt", "detection")
    assert model.num_anchors == 84


def test_bfloat16_trains_float_weights(squares: Path, tmp_path: Path) -> None:
    losses = []
    for name in ("default", "bf16"):
        words = [f"trainer={name}", "trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1"]
        run = training(squares_config(squares, tmp_path / name, *words)).fit()
        losses.append(float(run.trainer.callback_metrics["train/loss_epoch"]))
        assert all(p.dtype == torch.float32 for p in run.task.parameters())
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.02)
