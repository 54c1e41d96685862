"""The re-identification model: a crop in, a unit vector out.

Knows nothing of products, losses or galleries.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.models.backbones import Pretrained, as_map, create_backbone
from facings.models.pooling import make_pooling


class Parts(NamedTuple):
    """What an embedder computes on its way. `pooled` [B, C]; `projected`, `necked` [B, D]: before and after the batch norm."""

    pooled: Tensor
    projected: Tensor
    necked: Tensor

    @property
    def embeddings(self) -> Tensor:
        """[B, D] float32 of unit length: what is exported."""
        return F.normalize(self.necked.float(), dim=1)


class Embedder(nn.Module):
    """Backbone, pooling, projection, batch-norm neck, unit length.

    The neck is BNNeck (Luo et al.: "Bag of Tricks and a Strong Baseline for Deep Person Re-identification", CVPRW
    2019): the cosine sees the vector after the batch norm, whose bias is frozen at zero so that the origin stays the
    centre of all products. The loss sees it too; the paper's, before it, is `task.module.loss_at=before`.

    `image_size`: side in pixels of the square input at evaluation and in the exported graph.
    `pooling`: gem, average or attention, a module, or what makes one out of the number of channels (`_partial_` in YAML).
    `categories`, `attributes`: what makes the optional heads out of the length of the vector that they look at: category
    heads look where an identity loss does, after the neck; attribute heads at the pooled features, because what does not
    tell products apart (a bag) has no place in the embedding. Neither is in `forward`, so that neither is exported;
    `facings.models.embedder_heads.EmbedderGraph` is what exports them.

    Raises ConfigError for a dimension below 1, and in `forward` for a backbone that gives no map of its stated channels.
    """

    def __init__(
        self,
        backbone: str,
        *,
        pooling: str | nn.Module | Callable[[int], nn.Module],
        image_size: int,
        dimension: int = 256,
        pretrained: Pretrained = "none",
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
        categories: Callable[[int], nn.Module] | None = None,
        attributes: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if dimension < 1:
            raise ConfigError(f"model.dimension={dimension}: expected 1 or more, usually 64 to 512")
        self.name = backbone
        self.image_size = image_size
        self.dimension = dimension
        self.backbone = create_backbone(
            backbone, pretrained=pretrained, drop_path_rate=drop_path_rate, image_size=image_size
        )
        self.channels = channels_of(self.backbone)
        self.pooling = make_pooling(pooling, self.channels)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(self.channels, dimension, bias=False)
        self.neck = nn.BatchNorm1d(dimension)
        nn.init.orthogonal_(self.projection.weight)
        self.neck.bias.requires_grad_(False)
        self.categories = None if categories is None else categories(dimension)
        self.attributes = None if attributes is None else attributes(self.channels)

    def forward(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] float, normalised → [B, dimension] float32 of unit length."""
        return self.parts(crops).embeddings

    def parts(self, crops: Tensor) -> Parts:
        """`crops` [B, 3, S, S] → the vectors that losses and heads look at."""
        features = as_map(self.backbone, self.backbone(crops))
        check_map(features, self.channels, self.name)
        pooled = self.dropout(self.pooling(features))
        projected = self.projection(pooled)
        return Parts(pooled, projected, self.neck(projected))


class PooledBackbone(nn.Module):
    """A backbone's mean feature as unit vector, with nothing added to train: a teacher, or the floor to compare with.

    `dimension` follows from the backbone.
    """

    def __init__(self, backbone: str, *, image_size: int, pretrained: Pretrained = "none") -> None:
        super().__init__()
        self.name = backbone
        self.image_size = image_size
        self.backbone = create_backbone(backbone, pretrained=pretrained, image_size=image_size)
        self.dimension = channels_of(self.backbone)

    def forward(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] float, normalised → [B, C] float32 of unit length."""
        features = as_map(self.backbone, self.backbone(crops))
        check_map(features, self.dimension, self.name)
        return F.normalize(features.float().mean(dim=(2, 3)), dim=1)


def channels_of(backbone: nn.Module) -> int:
    """Channels of a timm backbone's map before pooling."""
    channels: Any = getattr(backbone, "head_hidden_size", backbone.num_features)
    return int(channels)


def check_map(features: Tensor, channels: int, name: str) -> None:
    """Raise ConfigError where `features` are not a map [B, channels, h, w]."""
    if features.ndim != 4 or features.shape[1] != channels:
        raise ConfigError(
            f"model.backbone={name}: gives {tuple(features.shape)} before pooling; expected [batch, {channels}, h, w] "
            "or tokens of as many channels: take another backbone"
        )
