"""A trained embedder joined with its frozen backbone is a run like any other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from facings.commands.composition import compose_verb
from facings.commands.embedding import Embedding
from facings.commands.evaluate import evaluate_checkpoint
from facings.commands.join_frozen import join_frozen
from facings.errors import ConfigError
from facings.models.embedder import PooledBackbone
from facings.models.joined import JoinedEmbedder
from facings.tasks.checkpoint import load_model
from tests.conftest import TinyShop


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny backbone has no packaged weights; the floor is then one at random."""

    def made(one: Embedding) -> PooledBackbone:
        torch.manual_seed(1)
        return PooledBackbone(one.backbone, image_size=one.data.image_size).eval()

    monkeypatch.setattr(Embedding, "frozen", made)


@pytest.mark.usefixtures("frozen")
def test_the_cosine_is_shared_between_both(tiny_shop: TinyShop, tmp_path: Path) -> None:
    run = tiny_shop.embedder.parent.parent
    checkpoint = join_frozen(run, tmp_path / "joined", share=0.25)
    model, config = load_model(checkpoint, "reid")
    trained, _ = load_model(tiny_shop.embedder, "reid")
    assert isinstance(model, JoinedEmbedder)
    size = config["image_size"]
    crops = torch.rand(2, 3, size, size)
    with torch.no_grad():
        joined, alone = model(crops), trained(crops)
        frozen = torch.nn.functional.normalize((model.frozen(crops) - model.centre) @ model.matrix, dim=1)
    assert joined.shape == (2, model.dimension)
    torch.testing.assert_close(joined.norm(dim=1), torch.ones(2))
    expected = 0.25 * alone[0] @ alone[1] + 0.75 * frozen[0] @ frozen[1]
    torch.testing.assert_close(joined[0] @ joined[1], expected, atol=1e-5, rtol=1e-4)
    figures = evaluate_checkpoint(compose_verb("evaluate", [f"checkpoint={checkpoint}"])).figures
    assert 0 <= figures["fine_top1"] <= 1
    one = Embedding(tmp_path / "joined")
    rows = one.data.test_rows[:3]
    (own,), before = one.alone(one.crops(rows)), Embedding(run)
    assert before.alone(before.crops(rows)) == []
    np.testing.assert_allclose(own.vectors, before.crops(rows).vectors, atol=1e-5)
    other, _ = load_model(checkpoint, "reid", image_size=2 * size)
    assert other.image_size == other.trained.image_size == 2 * size
    with pytest.raises(ConfigError, match="joined already"):
        join_frozen(tmp_path / "joined", tmp_path / "again")


@pytest.mark.usefixtures("frozen")
def test_what_cannot_be_joined_is_refused(tiny_shop: TinyShop, tmp_path: Path) -> None:
    run = tiny_shop.embedder.parent.parent
    with pytest.raises(ConfigError, match="share"):
        join_frozen(run, tmp_path / "joined", share=1.5)
    assert not (tmp_path / "joined").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        join_frozen(run, tmp_path / "full")
