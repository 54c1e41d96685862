"""Which anchors learn which object. Knows nothing of networks."""

from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-9


@dataclass(frozen=True)
class Assignment:
    """For one picture with A anchors and C classes.

    `positive` (A,) bool; `object` (A,) int64, index of the object of each positive anchor; `quality` (A, C) float32,
    the class targets in 0–1.
    """

    positive: Tensor
    object: Tensor
    quality: Tensor


@torch.no_grad()
def task_aligned(
    scores: Tensor,
    boxes: Tensor,
    anchors: Tensor,
    objects: Tensor,
    labels: Tensor,
    *,
    top_k: int,
    alpha: float = 0.5,
    beta: float = 6.0,
) -> Assignment:
    """Task-aligned assignment of one picture: each object takes the `top_k` anchors inside it with the best s^α·u^β.

    Feng et al.: "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, eq. 1 and 2. An anchor wanted by several
    objects goes to the one with the highest IoU, in the one-to-one case (`top_k` = 1) to the one with the highest
    alignment. An object that no anchor centre lies in takes the anchor nearest to its centre, so that small goods are
    not lost. Targets are the alignment, scaled so that an object's best anchor has its best IoU.

    `scores` (A, C) 0–1; `boxes` (A, 4) predicted xyxy pixels; `anchors` (A, 2) pixels; `objects` (M, 4) xyxy pixels;
    `labels` (M,). Picture by picture, memory is a handful of M×A arrays: 34 MB each at 1,000 objects and 8,400 anchors.
    """
    count = len(scores)
    quality = torch.zeros_like(scores)
    positive = torch.zeros(count, dtype=torch.bool, device=scores.device)
    owner = torch.zeros(count, dtype=torch.int64, device=scores.device)
    if len(objects) == 0:
        return Assignment(positive, owner, quality)
    inside = _inside(anchors, objects)
    overlap = pairwise_iou(objects, boxes) * inside
    alignment = scores[:, labels].T.pow(alpha) * overlap.pow(beta) * inside
    chosen = _best(alignment + inside * EPS, inside, top_k)
    contested = chosen.sum(dim=0) > 1
    if contested.any():
        preference = alignment if top_k == 1 else overlap
        winner = torch.where(chosen[:, contested], preference[:, contested], -1.0).argmax(dim=0)
        chosen[:, contested] = False
        chosen[winner, contested.nonzero().squeeze(1)] = True
    positive = chosen.any(dim=0)
    owner = chosen.to(torch.float32).argmax(dim=0)
    alignment = alignment * chosen
    best_alignment = alignment.amax(dim=1, keepdim=True)
    best_overlap = (overlap * chosen).amax(dim=1, keepdim=True)
    scaled = (alignment * best_overlap / (best_alignment + EPS)).amax(dim=0)
    index = positive.nonzero().squeeze(1)
    quality[index, labels[owner[index]]] = scaled[index].to(quality.dtype)
    return Assignment(positive, owner, quality)


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """(M, 4), (A, 4) → (M, A) intersection over union."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(dim=-1) for b in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None, :] - shared + 1e-7)


def _inside(anchors: Tensor, objects: Tensor) -> Tensor:
    """(M, A) bool: the anchor's centre lies in the object, or it is the nearest to an object that holds none."""
    low = (anchors[None] - objects[:, None, :2]).amin(dim=-1)
    high = (objects[:, None, 2:] - anchors[None]).amin(dim=-1)
    inside = torch.minimum(low, high) > 0
    empty = ~inside.any(dim=1)
    if empty.any():
        centres = (objects[empty, :2] + objects[empty, 2:]) / 2
        nearest = torch.cdist(centres, anchors).argmin(dim=1)
        inside[empty.nonzero().squeeze(1), nearest] = True
    return inside


def _best(values: Tensor, inside: Tensor, top_k: int) -> Tensor:
    """(M, A) bool: the `top_k` highest of each row among those inside."""
    index = values.topk(min(top_k, values.shape[1]), dim=1).indices
    chosen = torch.zeros_like(inside)
    chosen.scatter_(1, index, True)
    return chosen & inside
