"""Light, lens and sensor: shadow, glare, white balance, blur, noise, JPEG. Knows nothing of products.

Everything happens on linear light, as it does before a sensor's curve.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.sensor import Image, Plane, add, brighten, exposed, linear, to_jpeg
from facings.data.synthetic.stations import Station

# Lights and shadows are smooth: worked out on a grid so much coarser than the frame.
COARSE = 16


@dataclass(frozen=True)
class Light:
    """The hour's light: `level` 1 by day; `warmth` -1 cold to 1 warm. Below a level of 1 the sensor's gain, and so its noise,
    rises."""

    level: float = 1.0
    warmth: float = 0.0


def develop(
    frame: Image,
    gloss: Plane,
    station: Station,
    light: Light,
    steady: np.random.Generator,
    rng: np.random.Generator,
    *,
    glazed: bool = False,
) -> bytes:
    """JPEG of a sharp frame (H, W, 3) RGB. `gloss` (H, W) 0–1 how much each pixel's surface mirrors. `steady` decides what stays
    between the frames of a fixed camera, `rng` what does not; `glazed`: there is a glass door for certain."""
    height, width = frame.shape[:2]
    values = linear(frame)
    tint = 0.22 * (station.warmth + light.warmth + float(steady.normal()) * 0.12)
    exposure = station.exposure * light.level * float(steady.uniform(0.78, 1.22))
    field = exposure * lean(height, width, steady) * _shadow(height, width, rng)
    brighten(values, field[..., None] * np.array([1 + tint, 1.0, 1 - tint], np.float32))
    _glare(values, gloss, 1.0 if glazed else station.glazed, light, steady)
    values = _blurred(values, station, width / 640, rng)
    gain = min(4.0, 1 / np.sqrt(max(light.level, 0.05)))
    picture = exposed(values, station.noise * float(rng.uniform(0.5, 1.4)) * gain, rng)
    return to_jpeg(picture, int(steady.integers(station.quality[0], station.quality[1])))


def _grid(height: int, width: int) -> tuple[Plane, Plane]:
    """(h, w) each: x and y from -1 to 1 on the coarse grid."""
    shape = (max(8, height // COARSE), max(8, width // COARSE))
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return x.astype(np.float32), y.astype(np.float32)


def _wide(coarse: Plane, height: int, width: int) -> Plane:
    return cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def lean(height: int, width: int, rng: np.random.Generator) -> Plane:
    """Vignette, and lamps that are nearer to one side."""
    x, y = _grid(height, width)
    lean = 1 + 0.16 * float(rng.normal()) * x + 0.14 * float(rng.normal()) * y
    return (1 - 0.11 * (x**2 + y**2)) * np.clip(lean, 0.5, 1.5)  # type: ignore[no-any-return]


def _shadow(height: int, width: int, rng: np.random.Generator) -> Plane:
    """Now and then somebody stands between lamp and shelf."""
    x, y = _grid(height, width)
    if float(rng.random()) > 0.25:
        return np.ones_like(x)
    middle, half, lean = float(rng.uniform(-1.1, 1.1)), float(rng.uniform(0.15, 0.5)), float(rng.normal()) * 0.3
    top = float(rng.uniform(-1, 0.3))
    inside = 1 / (1 + np.exp((np.abs(x - middle - lean * y) - half) * 14))
    inside *= 1 / (1 + np.exp((top - y) * 9))
    return 1 - float(rng.uniform(0.25, 0.55)) * inside  # type: ignore[no-any-return]


def _glare(values: Plane, gloss: Plane, glazed: float, light: Light, rng: np.random.Generator) -> None:
    """Lamps mirrored by foil, metal and glass: bright where a surface is glossy and the lamp's image falls; and a glass door."""
    height, width = values.shape[:2]
    x, y = _grid(height, width)
    if float(rng.random()) < 0.7:
        lamp_x, lamp_y = float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.8, 0.5))
        spot = np.exp(-(((x - lamp_x) / float(rng.uniform(0.4, 1.0))) ** 2) - ((y - lamp_y) / 0.28) ** 2)
        rough = cv2.GaussianBlur(rng.normal(0, 1, (height // 4 + 1, width // 4 + 1)).astype(np.float32), (0, 0), 1.6)
        crinkled = np.clip(_wide(rough, height, width) * 3.2 - 0.3, 0, 1)
        strength = float(rng.uniform(0.3, 1.1)) * light.level
        add(values, _wide(spot * strength, height, width) * crinkled * gloss)
    if float(rng.random()) < glazed:
        slope, place = float(rng.uniform(-0.4, 0.4)), float(rng.uniform(-0.8, 0.8))
        streaks = np.exp(-(((x + slope * y - place) / 0.12) ** 2)) + 0.7 * np.exp(
            -(((x + slope * y - place - 0.5) / 0.3) ** 2)
        )
        door = 0.02 + float(rng.uniform(0.05, 0.16)) * streaks
        add(values, _wide(door * light.level, height, width))


def _blurred(values: Plane, station: Station, pixels: float, rng: np.random.Generator) -> Plane:
    """Lens, shake and missed focus; `pixels`: of the frame, as multiples of one of 640's."""
    sigma = pixels * (0.1 + station.blur * abs(float(rng.normal())))
    chance, length, angle = float(rng.random()), float(rng.uniform(0.5, 1)), float(rng.uniform(0, np.pi))
    soft = float(rng.random())
    if sigma > 0.25:
        values = cv2.GaussianBlur(values, (0, 0), sigma)  # type: ignore[assignment]
    if chance < station.moving:
        values = cv2.filter2D(values, -1, streak(station.motion * length * pixels, angle))  # type: ignore[assignment]
    if soft < station.unsharp:
        values = cv2.filter2D(values, -1, disc(float(rng.uniform(1.0, 2.4)) * pixels))  # type: ignore[assignment]
    return values


def streak(length: float, angle: float) -> NDArray[Any]:
    """The way of a point (pixels, radians) while the shutter is open; sums to 1."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for step in np.linspace(-length / 2, length / 2, max(2, round(4 * length))):
        kernel[round(half + step * np.sin(angle)), round(half + step * np.cos(angle))] += 1
    return kernel / kernel.sum()


def disc(radius: float) -> NDArray[Any]:
    """What a lens out of focus makes of a point: an even disc of `radius` pixels; sums to 1."""
    half = int(np.ceil(radius))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return kernel / kernel.sum()
