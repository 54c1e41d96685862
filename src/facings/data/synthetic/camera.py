"""What a shelf camera makes of a wall: perspective, light, lens, sensor, JPEG. Knows nothing of products."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.optics import lean, streak
from facings.data.synthetic.sensor import Image, brighten, exposed, linear, to_jpeg


@dataclass(frozen=True)
class Camera:
    """A camera that stays where it was hung. `corners`: where the picture's corners look, as shares of the wall's
    sides (4, 2) in the order left top, right top, right bottom, left bottom; `warmth`: -1 cold to 1 warm."""

    camera_id: str
    corners: tuple[tuple[float, float], ...]
    exposure: float
    warmth: float
    blur: float
    noise: float


CAMERAS = (
    Camera("front", ((0.03, 0.03), (0.97, 0.03), (0.97, 0.97), (0.03, 0.97)), 1.0, 0.0, 0.3, 2.0),
    Camera("left", ((0.0, 0.06), (0.92, 0.0), (0.92, 1.0), (0.0, 0.93)), 1.08, 0.25, 0.4, 3.0),
    Camera("right", ((0.08, 0.0), (1.0, 0.07), (1.0, 0.92), (0.08, 1.0)), 0.9, -0.25, 0.4, 3.5),
    Camera("above", ((0.07, 0.02), (0.93, 0.02), (1.0, 0.98), (0.0, 0.98)), 0.95, 0.15, 0.5, 4.0),
)


def view(camera: Camera, wall: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, 3) homography from a wall picture of `wall` × `wall` pixels to a frame of `size` × `size`, hung a little askew."""
    corners = np.array(camera.corners, np.float32) * wall + rng.normal(0, 0.006 * wall, (4, 2)).astype(np.float32)
    frame = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    return cv2.getPerspectiveTransform(corners, frame)  # type: ignore[return-value]


def expose(frame: Image, camera: Camera, rng: np.random.Generator) -> Image:
    """Light, vignette, blur and noise on a frame (H, W, 3) uint8."""
    light = linear(frame)
    warmth = camera.warmth + float(rng.normal()) * 0.12
    tint = np.array([1 + 0.22 * warmth, 1.0, 1 - 0.22 * warmth], np.float32)
    field = lean(frame.shape[0], frame.shape[1], rng) * camera.exposure * float(rng.uniform(0.75, 1.25))
    brighten(light, field[..., None] * tint)
    sigma = 0.1 + camera.blur * abs(float(rng.normal()))
    light = cv2.GaussianBlur(light, (0, 0), sigma)
    if float(rng.random()) < 0.15:
        light = cv2.filter2D(light, -1, streak(float(rng.integers(2, 4)), float(rng.uniform(0, np.pi))))
    return exposed(light, camera.noise * float(rng.uniform(0.5, 1.5)), rng)


def jpeg(frame: Image, rng: np.random.Generator) -> bytes:
    """The frame as JPEG at a camera's usual quality."""
    return to_jpeg(frame, int(rng.integers(78, 95)))
