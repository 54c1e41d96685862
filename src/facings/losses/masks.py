"""Mask losses of prototypes and coefficients. Knows nothing of assignment or networks."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Objects whose targets are shrunk at once: bounds memory on frames of hundreds of objects.
CHUNK = 32


def mask_loss(coefficients: Tensor, prototypes: Tensor, targets: Tensor, boxes: Tensor) -> Tensor:
    """(P,) cross-entropy plus Dice loss of each mask, inside its box.

    Bolya et al.: "YOLACT", ICCV 2019 (cross-entropy over the box, so that large and small goods weigh alike); Milletari
    et al.: "V-Net", 3DV 2016 (Dice, eq. 3 without squares).

    `coefficients` (P, K); `prototypes` (K, h, w); `targets` (P, h, w) share of each cell that the object covers, 0–1;
    `boxes` (P, 4) xyxy in cells of the prototypes.
    """
    logits = torch.einsum("pk,khw->phw", coefficients, prototypes)
    inside = box_windows(boxes, prototypes.shape[-2], prototypes.shape[-1])
    count = inside.sum(dim=(1, 2)).clamp(min=1.0)
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    entropy = (entropy * inside).sum(dim=(1, 2)) / count
    found, wanted = logits.sigmoid() * inside, targets * inside
    shared = (found * wanted).sum(dim=(1, 2))
    dice = 1 - (2 * shared + 1) / (found.sum(dim=(1, 2)) + wanted.sum(dim=(1, 2)) + 1)
    return entropy + dice


def box_windows(boxes: Tensor, height: int, width: int) -> Tensor:
    """(P, 4) boxes in cells → (P, h, w) float, 1 for cells that the box touches."""
    x, y = torch.arange(width, device=boxes.device), torch.arange(height, device=boxes.device)
    across = (x[None] + 1 > boxes[:, 0:1]) & (x[None] < boxes[:, 2:3])
    down = (y[None] + 1 > boxes[:, 1:2]) & (y[None] < boxes[:, 3:4])
    return (down[:, :, None] & across[:, None, :]).to(boxes.dtype)


def mask_targets(identities: Tensor, numbers: Tensor, shape: tuple[int, int]) -> Tensor:
    """(H, W) map that holds m + 1 where object m is seen, object numbers (M,), (h, w) → (M, h, w) share of each cell
    that the object covers, 0–1. H and W are multiples of h and w."""
    height, width = shape
    cell = (identities.shape[0] // height, identities.shape[1] // width)
    parts = [
        F.avg_pool2d((identities[None] == (some + 1)[:, None, None]).float()[:, None], cell)[:, 0]
        for some in numbers.split(CHUNK)
    ]
    return torch.cat(parts) if parts else identities.new_zeros((0, height, width), dtype=torch.float32)
