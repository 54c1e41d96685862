"""The dense detector: anchor-free, one stage, one-to-many and one-to-one branches. Knows nothing of losses or data."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from facings.errors import ConfigError
from facings.models.backbones import Pretrained, create_backbone
from facings.models.heads import BoxHead, ClassHead, PrototypeHead
from facings.models.necks import PAFPN

Branch = Literal["one_to_one", "one_to_many"]
STRIDES = (8, 16, 32)
DETAIL_STRIDE = 4


class DenseDetector(nn.Module):
    """timm backbone, PAFPN, and decoupled heads: one for boxes and masks, two for classes.

    The one-to-many class head scores several anchors an object and needs NMS; the one-to-one head, trained on detached
    maps, scores one and needs none (Wang et al.: "YOLOv10: Real-Time End-to-End Object Detection", NeurIPS 2024). Unlike
    there the boxes are shared: they learn from all anchors of an object, and the one-to-one head only has to choose (as the
    selector of Zhou et al.: "Object Detection Made Simpler by Eliminating Heuristic NMS", 2021). Both leave one checkpoint.

    `image_size`: side of the square input in pixels, a multiple of 32, for evaluation and export; training may show other
    sizes. `prototypes`: how many mask prototypes both heads combine, 0 for boxes alone. `attributes`: names of yes-or-no
    properties that each box gets an answer to ("packaged", "bagged").
    """

    anchors: Tensor
    anchor_strides: Tensor
    steps: Tensor

    def __init__(
        self,
        backbone: str,
        *,
        num_classes: int,
        image_size: int,
        pretrained: Pretrained = "none",
        channels: int = 96,
        neck_depth: int = 1,
        head_depth: int = 2,
        bins: int = 16,
        out_indices: tuple[int, int, int] = (2, 3, 4),
        drop_path_rate: float = 0.0,
        prototypes: int = 0,
        attributes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if image_size % STRIDES[-1]:
            raise ConfigError(f"image_size={image_size}: expected a multiple of {STRIDES[-1]}")
        if num_classes < 1:
            raise ConfigError(f"num_classes={num_classes}: expected 1 or more")
        if prototypes < 0:
            raise ConfigError(f"prototypes={prototypes}: expected 0 (no masks) or more")
        self.num_classes, self.image_size, self.bins = num_classes, image_size, bins
        self.attributes = tuple(attributes)
        indices = (min(out_indices) - 1, *out_indices) if prototypes else tuple(out_indices)
        self.backbone = create_backbone(
            backbone, pretrained=pretrained, features_only=True, out_indices=indices, drop_path_rate=drop_path_rate
        )
        info = self.backbone.feature_info
        strides = (DETAIL_STRIDE, *STRIDES) if prototypes else STRIDES
        if tuple(info.reduction()) != strides:  # type: ignore[operator, union-attr]
            raise ConfigError(f"backbone {backbone}: features {indices} do not give the strides {strides}")
        widths = list(info.channels())  # type: ignore[operator, union-attr]
        self.neck = PAFPN(widths[-len(STRIDES) :], channels, neck_depth)
        self.prototypes = PrototypeHead(widths[0], channels, prototypes) if prototypes else None

        levels = len(STRIDES)
        self.boxes = BoxHead(channels, levels, bins=bins, depth=head_depth, prototypes=prototypes)
        self.one_to_many, self.one_to_one = (
            ClassHead(channels, levels, num_classes, depth=head_depth, attributes=len(self.attributes))
            for _ in range(2)
        )
        for head in (self.one_to_many, self.one_to_one):
            head.initialise(STRIDES, image_size)
        anchors, anchor_strides = anchor_points(image_size, image_size)
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("anchor_strides", anchor_strides, persistent=False)
        self.register_buffer("steps", torch.arange(bins, dtype=torch.float32), persistent=False)

    @property
    def num_anchors(self) -> int:
        """How many boxes a frame can hold at most before top-k."""
        return len(self.anchors)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """`pixels` [B, 3, H, W] normalised, sides multiples of 32 → `BRANCH/logits` [B, A, C] (and `BRANCH/attributes`
        [B, A, T]) of both branches, `distances` [B, A, 4·bins], of a detector with masks `coefficients` [B, A, K] and
        `prototypes` [B, K, H/4, W/4], and `anchors` (A, 2), `strides` (A,) in pixels.
        """
        maps, prototypes = self._maps(pixels)
        found = self.boxes(maps)
        found |= {f"one_to_many/{name}": value for name, value in self.one_to_many(maps).items()}
        alone = self.one_to_one([feature.detach() for feature in maps])
        found |= {f"one_to_one/{name}": value for name, value in alone.items()}
        if prototypes is not None:
            found["prototypes"] = prototypes
        found["anchors"], found["strides"] = self._points(pixels)
        return found  # type: ignore[no-any-return]

    def decode(self, distances: Tensor, anchors: Tensor, strides: Tensor) -> Tensor:
        """Distance logits [B, A, 4·bins] → boxes [B, A, 4] xyxy in input pixels: each side is its distribution's mean."""
        shape = (*distances.shape[:2], 4, self.bins)
        sides = (distances.view(shape).softmax(dim=-1) * self.steps).sum(dim=-1) * strides[:, None]
        return torch.cat([anchors - sides[..., :2], anchors + sides[..., 2:]], dim=-1)

    def predict(
        self, pixels: Tensor, branch: Branch = "one_to_one", top_k: int = 1000, nms_iou: float = 0.65
    ) -> dict[str, Tensor]:
        """`boxes` [B, N, 4] xyxy in input pixels, `scores` [B, N] descending, `labels` [B, N] int64; N = min(top_k, A).

        With masks also `coefficients` [B, N, K] and `prototypes` [B, K, S/4, S/4]: a box's mask is where their sum of
        products is above 0, inside the box. With attributes `attributes` [B, N, T], 0–1.

        `one_to_many` passes class-wise NMS at `nms_iou`; what it drops has score 0 and comes last. Every anchor
        counts with its best class.
        """
        maps, prototypes = self._maps(pixels)
        anchors, strides = self._points(pixels)
        raw = self.boxes(maps) | (self.one_to_one if branch == "one_to_one" else self.one_to_many)(maps)
        best, labels = raw["logits"].sigmoid().max(dim=-1)
        scores, order = best.topk(min(top_k, len(anchors)), dim=1)
        boxes = _at(self.decode(raw["distances"], anchors, strides), order)
        labels = labels.gather(1, order)
        if branch == "one_to_many":
            scores, kept = suppress(boxes, scores, labels, nms_iou)
            boxes, labels, order = _at(boxes, kept), labels.gather(1, kept), order.gather(1, kept)
        found = {"boxes": boxes, "scores": scores, "labels": labels}
        if prototypes is not None:
            found |= {"coefficients": _at(raw["coefficients"], order), "prototypes": prototypes}
        if self.attributes:
            found["attributes"] = _at(raw["attributes"], order).sigmoid()
        return found

    def _maps(self, pixels: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The neck's maps, and the prototypes of a detector with masks."""
        features = self.backbone(pixels)
        maps = self.neck(features[-len(STRIDES) :])
        return maps, None if self.prototypes is None else self.prototypes(features[0], maps[0])

    def _points(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        height, width = pixels.shape[-2:]
        if (height, width) == (self.image_size, self.image_size):
            return self.anchors, self.anchor_strides
        anchors, strides = anchor_points(height, width)
        return anchors.to(pixels.device), strides.to(pixels.device)


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> tuple[Tensor, Tensor]:
    """Class-wise NMS over a batch at fixed size: the scores, in descending order and 0 where a box was dropped, and the
    order (B, N) that the boxes have to take."""
    batch, count = scores.shape
    # Each class of each picture is moved to a place of its own, so that one NMS serves all. torchvision's batched_nms does
    # the same, but chooses its way by the number of boxes, which no exporter can follow.
    groups = labels + torch.arange(batch, device=labels.device)[:, None] * (labels.max() + 1)
    span = boxes.max() - boxes.min() + 1
    apart = boxes + (groups * span).unsqueeze(-1)
    kept = nms(apart.reshape(-1, 4), scores.reshape(-1), iou)
    mask = torch.zeros(batch * count, dtype=scores.dtype, device=scores.device)
    mask = mask.scatter(0, kept, torch.ones_like(kept, dtype=scores.dtype)).view(batch, count)
    sorted_scores, order = (scores * mask).sort(dim=1, descending=True)
    return sorted_scores, order


def anchor_points(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Centres (A, 2) xy in pixels of every cell of the three maps, and the stride (A,) of each."""
    points, strides = [], []
    for stride in STRIDES:
        rows = torch.arange(height // stride, dtype=torch.float32)
        columns = torch.arange(width // stride, dtype=torch.float32)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        points.append((torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((len(points[-1]),), float(stride)))
    return torch.cat(points), torch.cat(strides)


def _at(values: Tensor, order: Tensor) -> Tensor:
    """[B, A, D] at indices [B, N] → [B, N, D]."""
    return values.gather(1, order.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
