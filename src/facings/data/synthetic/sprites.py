"""Sprites on a wall and their outlines in a frame. Knows nothing of goods.

A sprite is (H, W, 4) uint8: RGB times coverage, and coverage; so it can be scaled, turned and laid without a dark rim.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
# The number of the piece that is seen at each pixel, 0 for none.
Ids = NDArray[np.int32] | NDArray[np.uint16]
MIN_SIDE = 5
# Coverage from which on a pixel is the piece's.
SOLID = 127
LEVEL = 0.3  # degrees below which nothing is turned


def paste(
    canvas: Image, ids: Ids, sprite: Image, left: int, top: int, number: int, shade: float,
    rng: np.random.Generator,
) -> int:  # fmt: skip
    """Lay a sprite onto the wall with a soft shadow; returns how many pixels its whole outline has."""
    tone = shade * float(rng.uniform(0.95, 1.04))
    height, width = sprite.shape[:2]
    cover = cv2.extractChannel(sprite, 3)
    solid = cover > SOLID
    whole = int(np.count_nonzero(solid))
    y1, x1 = max(0, top), max(0, left)
    y2, x2 = min(canvas.shape[0], top + height), min(canvas.shape[1], left + width)
    if y2 <= y1 or x2 <= x1:
        return whole
    rows, columns = slice(y1 - top, y2 - top), slice(x1 - left, x2 - left)
    cover, colours = cover[rows, columns], cv2.cvtColor(sprite[rows, columns], cv2.COLOR_RGBA2RGB)
    drop = max(1, round(height * 0.03))
    sy, sx = min(canvas.shape[0], y2 + drop), min(canvas.shape[1], x2 + drop)
    shadow = canvas[sy - (y2 - y1) : sy, sx - (x2 - x1) : sx]
    weigh(shadow, cv2.convertScaleAbs(cover, alpha=-0.3, beta=255))
    area = canvas[y1:y2, x1:x2]
    weigh(area, cv2.bitwise_not(cover))
    cv2.add(area, cv2.convertScaleAbs(colours, alpha=tone), dst=area)
    np.copyto(ids[y1:y2, x1:x2], number, where=solid[rows, columns], casting="unsafe")
    return whole


def weigh(area: Image, share: NDArray[Any]) -> None:
    """Darken (h, w, 3) in place to `share` (h, w) of 255."""
    cv2.multiply(area, cv2.merge([share, share, share]), dst=area, scale=1 / 255)


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
    polygons = tuple(tuple((contour + corner).reshape(-1).astype(float).tolist()) for contour in contours)
    x, y = float(left + columns[0]), float(top + rows[0])
    box = (x, y, float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1))
    return box, polygons, int(mask.sum())


def premultiplied(drawing: Image) -> Image:
    """A drawing (H, W, 4) with straight colours as a sprite."""
    sprite = drawing.copy()
    colours = np.asarray(cv2.cvtColor(drawing, cv2.COLOR_RGBA2RGB), np.uint8)
    weigh(colours, np.ascontiguousarray(drawing[..., 3]))
    sprite[..., :3] = colours
    return sprite


def laid(sprite: Image, wide: int, tall: int, angle: float) -> Image:
    """The sprite `wide` × `tall` pixels large and turned by `angle` degrees; the canvas grows with it."""
    if abs(angle) < LEVEL:
        return np.asarray(cv2.resize(sprite, (wide, tall), interpolation=cv2.INTER_AREA), np.uint8)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    size = (int(tall * abs(sin) + wide * abs(cos)) + 1, int(tall * abs(cos) + wide * abs(sin)) + 1)
    x, y = wide / sprite.shape[1], tall / sprite.shape[0]
    # Centre onto centre; a pixel's own centre is at a whole number.
    middle, down = (sprite.shape[1] - 1) / 2, (sprite.shape[0] - 1) / 2
    right = (size[0] - 1) / 2 - cos * x * middle - sin * y * down
    below = (size[1] - 1) / 2 + sin * x * middle - cos * y * down
    matrix = np.array([[cos * x, sin * y, right], [-sin * x, cos * y, below]])
    return np.asarray(cv2.warpAffine(sprite, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)
