"""Augmentation of product crops for training an embedder.

Knows nothing of labels. Hue is left alone by default: colour tells one variety of fruit from another.
"""

import albumentations as A
import cv2

from facings.data.transforms.crop_compose import CropCompose, Step, check_shares
from facings.data.transforms.letterbox import PAD_VALUE
from facings.errors import ConfigError

FILL = (PAD_VALUE, PAD_VALUE, PAD_VALUE)


def training_transform(
    *,
    size: int,
    scale: tuple[float, float] = (0.4, 1.0),
    ratio: tuple[float, float] = (0.75, 1.333),
    letterbox: float = 0.0,
    flip: float = 0.5,
    rotate_degrees: float = 15.0,
    brightness: float = 0.25,
    saturation: float = 0.2,
    hue: float = 0.02,
    blur: float = 0.1,
    noise: float = 0.1,
    erase: float = 0.25,
) -> CropCompose:
    """Albumentations pipeline, uint8 (H, W, 3) in, uint8 (size, size, 3) out.

    `scale`: share of the crop's area that is kept; `letterbox`: chance that the sides keep their proportion on a grey
    square, as at evaluation, instead of being stretched to it (long and flat goods want it); `flip`, `blur`, `noise`,
    `erase`: probabilities;
    `brightness`, `saturation`, `hue`: largest relative change. `erase` hides a rectangle, as a neighbour would.

    Raises ConfigError where a share is outside 0–1 or the scale is empty.
    """
    check_shares(letterbox=letterbox, flip=flip, blur=blur, noise=noise, erase=erase)
    return CropCompose(
        [
            *geometry(size, scale, ratio, letterbox, flip, rotate_degrees),
            colour_jitter(brightness, saturation, hue),
            A.OneOf([A.MotionBlur(blur_limit=(3, 7)), A.GaussianBlur(blur_limit=(3, 5))], p=blur),
            A.GaussNoise(std_range=(0.01, 0.05), p=noise),
            A.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(0.15, 0.45),
                hole_width_range=(0.15, 0.45),
                fill=FILL,
                p=erase,
            ),
        ]
    )


def geometry(
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    letterbox: float,
    flip: float,
    rotate_degrees: float,
) -> list[Step]:
    """The steps from a crop of any size to a square. Raises ConfigError for an empty scale."""
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ConfigError(f"transforms.scale={list(scale)}: expected 0 < smallest <= largest <= 1")
    stretched = A.RandomResizedCrop(
        size=(size, size), scale=tuple(scale), ratio=tuple(ratio), interpolation=cv2.INTER_AREA, p=1.0 - letterbox
    )
    boxed = A.Sequential(
        [
            A.RandomCropFromBorders(*[(1 - scale[0] ** 0.5) / 2] * 4, p=1.0),
            A.LongestMaxSize(size, interpolation=cv2.INTER_AREA, p=1.0),
            A.PadIfNeeded(size, size, fill=PAD_VALUE, p=1.0),
        ],
        p=letterbox,
    )
    return [
        A.Rotate(limit=rotate_degrees, border_mode=cv2.BORDER_REFLECT_101, p=0.5 if rotate_degrees else 0.0),
        A.OneOf([stretched, boxed], p=1.0) if letterbox else stretched,
        A.HorizontalFlip(p=flip),
    ]


def colour_jitter(brightness: float, saturation: float, hue: float) -> Step:
    """Largest relative changes; `brightness` is that of contrast too."""
    return A.ColorJitter(
        brightness=(1 - brightness, 1 + brightness),
        contrast=(1 - brightness, 1 + brightness),
        saturation=(1 - saturation, 1 + saturation),
        hue=(-hue, hue),
        p=0.8,
    )
