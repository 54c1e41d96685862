"""The one preprocessing of evaluation: the same geometry and filter as the exported preprocessing graphs.

Knows nothing of augmentation.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.boxes import letterbox_transform

PAD_VALUE = 127


def letterbox(image: NDArray[np.uint8], size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Scale `image` (H, W, 3) uint8 to fit a `size` square, centred on grey.

    Returns the picture (size, size, 3) uint8 and the transform [scale_x, scale_y, pad_x, pad_y] float32, by which
    x_square = x_image * scale_x + pad_x. The filter is Pillow's bilinear with antialias when shrinking, which ONNX's
    `Resize(mode="linear", antialias=1)` matches to 1/255.
    """
    height, width = image.shape[:2]
    transform = letterbox_transform(height, width, size)
    new_width, new_height = round(float(transform[0]) * width), round(float(transform[1]) * height)
    left, top = int(transform[2]), int(transform[3])
    square = np.full((size, size, 3), PAD_VALUE, np.uint8)
    scaled = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BILINEAR)
    square[top : top + new_height, left : left + new_width] = np.asarray(scaled)
    return square, transform


def normalise(square: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """(S, S, 3) uint8 → (3, S, S) float32, `(value / 255 - mean) / std` a channel."""
    scaled = (square.astype(np.float32) / 255.0 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))
