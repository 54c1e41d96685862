"""Boxes as arrays: (N, 4) float32, xyxy, pixels. Knows nothing of labels or scores' origin."""

import math

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def area(boxes: Boxes) -> NDArray[np.float32]:
    """(N, 4) → (N,) area in square pixels; 0 where a box is turned inside out."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return product


def intersection(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """(N, 4), (M, 4) → (N, M) shared area in square pixels."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(high - low, 0)
    product: NDArray[np.float32] = sides[..., 0] * sides[..., 1]
    return product


def iou(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """(N, 4), (M, 4) → (N, M) intersection over union, 0–1; 0 where both boxes are empty.

    >>> iou(np.array([[0, 0, 2, 2]], np.float32), np.array([[1, 0, 3, 2]], np.float32)).round(3).tolist()
    [[0.3330000042915344]]
    """
    shared = intersection(first, second)
    union = area(first)[:, None] + area(second)[None, :] - shared
    return np.where(union > 0, shared / np.maximum(union, 1e-12), 0).astype(np.float32)


def clip(boxes: Boxes, height: float, width: float) -> Boxes:
    """Boxes cut at the edges of a picture of `height` × `width` pixels."""
    limits = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limits).astype(np.float32)


def xywh_to_xyxy(boxes: Boxes) -> Boxes:
    """x, y, width, height → x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).astype(np.float32)


def xyxy_to_xywh(boxes: Boxes) -> Boxes:
    """x1, y1, x2, y2 → x, y, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float32)


def rounded(box: Boxes) -> tuple[float, float, float, float]:
    """A box (4,) as four numbers for people and files, in hundredths of a pixel.

    >>> rounded(np.array([1.234, 2, 3.999, 5], np.float32))
    (1.23, 2.0, 4.0, 5.0)
    """
    x1, y1, x2, y2 = (round(float(value), 2) for value in box)
    return x1, y1, x2, y2


def nms(boxes: Boxes, scores: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """Greedy non-maximum suppression: indices that stay, best first; a box goes when its IoU with a better is above `threshold`."""
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = rest[iou(boxes[best][None], boxes[rest])[0] <= threshold]
    return np.array(kept, np.int64)


def letterbox_transform(height: int, width: int, size: int) -> NDArray[np.float32]:
    """[scale_x, scale_y, pad_x, pad_y] float32 that fits a picture into a `size` square, centred.

    x_square = x_picture * scale_x + pad_x. Sides are rounded half up, so scale_x and scale_y differ slightly.
    """
    scale = min(size / height, size / width)
    new_width = min(size, max(1, math.floor(width * scale + 0.5)))
    new_height = min(size, max(1, math.floor(height * scale + 0.5)))
    pads = ((size - new_width) // 2, (size - new_height) // 2)
    return np.array([new_width / width, new_height / height, *pads], np.float32)


def to_input(boxes: Boxes, transform: NDArray[np.float32]) -> Boxes:
    """Boxes of the picture → boxes of the model's square input."""
    scale, pad = np.tile(transform[:2], 2), np.tile(transform[2:], 2)
    return (boxes * scale + pad).astype(np.float32)


def to_image(boxes: Boxes, transform: NDArray[np.float32]) -> Boxes:
    """Boxes of the model's square input → boxes of the picture."""
    scale, pad = np.tile(transform[:2], 2), np.tile(transform[2:], 2)
    return ((boxes - pad) / scale).astype(np.float32)
