"""The dense detector: anchor-free, one stage, one-to-many and one-to-one branches. Knows nothing of losses or data."""

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from facings.errors import ConfigError
from facings.models.backbones import Pretrained, create_backbone
from facings.models.heads import DecoupledHead
from facings.models.necks import PAFPN

Branch = Literal["one_to_one", "one_to_many"]
STRIDES = (8, 16, 32)


class DenseDetector(nn.Module):
    """timm backbone, PAFPN, and two decoupled heads over the same maps.

    The one-to-many head gives every object several anchors and needs NMS; the one-to-one head, trained on detached
    maps, gives one box an object and needs none (Wang et al.: "YOLOv10: Real-Time End-to-End Object Detection",
    NeurIPS 2024). Both live in one checkpoint.

    `image_size`: side of the square input in pixels, a multiple of 32.
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
    ) -> None:
        super().__init__()
        if image_size % STRIDES[-1]:
            raise ConfigError(f"image_size={image_size}: expected a multiple of {STRIDES[-1]}")
        if num_classes < 1:
            raise ConfigError(f"num_classes={num_classes}: expected 1 or more")
        self.num_classes, self.image_size, self.bins = num_classes, image_size, bins
        self.backbone = create_backbone(
            backbone,
            pretrained=pretrained,
            features_only=True,
            out_indices=tuple(out_indices),
            drop_path_rate=drop_path_rate,
        )
        info = self.backbone.feature_info
        if tuple(info.reduction()) != STRIDES:  # type: ignore[operator, union-attr]
            raise ConfigError(f"backbone {backbone}: out_indices {out_indices} do not give the strides {STRIDES}")
        self.neck = PAFPN(info.channels(), channels, neck_depth)  # type: ignore[operator, union-attr]
        self.one_to_many = DecoupledHead(channels, len(STRIDES), num_classes, bins=bins, depth=head_depth)
        self.one_to_one = DecoupledHead(channels, len(STRIDES), num_classes, bins=bins, depth=head_depth)
        for head in (self.one_to_many, self.one_to_one):
            head.initialise(STRIDES, image_size)
        anchors, strides = anchor_points(image_size)
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("anchor_strides", strides, persistent=False)
        self.register_buffer("steps", torch.arange(bins, dtype=torch.float32), persistent=False)

    @property
    def num_anchors(self) -> int:
        """How many boxes a frame can hold at most before top-k."""
        return len(self.anchors)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """`pixels` [B, 3, S, S] normalised → for each branch `BRANCH/logits` [B, A, C] and `BRANCH/distances` [B, A, 4·bins]."""
        maps = self.neck(self.backbone(pixels))
        many = self.one_to_many(maps)
        one = self.one_to_one([feature.detach() for feature in maps])
        return {
            "one_to_many/logits": many[0],
            "one_to_many/distances": many[1],
            "one_to_one/logits": one[0],
            "one_to_one/distances": one[1],
        }

    def decode(self, distances: Tensor) -> Tensor:
        """Distance logits [B, A, 4·bins] → boxes [B, A, 4] xyxy in input pixels: each side is its distribution's mean."""
        shape = (*distances.shape[:2], 4, self.bins)
        sides = (distances.view(shape).softmax(dim=-1) * self.steps).sum(dim=-1) * self.anchor_strides[:, None]
        return torch.cat([self.anchors - sides[..., :2], self.anchors + sides[..., 2:]], dim=-1)

    def predict(
        self, pixels: Tensor, branch: Branch = "one_to_one", top_k: int = 1000, nms_iou: float = 0.65
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes [B, N, 4] xyxy in input pixels, scores [B, N] descending, labels [B, N] int64; N = min(top_k, A).

        `one_to_many` passes class-wise NMS at `nms_iou`; what it drops has score 0 and comes last. Every anchor
        counts with its best class.
        """
        maps = self.neck(self.backbone(pixels))
        logits, distances = (self.one_to_one if branch == "one_to_one" else self.one_to_many)(maps)
        best, labels = logits.sigmoid().max(dim=-1)
        scores, order = best.topk(min(top_k, self.num_anchors), dim=1)
        index = order.unsqueeze(-1)
        boxes = self.decode(distances).gather(1, index.expand(-1, -1, 4))
        labels = labels.gather(1, order)
        if branch == "one_to_one":
            return boxes, scores, labels
        return suppress(boxes, scores, labels, nms_iou)


def suppress(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> tuple[Tensor, Tensor, Tensor]:
    """Class-wise NMS over a batch at fixed size: dropped boxes get score 0 and move to the end."""
    batch, count = scores.shape
    # Each class of each picture is moved to a place of its own, so that one NMS serves all. torchvision's batched_nms does
    # the same, but chooses its way by the number of boxes, which no exporter can follow.
    groups = labels + torch.arange(batch, device=labels.device)[:, None] * (labels.max() + 1)
    span = boxes.max() - boxes.min() + 1
    apart = boxes + (groups * span).unsqueeze(-1)
    kept = nms(apart.reshape(-1, 4), scores.reshape(-1), iou)
    mask = torch.zeros(batch * count, dtype=scores.dtype, device=scores.device)
    mask = mask.scatter(0, kept, torch.ones_like(kept, dtype=scores.dtype)).view(batch, count)
    scores, order = (scores * mask).sort(dim=1, descending=True)
    return boxes.gather(1, order.unsqueeze(-1).expand(-1, -1, 4)), scores, labels.gather(1, order)


def anchor_points(image_size: int) -> tuple[Tensor, Tensor]:
    """Centres (A, 2) xy in pixels of every cell of the three maps, and the stride (A,) of each."""
    points, strides = [], []
    for stride in STRIDES:
        cells = torch.arange(image_size // stride, dtype=torch.float32)
        y, x = torch.meshgrid(cells, cells, indexing="ij")
        points.append((torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((len(points[-1]),), float(stride)))
    return torch.cat(points), torch.cat(strides)
