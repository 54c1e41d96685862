"""What the dense detector is trained towards. Knows nothing of the network beyond its raw outputs."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torchvision.ops import complete_box_iou_loss

from facings.losses.assignment import Assignment, one_to_one, task_aligned
from facings.losses.masks import mask_loss, mask_targets

Target = Mapping[str, Tensor]


class DetectionLoss(nn.Module):
    """Class, box, distribution, mask and attribute losses, and the loss of choosing one anchor an object, summed.

    Class: binary cross-entropy against the assignment's quality, each class weighted by `class_weights` if given. Choice: the
    same of class score times choice against the one-to-one assignment; the class score counts as given there. Box:
    CIoU (Zheng et al.: "Distance-IoU Loss", AAAI 2020). Distribution: Li et al.: "Generalized Focal Loss", eq. 6. These
    are weighted by quality and divided by the batch's sum of qualities. Mask: see `mask_loss`, mean over at most
    `masks_a_picture` anchors a picture, drawn by chance. Attributes: cross-entropy over the answers that are known. All but
    the choice learn from the anchors of the one-to-many assignment.

    Under distributed training the divisors are those of the global batch, so that the mean over processes of the loss is
    the loss of one process with all pictures.
    """

    def __init__(
        self,
        *,
        class_weight: float = 0.5,
        box_weight: float = 7.5,
        distribution_weight: float = 1.5,
        mask_weight: float = 2.5,
        attribute_weight: float = 0.5,
        one_to_many_anchors: int = 10,
        choice_weight: float = 0.5,
        masks_a_picture: int = 128,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.class_weight, self.box_weight, self.distribution_weight = class_weight, box_weight, distribution_weight
        self.mask_weight, self.attribute_weight = mask_weight, attribute_weight
        self.choice_weight, self.masks_a_picture = choice_weight, masks_a_picture
        self.class_weights = None if class_weights is None else torch.tensor(list(class_weights), dtype=torch.float32)
        self.one_to_many_anchors = one_to_many_anchors

    def forward(
        self,
        raw: Mapping[str, Tensor],
        targets: Sequence[Target],
        *,
        decode: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """Losses by name, and their sum as `loss`.

        `raw`: the detector's output; `targets`: for each picture `boxes` (M, 4) xyxy in input pixels, `labels` (M,) and
        where there are any `masks` (H, W), m + 1 at the pixels of object m, and `attributes` (M, T), 0, 1 or nan for not
        known; `decode`: distance logits, anchors, strides → boxes.
        """
        anchors, strides = raw["anchors"], raw["strides"]
        boxes = decode(raw["distances"].float(), anchors, strides)
        scores = raw["logits"].detach().float().sigmoid()
        pictures = list(zip(scores, boxes.detach(), targets, strict=True))
        many = [
            task_aligned(s, b, anchors, t["boxes"], t["labels"], top_k=self.one_to_many_anchors) for s, b, t in pictures
        ]
        one = [one_to_one(s, b, anchors, strides, t["boxes"], t["labels"]) for s, b, t in pictures]
        quality = torch.stack([part.quality for part in many])
        entropy = F.binary_cross_entropy_with_logits(raw["logits"].float(), quality, reduction="none")
        parts = {"class": self._weighted(entropy).sum() / _total(quality) * self.class_weight}
        wanted = torch.stack([part.quality for part in one])
        entropy = _product_entropy(raw["logits"].detach().float(), raw["choice"].float(), wanted)
        parts["choice"] = self._weighted(entropy).sum() / _total(wanted) * self.choice_weight
        parts |= self._boxes(raw["distances"].float(), boxes, anchors, strides, many, targets)
        if "coefficients" in raw:
            masks = self._masks(raw["coefficients"].float(), raw["prototypes"].float(), many, targets)
            parts["mask"] = masks * self.mask_weight
        if "attributes" in raw:
            parts["attributes"] = _attributes(raw["attributes"].float(), many, targets) * self.attribute_weight
        return {name: value.detach() for name, value in parts.items()} | {"loss": torch.stack([*parts.values()]).sum()}

    def _weighted(self, entropy: Tensor) -> Tensor:
        """[B, A, C], each class by its weight."""
        return entropy if self.class_weights is None else entropy * self.class_weights.to(entropy.device)

    def _boxes(
        self,
        distances: Tensor,
        boxes: Tensor,
        anchors: Tensor,
        strides: Tensor,
        assigned: Sequence[Assignment],
        targets: Sequence[Target],
    ) -> dict[str, Tensor]:
        """Box and distribution losses."""
        quality = torch.stack([part.quality for part in assigned])
        positive = torch.stack([part.positive for part in assigned])
        wanted = torch.cat([_boxes_of(part, t) for part, t in zip(assigned, targets, strict=True)])
        total = _total(quality)
        if len(wanted) == 0:
            # Every output stays part of the sum: distributed training waits for a gradient of each parameter.
            nothing = distances.sum() * 0.0
            return {"box": nothing, "distribution": nothing}
        weights = quality.sum(dim=-1)[positive]
        index = positive.nonzero()[:, 1]
        box_loss = (complete_box_iou_loss(boxes[positive], wanted) * weights).sum() / total
        distribution_loss = _distribution_loss(distances[positive], anchors[index], strides[index], wanted)
        return {
            "box": box_loss * self.box_weight,
            "distribution": (distribution_loss * weights).sum() / total * self.distribution_weight,
        }

    def _masks(
        self, coefficients: Tensor, prototypes: Tensor, assigned: Sequence[Assignment], targets: Sequence[Target]
    ) -> Tensor:
        """Mean mask loss over the anchors whose object has a mask."""
        summed, count = coefficients.sum() * 0.0 + prototypes.sum() * 0.0, 0
        for number, (part, target) in enumerate(zip(assigned, targets, strict=True)):
            if "masks" not in target:
                continue
            outlined = torch.unique(target["masks"])
            outlined = outlined[outlined > 0].long() - 1
            index = (part.positive & torch.isin(part.object, outlined)).nonzero().squeeze(1)
            if len(index) > self.masks_a_picture:
                index = index[torch.randperm(len(index), device=index.device)[: self.masks_a_picture]]
            if not len(index):
                continue
            numbers, which = torch.unique(part.object[index], return_inverse=True)
            shape = (int(prototypes.shape[-2]), int(prototypes.shape[-1]))
            wanted = mask_targets(target["masks"], numbers, shape)
            cell = target["masks"].shape[0] / shape[0]
            windows = target["boxes"][numbers] / cell
            values = mask_loss(coefficients[number][index], prototypes[number], wanted[which], windows[which])
            summed, count = summed + values.sum(), count + len(index)
        return summed / global_mean(torch.tensor(float(count), device=summed.device), floor=1.0)


def _product_entropy(first: Tensor, second: Tensor, wanted: Tensor) -> Tensor:
    """Binary cross-entropy of σ(first)·σ(second), logits, against `wanted`; spelled out, because mixed precision refuses
    torch's own on probabilities."""
    log_product = F.logsigmoid(first) + F.logsigmoid(second)
    log_rest = torch.log1p(-log_product.exp().clamp(max=1 - 1e-6))
    return -(wanted * log_product + (1 - wanted) * log_rest)


def _total(quality: Tensor) -> Tensor:
    return global_mean(quality.sum(), floor=1.0)


def global_mean(value: Tensor, *, floor: float) -> Tensor:
    """The mean over the processes of a distributed training of a sum that is at least `floor` over all of them together.

    The floor counts for the sum: put under the mean, two processes would divide by another number than one does.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return value.clamp(min=floor)
    summed = value.detach().clone()
    distributed.all_reduce(summed)
    return summed.clamp(min=floor) / distributed.get_world_size()


def _attributes(logits: Tensor, assigned: Sequence[Assignment], targets: Sequence[Target]) -> Tensor:
    """Mean cross-entropy over the known answers of all positive anchors."""
    positive = torch.stack([part.positive for part in assigned])
    unknown = torch.full((1, logits.shape[-1]), float("nan"), device=logits.device)
    wanted = torch.cat(
        [
            target["attributes"][part.object[part.positive]]
            if "attributes" in target
            else unknown.expand(int(part.positive.sum()), -1)
            for part, target in zip(assigned, targets, strict=True)
        ]
    )
    known = ~wanted.isnan()
    count = global_mean(known.sum().float(), floor=1.0)
    entropy = F.binary_cross_entropy_with_logits(logits[positive], wanted.nan_to_num(), reduction="none")
    return (entropy * known).sum() / count + logits.sum() * 0.0


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
