"""Boxes that are not upright, as COCO: the upright box around, and the four corners as outline. Knows nothing of files."""

import math
from collections.abc import Sequence
from typing import Any


def corners_of(box: Sequence[float]) -> list[float]:
    """[x1, y1, …, x4, y4] of a rotated box: centre x, centre y, width, height, angle in radians, clockwise on the picture.

    A quarter turn swaps the sides:

    >>> [round(v, 6) + 0.0 for v in corners_of([10, 20, 4, 2, math.pi / 2])]
    [11.0, 18.0, 11.0, 22.0, 9.0, 22.0, 9.0, 18.0]
    """
    x, y, width, height, angle = box
    cosine, sine = math.cos(angle), math.sin(angle)
    found: list[float] = []
    for a, b in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        across, down = a * width, b * height
        found += [x + cosine * across - sine * down, y + sine * across + cosine * down]
    return found


def around(corners: Sequence[float]) -> list[float]:
    """The upright box xyxy around corners [x1, y1, …].

    >>> around([5, 0, 10, 5, 5, 10, 0, 5])
    [0, 0, 10, 10]
    """
    return [min(corners[::2]), min(corners[1::2]), max(corners[::2]), max(corners[1::2])]


def four_corners(value: Any) -> list[float] | None:
    """Eight finite numbers, flat or as four pairs or inside one more list; None for anything else."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list) and len(value) == 4 and all(isinstance(p, list) and len(p) == 2 for p in value):
        value = [number for point in value for number in point]
    found = floats(value, 8)
    return found if found is not None and all(map(math.isfinite, found)) else None


def floats(value: Any, count: int) -> list[float] | None:
    """A list of so many numbers as floats; None for anything else, a whole number that no float can hold among it.

    >>> floats([1, 2.5], 2), floats([1, "2"], 2), floats([1, 10**400], 2)
    ([1.0, 2.5], None, None)
    """
    if not isinstance(value, list) or len(value) != count:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return None
    try:
        return [float(v) for v in value]
    except OverflowError:
        return None
