"""Too little light, its colour, lamps that shine into the lens, and the sensor's noise. Pictures are (H, W, 3) uint8 RGB.

Each function takes the level of one strength and a generator that is the same for all strengths of a picture: the same
lamps and the same grain, only more of it. Light is added up in linear light, as it falls. Knows nothing of boxes.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Light = NDArray[np.float32]
# Electrons that a pixel collects from white in full light, and the camera's own noise in electrons.
FULL_WELL, READ_NOISE = 1500.0, 4.0
# Of the lost light, in exponents, what the camera's gain brings back.
RECOVERED = 0.55
# Side of the grid that soft patches of light are computed on.
GRID = 320
LAMPS = 5

_VALUES = np.arange(256) / 255.0
_LINEAR: Light = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4).astype(np.float32)
_STEPS = np.arange(65536) / 65535.0
_CURVED = np.where(_STEPS <= 0.0031308, _STEPS * 12.92, 1.055 * _STEPS ** (1 / 2.4) - 0.055)
# Looked up instead of computed: a power of every value of a picture of 12 megapixels takes seconds.
_SRGB: Picture = np.round(_CURVED * 255).astype(np.uint8)


def linear(image: Picture) -> Light:
    """sRGB (IEC 61966-2-1) → linear light, 0–1."""
    return _LINEAR[image]


def srgb(light: Light) -> Picture:
    """Linear light, 0–1 (clipped) → sRGB; exact to one level, as the curve is read in 65,536 steps."""
    return _SRGB[(np.clip(light, 0, 1) * 65535 + 0.5).astype(np.uint16)]


def low_light(image: Picture, level: float, rng: np.random.Generator) -> Picture:
    """`level`: share of the light that is left. The camera's gain brings part of it back, and raises the noise with it.

    Shot noise is the root of the electrons, read noise does not depend on them (EMVA Standard 1288, release 4.0, eq. 11).
    """
    electrons = linear(image) * np.float32(level * FULL_WELL)
    electrons += _grain(rng, image.shape) * np.sqrt(electrons + np.float32(READ_NOISE**2))
    return srgb(electrons * np.float32(level**-RECOVERED / FULL_WELL))


def colour_temperature(image: Picture, level: tuple[float, float], rng: np.random.Generator) -> Picture:
    """`level`: mired (10^6 / K) that a warm light lies above daylight, and a cold one below. Each picture has one of them."""
    # Imported late: it brings all of the training's augmentation with it.
    from facings.data.transforms.colour_temperature import adaptation

    warm, cold = level
    matrix = adaptation(warm if rng.random() < 0.5 else -cold).astype(np.float32)
    return srgb(np.asarray(cv2.transform(linear(image), matrix), np.float32))


def glare(image: Picture, level: tuple[int, float, float], rng: np.random.Generator) -> Picture:
    """`level`: lamps, their size as a share of the short side, and how far they burn out to white, 0–1."""
    count, size, strength = level
    height, width = image.shape[:2]
    scale = min(1.0, GRID / max(height, width))
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    veil = np.zeros((rows, columns), np.float32)
    for middle_x, middle_y, long, turn in rng.random((LAMPS, 4))[:count].tolist():
        # Tubes lie along the shelf or lead away from the camera; a bulb is round.
        angle = (turn - 0.5) * 0.5 + (np.pi / 2 if turn > 0.5 else 0)
        across = max(size * min(rows, columns), 1.0)
        along = across * (1 + 3 * long)
        right, down = x - (0.1 + 0.8 * middle_x) * columns, y - (0.1 + 0.8 * middle_y) * rows
        squared = ((right * np.cos(angle) + down * np.sin(angle)) / along) ** 2
        squared += ((down * np.cos(angle) - right * np.sin(angle)) / across) ** 2
        veil = 1 - (1 - veil) * (1 - strength * (0.85 * np.exp(-(squared**1.5)) + 0.15 * np.exp(-squared / 6)))
    veil = cv2.resize(veil.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    light = linear(image)
    return srgb(light + (1 - light) * veil)


def noise(image: Picture, level: float, rng: np.random.Generator) -> Picture:
    """`level`: standard deviation of Gaussian noise, in levels of 255, drawn for each channel."""
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + np.float32(level) * grain + 0.5, 0, 255).astype(np.uint8)


def _grain(rng: np.random.Generator, shape: tuple[int, ...]) -> Light:
    """Noise of standard deviation 1 whose neighbours hang together, as a camera interpolates its colour mosaic."""
    drawn = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (3, 3), 0.6)
    found: Light = (drawn / max(float(drawn.std()), 1e-6)).astype(np.float32)
    return found.reshape(shape)
