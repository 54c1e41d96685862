"""Sprites on a wall and their outlines in a frame. A sprite is (H, W, 4) uint8: RGB and coverage. Knows nothing of goods."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
# The number of the piece that is seen at each pixel, 0 for none.
Ids = NDArray[np.int32] | NDArray[np.uint16]
MIN_SIDE = 5


def paste(
    canvas: Image, ids: Ids, sprite: Image, left: int, top: int, number: int, shade: float,
    rng: np.random.Generator,
) -> int:  # fmt: skip
    """Lay a sprite onto the wall with a soft shadow; returns how many pixels its whole outline has."""
    height, width = sprite.shape[:2]
    whole = int((sprite[..., 3] > 127).sum())
    y1, x1 = max(0, top), max(0, left)
    y2, x2 = min(canvas.shape[0], top + height), min(canvas.shape[1], left + width)
    if y2 <= y1 or x2 <= x1:
        return whole
    part = sprite[y1 - top : y2 - top, x1 - left : x2 - left]
    cover = part[..., 3:].astype(np.float32) / 255
    drop = max(1, round(height * 0.03))
    sy, sx = min(canvas.shape[0], y2 + drop), min(canvas.shape[1], x2 + drop)
    shadow = canvas[sy - (y2 - y1) : sy, sx - (x2 - x1) : sx]
    shadow[:] = (shadow * (1 - 0.3 * cover[-len(shadow) :, -shadow.shape[1] :])).astype(np.uint8)
    area = canvas[y1:y2, x1:x2]
    tone = shade * float(rng.uniform(0.95, 1.04))
    area[:] = (area * (1 - cover) + np.clip(part[..., :3] * tone, 0, 255) * cover).astype(np.uint8)
    ids[y1:y2, x1:x2][part[..., 3] > 127] = number
    return whole


def outline(
    mask: NDArray[np.bool_], window: tuple[slice, slice]
) -> tuple[tuple[float, float, float, float], tuple[tuple[float, ...], ...], int] | None:
    """Box, polygons and pixel count, in the frame, of a mask that lies in its `window` (rows, columns); None where it is
    too small to be seen."""
    top, left = window[0].start, window[1].start
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # Crumbs of one or two pixels have no outline: they are left out of box and area too, so that all three agree.
    contours = [contour for contour in found if len(contour) >= 3]
    whole = cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED)
    mask = mask & (whole > 0)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows) or min(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 < MIN_SIDE:
        return None
    corner = np.array([left, top])
    polygons = tuple(tuple(float(c) for c in (contour + corner).reshape(-1)) for contour in contours)
    x, y = float(left + columns[0]), float(top + rows[0])
    box = (x, y, float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1))
    return box, polygons, int(mask.sum())


def resized(sprite: Image, scale: float) -> Image:
    size = (max(4, round(sprite.shape[1] * scale)), max(4, round(sprite.shape[0] * scale)))
    return np.asarray(cv2.resize(sprite, size, interpolation=cv2.INTER_AREA), np.uint8)


def turned(sprite: Image, angle: float) -> Image:
    """Rotated, the canvas growing with it."""
    if abs(angle) < 0.3:
        return sprite
    height, width = sprite.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    new = (int(height * sin + width * cos) + 1, int(height * cos + width * sin) + 1)
    matrix[:, 2] += (new[0] / 2 - width / 2, new[1] / 2 - height / 2)
    return np.asarray(
        cv2.warpAffine(sprite, matrix, new, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8
    )
