"""What the dense detector is trained towards. Knows nothing of the network beyond its raw outputs."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import complete_box_iou_loss

from facings.losses.assignment import Assignment, task_aligned

Target = Mapping[str, Tensor]


class DetectionLoss(nn.Module):
    """Class, box and distribution losses of both branches, summed.

    Class: binary cross-entropy against the assignment's quality. Box: CIoU (Zheng et al.: "Distance-IoU Loss", AAAI
    2020). Distribution: Li et al.: "Generalized Focal Loss", eq. 6. Box terms are weighted by quality, everything is
    divided by the batch's sum of qualities. The branches differ only in how many anchors an object takes.
    """

    def __init__(
        self,
        *,
        class_weight: float = 0.5,
        box_weight: float = 7.5,
        distribution_weight: float = 1.5,
        one_to_many_anchors: int = 10,
        one_to_one_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.class_weight, self.box_weight = class_weight, box_weight
        self.distribution_weight, self.one_to_one_weight = distribution_weight, one_to_one_weight
        self.anchors_an_object = {"one_to_many": one_to_many_anchors, "one_to_one": 1}

    def forward(
        self,
        raw: Mapping[str, Tensor],
        targets: Sequence[Target],
        *,
        anchors: Tensor,
        strides: Tensor,
        decode: Callable[[Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """Losses by name, and their sum as `loss`.

        `raw`: the detector's output; `targets`: for each picture `boxes` (M, 4) xyxy in input pixels and `labels` (M,);
        `anchors` (A, 2) and `strides` (A,) in pixels; `decode`: distance logits → boxes.
        """
        losses: dict[str, Tensor] = {}
        total = torch.zeros((), device=anchors.device)
        for branch, top_k in self.anchors_an_object.items():
            logits, distances = raw[f"{branch}/logits"].float(), raw[f"{branch}/distances"].float()
            parts = self._branch(logits, distances, targets, anchors, strides, decode(distances), top_k)
            weight = self.one_to_one_weight if branch == "one_to_one" else 1.0
            losses |= {f"{branch}/{name}": value.detach() for name, value in parts.items()}
            total = total + weight * torch.stack(list(parts.values())).sum()
        losses["loss"] = total
        return losses

    def _branch(
        self,
        logits: Tensor,
        distances: Tensor,
        targets: Sequence[Target],
        anchors: Tensor,
        strides: Tensor,
        boxes: Tensor,
        top_k: int,
    ) -> dict[str, Tensor]:
        assigned = [
            task_aligned(logit.sigmoid(), box, anchors, target["boxes"], target["labels"], top_k=top_k)
            for logit, box, target in zip(logits.detach(), boxes.detach(), targets, strict=True)
        ]
        quality = torch.stack([part.quality for part in assigned])
        total = quality.sum().clamp(min=1.0)
        class_loss = F.binary_cross_entropy_with_logits(logits, quality, reduction="sum") / total
        positive = torch.stack([part.positive for part in assigned])
        wanted = torch.cat([_boxes_of(part, t) for part, t in zip(assigned, targets, strict=True)])
        if len(wanted) == 0:
            nothing = distances.sum() * 0.0
            return {"class": class_loss * self.class_weight, "box": nothing, "distribution": nothing}
        weights = quality.sum(dim=-1)[positive]
        box_loss = (complete_box_iou_loss(boxes[positive], wanted) * weights).sum() / total
        index = positive.nonzero()[:, 1]
        distribution_loss = _distribution_loss(distances[positive], anchors[index], strides[index], wanted)
        return {
            "class": class_loss * self.class_weight,
            "box": box_loss * self.box_weight,
            "distribution": (distribution_loss * weights).sum() / total * self.distribution_weight,
        }


def _boxes_of(part: Assignment, target: Target) -> Tensor:
    return target["boxes"][part.object[part.positive]]


def _distribution_loss(distances: Tensor, anchors: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    """(P,) cross-entropy of each side's distribution with the two bins around its true distance, mean of the sides."""
    bins = distances.shape[-1] // 4
    sides = torch.cat([anchors - boxes[:, :2], boxes[:, 2:] - anchors], dim=-1) / strides[:, None]
    sides = sides.clamp(0, bins - 1 - 0.01)
    lower = sides.floor().long()
    share = (lower + 1).float() - sides
    log_probability = distances.view(-1, 4, bins).log_softmax(dim=-1)
    below = -log_probability.gather(-1, lower.unsqueeze(-1)).squeeze(-1)
    above = -log_probability.gather(-1, (lower + 1).unsqueeze(-1)).squeeze(-1)
    return (below * share + above * (1 - share)).mean(dim=-1)
