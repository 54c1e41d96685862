"""The same crops seen otherwise: at another size, mirrored, cut. What is averaged over at evaluation.

Knows nothing of what a model makes of them.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError

Averaging = Literal["none", "flip", "multicrop"]
# Side of the five crops as share of the whole: 224 of 256, as in Krizhevsky et al.
CROP_SHARE = 0.875


def check_averaging(mode: str, setting: str = "task.module.tta") -> None:
    """Raise ConfigError for a `mode` that there is not."""
    if mode not in get_args(Averaging):
        raise ConfigError(f"{setting}={mode!r}: expected one of {', '.join(get_args(Averaging))}")


def resized(crops: Tensor, size: int) -> Tensor:
    """Square `crops` [B, 3, S, S] at side `size`, bilinear; the same tensor where that is their size."""
    if crops.shape[-1] == size:
        return crops
    return F.interpolate(crops, size=(size, size), mode="bilinear", antialias=crops.shape[-1] > size)


def crop_views(crops: Tensor, mode: Averaging) -> list[Tensor]:
    """`crops` [B, 3, S, S] → the views to average over, each [B, 3, S, S], the crops themselves first.

    "flip": and mirrored left to right. "multicrop": two scales, the whole and its four corners and centre, `CROP_SHARE` of
    the side, enlarged again to S (Krizhevsky, Sutskever, Hinton: "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, sec. 4.1, there without the whole and mirrored too).
    """
    if mode == "none":
        return [crops]
    if mode == "flip":
        return [crops, crops.flip(3)]
    size = crops.shape[-1]
    side = max(1, round(CROP_SHARE * size))
    far, middle = size - side, (size - side) // 2
    places = ((0, 0), (0, far), (far, 0), (far, far), (middle, middle))
    return [crops, *(resized(crops[:, :, y : y + side, x : x + side], size) for y, x in places)]


class Averaged(nn.Module):
    """A model whose embedding is the mean over the views of a crop, of unit length again: `crops` → `embeddings` as before,
    so that it is exported in the model's place. It takes 2 (flip) or 6 (multicrop) times the model's work."""

    def __init__(self, model: nn.Module, mode: Averaging) -> None:
        super().__init__()
        check_averaging(mode, "tta")
        self.model, self.mode = model, mode
        self.dimension = model.dimension

    def forward(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] → [B, D] unit length."""
        views = crop_views(crops, self.mode)
        embeddings: Tensor = self.model(torch.cat(views))
        return F.normalize(embeddings.unflatten(0, (len(views), -1)).mean(dim=0), dim=1)
