"""From a feature map to class scores, box distances, mask coefficients and attributes. Knows nothing of assignment or losses."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facings.models.necks import ConvNormAct

# Width of the tower that yields mask coefficients: they say which prototypes to add, which takes little.
COEFFICIENT_CHANNELS = 32


def _tower(channels: int, depth: int) -> nn.Sequential:
    """Depthwise-separable 3×3 convolutions: the head runs at stride 8, where full ones would cost most of the frame."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [ConvNormAct(channels, channels, 3, groups=channels), ConvNormAct(channels, channels)]
    return nn.Sequential(*layers)


class DecoupledHead(nn.Module):
    """Separate towers for class and box at every level (Ge et al.: "YOLOX", 2021).

    Box distances are distributions over `bins` steps of one stride (Li et al.: "Generalized Focal Loss", NeurIPS
    2020), so a side reaches at most (bins - 1) strides from the anchor. `prototypes` > 0 adds a coefficient for each of so
    many mask prototypes (Bolya et al.: "YOLACT", ICCV 2019); `attributes` > 0 adds so many yes-or-no answers.
    """

    def __init__(
        self,
        channels: int,
        levels: int,
        num_classes: int,
        *,
        bins: int = 16,
        depth: int = 2,
        prototypes: int = 0,
        attributes: int = 0,
    ) -> None:
        super().__init__()
        self.num_classes, self.bins = num_classes, bins
        self.class_towers = nn.ModuleList(_tower(channels, depth) for _ in range(levels))
        self.box_towers = nn.ModuleList(_tower(channels, depth) for _ in range(levels))
        self.class_outputs = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for _ in range(levels))
        self.box_outputs = nn.ModuleList(nn.Conv2d(channels, 4 * bins, 1) for _ in range(levels))
        if prototypes:
            self.coefficient_outputs = nn.ModuleList(
                nn.Sequential(
                    ConvNormAct(channels, channels, 3, groups=channels),
                    ConvNormAct(channels, COEFFICIENT_CHANNELS),
                    nn.Conv2d(COEFFICIENT_CHANNELS, prototypes, 1),
                )
                for _ in range(levels)
            )
        if attributes:
            self.attribute_outputs = nn.ModuleList(nn.Conv2d(channels, attributes, 1) for _ in range(levels))

    def initialise(self, strides: Sequence[int], image_size: int) -> None:
        """Start with few expected objects, so that the many empty anchors do not drown the first steps."""
        for level, stride in enumerate(strides):
            box, cls = self.box_outputs[level], self.class_outputs[level]
            assert isinstance(box, nn.Conv2d) and isinstance(cls, nn.Conv2d)
            assert box.bias is not None and cls.bias is not None
            nn.init.constant_(box.bias, 1.0)
            nn.init.constant_(cls.bias, math.log(5 / self.num_classes / (image_size / stride) ** 2))

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Maps → `logits` [B, A, C], `distances` [B, A, 4 * bins] and, where the head has them, `coefficients` [B, A, K]
        and `attributes` [B, A, T] logits; anchors level by level, row by row."""
        found: dict[str, list[Tensor]] = {"logits": [], "distances": []}
        for level, features in enumerate(maps):
            looks = self.class_towers[level](features)
            found["logits"].append(self.class_outputs[level](looks))
            found["distances"].append(self.box_outputs[level](self.box_towers[level](features)))
            if hasattr(self, "coefficient_outputs"):
                found.setdefault("coefficients", []).append(self.coefficient_outputs[level](features))
            if hasattr(self, "attribute_outputs"):
                found.setdefault("attributes", []).append(self.attribute_outputs[level](looks))
        return {
            name: torch.cat([part.flatten(2) for part in parts], dim=2).transpose(1, 2) for name, parts in found.items()
        }


class PrototypeHead(nn.Module):
    """Mask prototypes of a whole picture at a quarter of its resolution (Bolya et al.: "YOLACT", ICCV 2019).

    Outlines come from the backbone's stride-4 map, what belongs together from the neck's finest: the first is added to
    the second once that is enlarged, so that no wide convolution runs at the high resolution.
    """

    def __init__(self, detail_channels: int, channels: int, prototypes: int, width: int = 48) -> None:
        super().__init__()
        self.meaning = nn.Sequential(ConvNormAct(channels, channels, 3, groups=channels), ConvNormAct(channels, width))
        self.detail = ConvNormAct(detail_channels, width)
        self.mix = nn.Sequential(ConvNormAct(width, width, 3, groups=width), nn.Conv2d(width, prototypes, 1))

    def forward(self, detail: Tensor, finest: Tensor) -> Tensor:
        """Stride-4 map [B, D, 2h, 2w], neck's stride-8 map [B, channels, h, w] → prototypes [B, K, 2h, 2w]."""
        wide = nn.functional.interpolate(self.meaning(finest), scale_factor=2.0, mode="nearest")
        prototypes: Tensor = self.mix(wide + self.detail(detail))
        return prototypes
