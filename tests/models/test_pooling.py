"""Poolings against second formulas."""

import pytest
import torch
from hydra.utils import instantiate
from torch.nn import functional as F

from facings.commands.composition import compose_verb
from facings.errors import ConfigError
from facings.models.embedder import Embedder
from facings.models.pooling import AttentionPooling, AveragePooling, GeM, make_pooling

GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture
def trained() -> AttentionPooling:
    pooling = AttentionPooling(12, heads=3)
    with torch.no_grad():
        pooling.queries.copy_(torch.randn(3, 12, generator=GENERATOR) * 3)
        pooling.norm.weight.uniform_(0.5, 2.0, generator=GENERATOR)
    return pooling


def test_attention_is_torchs_own(trained: AttentionPooling) -> None:
    """Scaled dot-product attention of torch: one query a head, keys of all channels, values of the head's own."""
    features = torch.randn(4, 12, 5, 3, generator=GENERATOR)
    positions = features.flatten(2).transpose(1, 2)  # [B, N, C]
    keys = F.layer_norm(positions, (12,), trained.norm.weight, trained.norm.bias)[:, None].expand(4, 3, 15, 12)
    values = positions.reshape(4, 15, 3, 4).transpose(1, 2)
    queries = trained.queries[None, :, None].expand(4, 3, 1, 12)
    expected = F.scaled_dot_product_attention(queries, keys, values).reshape(4, 12)
    torch.testing.assert_close(trained(features), expected)
    torch.testing.assert_close(trained.weights(features).sum(dim=2), torch.ones(4, 3))


def test_untrained_attention_is_the_mean_and_learns() -> None:
    features = torch.randn(2, 8, 3, 3, generator=GENERATOR)
    pooling = AttentionPooling(8, heads=2)
    torch.testing.assert_close(pooling(features), AveragePooling()(features))
    pooling(features).square().sum().backward()
    assert pooling.queries.grad is not None and pooling.queries.grad.abs().min() > 0


def test_attention_looks_where_the_query_points() -> None:
    features = torch.randn(1, 8, 4, 4, generator=GENERATOR)
    pooling = AttentionPooling(8, heads=1)
    with torch.no_grad():
        pooling.queries.copy_(1000 * pooling.norm(features.flatten(2).transpose(1, 2))[0, 5])
    torch.testing.assert_close(pooling(features)[0], features.flatten(2)[0, :, 5])


def test_one_position_and_tokens_in_a_row(trained: AttentionPooling) -> None:
    features = torch.randn(2, 12, 1, 1, generator=GENERATOR)
    for pooling in (trained, AveragePooling(), GeM(p=1.0)):
        torch.testing.assert_close(pooling(features.abs()), features.abs().flatten(1))
    row = torch.randn(2, 12, 15, 1, generator=GENERATOR)
    torch.testing.assert_close(trained(row), trained(row.reshape(2, 12, 5, 3)))


@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_tiny_and_huge_features_stay_finite(trained: AttentionPooling, scale: float) -> None:
    features = torch.rand(2, 12, 4, 4, generator=GENERATOR) * scale
    for pooling in (trained, AveragePooling(), GeM()):
        assert pooling(features).isfinite().all()
    assert trained(features.to(torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("heads", [0, 5])
def test_heads_that_do_not_share_out_are_refused(heads: int) -> None:
    with pytest.raises(ConfigError, match=f"pooling.heads={heads}: expected a divisor of the backbone's 12 channels"):
        AttentionPooling(12, heads=heads)


@pytest.mark.parametrize("name, kind", [("gem", GeM), ("average", AveragePooling), ("attention", AttentionPooling)])
def test_a_name_takes_the_place_of_a_configured_pooling(name: str, kind: type) -> None:
    words = ["task=reid", "model=embedder/lite0", f"model.pooling={name}"]
    words += ["model.backbone=test_efficientnet", "model.pretrained=none", "image_size=32"]
    embedder = instantiate(compose_verb("train", words).model)
    assert isinstance(embedder, Embedder) and type(embedder.pooling) is kind
    assert embedder.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 256)


def test_heads_suit_the_channels_and_other_names_are_refused() -> None:
    pooling = make_pooling("attention", 12)
    assert isinstance(pooling, AttentionPooling) and pooling.heads == 4
    with pytest.raises(ConfigError, match=r"model\.pooling=max: expected gem, average or attention"):
        make_pooling("max", 12)
