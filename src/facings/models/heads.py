"""From a feature map to class scores and box distances. Knows nothing of assignment or losses."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facings.models.necks import ConvNormAct


def _tower(channels: int, depth: int) -> nn.Sequential:
    """Depthwise-separable 3×3 convolutions: the head runs at stride 8, where full ones would cost most of the frame."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [ConvNormAct(channels, channels, 3, groups=channels), ConvNormAct(channels, channels)]
    return nn.Sequential(*layers)


class DecoupledHead(nn.Module):
    """Separate towers for class and box at every level (Ge et al.: "YOLOX", 2021).

    Box distances are distributions over `bins` steps of one stride (Li et al.: "Generalized Focal Loss", NeurIPS
    2020), so a side reaches at most (bins - 1) strides from the anchor.
    """

    def __init__(self, channels: int, levels: int, num_classes: int, *, bins: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.num_classes, self.bins = num_classes, bins
        self.class_towers = nn.ModuleList(_tower(channels, depth) for _ in range(levels))
        self.box_towers = nn.ModuleList(_tower(channels, depth) for _ in range(levels))
        self.class_outputs = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for _ in range(levels))
        self.box_outputs = nn.ModuleList(nn.Conv2d(channels, 4 * bins, 1) for _ in range(levels))

    def initialise(self, strides: Sequence[int], image_size: int) -> None:
        """Start with few expected objects, so that the many empty anchors do not drown the first steps."""
        for level, stride in enumerate(strides):
            box, cls = self.box_outputs[level], self.class_outputs[level]
            assert isinstance(box, nn.Conv2d) and isinstance(cls, nn.Conv2d)
            assert box.bias is not None and cls.bias is not None
            nn.init.constant_(box.bias, 1.0)
            nn.init.constant_(cls.bias, math.log(5 / self.num_classes / (image_size / stride) ** 2))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps → logits [B, A, C] and distance logits [B, A, 4 * bins], anchors level by level, row by row."""
        logits, distances = [], []
        for level, features in enumerate(maps):
            logits.append(self.class_outputs[level](self.class_towers[level](features)).flatten(2))
            distances.append(self.box_outputs[level](self.box_towers[level](features)).flatten(2))
        return torch.cat(logits, dim=2).transpose(1, 2), torch.cat(distances, dim=2).transpose(1, 2)
