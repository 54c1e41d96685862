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


class ClassHead(nn.Module):
    """Class scores at every level, from a tower of their own (Ge et al.: "YOLOX", 2021). `attributes` > 0 adds so many
    yes-or-no answers."""

    def __init__(self, channels: int, levels: int, num_classes: int, *, depth: int = 2, attributes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.towers = nn.ModuleList(_tower(channels, depth) for _ in range(levels))
        self.outputs = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for _ in range(levels))
        if attributes:
            self.attribute_outputs = nn.ModuleList(nn.Conv2d(channels, attributes, 1) for _ in range(levels))

    def initialise(self, strides: Sequence[int], image_size: int) -> None:
        """Start with few expected objects, so that the many empty anchors do not drown the first steps."""
        for output, stride in zip(self.outputs, strides, strict=True):
            assert isinstance(output, nn.Conv2d) and output.bias is not None
            nn.init.constant_(output.bias, math.log(5 / self.num_classes / (image_size / stride) ** 2))

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Maps → `logits` [B, A, C], and where the head has them `attributes` [B, A, T] logits."""
        looks = [tower(features) for tower, features in zip(self.towers, maps, strict=True)]
        found = {"logits": _flat(self.outputs, looks)}
        if hasattr(self, "attribute_outputs"):
            found["attributes"] = _flat(self.attribute_outputs, looks)
        return found


class BoxHead(nn.Module):
    """Box distances at every level, as distributions over `bins` steps of one stride (Li et al.: "Generalized Focal Loss",
    NeurIPS 2020), so that a side reaches at most (bins - 1) strides from the anchor. `prototypes` > 0 adds a coefficient for
    each of so many mask prototypes (Bolya et al.: "YOLACT", ICCV 2019).
    """

    def __init__(self, channels: int, levels: int, *, bins: int = 16, depth: int = 2, prototypes: int = 0) -> None:
        super().__init__()
        self.bins = bins
        self.towers = nn.ModuleList(_tower(channels, depth) for _ in range(levels))
        self.outputs = nn.ModuleList(nn.Conv2d(channels, 4 * bins, 1) for _ in range(levels))
        for output in self.outputs:
            assert isinstance(output, nn.Conv2d) and output.bias is not None
            nn.init.constant_(output.bias, 1.0)
        if prototypes:
            self.coefficient_outputs = nn.ModuleList(
                nn.Sequential(
                    ConvNormAct(channels, channels, 3, groups=channels),
                    ConvNormAct(channels, COEFFICIENT_CHANNELS),
                    nn.Conv2d(COEFFICIENT_CHANNELS, prototypes, 1),
                )
                for _ in range(levels)
            )

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """Maps → `distances` [B, A, 4 * bins] logits, and where the head has them `coefficients` [B, A, K]."""
        sides = [tower(features) for tower, features in zip(self.towers, maps, strict=True)]
        found = {"distances": _flat(self.outputs, sides)}
        if hasattr(self, "coefficient_outputs"):
            found["coefficients"] = _flat(self.coefficient_outputs, maps)
        return found


def _flat(outputs: nn.ModuleList, maps: Sequence[Tensor]) -> Tensor:
    """One output a level → [B, A, D], anchors level by level, row by row."""
    parts = [output(features).flatten(2) for output, features in zip(outputs, maps, strict=True)]
    return torch.cat(parts, dim=2).transpose(1, 2)


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
