"""torchvision's detectors over timm backbones: what their two families share.

Their own transform, which resizes and normalises, is left out: pixels come normalised and square. So is their limit of
100 or 300 boxes a picture.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, FeaturePyramidNetwork

from facings.errors import ConfigError
from facings.models.backbones import Pretrained, maps_of
from facings.models.detectors.baselines import pyramid_backbone

# Candidates before NMS for every box that may be reported after it: on a dense shelf many of them lie on one product.
CANDIDATES_A_BOX = 4
ASPECT_RATIOS = (0.5, 1.0, 2.0)


class Widths(nn.Identity):
    """Stands where torchvision wants a backbone while it builds its heads; only tells them the channels."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels


class PyramidDetector(nn.Module):
    """A timm backbone and a feature pyramid (Lin et al.: "Feature Pyramid Networks", CVPR 2017).

    `image_size`: side of the square input in pixels. `channels`: of every map of the pyramid. `detections`: most boxes a
    picture can get. `score_threshold`: boxes below it are dropped before NMS.
    """

    def __init__(
        self,
        backbone: str,
        *,
        strides: Sequence[int],
        extra: ExtraFPNBlock,
        num_classes: int,
        image_size: int,
        pretrained: Pretrained,
        channels: int,
        out_indices: Sequence[int],
        detections: int,
        score_threshold: float,
        drop_path_rate: float,
    ) -> None:
        super().__init__()
        if detections < 1:
            raise ConfigError(f"detections={detections}: expected 1 or more")
        if not 0 <= score_threshold < 1:
            raise ConfigError(f"score_threshold={score_threshold}: expected 0 or more, and less than 1")
        self.num_classes, self.image_size = num_classes, image_size
        self.detections, self.score_threshold = detections, score_threshold
        self.backbone, widths = pyramid_backbone(
            backbone,
            strides=strides,
            out_indices=out_indices,
            image_size=image_size,
            num_classes=num_classes,
            pretrained=pretrained,
            drop_path_rate=drop_path_rate,
        )
        self.neck = FeaturePyramidNetwork(widths, channels, extra_blocks=extra)

    @property
    def num_anchors(self) -> int:
        """Most boxes that a frame can get."""
        return self.detections

    def maps(self, pixels: Tensor) -> dict[str, Tensor]:
        """[B, 3, S, S] → the pyramid's maps from fine to coarse, named "0", "1", … and what the extra levels are called.

        In float also under autocast: anchors take the maps' type, and bfloat16 knows no pixel beyond 256.
        """
        features = maps_of(self.backbone, pixels)
        mixed = self.neck(OrderedDict((str(level), feature) for level, feature in enumerate(features)))
        return {name: feature.float() for name, feature in mixed.items()}


def picture_list(pixels: Tensor) -> ImageList:
    """A batch as torchvision's heads want it: all of one size."""
    height, width = pixels.shape[-2:]
    return ImageList(pixels, [(int(height), int(width))] * len(pixels))


def anchor_generator(sides: Sequence[Sequence[float]], ratios: Sequence[float] = ASPECT_RATIOS) -> AnchorGenerator:
    """Anchors with `sides` in pixels, one tuple a level, in every ratio of height to width."""
    return AnchorGenerator(tuple(map(tuple, sides)), (tuple(ratios),) * len(sides))  # type: ignore[arg-type]
