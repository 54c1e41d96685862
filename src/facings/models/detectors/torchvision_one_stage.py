"""torchvision's RetinaNet and FCOS over timm backbones.

Assignment, heads, losses and what follows the network are torchvision's own; labels are 0-based inside as outside.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models import detection
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from facings.errors import ConfigError
from facings.models.backbones import Pretrained
from facings.models.detectors.baselines import fixed_size, total, usable
from facings.models.detectors.torchvision_baselines import (
    CANDIDATES_A_BOX,
    PyramidDetector,
    Widths,
    anchor_generator,
    picture_list,
)

STRIDES = (8, 16, 32)
LEVELS = (*STRIDES, 64, 128)
PART_NAMES = {"classification": "class", "bbox_regression": "box", "bbox_ctrness": "centre"}
# FCOS normalises its towers in so many groups.
GROUPS = 32


class OneStageDetector(PyramidDetector):
    """What RetinaNet and FCOS share: `network` is torchvision's, and gets maps instead of pictures."""

    network: Any

    def __init__(
        self,
        backbone: str,
        *,
        num_classes: int,
        image_size: int,
        pretrained: Pretrained = "none",
        channels: int = 256,
        out_indices: Sequence[int] = (2, 3, 4),
        detections: int = 1000,
        score_threshold: float = 0.001,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(
            backbone,
            strides=STRIDES,
            extra=LastLevelP6P7(channels, channels),
            num_classes=num_classes,
            image_size=image_size,
            pretrained=pretrained,
            channels=channels,
            out_indices=out_indices,
            detections=detections,
            score_threshold=score_threshold,
            drop_path_rate=drop_path_rate,
        )

    def losses(self, pixels: Tensor, targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """`loss`, and its parts `class`, `box` and, of FCOS, `centre`.

        `targets`: one dict a picture, `boxes` (M, 4) xyxy in input pixels, `labels` (M,) int64, 0-based.
        """
        raw, anchors, counts = self._raw(pixels)
        parts = self._compute_loss([usable(target) for target in targets], raw, anchors, counts)
        return total({PART_NAMES[name]: part for name, part in parts.items()})

    def predict(
        self, pixels: Tensor, *, top_k: int = 1000, nms_iou: float = 0.5, branch: str | None = None
    ) -> dict[str, Tensor]:
        """`boxes` [B, N, 4] xyxy in input pixels, `scores` [B, N] descending, `labels` [B, N] int64; N is the smaller of
        `top_k` and `detections`. Slots without a box come last, with score 0.

        Class-wise NMS at `nms_iou`. `branch` is ignored: it chooses between the heads of the dense detector.
        """
        count = min(top_k, self.detections)
        self.network.nms_thresh, self.network.detections_per_img = nms_iou, count
        raw, anchors, counts = self._raw(pixels)
        levels = {name: list(values.split(counts, dim=1)) for name, values in raw.items()}
        split = [list(own.split(counts)) for own in anchors]
        found = self.network.postprocess_detections(levels, split, picture_list(pixels).image_sizes)
        return fixed_size(found, count)

    def _raw(self, pixels: Tensor) -> tuple[dict[str, Tensor], list[Tensor], list[int]]:
        """What the heads say [B, A, …], the anchors (A, 4) xyxy of each picture, and how many of them each level has."""
        maps = list(self.maps(pixels).values())
        raw = {name: values.float() for name, values in self.network.head(maps).items()}
        anchors = self.network.anchor_generator(picture_list(pixels), maps)
        a_place = self.network.anchor_generator.num_anchors_per_location()
        counts = [each * own.shape[-2] * own.shape[-1] for each, own in zip(a_place, maps, strict=True)]
        return raw, anchors, counts

    def _compute_loss(
        self, targets: list[dict[str, Tensor]], raw: dict[str, Tensor], anchors: list[Tensor], counts: list[int]
    ) -> dict[str, Tensor]:
        raise NotImplementedError


class RetinaNet(OneStageDetector):
    """Anchors in three sizes and three ratios, focal loss (Lin et al.: "Focal Loss for Dense Object Detection", ICCV 2017).

    `anchor_scale`: side of a level's smallest anchor in its strides; torchvision has 4 for pictures of 800 pixels, and
    objects are half as large in ours. Other options: see `PyramidDetector`.
    """

    def __init__(
        self, backbone: str, *, num_classes: int, channels: int = 256, anchor_scale: float = 2.0, **options: Any
    ):
        super().__init__(backbone, num_classes=num_classes, channels=channels, **options)
        sides = [tuple(anchor_scale * stride * 2 ** (third / 3) for third in range(3)) for stride in LEVELS]
        self.network = detection.RetinaNet(
            Widths(channels),
            num_classes,
            anchor_generator=anchor_generator(sides),
            score_thresh=self.score_threshold,
            topk_candidates=CANDIDATES_A_BOX * self.detections,
        )

    def _compute_loss(
        self, targets: list[dict[str, Tensor]], raw: dict[str, Tensor], anchors: list[Tensor], counts: list[int]
    ) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = self.network.compute_loss(targets, raw, anchors)
        return parts


class FCOS(OneStageDetector):
    """No anchors but points, each with the distances to the sides of its object and a centre-ness (Tian et al.: "FCOS",
    ICCV 2019). `channels` must be a multiple of 32. Other options: see `PyramidDetector`.
    """

    def __init__(self, backbone: str, *, num_classes: int, channels: int = 256, **options: Any) -> None:
        if channels % GROUPS:
            raise ConfigError(f"channels={channels}: FCOS normalises in groups, expected a multiple of {GROUPS}")
        super().__init__(backbone, num_classes=num_classes, channels=channels, **options)
        self.network = detection.FCOS(
            Widths(channels),
            num_classes,
            anchor_generator=anchor_generator([(stride,) for stride in LEVELS], ratios=(1.0,)),
            score_thresh=self.score_threshold,
            topk_candidates=CANDIDATES_A_BOX * self.detections,
        )
        # Distances pass a ReLU. torchvision starts them at 0 on average, where a side that is below 0 at all points learns
        # nothing any more; one stride is a start from which every side can move.
        nn.init.ones_(self.network.head.regression_head.bbox_reg.bias)

    def _compute_loss(
        self, targets: list[dict[str, Tensor]], raw: dict[str, Tensor], anchors: list[Tensor], counts: list[int]
    ) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = self.network.compute_loss(targets, raw, anchors, counts)
        return parts
