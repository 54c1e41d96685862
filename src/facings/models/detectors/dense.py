"""The dense detector: anchor-free, one stage, one-to-many and one-to-one branches. Knows nothing of losses or data."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from facings.errors import ConfigError
from facings.models.backbones import Pretrained, create_pyramid, maps_of
from facings.models.heads import BoxHead, ClassHead, PrototypeHead
from facings.models.necks import PAFPN

Branch = Literal["one_to_one", "one_to_many"]
STRIDES = (8, 16, 32)
DETAIL_STRIDE = 4
# The choice counts with its fourth root: enough to tell doubles apart, which the overlaps then drop, and little beside the class's
# score, which orders finds of different objects better than the choice does (docs/detection.md).
CHOICE_POWER = 0.25
# Boxes judged at once for doubles.
OVERLAP_BLOCK = 128


class DenseDetector(nn.Module):
    """timm backbone, PAFPN, and decoupled heads for boxes and masks, for classes, and for choosing.

    The one-to-many branch scores several anchors an object and needs NMS; the one-to-one branch scores one and does without
    (the pair is that of Wang et al.: "YOLOv10: Real-Time End-to-End Object Detection", NeurIPS 2024). Unlike there boxes,
    masks and classes are shared, learnt from all anchors of an object, and the one-to-one branch is one more output that
    says which anchor speaks for its object (Zhou et al.: "Object Detection Made Simpler by Eliminating Heuristic NMS",
    2021): its score is the class's times the fourth root of that of being chosen. Both leave one checkpoint.

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
        self.backbone, widths = create_pyramid(
            backbone,
            strides=(DETAIL_STRIDE, *STRIDES) if prototypes else STRIDES,
            out_indices=(min(out_indices) - 1, *out_indices) if prototypes else out_indices,
            image_size=image_size,
            pretrained=pretrained,
            drop_path_rate=drop_path_rate,
        )
        self.neck = PAFPN(widths[-len(STRIDES) :], channels, neck_depth)
        self.prototypes = PrototypeHead(widths[0], channels, prototypes) if prototypes else None

        levels = len(STRIDES)
        self.boxes = BoxHead(channels, levels, bins=bins, depth=head_depth, prototypes=prototypes)
        self.classes = ClassHead(channels, levels, num_classes, depth=head_depth, attributes=len(self.attributes))
        self.classes.initialise(STRIDES, image_size)
        self.choice = ClassHead(channels, levels, 1, depth=1)
        anchors, anchor_strides = anchor_points(image_size, image_size)
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("anchor_strides", anchor_strides, persistent=False)
        self.register_buffer("steps", torch.arange(bins, dtype=torch.float32), persistent=False)

    @property
    def num_anchors(self) -> int:
        """How many boxes a frame can hold at most before top-k."""
        return len(self.anchors)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """`pixels` [B, 3, H, W] normalised, sides multiples of 32 → class `logits` [B, A, C], `choice` [B, A, 1] logits,
        `distances` [B, A, 4·bins], with attributes `attributes` [B, A, T] logits, with masks `coefficients` [B, A, K] and
        `prototypes` [B, K, H/4, W/4], and `anchors` (A, 2), `strides` (A,) in pixels.

        Choosing learns on detached maps: it changes nothing of what it chooses from.
        """
        maps, prototypes = self._maps(pixels)
        found: dict[str, Tensor] = self.boxes(maps) | self.classes(maps)
        found["choice"] = self.choice([feature.detach() for feature in maps])["logits"]
        if prototypes is not None:
            found["prototypes"] = prototypes
        found["anchors"], found["strides"] = self._points(pixels)
        return found

    def decode(self, distances: Tensor, anchors: Tensor, strides: Tensor) -> Tensor:
        """Distance logits [B, A, 4·bins] → boxes [B, A, 4] xyxy in input pixels: each side is its distribution's mean.

        `anchors` (A, 2) and `strides` (A,), or of each picture [B, A, 2] and [B, A].
        """
        shape = (*distances.shape[:2], 4, self.bins)
        sides = (distances.view(shape).softmax(dim=-1) * self.steps).sum(dim=-1) * strides.unsqueeze(-1)
        return torch.cat([anchors - sides[..., :2], anchors + sides[..., 2:]], dim=-1)

    def predict(
        self, pixels: Tensor, branch: Branch = "one_to_one", top_k: int = 1000, nms_iou: float = 0.65
    ) -> dict[str, Tensor]:
        """`boxes` [B, N, 4] xyxy in input pixels, `scores` [B, N] descending, `labels` [B, N] int64; N = min(top_k, A).

        With masks also `coefficients` [B, N, K] and `prototypes` [B, K, S/4, S/4]: a box's mask is where their sum of
        products is above 0, inside the box. With attributes `attributes` [B, N, T], 0–1.

        What overlaps a better box of its class by more than `nms_iou` has score 0 and comes last: in `one_to_many` by NMS, in
        `one_to_one`, where the choice has left few such, by one matrix of overlaps. Every anchor counts with its best class.
        """
        maps, prototypes = self._maps(pixels)
        anchors, strides = self._points(pixels)
        raw = self.boxes(maps) | self.classes(maps)
        # First the best anchors, then what is asked of those alone: of thousands nobody wants box or label.
        best = raw["logits"].amax(dim=-1).sigmoid()
        if branch == "one_to_one":
            best = best * self.choice(maps)["logits"].squeeze(-1).sigmoid() ** CHOICE_POWER
        scores, order = best.topk(min(top_k, len(anchors)), dim=1)
        labels = _at(raw["logits"], order).argmax(dim=-1)
        boxes = self.decode(_at(raw["distances"], order), anchors[order], strides[order])
        distinct = first_of_each if branch == "one_to_one" else suppress
        scores, kept = distinct(boxes, scores, labels, nms_iou)
        boxes, labels, order = _at(boxes, kept), labels.gather(1, kept), order.gather(1, kept)
        found = {"boxes": boxes, "scores": scores, "labels": labels}
        if prototypes is not None:
            found |= {"coefficients": _at(raw["coefficients"], order), "prototypes": prototypes}
        if self.attributes:
            found["attributes"] = _at(raw["attributes"], order).sigmoid()
        return found

    def _maps(self, pixels: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The neck's maps, and the prototypes of a detector with masks."""
        features = maps_of(self.backbone, pixels)
        maps = self.neck(features[-len(STRIDES) :])
        return maps, None if self.prototypes is None else self.prototypes(features[0], maps[0])

    def _points(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        height, width = pixels.shape[-2:]
        if (height, width) == (self.image_size, self.image_size):
            return self.anchors, self.anchor_strides
        anchors, strides = anchor_points(height, width)
        return anchors.to(pixels.device), strides.to(pixels.device)


def first_of_each(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> tuple[Tensor, Tensor]:
    """For boxes in descending score: the scores, 0 where a box of the same class with a higher score overlaps by more than
    `iou`, sorted anew, and the order (B, N) that the boxes have to take.

    The Fast NMS of Bolya et al.: "YOLACT", ICCV 2019, sec. 4.2: one matrix of overlaps, no loop and no NMS operator. A box
    that is dropped itself still drops others, which matters little where the choice has left few doubles.
    """
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    # shared / (a + b - shared) > iou is shared > (a + b) · iou / (1 + iou): fewer passes over the matrix.
    part = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0) * (iou / (1 + iou))
    most = []
    # Block by block of boxes that are judged: what lies right of the diagonal alone, and what a processor's cache holds.
    for start in range(0, boxes.shape[1], OVERLAP_BLOCK):
        judged = slice(start, start + OVERLAP_BLOCK)
        above = slice(0, judged.stop)
        width, height = _common(x1, x2, above, judged), _common(y1, y2, above, judged)
        # A negative width leaves nothing shared, as it should.
        over = width * height.relu() - part[:, above, None]
        better = torch.ones(over.shape[1:], dtype=torch.bool, device=boxes.device).triu(1 - start)
        rivals = better & (labels[:, above, None] == labels[:, None, judged])
        most.append(over.masked_fill(~rivals, -torch.inf).amax(dim=1))
    sorted_scores, order = (scores * (torch.cat(most, dim=1) <= part)).sort(dim=1, descending=True)
    return sorted_scores, order


def _common(low: Tensor, high: Tensor, some: slice, others: slice) -> Tensor:
    """Intervals (B, N) `low` to `high` → [B, some, others] the length that two have in common, negative where they lie apart."""
    ends = torch.minimum(high[:, some, None], high[:, None, others])
    return ends - torch.maximum(low[:, some, None], low[:, None, others])


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
