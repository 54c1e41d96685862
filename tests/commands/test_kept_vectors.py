"""Embeddings that a record keeps: none is made twice, and none is taken for another."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from facings.commands.composition import compose_verb
from facings.commands.embedding import Embedding
from facings.commands.kept_vectors import KeptVectors
from facings.commands.train import run
from facings.data.tables import RecognitionRow
from facings.errors import DataError
from tests.conftest import TINY_EMBEDDER, TinyShop


@pytest.fixture
def shop(tiny_shop: TinyShop, tmp_path: Path) -> Embedding:
    """A finished run that nothing was kept of yet."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_shop.embedder.parent.parent, folder)
    return Embedding(folder)


def embedded(model: nn.Module) -> list[int]:
    """How many crops each call of `model` gets from now on."""
    seen: list[int] = []
    model.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    return seen


def some(one: Embedding) -> Sequence[RecognitionRow]:
    return one.data.gallery_rows[:6]


def test_what_was_kept_is_not_made_again(shop: Embedding) -> None:
    rows, seen = some(shop), embedded(shop.model)
    first = KeptVectors(("none", "flip")).trained(shop, rows[:4])
    assert sum(seen) == 8
    kept = KeptVectors(("none", "flip"))
    again = kept.trained(shop, rows)
    assert sum(seen) == 8 + 4
    kept.trained(shop, rows)
    assert sum(seen) == 8 + 4
    plain = shop.averages(rows, ("none", "flip"))
    for way in ("none", "flip"):
        np.testing.assert_array_equal(again[way].vectors[:4], first[way].vectors)
        np.testing.assert_allclose(again[way].vectors, plain[way].vectors, atol=5e-4)
        np.testing.assert_allclose(np.linalg.norm(again[way].vectors, axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(again[way].labels, plain[way].labels)


def test_another_picture_way_or_checkpoint_is_another_vector(shop: Embedding) -> None:
    row = some(shop)[0]
    KeptVectors().trained(shop, [row])
    seen = embedded(shop.model)
    KeptVectors(("flip",)).trained(shop, [row])
    assert sum(seen) == 2
    state = row.path.stat()
    os.utime(row.path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    KeptVectors().trained(shop, [row])
    assert sum(seen) == 3
    with shop.checkpoint.open("ab") as file:
        file.write(b"another")
    KeptVectors().trained(shop, [row])
    assert sum(seen) == 4


def test_what_is_no_file_of_vectors_is_named(shop: Embedding) -> None:
    KeptVectors().trained(shop, some(shop))
    (path,) = (shop.run / "vectors").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=rf"{path.name}.*delete it"):
        KeptVectors().trained(shop, some(shop))


def test_the_frozen_backbone_sees_each_photo_once_for_all_runs(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for draw in (1, 2):
        words = [f"data.holdout={{count: 2, draw: {draw}}}", "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
        folder = tmp_path / str(draw)
        run(compose_verb("train", [*TINY_EMBEDDER, f"paths.data_dir={tiny_data}", *words], output_dir=folder))
    asked, kept, built = [Embedding(tmp_path / str(draw)) for draw in (1, 2)], KeptVectors(), []
    backbone = asked[0].model
    seen = embedded(backbone)

    def frozen(one: Embedding) -> nn.Module:
        built.append(one.run)
        return backbone

    # The tiny backbone has no packaged weights.
    monkeypatch.setattr(Embedding, "frozen", frozen)
    assert asked[0].data.products != asked[1].data.products
    rows = [[*one.data.gallery_rows, *one.data.test_rows] for one in asked]
    together = [kept.frozen(one, of_one)["none"] for one, of_one in zip(asked, rows, strict=True)]
    assert built == [asked[0].run] and sum(seen) == len(set(rows[0])) == len(set(rows[1]))
    for one, of_one, found in zip(asked, rows, together, strict=True):
        alone = one.crops(of_one, model=backbone)
        # What half precision takes from a coordinate of a unit vector.
        np.testing.assert_allclose(found.vectors, alone.vectors, atol=5e-4)
        np.testing.assert_array_equal(found.labels, alone.labels)
