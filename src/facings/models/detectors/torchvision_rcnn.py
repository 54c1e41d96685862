"""torchvision's Faster R-CNN and Mask R-CNN over timm backbones.

Proposals, assignment, sampling, heads and losses are torchvision's own. Labels are 0-based on the outside; inside, class 0
is the background.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import detection
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from facings.errors import DataError
from facings.models.backbones import Pretrained
from facings.models.detectors.baselines import fixed_size, total, usable
from facings.models.detectors.torchvision_baselines import (
    CANDIDATES_A_BOX,
    PyramidDetector,
    Widths,
    anchor_generator,
    picture_list,
)

STRIDES = (4, 8, 16, 32)
POOLED_LEVELS = [str(level) for level in range(len(STRIDES))]
# Boxes whose masks are computed at a time: the last layers take 0.8 MB a box.
MASK_CHUNK = 128


class FasterRCNN(PyramidDetector):
    """Two stages: proposals, then a class and a refined box for each (Ren et al.: "Faster R-CNN", NeurIPS 2015).

    `anchor_scale`: side of a level's anchor in its strides; torchvision has 8 for pictures of 800 pixels, and objects are
    half as large in ours. `roi_samples`: proposals of a picture that the second stage learns from.
    """

    def __init__(
        self,
        backbone: str,
        *,
        num_classes: int,
        image_size: int,
        pretrained: Pretrained = "none",
        channels: int = 256,
        out_indices: Sequence[int] = (1, 2, 3, 4),
        anchor_scale: float = 4.0,
        roi_samples: int = 512,
        detections: int = 1000,
        score_threshold: float = 0.001,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(
            backbone,
            strides=STRIDES,
            extra=LastLevelMaxPool(),
            num_classes=num_classes,
            image_size=image_size,
            pretrained=pretrained,
            channels=channels,
            out_indices=out_indices,
            detections=detections,
            score_threshold=score_threshold,
            drop_path_rate=drop_path_rate,
        )
        network = detection.FasterRCNN(
            Widths(channels),
            num_classes + 1,
            rpn_anchor_generator=anchor_generator([(anchor_scale * stride,) for stride in (*STRIDES, 64)]),
            rpn_pre_nms_top_n_test=CANDIDATES_A_BOX * detections,
            rpn_post_nms_top_n_test=detections,
            box_score_thresh=score_threshold,
            box_detections_per_img=detections,
            box_batch_size_per_image=roi_samples,
        )
        self.rpn, self.roi_heads = network.rpn, network.roi_heads

    def losses(self, pixels: Tensor, targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """`loss`, and its parts: `objectness` and `proposal_box` of the first stage, `class` and `box` of the second.

        `targets`: one dict a picture, `boxes` (M, 4) xyxy in input pixels, `labels` (M,) int64, 0-based.
        """
        self._switch(training=True)
        maps, pictures = self.maps(pixels), picture_list(pixels)
        wanted = [self._target(target) for target in targets]
        proposals, first = self.rpn(pictures, maps, wanted)
        proposals, matched, labels, deltas = self.roi_heads.select_training_samples(proposals, wanted)
        logits, regression = self._second_stage(maps, proposals, pictures.image_sizes)
        class_loss, box_loss = fastrcnn_loss(logits, regression, labels, deltas)
        parts = {"objectness": first["loss_objectness"], "proposal_box": first["loss_rpn_box_reg"]}
        parts |= {"class": class_loss, "box": box_loss}
        parts |= self._more_losses(maps, pictures.image_sizes, proposals, matched, labels, wanted)
        return total(parts)

    def predict(
        self, pixels: Tensor, *, top_k: int = 1000, nms_iou: float = 0.5, branch: str | None = None
    ) -> dict[str, Tensor]:
        """`boxes` [B, N, 4] xyxy in input pixels, `scores` [B, N] descending, `labels` [B, N] int64; N is the smaller of
        `top_k` and `detections`. Slots without a box come last, with score 0.

        Class-wise NMS at `nms_iou`. `branch` is ignored: it chooses between the heads of the dense detector.
        """
        self._switch(training=False)
        count = min(top_k, self.detections)
        self.roi_heads.nms_thresh, self.roi_heads.detections_per_img = nms_iou, count
        maps, pictures = self.maps(pixels), picture_list(pixels)
        proposals, _ = self.rpn(pictures, maps)
        logits, regression = self._second_stage(maps, proposals, pictures.image_sizes)
        columns = self.roi_heads.postprocess_detections(logits, regression, proposals, pictures.image_sizes)
        found = [dict(zip(("boxes", "scores", "labels"), row, strict=True)) for row in zip(*columns, strict=True)]
        self._add_masks(maps, pictures.image_sizes, found)
        for part in found:
            part["labels"] = part["labels"] - 1
        return fixed_size(found, count)

    def _switch(self, training: bool) -> None:
        # torchvision's parts tell learning from predicting by this flag; they hold no batch norm that it would change.
        self.rpn.train(training)
        self.roi_heads.train(training)

    def _target(self, target: dict[str, Tensor]) -> dict[str, Tensor]:
        found = usable(target)
        return found | {"labels": found["labels"] + 1}

    def _second_stage(
        self, maps: dict[str, Tensor], proposals: list[Tensor], sizes: list[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        heads = self.roi_heads
        logits, regression = heads.box_predictor(heads.box_head(heads.box_roi_pool(maps, proposals, sizes)))
        return logits.float(), regression.float()

    def _more_losses(
        self,
        maps: dict[str, Tensor],
        sizes: list[tuple[int, int]],
        proposals: list[Tensor],
        matched: list[Tensor],
        labels: list[Tensor],
        wanted: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        return {}

    def _add_masks(self, maps: dict[str, Tensor], sizes: list[tuple[int, int]], found: list[dict[str, Tensor]]) -> None:
        return


class MaskRCNN(FasterRCNN):
    """Faster R-CNN with a third head: a mask over each box, 28 × 28 (He et al.: "Mask R-CNN", ICCV 2017).

    The mask head is as wide as the pyramid; at 256 channels it is torchvision's. Options: see `FasterRCNN`.
    """

    def __init__(self, backbone: str, *, num_classes: int, channels: int = 256, **options: Any) -> None:
        super().__init__(backbone, num_classes=num_classes, channels=channels, **options)
        self.mask_pool = MultiScaleRoIAlign(featmap_names=POOLED_LEVELS, output_size=14, sampling_ratio=2)
        self.mask_head: nn.Module = MaskRCNNHeads(channels, [channels] * 4, dilation=1)
        self.mask_predictor: nn.Module = MaskRCNNPredictor(channels, channels, num_classes + 1)

    def losses(self, pixels: Tensor, targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """As Faster R-CNN's, and `mask`. `targets` have `masks` too: an id map (S, S), m + 1 where object m is seen.

        An object without a pixel in the map (hidden, or annotated with a box alone) teaches boxes and no mask.
        """
        return super().losses(pixels, targets)

    def predict(
        self, pixels: Tensor, *, top_k: int = 1000, nms_iou: float = 0.5, branch: str | None = None
    ) -> dict[str, Tensor]:
        """As Faster R-CNN's, and `masks` [B, N, 28, 28]: probability of the object, 0–1, over its box's cells."""
        return super().predict(pixels, top_k=top_k, nms_iou=nms_iou, branch=branch)

    def _target(self, target: dict[str, Tensor]) -> dict[str, Tensor]:
        if "masks" not in target:
            raise DataError(
                f"Mask R-CNN learns from masks, and a target has only {', '.join(sorted(target))}; give annotations with "
                "segmentation, or take model=detector/faster_rcnn"
            )
        return super()._target(target) | {"masks": target["masks"]}

    def _more_losses(
        self,
        maps: dict[str, Tensor],
        sizes: list[tuple[int, int]],
        proposals: list[Tensor],
        matched: list[Tensor],
        labels: list[Tensor],
        wanted: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        regions, classes, truths = [], [], []
        for boxes, objects, own, target in zip(proposals, matched, labels, wanted, strict=True):
            index = (own > 0).nonzero().squeeze(1)
            numbers = target["numbers"][objects[index]]
            seen = torch.isin(numbers + 1, torch.unique(target["masks"]).long())
            index, numbers = index[seen], numbers[seen]
            regions.append(boxes[index])
            classes.append(own[index])
            truths.append(box_masks(target["masks"], numbers, boxes[index], size=2 * self.mask_pool.output_size[0]))
        # Without any region too: distributed training waits for a gradient of each parameter.
        logits = self._mask_logits(maps, regions, sizes, torch.cat(classes))
        if not len(logits):
            return {"mask": logits.sum() * 0.0}
        return {"mask": F.binary_cross_entropy_with_logits(logits, torch.cat(truths))}

    def _mask_logits(
        self, maps: dict[str, Tensor], regions: list[Tensor], sizes: list[tuple[int, int]], classes: Tensor
    ) -> Tensor:
        """(P, 28, 28) for the boxes of all pictures, each by the mask of its own class."""
        pooled = self.mask_pool(maps, regions, sizes)
        logits = self.mask_predictor(self.mask_head(pooled)).float()
        chosen: Tensor = logits[torch.arange(len(classes), device=classes.device), classes]
        return chosen

    def _add_masks(self, maps: dict[str, Tensor], sizes: list[tuple[int, int]], found: list[dict[str, Tensor]]) -> None:
        for number, part in enumerate(found):
            own = {name: feature[number : number + 1] for name, feature in maps.items()}
            chunks = zip(part["boxes"].split(MASK_CHUNK), part["labels"].split(MASK_CHUNK), strict=True)
            masks = [self._mask_logits(own, [boxes], sizes[:1], labels).sigmoid() for boxes, labels in chunks]
            part["masks"] = torch.cat(masks)


def box_masks(ids: Tensor, numbers: Tensor, boxes: Tensor, *, size: int) -> Tensor:
    """What the mask of each box should be: (P, size, size), the share of object `numbers` (P,) in each cell of the box.

    `ids`: id map (S, S), m + 1 where object m is seen. RoIAlign as torchvision's `project_masks_on_boxes`, one object at a
    time: as full pictures, 600 masks of 640 × 640 would take 1 GB.
    """
    found = torch.zeros(len(boxes), size, size, device=boxes.device)
    for number in torch.unique(numbers).tolist():
        chosen = numbers == number
        whole = (ids == number + 1).float()[None, None]
        found[chosen] = roi_align(whole, [boxes[chosen]], (size, size))[:, 0]
    return found
