"""The re-identification task with its options, trained for real on plain colours."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.nn import functional as F

from facings.data.recognition_datamodule import RecognitionDataModule
from facings.data.tables import read_recognition_table
from facings.data.transforms.shelf_crops import training_transform
from facings.errors import ConfigError
from facings.losses.hierarchy import HierarchicalLoss
from facings.metrics.retrieval import retrieval_metrics
from facings.models.embedder_heads import AttributeHeads, CategoryHeads
from facings.tasks.callbacks import Freeze
from facings.tasks.crop_views import Averaged
from facings.tasks.reid import joined
from tests.tasks.colour_crops import PATHS, SIDE, colour_embedder, colour_task, colour_trainer, fit, loader


def with_heads(**options: Any) -> Any:
    torch.manual_seed(0)
    model = colour_embedder(
        categories=partial(CategoryHeads, paths=PATHS), attributes=partial(AttributeHeads, names=["striped"])
    )
    return colour_task(model, category_loss=HierarchicalLoss(), **options)


def test_without_options_a_step_is_the_loss_of_the_embedding() -> None:
    torch.manual_seed(0)
    task = colour_task(colour_embedder())
    batch = next(iter(loader(2, 0)))
    with torch.random.fork_rng():
        expected = task.loss(task.model(batch["crops"].contiguous(memory_format=torch.channels_last)), batch["labels"])
    names = {name.split(".")[0] for name in task.state_dict()}
    assert names == {"model", "loss"}
    assert torch.equal(next(iter(task._terms(batch["crops"], batch).values())), expected)


def test_a_training_with_heads_learns_and_says_so(tmp_path: Path) -> None:
    task = with_heads(tta="flip", multipliers={"model.categories": 10.0, "model.attributes": 10.0, "loss": 10.0})
    trainer = fit(task, tmp_path, attributes=True, max_epochs=12)
    results = task.results
    levels = {"top1_level_1", "top1_level_2", "head_level_1", "head_level_2", "head_level_3"}
    assert {
        "fine_top1",
        "coarse_top1",
        "r1",
        "r5",
        "map_at_r",
        "attribute_striped",
        "attribute_striped_ap",
    } | levels == set(results)
    # So few steps leave the batch norms' averages near those of random weights, which heads suffer from and cosines do not:
    # that the heads learnt shows in their losses.
    assert results["fine_top1"] >= 0.9 and all(0 <= results[name] <= 1 for name in levels)
    assert trainer.callback_metrics["train/categories"] < 0.5 and trainer.callback_metrics["train/attributes"] < 0.2
    assert results["top1_level_1"] >= results["top1_level_2"] >= results["fine_top1"]
    logged = trainer.callback_metrics
    parts = [logged[f"train/{name}"] for name in ("embedding", "categories", "consistency", "attributes")]
    assert float(sum(parts)) == pytest.approx(float(logged["train/loss_epoch"]), rel=1e-4)
    assert float(logged["val/top1_level_1"]) == pytest.approx(results["top1_level_1"])


def test_attributes_that_nobody_knows_train_nothing(tmp_path: Path) -> None:
    task = with_heads()
    before = task.model.attributes.classifier.bias.detach().clone()
    trainer = fit(task, tmp_path, max_epochs=1)
    assert torch.equal(task.model.attributes.classifier.bias, before)
    assert float(trainer.callback_metrics["train/attributes"]) == 0 and "attribute_striped" not in task.results


def test_another_number_of_attributes_is_refused() -> None:
    batch = next(iter(loader(2, 0))) | {"attributes": torch.zeros(8, 3)}
    with pytest.raises(ConfigError, match=r"model\.attributes\.names=\['striped'\]: the batch has 3 attributes"):
        with_heads()._terms(batch["crops"], batch)


def test_before_the_neck_the_loss_sees_the_projection(tmp_path: Path) -> None:
    """Luo et al.: the metric loss before, the identity loss (the heads') after."""
    seen: list[torch.Tensor] = []

    class Watched(nn.Module):
        def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            seen.append(embeddings)
            return embeddings.square().sum() * 0

    task = with_heads(loss=Watched(), loss_at="before").eval()
    batch = next(iter(loader(2, 0)))
    terms = task._terms(batch["crops"], batch)
    parts = task.model.parts(batch["crops"].contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(seen[0], F.normalize(parts.projected, dim=1))
    logits = task.model.categories(parts.necked)
    own = HierarchicalLoss()(
        logits, task.model.categories.targets(PATHS)[batch["labels"]], task.model.categories.parents()
    )
    torch.testing.assert_close(terms["categories"], own["categories"])
    plain = colour_task(colour_embedder(), loss_at="before")
    with pytest.raises(ConfigError, match=r"loss_at=before: then nothing looks after the neck"):
        fit(plain, tmp_path)


def test_queries_that_are_the_gallery_do_not_find_themselves(colour_table: Path, tmp_path: Path) -> None:
    """Leave-one-out: of the rows of one role, each asks all others. Of one product there is no other."""
    table = read_recognition_table(colour_table)
    reds = [row for row in table.rows if (row.product_id, row.role) == ("red", "query")]
    table = replace(table, rows=tuple(row for row in table.rows if row not in reds[1:]))
    rows = {"split": "val", "role": "query"}
    source = {
        "table": table, "train": {"split": "train", "role": "train"},
        "gallery": rows, "val": rows, "test": rows,
    }  # fmt: skip
    data = RecognitionDataModule(
        **source, transform=training_transform(size=SIDE), image_size=SIDE, mean=[0.5] * 3, std=[0.5] * 3,
        products_per_batch=2, views_per_product=2, seed=0, eval_batch_size=3,
    )  # fmt: skip
    torch.manual_seed(0)
    task = colour_task(colour_embedder(), paths=[("colour", name) for name in data.products])
    colour_trainer(tmp_path).test(task, datamodule=data, verbose=False)
    with torch.no_grad():
        task.eval()
        vectors = torch.cat([task(batch["crops"]) for batch in data.loader(data.test_rows)]).numpy()
    labels = np.array([data.products.index(row.product_id) for row in data.test_rows])
    expected = retrieval_metrics(vectors, labels, vectors, labels, exclude_self=True)
    assert {name: task.results[name] for name in expected} == pytest.approx(expected) and expected["r1"] <= 0.9
    assert task.report is not None and task.report["figures"]["r1"] == pytest.approx(expected["r1"])
    assert "likeliest_top1" not in task.results
    for name in ("fine_top1", "coarse_top1", "top1_level_1"):
        span = task.report["intervals"]["products"][name]
        assert span["value"] == pytest.approx(task.results[name]) and span["low"] <= span["value"] <= span["high"]
    task.rerank = "k_reciprocal"
    with pytest.raises(ConfigError, match="rerank=k_reciprocal: queries stand in their own gallery"):
        colour_trainer(tmp_path).test(task, datamodule=data, verbose=False)


@pytest.mark.parametrize("mode", ["flip", "multicrop"])
def test_averaging_at_evaluation_is_the_averaged_model(mode: str) -> None:
    task = with_heads(tta=mode).eval()
    batch = next(iter(loader(2, 0)))
    with torch.no_grad():
        expected = Averaged(task.model, mode).eval()(batch["crops"])  # type: ignore[arg-type]
        for heads in (False, True):
            found = task._answers(batch, heads=heads)
            torch.testing.assert_close(found["embeddings"], expected, atol=1e-5, rtol=0)
    assert found["nodes"].shape == (8, 3) and found["probabilities"].shape == (8, 1)


def test_multi_scale_shows_whole_steps_of_32_pixels() -> None:
    torch.manual_seed(0)
    task = colour_task(colour_embedder(), multi_scale=(0.5, 3.0))
    sides = {task._scaled(torch.zeros(1, 3, SIDE, SIDE)).shape[-1] for _ in range(60)}
    assert sides == {32, 64, 96}
    batch = next(iter(loader(2, 0)))
    assert all(task._terms(task._scaled(batch["crops"]), batch)["embedding"].isfinite() for _ in range(3))


def test_layer_decay_slows_the_first_stages(tmp_path: Path) -> None:
    task = colour_task(colour_embedder(), layer_decay=0.5, multipliers={"model.backbone": 0.1})
    trainer = fit(task, tmp_path, max_epochs=1)
    rate = {id(p): group["initial_lr"] for group in trainer.optimizers[0].param_groups for p in group["params"]}
    stem, projection = task.model.backbone.conv_stem.weight, task.model.projection.weight
    stages = len(task.model.backbone.feature_info)
    assert rate[id(projection)] == pytest.approx(0.003)
    assert rate[id(stem)] == pytest.approx(0.003 * 0.1 * 0.5 ** (stages - 1))


def test_what_is_frozen_stays(tmp_path: Path) -> None:
    task = with_heads()
    stem = task.model.backbone.conv_stem.weight.detach().clone()
    head = task.model.projection.weight.detach().clone()
    fit(task, tmp_path, max_epochs=1, callbacks=[Freeze(["model.backbone"])])
    assert torch.equal(task.model.backbone.conv_stem.weight, stem)
    assert not torch.equal(task.model.projection.weight, head)


class StopAfter(Callback):
    """Break off before this epoch, without shortening the schedule."""

    def __init__(self, epoch: int, path: Path) -> None:
        self.epoch, self.path = epoch, path

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise StopIteration

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch - 1:
            trainer.save_checkpoint(self.path)


def test_a_resumed_run_ends_where_the_unbroken_one_does(tmp_path: Path) -> None:
    whole = with_heads()
    path = tmp_path / "half.ckpt"
    fit(whole, tmp_path, attributes=True, max_epochs=3)
    broken = with_heads()
    trainer = colour_trainer(tmp_path, max_epochs=3, callbacks=[StopAfter(2, path)])
    loaders = loader(4, 0, attributes=True), [loader(4, 0), loader(4, 1, attributes=True)]
    trainer.fit(broken, *loaders)
    assert trainer.current_epoch == 2
    torch.manual_seed(99)
    resumed = with_heads()
    colour_trainer(tmp_path, max_epochs=3).fit(resumed, *loaders, ckpt_path=path, weights_only=True)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, atol=1e-6, rtol=1e-5)
    assert resumed.results == pytest.approx(whole.results)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"category_loss": None}, r"category_loss=null: the model has category heads"),
        ({"paths": None}, r"model\.categories: no paths, or the task has none"),
        ({"paths": [("Else", str(n)) for n in range(4)]}, "none of the data's products is in them"),
    ],
)
def test_heads_without_what_they_need_are_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    task = colour_task(
        colour_embedder(categories=partial(CategoryHeads, paths=PATHS)),
        **({"category_loss": HierarchicalLoss()} | options),
    )
    with pytest.raises(ConfigError, match=words):
        fit(task, tmp_path)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"tta": "ten"}, r"task\.module\.tta='ten'"),
        ({"rerank": "best"}, r"rerank='best': expected null, expansion or k_reciprocal"),
        ({"loss_at": "between"}, r"loss_at='between': expected after or before"),
        ({"multi_scale": (2.0, 1.0)}, r"multi_scale=\[2\.0, 1\.0\]: expected two factors"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        colour_task(colour_embedder(), **options)


def test_records_without_crops_are_named() -> None:
    with pytest.raises(ConfigError, match="evaluation saw no gallery or no query"):
        joined([])
    labels = [
        {"labels": torch.tensor([1, 2]), "index": torch.tensor([0, 1])},
        {"labels": torch.tensor([3]), "index": torch.tensor([2])},
    ]
    np.testing.assert_array_equal(joined(labels)["labels"], [1, 2, 3])
