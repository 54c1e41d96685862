"""From a feature map to one vector.

Knows nothing of what the vector is for.
"""

import torch
from torch import Tensor, nn


class GeM(nn.Module):
    """Generalised mean over positions with a learnt exponent: p = 1 is the average, p → ∞ the maximum.

    Radenović, Tolias, Chum: "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018, eq. 3.
    Here one exponent serves all channels, and values are clamped at `eps` (the paper's features are non-negative).
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
