"""What the baselines have in common: a checked backbone, truth without empty boxes, predictions of one size.

Knows nothing of any one architecture.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from facings.errors import ConfigError, DataError
from facings.models.backbones import Pretrained, create_pyramid

# Sides of a box in pixels below which it counts as empty: box coders take the logarithm of the sides.
MIN_SIDE = 0.01


def pyramid_backbone(
    name: str,
    *,
    strides: Sequence[int],
    out_indices: Sequence[int],
    image_size: int,
    num_classes: int,
    pretrained: Pretrained,
    drop_path_rate: float,
) -> tuple[nn.Module, list[int]]:
    """A timm backbone that returns one map a stride, and the maps' channels.

    Raises ConfigError as `create_pyramid`, and for sizes that no detector can have.
    """
    if image_size % 32:
        raise ConfigError(f"image_size={image_size}: expected a multiple of 32")
    if num_classes < 1:
        raise ConfigError(f"num_classes={num_classes}: expected 1 or more")
    return create_pyramid(
        name,
        strides=strides,
        out_indices=out_indices,
        image_size=image_size,
        pretrained=pretrained,
        drop_path_rate=drop_path_rate,
    )


def usable(target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The objects of a target that have an area: `boxes` (M, 4), `labels` (M,), and `numbers` (M,), their places in the
    target, by which its id map names them.

    Raises DataError where a box or a label is missing.
    """
    if len(target["boxes"]) != len(target["labels"]):
        raise DataError(f"a target has {len(target['boxes'])} boxes and {len(target['labels'])} labels")
    boxes = target["boxes"].reshape(-1, 4).float()
    numbers = ((boxes[:, 2:] - boxes[:, :2]) > MIN_SIDE).all(dim=1).nonzero().squeeze(1)
    return {"boxes": boxes[numbers], "labels": target["labels"][numbers].long(), "numbers": numbers}


def total(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parts of a loss, for the record alone, and `loss`, their sum, to learn from."""
    return {name: part.detach() for name, part in parts.items()} | {"loss": torch.stack(list(parts.values())).sum()}


def fixed_size(found: Sequence[Mapping[str, Tensor]], count: int) -> dict[str, Tensor]:
    """One dict a picture, each with its own number of boxes → tensors [B, count, …], by descending score.

    Empty slots come last: score, box, label and all else are 0.
    """
    stacked: dict[str, Tensor] = {}
    orders = [part["scores"].argsort(descending=True, stable=True)[:count] for part in found]
    for name in found[0]:
        rows = [part[name][order] for part, order in zip(found, orders, strict=True)]
        stacked[name] = torch.stack([torch.cat([row, row.new_zeros(count - len(row), *row.shape[1:])]) for row in rows])
    return stacked
