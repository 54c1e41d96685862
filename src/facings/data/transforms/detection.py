"""Augmentation of whole frames with their boxes for training a detector. Knows nothing of classes."""

import albumentations as A
import cv2

from facings.data.transforms.letterbox import PAD_VALUE
from facings.errors import ConfigError


def training_transform(
    *,
    size: int,
    crop_scale: tuple[float, float] = (0.3, 1.0),
    crop_ratio: tuple[float, float] = (0.75, 1.333),
    zoom_out: float = 0.2,
    flip: float = 0.5,
    rotate_degrees: float = 3.0,
    brightness: float = 0.3,
    saturation: float = 0.3,
    hue: float = 0.03,
    blur: float = 0.1,
    noise: float = 0.1,
    compression: float = 0.2,
    min_visibility: float = 0.3,
) -> A.Compose:
    """Albumentations pipeline over `image`, `bboxes` (pascal_voc) and `labels`.

    `crop_scale`: share of the frame's area that a random crop keeps (Liu et al.: "SSD"); `zoom_out`: chance to see the
    whole frame, letterboxed and shrunk up to half; `min_visibility`: boxes of which less stays in the crop are dropped.

    Raises ConfigError where a share is outside 0–1.
    """
    shares = {"zoom_out": zoom_out, "flip": flip, "blur": blur, "noise": noise, "compression": compression}
    for name, value in (shares | {"min_visibility": min_visibility}).items():
        if not 0 <= value <= 1:
            raise ConfigError(f"transforms.{name}={value}: expected 0 to 1")
    fill = (PAD_VALUE, PAD_VALUE, PAD_VALUE)
    whole = A.Compose(
        [
            A.LongestMaxSize(max_size=size, interpolation=cv2.INTER_AREA),
            A.PadIfNeeded(size, size, fill=fill),
            A.Affine(scale=(0.5, 1.0), translate_percent=(-0.15, 0.15), fill=fill, p=0.7),
        ]
    )
    crop = A.RandomResizedCrop(
        size=(size, size), scale=tuple(crop_scale), ratio=tuple(crop_ratio), interpolation=cv2.INTER_AREA, p=1.0
    )
    return A.Compose(
        [
            A.Rotate(limit=rotate_degrees, fill=fill, p=0.3 if rotate_degrees else 0.0),
            A.OneOf([A.Sequential([crop], p=1 - zoom_out), A.Sequential(whole.transforms, p=zoom_out)], p=1.0),
            A.HorizontalFlip(p=flip),
            A.ColorJitter(
                brightness=(1 - brightness, 1 + brightness),
                contrast=(1 - brightness, 1 + brightness),
                saturation=(1 - saturation, 1 + saturation),
                hue=(-hue, hue),
                p=0.8,
            ),
            A.OneOf([A.MotionBlur(blur_limit=(3, 7)), A.GaussianBlur(blur_limit=(3, 5))], p=blur),
            A.GaussNoise(std_range=(0.01, 0.05), p=noise),
            A.ImageCompression(quality_range=(40, 95), p=compression),
        ],
        bbox_params=A.BboxParams(
            format="pascal_voc", label_fields=["labels"], min_visibility=min_visibility, min_width=2, min_height=2
        ),
    )
