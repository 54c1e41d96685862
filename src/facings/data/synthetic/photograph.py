"""A painted wall through a calibrated camera: the frame and its exact truth. Knows nothing of files."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.lens import View
from facings.data.synthetic.optics import Light, develop
from facings.data.synthetic.packaging import GLOSS
from facings.data.synthetic.painter import Painted
from facings.data.synthetic.planogram import Placement
from facings.data.synthetic.sprites import outline
from facings.data.synthetic.truth import shown_within, windows_of

Box = tuple[float, float, float, float]
# How much what is no known package mirrors: produce's skin, and the foil that most cut-outs are.
SKIN, FOIL = 0.05, 0.35


@dataclass(frozen=True)
class Taken:
    """One piece in a frame: `box` xywh and `polygons` of what is seen of it; `amodal` xywh of its whole outline, hidden parts
    with it, as far as the frame reaches; `visibility` 0–1 of its whole outline."""

    placement: Placement
    box: Box
    polygons: tuple[tuple[float, ...], ...]
    area: int
    visibility: float
    amodal: Box


def photograph(
    painted: Painted,
    view: View,
    light: Light,
    steady: np.random.Generator,
    rng: np.random.Generator,
    *,
    min_visibility: float,
) -> tuple[bytes, list[Taken]]:
    """JPEG and truth. Pieces seen to a share below `min_visibility` are in the picture but not labelled."""
    maps = view.wall_of_pixels(painted.corner, painted.scale)
    soft = cv2.GaussianBlur(painted.canvas, (3, 3), 0.45)
    frame = cv2.remap(soft, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    seen: Any = cv2.remap(painted.ids, maps, None, cv2.INTER_NEAREST)  # type: ignore[call-overload]
    ids = np.asarray(seen, np.uint16)
    gloss = np.array([0.0, *(_gloss(piece) for piece in painted.placed)], np.float32)[ids]
    picture = develop(np.asarray(frame, np.uint8), gloss, view.station, light, steady, rng, glazed=painted.glazed)
    return picture, _truth(painted, view, ids, min_visibility)


def _truth(painted: Painted, view: View, ids: NDArray[np.uint16], least: float) -> list[Taken]:
    count = len(painted.placed)
    # What the neighbours and the frame's edge leave, counted where it is painted: sizes in the frame vary with distance.
    edge = (view.border_on_wall() - painted.corner) * painted.scale - 0.5
    shown = shown_within(painted.ids, edge, count)
    seen = []
    for number, window in enumerate(windows_of(ids, count), start=1):
        visibility = min(1.0, shown[number] / max(1.0, painted.wholes[number - 1]))
        if window is None or visibility < least:
            continue
        found = outline(ids[window] == number, window)
        if found is not None:
            seen.append((number, round(float(visibility), 3), found))
    whole = _amodal(view, [painted.hull(number) for number, _, _ in seen])
    return [
        Taken(painted.placed[number - 1], box, polygons, area, visibility, _around(box, amodal))
        for (number, visibility, (box, polygons, area)), amodal in zip(seen, whole, strict=True)
    ]


def _amodal(view: View, hulls: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(N, 4) xyxy pixels of whole outlines, as far as the frame reaches, from their hulls (M, 2) on the wall."""
    if not hulls:
        return np.zeros((0, 4))
    points = np.concatenate(hulls)
    pixels = view.pixels_of(np.column_stack([points, np.zeros(len(points))])) + 0.5
    starts = np.cumsum([0, *(len(hull) for hull in hulls[:-1])])
    low, high = np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)
    return np.clip(np.hstack([low, high]), 0, [view.width, view.height] * 2)


def _around(box: Box, whole: NDArray[np.float64]) -> Box:
    """A whole outline's box as xywh, which holds the visible one."""
    left, top, right, bottom = whole.tolist()
    x, y = min(left, box[0]), min(top, box[1])
    right, bottom = max(right, box[0] + box[2]), max(bottom, box[1] + box[3])
    return round(x, 2), round(y, 2), round(right - x, 2), round(bottom - y, 2)


def _gloss(piece: Placement) -> float:
    return SKIN if piece.product.produce else GLOSS.get(piece.product.kind, FOIL)
