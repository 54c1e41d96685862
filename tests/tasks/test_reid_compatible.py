"""Backward-compatible training: an old and a new embedder, trained for real on plain colours, searched in each other's gallery."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_metric_learning.losses import ArcFaceLoss, TripletMarginLoss
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from facings.commands.composition import compose_verb
from facings.commands.train import run as train
from facings.errors import ConfigError
from facings.losses.embedding import EmbeddingLoss
from facings.tasks.callbacks import EMA
from facings.tasks.checkpoint import load_model
from facings.tasks.reid_compatible import CompatibleReidTask, Influence, InfluencedLoss
from facings.tasks.teacher import Teacher
from tests.conftest import TINY_EMBEDDER, TinyShop
from tests.tasks.colour_crops import ColourCrops, colour_embedder, colour_task, colour_trainer, fit, loader

SCALING = {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    torch.manual_seed(0)
    task = colour_task(colour_embedder())
    fit(task, tmp_path_factory.mktemp("old"), max_epochs=6)
    return task.model.eval()


def compatible(old: nn.Module, **options: Any) -> CompatibleReidTask:
    """The new task, with another beginning than the old one's."""
    torch.manual_seed(11)
    plain = colour_task(colour_embedder())
    return CompatibleReidTask(
        plain.model,
        plain.loss,
        old=Teacher(**SCALING, setting="task.module.old", teacher=old),
        optimizer=plain.make_optimizer,
        scheduler=plain.make_scheduler,
        learning_rate=0.01,
        coarse=plain.coarse,
        paths=plain.paths,
        **options,
    )


def test_the_upgraded_embedder_finds_products_in_the_old_gallery(old: nn.Module, tmp_path: Path) -> None:
    """Trained alike but for the influence, an embedder knows nothing of the old one's directions."""
    before = copy.deepcopy(old.state_dict())
    task, alone = compatible(old), compatible(old, influence=0.0)
    trainer = fit(task, tmp_path / "new", max_epochs=30)
    fit(alone, tmp_path / "alone", max_epochs=30)
    assert task.results["old_r1"] == alone.results["old_r1"] >= 0.9
    assert min(task.results["cross_r1"], task.results["r1"]) >= 0.7
    assert alone.results["cross_r1"] <= 0.5
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert logged["val/cross_r1"] == task.results["cross_r1"]
    parts = logged["train/embedding_own"] + logged["train/embedding_influence"]
    assert parts == pytest.approx(logged["train/loss_epoch"], rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in old.state_dict().items())


def test_the_old_embedder_and_its_classifier_are_no_part_of_the_run(old: nn.Module, tmp_path: Path) -> None:
    task = compatible(old)
    fit(task, tmp_path, max_epochs=1, callbacks=[EMA()])
    assert {name.split(".")[0] for name in task.state_dict()} == {"model", "loss"}
    assert {name for name in task.state_dict() if name.startswith("loss.")} == {"loss.own.W"}
    assert {name for name, _ in task.named_parameters() if not name.startswith("model.")} == {"loss.own.W"}
    assert copy.deepcopy(task).old.module is old


def test_prototypes_are_unit_means_of_old_embeddings_and_the_loss_is_that_of_a_classifier(
    old: nn.Module, tmp_path: Path
) -> None:
    task = compatible(old, scale=8.0, margin=0.2, influence=0.5)
    fit(task, tmp_path, max_epochs=1)
    seen = ColourCrops(4, 0)
    with torch.no_grad():
        vectors = old(seen.crops.contiguous(memory_format=torch.channels_last)).numpy()
    means = np.stack([vectors[seen.labels.numpy() == label].mean(axis=0) for label in range(4)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    influence = task.loss.influence
    assert isinstance(influence, Influence) and influence.prototypes is not None
    np.testing.assert_allclose(influence.prototypes.numpy(), means, atol=1e-4)
    asked, labels = F.normalize(torch.randn(5, 16), dim=1), torch.tensor([0, 3, 1, 1, 2])
    cosines = asked.numpy() @ means.T
    cosines[np.arange(5), labels.numpy()] -= 0.2
    odds = np.exp(8 * cosines) / np.exp(8 * cosines).sum(axis=1, keepdims=True)
    assert float(influence(asked, labels)) == pytest.approx(
        -0.5 * np.log(odds[np.arange(5), labels.numpy()]).mean(), rel=1e-4
    )


class Rows(pl.LightningDataModule):
    """Data that can show its training crops as evaluation sees them."""

    train_rows = tuple(range(8))

    def loader(self, rows: tuple[int, ...]) -> DataLoader[Any]:
        return DataLoader(torch.utils.data.Subset(ColourCrops(4, 3), rows), batch_size=4)

    def train_dataloader(self) -> DataLoader[Any]:
        return loader(4, 0)


def test_prototypes_come_from_plain_crops_where_the_data_have_them(old: nn.Module, tmp_path: Path) -> None:
    task = compatible(old)
    colour_trainer(tmp_path, max_epochs=1).fit(task, datamodule=Rows())
    influence = task.loss.influence
    with torch.no_grad():
        vectors = old(ColourCrops(4, 3).crops[:8].contiguous(memory_format=torch.channels_last))
    assert isinstance(influence, Influence) and influence.prototypes is not None
    torch.testing.assert_close(influence.prototypes, F.normalize(vectors[:4] + vectors[4:], dim=1), atol=1e-4, rtol=0)


def test_what_cannot_be_compatible_is_refused(old: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no teacher; give one of task\.module\.old\.checkpoint=CHECKPOINT"):
        Teacher(**SCALING, setting="task.module.old")
    with pytest.raises(ConfigError, match="expected none below 0"):
        compatible(old, influence=-1.0)
    with pytest.raises(ConfigError, match="loss_at=before"):
        compatible(old, loss_at="before")
    longer = Teacher(**SCALING, setting="task.module.old", teacher=colour_embedder())
    longer.dimension = 32
    with pytest.raises(ConfigError, match=r"model.dimension=16: the old embedder's vectors have 32 numbers"):
        CompatibleReidTask(
            colour_embedder(), nn.Identity(), old=longer, optimizer=torch.optim.SGD,
            scheduler=torch.optim.lr_scheduler.ConstantLR, learning_rate=0.1, coarse=np.zeros(4, np.int64),
        )  # fmt: skip
    with pytest.raises(ConfigError, match=r"1 of the trained products have no view .*\(first: number 2\)"):
        few = ColourCrops(2, 0)
        few.labels[few.labels == 2] = 3
        compatible(old)._prototypes(DataLoader(few, batch_size=8))
    with pytest.raises(ValueError, match="before the old embedder's prototypes"):
        Influence(1.0, 8.0, 0.0)(torch.eye(2), torch.arange(2))


def test_the_runs_own_loss_goes_on_to_check_batches_and_to_tell_its_parts() -> None:
    terms = {"triplet": {"loss": TripletMarginLoss}, "arcface": {"loss": partial(ArcFaceLoss, margin=5.0, scale=16)}}
    influence = Influence(1.0, 8.0, 0.0)
    influence.prototypes = torch.eye(4)
    loss = InfluencedLoss(EmbeddingLoss(terms=terms, num_classes=4, embedding_size=4, categories=[()] * 4), influence)
    with pytest.raises(ConfigError, match="triplet"):
        loss.check_batches(4, 1)
    InfluencedLoss(nn.Identity(), influence).check_batches(4, 1)
    total = loss(F.normalize(torch.eye(4).repeat(2, 1) + 0.1, dim=1), torch.arange(4).repeat(2))
    assert set(loss.last) == {"triplet", "arcface", "influence"}
    assert float(total) == pytest.approx(sum(float(part) for part in loss.last.values()), rel=1e-5)


def test_facings_train_upgrades_a_checkpoint(tiny_shop: TinyShop, tiny_data: Path, tmp_path: Path) -> None:
    words = [
        *TINY_EMBEDDER,
        f"paths.data_dir={tiny_data}",
        "task=reid_compatible",
        f"initial_weights={tiny_shop.embedder}",
    ]
    with pytest.raises(Exception, match=r"give one of task\.module\.old\.checkpoint=CHECKPOINT"):
        train(compose_verb("train", words, output_dir=tmp_path / "none"))
    words += [f"task.module.old.checkpoint={tiny_shop.embedder}", "task.module.learning_rate=0.000001"]
    words += ["callbacks=frozen_backbone"]
    figures = train(compose_verb("train", words, output_dir=tmp_path / "run"))
    # Three small steps of the last layers from the old weights: the new queries still lie where the old ones did.
    assert figures["cross_r1"] >= figures["old_r1"] - 0.2 and 0 <= figures["r1"] <= 1
    model, config = load_model(tmp_path / "run" / "checkpoints" / "best.ckpt", "reid")
    assert config["task"]["module"]["old"]["checkpoint"] == str(tiny_shop.embedder) and model.dimension == 32
