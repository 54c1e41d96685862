"""Category heads on ragged trees, attribute heads, and what of them is exported."""

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from facings.errors import ConfigError
from facings.export.networks import _export, export_embedder
from facings.models.embedder import Embedder
from facings.models.embedder_heads import AttributeHeads, CategoryHeads, EmbedderGraph
from facings.models.pooling import GeM

# Three levels, two, and no category at all.
PATHS = (
    ("Fruit", "Apple", "Gala"),
    ("Fruit", "Apple", "Fuji"),
    ("Fruit", "Pear", "Anjou"),
    ("Milk", "Arla"),
    ("carrot",),
)


def test_every_level_is_a_partition_of_the_products() -> None:
    heads = CategoryHeads(8, paths=PATHS)
    assert heads.levels[0] == (("Fruit",), ("Milk",), ("carrot",))
    assert heads.levels[1] == (("Fruit", "Apple"), ("Fruit", "Pear"), ("Milk", "Arla"), ("carrot",))
    assert set(heads.levels[2]) == set(PATHS)
    targets = heads.targets(PATHS)
    assert targets.shape == (5, 3) and (targets >= 0).all()
    assert sorted(targets[:, 2].tolist()) == list(range(5))
    assert [tuple(level.shape) for level in heads(torch.zeros(2, 8))] == [(2, 3), (2, 4), (2, 5)]


def test_parents_lead_from_each_target_to_the_one_above() -> None:
    heads = CategoryHeads(8, paths=PATHS)
    targets = heads.targets(PATHS)
    for level, parents in enumerate(heads.parents()):
        assert torch.equal(parents[targets[:, level + 1]], targets[:, level])
    assert not [name for name in heads.state_dict() if "parents" in name]


def test_without_products_the_last_level_is_a_category() -> None:
    heads = CategoryHeads(8, paths=PATHS, products=False)
    assert heads.depth == 2
    assert heads.levels[1] == (("Fruit", "Apple"), ("Fruit", "Pear"), ("Milk",), ("carrot",))
    targets = heads.targets(PATHS)
    assert torch.equal(targets[0], targets[1]) and targets[3].tolist() == [1, 2]


def test_what_training_never_saw_is_unknown_from_there_on() -> None:
    heads = CategoryHeads(8, paths=PATHS)
    new = [("Fruit", "Apple", "Pink Lady"), ("Fruit", "Kiwi", "Hayward"), ("Juice", "Bravo"), ("Milk", "Arla", "1.5 %")]
    assert heads.targets(new).tolist() == [[0, 0, -1], [0, -1, -1], [-1, -1, -1], [1, 2, -1]]


def test_a_node_can_be_a_product_and_a_category() -> None:
    heads = CategoryHeads(8, paths=[("Apple",), ("Apple", "Gala")])
    assert heads.levels == ((("Apple",),), (("Apple",), ("Apple", "Gala")))
    assert heads.parents()[0].tolist() == [0, 0]


def test_no_paths_no_levels_and_an_empty_path_is_refused() -> None:
    assert CategoryHeads(8).depth == 0 and CategoryHeads(8)(torch.zeros(2, 8)) == []
    with pytest.raises(ConfigError, match=r"model\.categories\.paths: a product's path is empty"):
        CategoryHeads(8, paths=[("Fruit",), ()])


def test_attribute_names() -> None:
    assert AttributeHeads(8, names=["bagged", "ripe"])(torch.zeros(3, 8)).shape == (3, 2)
    assert AttributeHeads(8)(torch.zeros(3, 8)).shape == (3, 0)
    with pytest.raises(ConfigError, match="a name is there twice"):
        AttributeHeads(8, names=["ripe", "ripe"])


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    torch.manual_seed(0)
    model = Embedder(
        "test_efficientnet",
        pooling=GeM(),
        image_size=32,
        dimension=16,
        categories=partial(CategoryHeads, paths=PATHS),
        attributes=partial(AttributeHeads, names=["bagged", "ripe"]),
    )
    model(torch.randn(8, 3, 32, 32))
    return model.eval()


def test_heads_are_dropped_at_export(embedder: Embedder, tmp_path: Path) -> None:
    export_embedder(embedder, tmp_path / "embedder.onnx", image_size=32, opset=20)
    graph = onnx.load(str(tmp_path / "embedder.onnx")).graph
    assert [output.name for output in graph.output] == ["embeddings"]
    shapes = {tuple(value.dims) for value in graph.initializer}
    assert not shapes & {(3, 16), (4, 16), (5, 16), (16, 3), (16, 4), (16, 5)}
    assert not [value.name for value in graph.initializer if "categories" in value.name or "attributes" in value.name]


def test_heads_are_exported_on_demand(embedder: Embedder, tmp_path: Path) -> None:
    whole = EmbedderGraph(embedder).eval()
    assert whole.outputs == ["embeddings", "level_1", "level_2", "level_3", "attributes"]
    _export(whole, tmp_path / "whole.onnx", "crops", 32, whole.outputs, 20)
    session = ort.InferenceSession(tmp_path / "whole.onnx")
    crops = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = session.run(whole.outputs, {"crops": crops.numpy()})
    with torch.no_grad():
        for ours, theirs in zip(whole(crops), found, strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), atol=2e-5)
        assert torch.equal(whole(crops)[0], embedder(crops))
    assert all(np.allclose(level.sum(axis=1), 1, atol=1e-5) for level in found[1:4])


def test_an_embedder_without_heads_exports_embeddings_only() -> None:
    plain = Embedder("test_efficientnet", pooling=GeM(), image_size=32, dimension=16, categories=CategoryHeads)
    assert EmbedderGraph(plain).outputs == ["embeddings"]
