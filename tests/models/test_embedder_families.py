"""Embedders on backbones of several families: maps, maps in another order, tokens."""

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.export.networks import export_embedder
from facings.models.backbones import as_map, create_backbone
from facings.models.embedder import Embedder, PooledBackbone, check_map
from facings.models.pooling import AttentionPooling, AveragePooling, GeM

# timm's own models for tests, a few layers each.
SMALL, TOKENS = "test_efficientnet", "test_vit"
# Backbone → another side than the embedder's own that it takes too, None where timm has it fixed.
FAMILIES = {
    "tf_efficientnet_lite0": 96,
    "mobilenetv4_conv_small": 96,
    "convnext_atto": 96,
    "resnet18": 96,
    "vit_tiny_patch16_224": 96,
    "swin_tiny_patch4_window7_224": 112,
    "levit_128s": None,
}
POOLINGS = {"gem": GeM, "average": AveragePooling, "attention": partial(partial, AttentionPooling, heads=4)}


@pytest.mark.parametrize("name", FAMILIES)
def test_any_backbone_gives_unit_vectors_at_its_size_and_others(name: str) -> None:
    torch.manual_seed(0)
    embedder = Embedder(name, pooling=partial(AttentionPooling, heads=1), image_size=64, dimension=32).eval()
    other = FAMILIES[name]
    with torch.no_grad():
        for side in (64, other) if other else (64,):
            vectors = embedder(torch.randn(2, 3, side, side))
            assert vectors.shape == (2, 32) and vectors.dtype == torch.float32
            torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    "name, reason",
    [
        ("efficientvit_b0", r"gives nothing before its pooling \(Cannot disable pooling\); take another"),
        ("efficientformer_l1", r"takes no pictures of 72 x 72 pixels .* timm built it for 224: set image_size"),
        ("vit_tiny_patch16_224", r"takes no pictures of 72 x 72 pixels .*divisible by patch size"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused_when_it_is_built(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"backbone '{name}' {reason}"):
        Embedder(name, pooling="gem", image_size=72)


@pytest.mark.parametrize("dimension", [64, 128, 256, 384, 512])
def test_sizes_of_embeddings(dimension: int) -> None:
    embedder = Embedder(SMALL, pooling=GeM(), image_size=32, dimension=dimension).eval()
    with torch.no_grad():
        assert embedder(torch.randn(1, 3, 32, 32)).shape == (1, dimension)
        weight = embedder.projection.weight
        gram = weight @ weight.t() if dimension <= embedder.channels else weight.t() @ weight
        torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-4, rtol=0)


def test_no_dimension_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.dimension=0: expected 1 or more"):
        Embedder(SMALL, pooling=GeM(), image_size=32, dimension=0)


def test_parts_are_what_the_embedding_is_made_of() -> None:
    torch.manual_seed(0)
    embedder = Embedder(SMALL, pooling=GeM(), image_size=32, dimension=16)
    crops = torch.randn(4, 3, 32, 32)
    embedder(crops)  # the neck has statistics of its own now
    embedder.eval()
    with torch.no_grad():
        parts = embedder.parts(crops)
        assert torch.equal(parts.embeddings, embedder(crops))
        expected = (parts.projected - embedder.neck.running_mean) / (embedder.neck.running_var + 1e-5).sqrt()
    torch.testing.assert_close(parts.necked, expected)
    torch.testing.assert_close(parts.projected, parts.pooled @ embedder.projection.weight.t())


def test_optional_parts_leave_names_and_first_weights_as_they_are() -> None:
    """Checkpoints of the plain embedder keep their meaning, and so do seeds."""
    heads = partial(nn.Linear, out_features=3)
    made = []
    for more in ({}, {"categories": heads, "attributes": heads}):
        torch.manual_seed(0)
        made.append(Embedder(SMALL, pooling=GeM(), image_size=32, dimension=16, **more).state_dict())
    plain, extended = made
    assert {name.split(".")[0] for name in plain} == {"backbone", "pooling", "projection", "neck"}
    assert all(torch.equal(value, extended[name]) for name, value in plain.items())
    assert {name.split(".")[0] for name in set(extended) - set(plain)} == {"categories", "attributes"}


def test_tokens_become_a_map_without_the_class_token() -> None:
    """The same transformer of timm's, asked for its last map in another way."""
    backbone = create_backbone("vit_tiny_patch16_224", image_size=64).eval()
    crops = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = as_map(backbone, backbone(crops))
        (maps,) = backbone.forward_intermediates(crops, indices=1, norm=True, intermediates_only=True)
    assert features.shape == (2, 192, 24, 1)
    torch.testing.assert_close(features.reshape(2, 192, 4, 6), maps)


def test_pooled_backbone_is_timms_own_feature() -> None:
    ours = PooledBackbone("test_resnet", image_size=64).eval()
    timms = timm.create_model("test_resnet", num_classes=0).eval()
    timms.load_state_dict(ours.backbone.state_dict())
    crops = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(crops), F.normalize(timms(crops), dim=1))
    assert ours.dimension == timms.num_features


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"model\.backbone=odd: gives \(2, 5\) before pooling; expected \[batch, 5, h, w\]"
    ):
        check_map(torch.zeros(2, 5), 5, "odd")


def test_convolutions_are_built_alike_with_and_without_a_size() -> None:
    """Detectors give no size: what they build stays what it was."""
    made = []
    for size in (None, 64):
        torch.manual_seed(0)
        made.append(create_backbone(SMALL, image_size=size).state_dict())
    assert all(torch.equal(value, made[1][name]) for name, value in made[0].items())


@pytest.mark.parametrize(
    "name, side, pooling",
    [(SMALL, 32, "gem"), (SMALL, 32, "average"), (SMALL, 32, "attention"), (TOKENS, 48, "attention")],
)
def test_the_exported_graph_is_the_model(name: str, side: int, pooling: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    embedder = Embedder(name, pooling=POOLINGS[pooling](), image_size=side, dimension=16)
    if pooling == "attention":
        nn.init.normal_(embedder.pooling.queries, std=3.0)
    embedder(torch.randn(4, 3, side, side))
    export_embedder(embedder.eval(), tmp_path / "embedder.onnx", image_size=side, opset=20)
    model = onnx.load(str(tmp_path / "embedder.onnx"))
    assert {node.domain for node in model.graph.node} == {""}
    session = ort.InferenceSession(tmp_path / "embedder.onnx")
    for batch in (1, 2, 5):
        crops = torch.randn(batch, 3, side, side)
        (found,) = session.run(["embeddings"], {"crops": crops.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, embedder(crops).numpy(), atol=2e-5)
