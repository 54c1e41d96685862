"""The re-identification model: a crop in, a unit vector out.

Knows nothing of products, losses or galleries.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from facings.models.backbones import Pretrained, create_backbone


class Embedder(nn.Module):
    """Backbone, pooling, projection, batch-norm neck, unit length.

    The neck is BNNeck (Luo et al.: "Bag of Tricks and a Strong Baseline for Deep Person Re-identification", CVPRW
    2019): the loss and the cosine both see the vector after the batch norm, whose bias is frozen at zero so that the
    origin stays the centre of all products.

    `image_size`: side in pixels of the square input at evaluation and in the exported graph.
    """

    def __init__(
        self,
        backbone: str,
        *,
        pooling: nn.Module,
        image_size: int,
        dimension: int = 256,
        pretrained: Pretrained = "none",
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.dimension = dimension
        self.backbone = create_backbone(backbone, pretrained=pretrained, drop_path_rate=drop_path_rate)
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        channels: Any = getattr(self.backbone, "head_hidden_size", self.backbone.num_features)
        self.projection = nn.Linear(int(channels), dimension, bias=False)
        self.neck = nn.BatchNorm1d(dimension)
        nn.init.orthogonal_(self.projection.weight)
        self.neck.bias.requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] float, normalised → [B, dimension] float32 of unit length."""
        pooled = self.dropout(self.pooling(self.backbone(crops)))
        return F.normalize(self.neck(self.projection(pooled)).float(), dim=1)
