"""A trained embedder beside the frozen backbone that it started from: one knows its goods, the other has forgotten nothing.

Knows nothing of where either's weights come from.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facings.models.embedder import PooledBackbone


class JoinedEmbedder(nn.Module):
    """The vectors of `trained` and of a frozen backbone's whitened mean feature, one behind the other.

    The cosine of two crops is `share` (0–1) of the trained vectors' cosine and 1 - `share` of the frozen ones', so goods that
    training never saw are told apart by what ImageNet knew, where training threw it away. Costs what both networks cost.

    `backbone`: timm's name of the frozen one, whose feature (C,) loses `centre` (C,) and is multiplied by `matrix` (C, C) from the
    right before it is of unit length (`facings.metrics.whitening`); both are fitted afterwards and are weights of the model.
    `image_size`: side of the square input in pixels, `trained`'s too.
    """

    centre: Tensor
    matrix: Tensor

    def __init__(self, backbone: str, *, trained: nn.Module, image_size: int, share: float = 0.5) -> None:
        super().__init__()
        self.trained = trained
        self.frozen = PooledBackbone(backbone, image_size=image_size)
        self.image_size = image_size
        self.share = share
        self.dimension = int(trained.dimension) + self.frozen.dimension  # type: ignore[arg-type]
        self.register_buffer("centre", torch.zeros(self.frozen.dimension))
        self.register_buffer("matrix", torch.eye(self.frozen.dimension))

    def forward(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] float, normalised → [B, D] float32 of unit length."""
        frozen = F.normalize((self.frozen(crops) - self.centre) @ self.matrix, dim=1)
        return torch.cat([self.share**0.5 * self.trained(crops), (1 - self.share) ** 0.5 * frozen], dim=1)
