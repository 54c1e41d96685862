"""The same crops seen otherwise: at another size, mirrored, cut. What is averaged over at evaluation.

Knows nothing of what a model makes of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError

Averaging = Literal["none", "flip", "multicrop", "multicrop_flip"]
# Side of the five crops as share of the whole: 224 of 256, as in Krizhevsky et al.
CROP_SHARE = 0.875


@dataclass(frozen=True)
class View:
    """One way to see a crop. `place`: where in it a square of `CROP_SHARE` of its side lies, (y, x) from 0 (top, left) to 1,
    None for the whole; `mirrored` left to right."""

    place: tuple[float, float] | None = None
    mirrored: bool = False

    def __call__(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] so seen, [B, 3, S, S]; the same tensor where nothing is done to it."""
        size = crops.shape[-1]
        if self.place is not None:
            side = max(1, round(CROP_SHARE * size))
            y, x = (int(share * (size - side)) for share in self.place)
            crops = resized(crops[:, :, y : y + side, x : x + side], size)
        return crops.flip(3) if self.mirrored else crops


_CUTS = (View(), *(View(place) for place in ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5))))
# What each way averages over, the crop itself first.
VIEWS: Mapping[Averaging, tuple[View, ...]] = {
    "none": (View(),),
    "flip": (View(), View(mirrored=True)),
    "multicrop": _CUTS,
    "multicrop_flip": (*_CUTS, *(View(cut.place, mirrored=True) for cut in _CUTS)),
}


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
    the side, enlarged again to S; "multicrop_flip": these six, mirrored too (Krizhevsky, Sutskever, Hinton: "ImageNet
    Classification with Deep Convolutional Neural Networks", NIPS 2012, sec. 4.1, there without the whole).
    """
    return [view(crops) for view in VIEWS[mode]]


class Averaged(nn.Module):
    """A model whose embedding is the mean over the views of a crop, of unit length again: `crops` → `embeddings` as before,
    so that it is exported in the model's place. It takes 2 (flip), 6 (multicrop) or 12 (multicrop_flip) times the model's work."""

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
