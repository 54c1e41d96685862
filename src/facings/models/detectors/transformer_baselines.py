"""RT-DETRv2 and D-FINE of the package transformers over timm backbones: query-based detectors, as baselines.

Built from a configuration: nothing is downloaded, and all but the backbone starts from random weights. Encoder, decoder,
matching and losses are transformers' own.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from facings.errors import ConfigError
from facings.models.backbones import Pretrained, maps_of
from facings.models.detectors.baselines import pyramid_backbone, usable

STRIDES = (8, 16, 32)
# Architecture → class names in transformers, and what makes its small version (RT-DETRv2-S, D-FINE-S) of the default.
ARCHITECTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "rtdetr_v2": ("RTDetrV2Config", "RTDetrV2ForObjectDetection", {"hidden_expansion": 0.5}),
    "d_fine": (
        "DFineConfig",
        "DFineForObjectDetection",
        {"hidden_expansion": 0.5, "depth_mult": 0.34, "decoder_n_points": [3, 6, 3]},
    ),
}
# The parts of the loss that the last layer has; those of the layers before it are summed up as `auxiliary`.
PART_NAMES = {"loss_vfl": "class", "loss_bbox": "box", "loss_giou": "overlap", "loss_fgl": "distribution"}


class TransformerDetector(nn.Module):
    """A hybrid encoder over three maps, and a decoder that refines a fixed number of queries to boxes without NMS.

    `rtdetr_v2`: Lv et al.: "RT-DETRv2", 2024. `d_fine`: Peng et al.: "D-FINE", ICLR 2025.

    `image_size`: side of the square input in pixels. `queries`: most boxes a picture can get. `denoising`: how many noisy
    copies of the truth the decoder learns to clean beside them, 0 for none.

    Raises ConfigError where transformers is missing.
    """

    def __init__(
        self,
        backbone: str,
        *,
        architecture: Literal["rtdetr_v2", "d_fine"],
        num_classes: int,
        image_size: int,
        pretrained: Pretrained = "none",
        channels: int = 256,
        decoder_layers: int = 3,
        queries: int = 300,
        denoising: int = 100,
        out_indices: Sequence[int] = (2, 3, 4),
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        places = sum((image_size // stride) ** 2 for stride in STRIDES)
        if not 1 <= queries <= places:
            raise ConfigError(f"queries={queries}: at image_size={image_size} expected 1 to {places}, one a place")
        self.num_classes, self.image_size, self.queries = num_classes, image_size, queries
        self.backbone, widths = pyramid_backbone(
            backbone,
            strides=STRIDES,
            out_indices=out_indices,
            image_size=image_size,
            num_classes=num_classes,
            pretrained=pretrained,
            drop_path_rate=drop_path_rate,
        )
        options = {
            "num_labels": num_classes,
            "num_queries": queries,
            "num_denoising": denoising,
            "decoder_layers": decoder_layers,
            "d_model": channels,
            "encoder_hidden_dim": channels,
            "decoder_in_channels": [channels] * len(STRIDES),
            "encoder_in_channels": widths,
        }
        self.network = _network(architecture, backbone, list(self.backbone.feature_info.out_indices), options)  # type: ignore[union-attr, arg-type]

    @property
    def num_anchors(self) -> int:
        """Most boxes that a frame can get."""
        return self.queries

    def losses(self, pixels: Tensor, targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """`loss`, and of its parts those of the last layer: `class`, `box`, `overlap`, of D-FINE `distribution`; the rest,
        of earlier layers and of denoising, is `auxiliary`.

        `targets`: one dict a picture, `boxes` (M, 4) xyxy in input pixels, `labels` (M,) int64, 0-based.
        """
        size = pixels.shape[-1]
        wanted = []
        for target in targets:
            found = usable(target)
            boxes = box_convert(found["boxes"] / size, "xyxy", "cxcywh")
            wanted.append({"class_labels": found["labels"], "boxes": boxes})
        output = self._run(pixels, wanted)
        parts = {name: output.loss_dict[own].detach() for own, name in PART_NAMES.items() if own in output.loss_dict}
        parts["auxiliary"] = output.loss.detach() - torch.stack(list(parts.values())).sum()
        # Without any object nothing is cleaned of noise, but distributed training waits for a gradient of each parameter.
        embedding = getattr(self.network.model, "denoising_class_embed", None)
        idle = 0.0 if embedding is None else embedding.weight.sum() * 0.0
        return parts | {"loss": output.loss + idle}

    def predict(
        self, pixels: Tensor, *, top_k: int = 1000, nms_iou: float = 0.5, branch: str | None = None
    ) -> dict[str, Tensor]:
        """`boxes` [B, N, 4] xyxy in input pixels, `scores` [B, N] descending, `labels` [B, N] int64; N is the smaller of
        `top_k` and the number of queries.

        As transformers' `post_process_object_detection`: the best pairs of query and class, so that a query may answer with
        several classes. `nms_iou` and `branch` are ignored: there is no NMS, and one branch.
        """
        output = self._run(pixels, None)
        count = min(top_k, self.queries)
        scores, index = output.logits.float().sigmoid().flatten(1).topk(count, dim=1)
        rows = torch.div(index, self.num_classes, rounding_mode="floor").unsqueeze(-1).expand(-1, -1, 4)
        boxes = box_convert(output.pred_boxes.float(), "cxcywh", "xyxy") * pixels.shape[-1]
        return {"boxes": boxes.gather(1, rows), "scores": scores, "labels": index % self.num_classes}

    def _run(self, pixels: Tensor, labels: list[dict[str, Tensor]] | None) -> Any:
        """The network over the backbone's maps; what it is given as embeddings it only asks for batch size and device."""
        model = self.network.model
        features = maps_of(self.backbone, pixels)
        projected = [layer(feature) for layer, feature in zip(model.encoder_input_proj, features, strict=True)]
        encoded = model.encoder(projected)
        return self.network(None, inputs_embeds=pixels, encoder_outputs=encoded, labels=labels)


def _network(architecture: str, backbone: str, out_indices: list[int], options: dict[str, Any]) -> Any:
    """transformers' detector without its backbone."""
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"architecture={architecture!r}: expected {' or '.join(ARCHITECTURES)}")
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(f"{architecture} needs the package transformers: pip install 'facings[transformers]'")
    transformers: Any = importlib.import_module("transformers")
    config_name, model_name, small = ARCHITECTURES[architecture]
    # A backbone of transformers' own is built for the widths of its maps, and dropped: ours is a module of this detector,
    # so that it has the packaged weights, and its own learning rate.
    own = transformers.TimmBackboneConfig(backbone=backbone, out_indices=out_indices, use_pretrained_backbone=False)
    network = getattr(transformers, model_name)(
        getattr(transformers, config_name)(backbone_config=own, **(small | options))
    )
    network.model.backbone = nn.Identity()
    for module in network.modules():
        # transformers starts these with weights of 0.01 on average 0, meant to be overwritten by a checkpoint; the authors
        # of both models start with 1.
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    return network
