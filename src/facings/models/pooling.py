"""From a feature map to one vector.

Knows nothing of what the vector is for.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from facings.errors import ConfigError

HEADS = 8


def make_pooling(pooling: str | nn.Module | Callable[[int], nn.Module], channels: int) -> nn.Module:
    """A pooling for maps of `channels`: itself, made out of their number, or by name with settings that suit most: "gem",
    "average", "attention" (`HEADS` heads, or as many of them as share out the channels evenly).

    Raises ConfigError for another name.
    """
    if isinstance(pooling, nn.Module):
        return pooling
    if not isinstance(pooling, str):
        return pooling(channels)
    if pooling == "attention":
        return AttentionPooling(channels, heads=math.gcd(HEADS, channels))
    if pooling not in ("gem", "average"):
        raise ConfigError(f"model.pooling={pooling}: expected gem, average or attention")
    return GeM() if pooling == "gem" else AveragePooling()


class GeM(nn.Module):
    """Generalised mean over positions with a learnt exponent: p = 1 is the average, p → ∞ the maximum.

    Radenović, Tolias, Chum: "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018, eq. 3.
    Here one exponent serves all channels, and values are clamped at `eps` (the paper's features are non-negative): of
    backbones that end without ReLU, such as transformers, it sees the positive half only.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """`features` [B, C, h, w] → [B, C]. Computed in float32: cubes overflow half precision's resolution."""
        values = features.float().clamp(min=self.eps).pow(self.p)
        return values.mean(dim=(2, 3)).pow(1.0 / self.p)


class AveragePooling(nn.Module):
    """Mean over positions."""

    def forward(self, features: Tensor) -> Tensor:
        """`features` [B, C, h, w] → [B, C]."""
        return features.float().mean(dim=(2, 3))


class AttentionPooling(nn.Module):
    """A mean over positions whose weights a learnt query gives, one for each of `heads` groups of channels.

    Lee et al.: "Set Transformer", ICML 2019, pooling by multihead attention (PMA) with a single seed. What differs: with
    one fixed query q the key projection folds into it (qᵀ·K·x = (Kᵀq)ᵀ·x), and the value projection into the linear layer
    that follows, so that the queries are all there is to learn. Positions are layer-normalised before they are asked, and
    the queries begin at zero: an untrained pooling is the mean.

    `channels`: C of the map. Raises ConfigError where it cannot be shared out evenly among the heads.
    """

    def __init__(self, channels: int, *, heads: int = HEADS) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ConfigError(f"pooling.heads={heads}: expected a divisor of the backbone's {channels} channels")
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.queries = nn.Parameter(torch.zeros(heads, channels))

    def weights(self, features: Tensor) -> Tensor:
        """`features` [B, C, h, w] → [B, heads, h·w] float32, each row sums to 1: where each head looks."""
        positions = self.norm(features.float().flatten(2).transpose(1, 2))
        scores = positions @ self.queries.float().t() / positions.shape[2] ** 0.5
        return scores.transpose(1, 2).softmax(dim=2)

    def forward(self, features: Tensor) -> Tensor:
        """`features` [B, C, h, w] → [B, C]. In float32, as the other poolings are."""
        with torch.autocast(features.device.type, enabled=False):
            weights = self.weights(features)
            values = features.float().flatten(2).unflatten(1, (self.heads, -1))
            return (values * weights.unsqueeze(2)).sum(dim=3).flatten(1)
