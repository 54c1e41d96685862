"""Cutting a product's crop out of a frame: the same for the store, for evaluation and for the gallery.

Knows nothing of what the crop is for.
"""

import math

import numpy as np
from numpy.typing import NDArray


def cut_crop(image: NDArray[np.uint8], box: NDArray[np.float32], margin: float) -> NDArray[np.uint8]:
    """The part of `image` (H, W, 3) inside `box`, see `crop_edges`. A copy, contiguous."""
    left, top, right, bottom = crop_edges(box, margin, image.shape[0], image.shape[1])
    return np.ascontiguousarray(image[top:bottom, left:right])


def crop_edges(box: NDArray[np.float32], margin: float, height: int, width: int) -> tuple[int, int, int, int]:
    """`box` (xyxy, pixels) widened by `margin` (share of its size) on each side, as whole pixels (x1, y1, x2, y2).

    Rounded outward, clipped to the picture of `height` × `width`, at least one pixel wide and high.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    wider, higher = (x2 - x1) * margin, (y2 - y1) * margin
    # Plain numbers: clipping them one by one through numpy takes six times as long, for each of 500 products.
    left = math.floor(min(max(x1 - wider, 0), width - 1))
    top = math.floor(min(max(y1 - higher, 0), height - 1))
    right = math.ceil(min(max(x2 + wider, left + 1), width))
    bottom = math.ceil(min(max(y2 + higher, top + 1), height))
    return left, top, right, bottom
