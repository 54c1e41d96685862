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
    x_square = x_image * scale_x + pad_x. The filter is that of the exported graphs (`facings.export.graphs`), to a level of 255
    everywhere and to the bit nearly everywhere: the mean of blocks where the frame is a whole multiple, else Pillow's bilinear
    with antialias.
    """
    height, width = image.shape[:2]
    transform = letterbox_transform(height, width, size)
    new_width, new_height = round(float(transform[0]) * width), round(float(transform[1]) * height)
    left, top = int(transform[2]), int(transform[3])
    square = np.full((size, size, 3), PAD_VALUE, np.uint8)
    scale = min(size / height, size / width)
    square[top : top + new_height, left : left + new_width] = _resized(image, new_width, new_height, scale)
    return square, transform


def _resized(image: NDArray[np.uint8], width: int, height: int, scale: float) -> NDArray[np.uint8]:
    """`scale`: of the longer side, which decides the way."""
    factor = round(1 / scale)
    if factor > 1 and image.shape[:2] == (factor * height, factor * width):
        return block_means(image, factor)
    if scale > 0.5:
        # Rounded once: bytes would be rounded after each axis, and halves upward, which made a quarter of a crop's pixels a level
        # brighter than the graph's. That moved decisions.
        planes = [Image.fromarray(image[..., channel].astype(np.float32)) for channel in range(3)]
        scaled = [np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)) for plane in planes]
        exact = np.stack(scaled, axis=-1)
        return np.rint(exact).astype(np.uint8)
    # Rows first, as in ONNX Runtime: Pillow begins with columns where a picture is narrow, and rounds in between.
    rows = Image.fromarray(image).resize((width, image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(rows.resize((width, height), Image.Resampling.BILINEAR))


def block_means(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """(H, W, 3) → (H / factor, W / factor, 3): the mean of each block, halves upward.

    >>> block_means(np.array([[[1], [2]], [[3], [4]]], np.uint8), 2).tolist()
    [[[3]]]
    """
    height, width, channels = image.shape
    rows = sum(image[start::factor].astype(np.uint32) for start in range(factor))
    assert isinstance(rows, np.ndarray)
    blocks = rows.reshape(height // factor, width // factor, factor, channels).sum(axis=2, dtype=np.uint32)
    return ((2 * blocks + factor**2) // (2 * factor**2)).astype(np.uint8)


def normalise(square: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """(S, S, 3) uint8 → (3, S, S) float32, `(value / 255 - mean) / std` a channel."""
    scaled = (square.astype(np.float32) / 255.0 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))
