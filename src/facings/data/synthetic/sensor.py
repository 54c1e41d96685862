"""A sensor's curve, grain and JPEG: between linear light and the picture of a camera. Knows nothing of scenes.

Linear light is float32 (H, W, 3), 1 where the sensor is full; gamma is 2.2.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
# float32
Plane = NDArray[Any]
GAMMA = 2.2
LINEAR = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)
# Side of the field that grain is cut from, in pixels: drawing a normal number for each pixel costs more than all light.
TILE = 1024


def linear(picture: Image) -> Plane:
    """The light (H, W, 3) that a picture stands for."""
    return cv2.LUT(picture, LINEAR)  # type: ignore[return-value]


def brighten(values: Plane, coarse: Plane) -> None:
    """Weigh light (H, W, 3) in place by `coarse` (h, w, 3), which is drawn out over it."""
    height, width = values.shape[:2]
    field = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.multiply(values, field, dst=values)


def add(values: Plane, light: Plane) -> None:
    """Add white light (H, W) in place."""
    light = light.astype(np.float32, copy=False)
    cv2.add(values, cv2.merge([light, light, light]), dst=values)


def exposed(values: Plane, noise: float, rng: np.random.Generator) -> Image:
    """The picture (H, W, 3) of linear light. `noise`: of dark parts, in grey levels; shot noise is weaker in bright ones, after
    the curve."""
    shown: Plane = cv2.pow(np.clip(values, 0, 1), 1 / GAMMA)
    weight = shown * np.float32(-0.5 * noise)
    weight += np.float32(1.15 * noise)
    weight *= grain(shown.shape[0], shown.shape[1], rng)
    shown *= 255
    shown += weight
    return np.clip(shown, 0, 255, out=shown).astype(np.uint8)  # type: ignore[no-any-return]


def grain(height: int, width: int, rng: np.random.Generator) -> Plane:
    """(height, width, 3) normal numbers of unit spread: a part of one field, turned over or not, that repeats past its edge."""
    places, repeats = [], []
    for side in (height, width):
        places.append(int(rng.integers(TILE - side + 1 if side <= TILE else TILE)))
        repeats.append(-(-(places[-1] + side) // TILE))
    field = _field()
    if repeats != [1, 1]:
        field = np.tile(field, (*repeats, 1))
    part = field[places[0] : places[0] + height, places[1] : places[1] + width]
    turn = int(rng.integers(4))
    return part[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]


def to_jpeg(picture: Image, quality: int) -> bytes:
    """RGB (H, W, 3) as JPEG."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return bytes(data)


@lru_cache(maxsize=1)
def _field() -> Plane:
    return np.random.default_rng(0).standard_normal((TILE, TILE, 3), np.float32)
