"""Headline records of the embedder, taken from a tiny finished run."""

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from facings.commands import embedding, unseen_goods
from facings.commands.composition import compose_verb
from facings.commands.embedder_records import RECORDS
from facings.commands.embedding import Embedding
from facings.commands.evaluate import evaluate_checkpoint
from facings.commands.run_records import record
from facings.commands.train import run
from facings.data.recognition_datamodule import RecognitionDataModule
from facings.errors import ConfigError
from facings.tasks.crop_views import Averaging
from tests.conftest import TINY_EMBEDDER, TinyShop


@pytest.fixture(scope="module")
def held_out(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that kept two products from training."""
    folder = tmp_path_factory.mktemp("held_out")
    words = ["data.holdout={count: 2, draw: 1}", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    run(compose_verb("train", [*TINY_EMBEDDER, f"paths.data_dir={tiny_data}", *words], output_dir=folder))
    return folder


def test_grocery_agrees_with_evaluate(tiny_shop: TinyShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tiny_shop.embedder.parent.parent, folder)
    metrics = record(RECORDS, "emb-grocery", [folder, folder], command="test", folder=tmp_path)
    for tta, suffix in (("none", "_one_view"), ("multicrop_flip", "")):
        asked = compose_verb("evaluate", [f"checkpoint={tiny_shop.embedder}", f"tta={tta}"])
        figures = evaluate_checkpoint(asked).figures
        for name in ("fine_top1", "coarse_top1"):
            figure = metrics[f"{name}{suffix}"]
            assert figure["value"] == pytest.approx(figures[name])
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert metrics["fine_top1_seed_spread"]["value"] == 0.0
    written = json.loads((tmp_path / "emb-grocery.json").read_text())
    assert written["metrics"]["minutes"]["value"] > 0 and written["data"]
    # Taken again from the vectors that were kept.
    monkeypatch.delattr(Embedding, "averages")
    assert record(RECORDS, "emb-grocery", [folder, folder], command="test", folder=tmp_path) == metrics


def test_many_crops_are_embedded_as_few_are(tiny_shop: TinyShop, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Embedding(tiny_shop.embedder.parent.parent)
    rows, ways = one.data.gallery_rows, get_args(Averaging)
    few = one.averages(rows, ways)
    monkeypatch.setattr(embedding, "EXPORTED_FROM", 1)
    many = one.averages(rows, ways)
    assert tuple(few) == tuple(many) == ways
    for way in ways:
        np.testing.assert_allclose(many[way].vectors, few[way].vectors, atol=2e-5)
        np.testing.assert_array_equal(many[way].labels, few[way].labels)


def test_a_view_of_several_ways_is_embedded_once(tiny_shop: TinyShop) -> None:
    one = Embedding(tiny_shop.embedder.parent.parent)
    seen: list[int] = []
    one.model.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    one.averages(one.data.gallery_rows, get_args(Averaging))
    assert sum(seen) == 12 * len(one.data.gallery_rows)


def test_unseen_asks_for_the_strangers_alone(held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tiny backbone has no packaged weights; the floor is then what it is at random, as frozen.
    monkeypatch.setattr(Embedding, "frozen", lambda self: self.model)
    metrics = record(RECORDS, "emb-unseen", [held_out], command="test", folder=tmp_path)
    for k in unseen_goods.ENROLLED:
        assert metrics[f"trained_nearest_r1_k{k}"] == metrics[f"frozen_r1_k{k}"]
        assert metrics[f"seen_trained_r1_k{k}"] == metrics[f"seen_frozen_likeliest_r1_k{k}"]
        assert {f"r1_k{k}", f"one_view_r1_k{k}"} <= set(metrics)
    assert not any(name.endswith("spread") for name in metrics)
    twice = record(RECORDS, "emb-unseen", [held_out, held_out], command="test", folder=tmp_path)
    assert [twice[f"r1_k{k}_run_spread"]["value"] for k in unseen_goods.ENROLLED] == [0.0] * 4
    one = Embedding(held_out)
    shelf = unseen_goods._shelf(one.data, 1, 0)
    views = {product: sum(row.product_id == product for row in shelf) for product in one.data.products}
    assert all(views[product] == 1 for product in one.data.held_out)
    assert max(views.values()) > 1


def test_more_photos_hold_the_fewer(held_out: Path) -> None:
    data = Embedding(held_out).data
    one, four = ({id(row) for row in unseen_goods._shelf(data, k, 3)} for k in (1, 4))
    assert one <= four


def test_share_draws_whole_groups() -> None:
    right = np.array([True] * 5 + [False] * 5)
    found = embedding.right_share(right, groups=np.repeat([0, 1], 5))
    assert (found["value"], found["low"], found["high"]) == (0.5, 0.0, 1.0)


def test_wrong_use_is_named(tiny_shop: TinyShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder = tiny_shop.embedder.parent.parent
    with pytest.raises(ConfigError, match="unknown; known are"):
        record(RECORDS, "emb-else", [run_folder], command="test", folder=tmp_path)
    with pytest.raises(ConfigError, match="wants 1 or more"):
        record(RECORDS, "emb-packshot", [], command="test", folder=tmp_path)
    # As if all that is asked for had been trained on.
    monkeypatch.setattr(RecognitionDataModule, "held_out", property(lambda self: []))
    with pytest.raises(ConfigError, match="saw every product in training"):
        record(RECORDS, "emb-unseen", [run_folder], command="test", folder=tmp_path)
    with pytest.raises(ConfigError, match="not an embedder's run"):
        Embedding(tiny_shop.detector.parent.parent)
