"""What lens, glass and file do to a picture: blur, drops, compression, lost resolution. (H, W, 3) uint8 RGB.

Lengths are shares of the picture's short side, so that a strength looks alike at any resolution. Knows nothing of boxes.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.benchmark.corruption_light import Picture, linear, srgb

# Drops on the pane at most, of which each strength shows the first.
DROPS = 160


def motion_blur(image: Picture, level: float, rng: np.random.Generator) -> Picture:
    """`level`: length of the path, in one direction a picture: mostly level, as a cart or a pan moves."""
    angle = float(rng.normal(0, 0.35))
    length = max(level * min(image.shape[:2]), 1.0)
    half = int(np.ceil(length / 2)) + 1
    along = np.linspace(-length / 2, length / 2, max(3, 8 * round(length)))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    x, y = half + along * np.cos(angle), half + along * np.sin(angle)
    # Each point is shared among the four cells around it: no steps in the line.
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        share = np.abs(1 - right - (x - left)) * np.abs(1 - down - (y - top))
        np.add.at(kernel, (np.minimum(top + down, 2 * half), np.minimum(left + right, 2 * half)), share)
    return _filtered(image, kernel)


def defocus(image: Picture, level: float, rng: np.random.Generator) -> Picture:
    """`level`: radius of the disc that a point becomes (the lens's circle of confusion)."""
    radius = max(level * min(image.shape[:2]), 0.5)
    half = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return _filtered(image, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32))


def wet_glass(image: Picture, level: tuple[int, float, float], rng: np.random.Generator) -> Picture:
    """A pane in front: drops, each a lens that shows the shelf small and upside down, and condensation between them.

    `level`: drops (`DROPS` at most), size of the condensation's blur, and how white its haze is, 0–1.
    """
    count, blur, haze = level
    height, width = image.shape[:2]
    short = min(height, width)
    soft = cv2.GaussianBlur(linear(image), (0, 0), max(blur * short, 0.3))
    # Condensation is thicker here than there: a coarse grid of random values, drawn out smooth.
    cloud = cv2.resize(rng.random((6, 6), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    veil = (haze * np.clip(0.4 + 0.8 * cloud, 0, 1))[..., None]
    behind = soft * (1 - veil) + np.float32(0.62) * veil
    for middle_x, middle_y, size, form in rng.random((DROPS, 4))[:count].tolist():
        # Few drops are large; they hang longer than wide.
        across = max((0.012 + 0.05 * size**3) * short, 2.0)
        _drop(behind, image, (middle_x * width, middle_y * height), (across, across * (1 + 0.5 * form)))
    return srgb(behind)


def jpeg(image: Picture, level: int, rng: np.random.Generator) -> Picture:
    """`level`: quality, 1–100, of the file."""
    done, packed = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, level])
    if not done:
        raise ValueError(f"a picture of {image.shape} cannot be written as JPEG; sides of 1 to 65535 pixels can")
    decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def resolution(image: Picture, level: float, rng: np.random.Generator) -> Picture:
    """`level`: share of the sides that is left; brought back to the old size, so that boxes stay."""
    height, width = image.shape[:2]
    small = (max(1, round(width * level)), max(1, round(height * level)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def _filtered(image: Picture, kernel: NDArray[np.float32]) -> Picture:
    return srgb(
        np.asarray(
            cv2.filter2D(linear(image), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), np.float32
        )
    )


def _drop(behind: NDArray[np.float32], image: Picture, middle: tuple[float, float], radii: tuple[float, float]) -> None:
    """Draw one drop into `behind`, in place; `image`: what is seen through it."""
    height, width = image.shape[:2]
    x1, y1 = (max(0, int(m - r)) for m, r in zip(middle, radii, strict=True))
    x2, y2 = (min(s, int(m + r) + 2) for s, m, r in zip((width, height), middle, radii, strict=True))
    if x2 <= x1 or y2 <= y1:
        return
    y, x = np.mgrid[y1:y2, x1:x2].astype(np.float32)
    right, down = (x - middle[0]) / radii[0], (y - middle[1]) / radii[1]
    radius = np.sqrt(right**2 + down**2)
    # Towards the rim it bends the light ever more: a wide view, turned over.
    bend = -(2.5 + 6 * radius**2)
    source = cv2.remap(
        image, middle[0] + bend * right * radii[0], middle[1] + bend * down * radii[1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    # Dark at the rim, a glint above.
    shade = np.clip(1.15 - 0.75 * radius**4, 0.25, 1.15) + 0.5 * np.exp(
        -(((right + 0.35) ** 2 + (down + 0.45) ** 2) / 0.03)
    )
    cover = np.clip((1 - radius) * min(radii) / 1.5, 0, 1)[..., None]
    part = behind[y1:y2, x1:x2]
    part += cover * (linear(np.asarray(source, np.uint8)) * shade[..., None].astype(np.float32) - part)
