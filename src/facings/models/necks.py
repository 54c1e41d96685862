"""Mixing feature maps of different strides. Knows nothing of boxes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, SiLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.03),
            nn.SiLU(),
        )


class CSPBlock(nn.Module):
    """Half of the channels pass `depth` residual blocks, then all are joined.

    Wang et al.: "CSPNet", CVPRW 2020; here with the running concatenation of YOLOv8's C2f.
    """

    def __init__(self, channels_in: int, channels_out: int, depth: int = 1) -> None:
        super().__init__()
        half = channels_out // 2
        self.enter = ConvNormAct(channels_in, 2 * half)
        self.blocks = nn.ModuleList(
            nn.Sequential(ConvNormAct(half, half, 3), ConvNormAct(half, half, 3)) for _ in range(depth)
        )
        self.leave = ConvNormAct((2 + depth) * half, channels_out)

    def forward(self, features: Tensor) -> Tensor:
        """[B, channels_in, h, w] → [B, channels_out, h, w]."""
        parts = list(self.enter(features).chunk(2, dim=1))
        for block in self.blocks:
            parts.append(parts[-1] + block(parts[-1]))
        mixed: Tensor = self.leave(torch.cat(parts, dim=1))
        return mixed


class PAFPN(nn.Module):
    """Top-down, then bottom-up paths over three feature maps, all brought to `channels`.

    Liu et al.: "Path Aggregation Network", CVPR 2018. The maps' strides must double from one to the next.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, depth: int = 1) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNormAct(count, channels) for count in in_channels)
        steps = len(in_channels) - 1
        self.down_blocks = nn.ModuleList(CSPBlock(2 * channels, channels, depth) for _ in range(steps))
        self.strided = nn.ModuleList(ConvNormAct(channels, channels, 3, 2) for _ in range(steps))
        self.up_blocks = nn.ModuleList(CSPBlock(2 * channels, channels, depth) for _ in range(steps))
        self.channels = channels

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps fine to coarse → as many maps of `channels`."""
        maps = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for level in range(len(maps) - 1, 0, -1):
            wide = F.interpolate(maps[level], scale_factor=2.0, mode="nearest")
            block = self.down_blocks[level - 1]
            maps[level - 1] = block(torch.cat([wide, maps[level - 1]], dim=1))
        for level in range(1, len(maps)):
            narrow = self.strided[level - 1](maps[level - 1])
            maps[level] = self.up_blocks[level - 1](torch.cat([narrow, maps[level]], dim=1))
        return maps
