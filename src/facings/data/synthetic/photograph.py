"""A painted wall through a calibrated camera: the frame and its exact truth. Knows nothing of files."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from facings.data.synthetic.lens import View
from facings.data.synthetic.optics import Light, develop
from facings.data.synthetic.packaging import GLOSS
from facings.data.synthetic.painter import Painted
from facings.data.synthetic.planogram import Placement
from facings.data.synthetic.sprites import outline

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
    corner = np.array(painted.corner, np.float32)
    maps: NDArray[Any] = (view.wall_of_pixels() - corner) * np.float32(painted.scale) - np.float32(0.5)
    soft = cv2.GaussianBlur(painted.canvas, (3, 3), 0.45)
    x, y = np.ascontiguousarray(maps[..., 0]), np.ascontiguousarray(maps[..., 1])
    frame = cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ids = cv2.remap(painted.ids, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
    gloss = np.array([0.0, *(_gloss(piece) for piece in painted.placed)], np.float32)[ids]
    jpeg = develop(np.asarray(frame, np.uint8), gloss, view.station, light, steady, rng)
    return jpeg, _truth(painted, view, ids, min_visibility)  # type: ignore[arg-type]


def _truth(painted: Painted, view: View, ids: NDArray[np.uint16], least: float) -> list[Taken]:
    count = len(painted.placed)
    # What the neighbours and the frame's edge leave, counted where it is painted: sizes in the frame vary with distance.
    edge = np.round((view.border_on_wall() - painted.corner) * painted.scale - 0.5).astype(np.int32)
    held = cv2.fillPoly(np.zeros(painted.ids.shape, np.uint8), [edge], 1).astype(bool)
    shown = np.bincount(painted.ids[held], minlength=count + 1)
    taken = []
    for number, window in enumerate(find_objects(ids.astype(np.int32), max_label=count), start=1):
        visibility = min(1.0, shown[number] / max(1.0, painted.wholes[number - 1]))
        if window is None or visibility < least:
            continue
        found = outline(ids[window] == number, window)
        if found is not None:
            box, polygons, area = found
            amodal = _amodal(view, painted.hulls[number - 1], box)
            placement = painted.placed[number - 1]
            taken.append(Taken(placement, box, polygons, area, round(float(visibility), 3), amodal))
    return taken


def _amodal(view: View, hull: NDArray[np.float64], box: Box) -> Box:
    """The box around the whole outline, which holds the visible one."""
    pixels = view.pixels_of(np.column_stack([hull, np.zeros(len(hull))])) + 0.5
    low = np.minimum(np.clip(pixels.min(axis=0), 0, [view.width, view.height]), box[:2])
    corner = np.add(box[:2], box[2:])
    high = np.maximum(np.clip(pixels.max(axis=0), 0, [view.width, view.height]), corner)
    x, y, right, bottom = (round(float(value), 2) for value in (*low, *high))
    return x, y, round(right - x, 2), round(bottom - y, 2)


def _gloss(piece: Placement) -> float:
    return SKIN if piece.product.produce else GLOSS.get(piece.product.kind, FOIL)
