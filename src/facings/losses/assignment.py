"""Which anchors learn which object. Knows nothing of networks."""

from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-9
# How often objects that lost their anchor to a better one choose again; what is left after that goes without.
ROUNDS = 8


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
    objects goes to the one with the highest IoU. An object that no anchor centre lies in takes the anchor nearest to its
    centre, so that small goods are not lost. Targets are the alignment, scaled so that an object's best anchor has its best
    IoU.

    `scores` (A, C) 0–1; `boxes` (A, 4) predicted xyxy pixels; `anchors` (A, 2) pixels; `objects` (M, 4) xyxy pixels;
    `labels` (M,). Picture by picture, memory is a handful of M×A arrays: 34 MB each at 1,000 objects and 8,400 anchors.
    """
    if len(objects) == 0:
        return _nothing(scores)
    inside, overlap, alignment = _aligned(scores, boxes, anchors, objects, labels, alpha, beta)
    chosen = _best(alignment + inside * EPS, inside, top_k)
    contested = chosen.sum(dim=0) > 1
    if contested.any():
        winner = torch.where(chosen[:, contested], overlap[:, contested], -1.0).argmax(dim=0)
        chosen[:, contested] = False
        chosen[winner, contested.nonzero().squeeze(1)] = True
    alignment = alignment * chosen
    best_alignment = alignment.amax(dim=1, keepdim=True)
    best_overlap = (overlap * chosen).amax(dim=1, keepdim=True)
    return _assignment(scores, labels, chosen, alignment * best_overlap / (best_alignment + EPS))


@torch.no_grad()
def one_to_one(
    scores: Tensor,
    boxes: Tensor,
    anchors: Tensor,
    strides: Tensor,
    objects: Tensor,
    labels: Tensor,
    *,
    alpha: float = 0.5,
    beta: float = 6.0,
) -> Assignment:
    """Each object takes one anchor of its own: the best s^α·u^β·exp(-2d²), d strides from the object's centre.

    `scores` and `boxes` are the one-to-many branch's, whose order is steady early on; the distance makes the choice one that
    can be told from the object's outline. By alignment alone neighbours take turns from picture to picture, the branch learns
    to score them alike, and doubles stay (measured in docs/detection.md). Where objects want one anchor, the best aligned
    has it and the others choose again, so that of touching goods none goes without. The target is the anchor's IoU.

    `strides` (A,) pixels; the rest as in `task_aligned`.
    """
    if len(objects) == 0:
        return _nothing(scores)
    inside, overlap, alignment = _aligned(scores, boxes, anchors, objects, labels, alpha, beta)
    centres = (objects[:, :2] + objects[:, 2:]) / 2
    nearness = torch.exp(-2 * (torch.cdist(centres, anchors) / strides).square())
    alignment = (alignment + EPS) * nearness * inside
    chosen = torch.zeros_like(inside)
    waiting = torch.ones(len(objects), dtype=torch.bool, device=scores.device)
    for _ in range(ROUNDS):
        value, wanted = alignment.max(dim=1)
        waiting &= value > 0
        if not waiting.any():
            break
        rows = waiting.nonzero().squeeze(1)
        offered = torch.zeros(len(anchors), dtype=value.dtype, device=scores.device)
        offered.scatter_reduce_(0, wanted[rows], value[rows], "amax")
        winners = rows[value[rows] == offered[wanted[rows]]]
        holder = torch.full((len(anchors),), -1, device=scores.device)
        holder[wanted[winners]] = winners
        taken = holder.ge(0).nonzero().squeeze(1)
        chosen[holder[taken], taken] = True
        waiting[holder[taken]] = False
        alignment[:, taken] = 0.0
    return _assignment(scores, labels, chosen, overlap * chosen)


def _aligned(
    scores: Tensor, boxes: Tensor, anchors: Tensor, objects: Tensor, labels: Tensor, alpha: float, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(M, A) each: whether the anchor lies in the object, the IoU of its box with it, and s^α·u^β; 0 outside."""
    inside = _inside(anchors, objects)
    overlap = pairwise_iou(objects, boxes) * inside
    return inside, overlap, scores[:, labels].T.pow(alpha) * overlap.pow(beta) * inside


def _nothing(scores: Tensor) -> Assignment:
    count = len(scores)
    positive = torch.zeros(count, dtype=torch.bool, device=scores.device)
    return Assignment(positive, torch.zeros(count, dtype=torch.int64, device=scores.device), torch.zeros_like(scores))


def _assignment(scores: Tensor, labels: Tensor, chosen: Tensor, targets: Tensor) -> Assignment:
    """From who has which anchor (M, A) and what it is to score (M, A), 0–1."""
    quality = torch.zeros_like(scores)
    positive = chosen.any(dim=0)
    owner = chosen.to(torch.float32).argmax(dim=0)
    index = positive.nonzero().squeeze(1)
    quality[index, labels[owner[index]]] = targets.amax(dim=0)[index].to(quality.dtype)
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
