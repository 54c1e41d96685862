"""Whether a photo is fit for a gallery, and which of many photos differ most. Knows nothing of models or files."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
# Luminance weights of ITU-R BT.601.
RED, GREEN, BLUE = 0.299, 0.587, 0.114
# Crops are judged at about this many pixels of their shorter side, so that blur counts relative to the product.
JUDGED_SIDE = 96
# Grey levels (standard deviation) below which a crop has no texture, and its sharpness says nothing.
PLAIN = 4.0


@dataclass(frozen=True)
class PhotoLimits:
    """What a crop must have. `side`: pixels of the shorter side; `dark`, `bright`: mean grey level, 0–255; `sharpness`: as
    `sharpness` gives it."""

    side: int = 32
    dark: float = 25.0
    bright: float = 235.0
    sharpness: float = 0.01


def photo_faults(crop: NDArray[np.uint8], limits: PhotoLimits) -> list[str]:
    """What is wrong with a crop (H, W, 3) RGB, in words; nothing for a fit one."""
    height, width = crop.shape[:2]
    if min(height, width) < limits.side:
        return [f"too small: {width} x {height} pixels of product, {limits.side} or more would do; go closer"]
    grey = crop.astype(np.float32) @ np.array([RED, GREEN, BLUE], np.float32)
    faults = []
    mean = float(grey.mean())
    if mean < limits.dark:
        faults.append(f"too dark: mean grey level {mean:.0f}, {limits.dark:.0f} or more would do; add light")
    if mean > limits.bright:
        faults.append(f"too bright: mean grey level {mean:.0f}, {limits.bright:.0f} or less would do; take light away")
    found = sharpness(grey)
    if found < limits.sharpness:
        faults.append(f"blurred: sharpness {found:.4f}, {limits.sharpness} or more would do; hold still and focus")
    return faults


def sharpness(grey: NDArray[np.float32]) -> float:
    """Variance of the Laplacian of grey levels (H, W) over their own variance, at `JUDGED_SIDE`; infinite for a plain crop.

    The variance of the Laplacian measures focus (Pech-Pacheco et al.: "Diatom autofocusing in brightfield microscopy",
    2000); divided by the variance it no longer depends on contrast or light, and at one size not on the camera's pixels.

    >>> sharpness(np.indices((8, 8)).sum(axis=0) % 2 * np.float32(255))  # each inner Laplacian is ±4 x 255
    64.0
    """
    step = max(min(grey.shape) // JUDGED_SIDE, 1)
    height, width = (side // step * step for side in grey.shape)
    small = grey[:height, :width].reshape(height // step, step, width // step, step).mean(axis=(1, 3))
    spread = float(small.std())
    if spread < PLAIN or min(small.shape) < 3:
        return float("inf")
    inner = small[1:-1, 1:-1]
    laplacian = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:] - 4 * inner
    return round(float(laplacian.var()) / spread**2, 6)


def central_box(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], height: int, width: int, *, clear: float = 0.8
) -> tuple[int, list[int]]:
    """Which of the boxes (N, 4) xyxy, N >= 1, a photo is about: the sure, large and central one; and its rivals.

    The rating is score x square root of the share of the picture x centrality (1 in the middle, 0 in a corner). Rivals have
    at least `clear` times the best rating and do not lie over the best box (intersection over the smaller one below half).
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas = sides[:, 0] * sides[:, 1]
    offset = (boxes[:, :2] + boxes[:, 2:]) / 2 / np.array([width, height]) - 0.5
    rating = scores * np.sqrt(areas / (height * width)) * (1 - np.linalg.norm(offset, axis=1) / np.sqrt(0.5))
    best = int(np.argmax(rating))
    corner, far = np.maximum(boxes[:, :2], boxes[best, :2]), np.minimum(boxes[:, 2:], boxes[best, 2:])
    shared = np.maximum(far - corner, 0).prod(axis=1) / np.maximum(np.minimum(areas, areas[best]), 1e-9)
    rivals = np.flatnonzero((rating >= clear * rating[best]) & (shared < 0.5))
    return best, [int(number) for number in rivals if number != best]


def diverse(vectors: Vectors, count: int) -> NDArray[np.int64]:
    """Indices of at most `count` of (N, D) unit vectors that cover them, in their old order.

    Starts at the one most like all others, then takes the farthest from those taken (Gonzalez: "Clustering to minimize the
    maximum intercluster distance", 1985: at most twice the best possible covering radius).

    >>> diverse(np.array([[1, 0], [1, 0], [0, 1]], np.float32), 2).tolist()
    [0, 2]
    """
    if len(vectors) <= count:
        return np.arange(len(vectors))
    similarities = vectors @ vectors.T
    taken = [int(np.argmax(similarities.sum(axis=1)))]
    nearest = similarities[taken[0]].copy()
    while len(taken) < count:
        nearest[taken] = np.inf
        taken.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, similarities[taken[-1]])
    return np.sort(np.array(taken, np.int64))


def outliers(vectors: Vectors, *, spread: float = 3.0, floor: float = 0.1) -> NDArray[np.bool_]:
    """(N,) which of the unit vectors (N, D) of one product are unlike the others; nobody below four of them.

    An outlier's median similarity to the others lies below their median by more than `spread` robust standard deviations
    (1.4826 x the median absolute deviation) and by more than `floor`.
    """
    if len(vectors) < 4:
        return np.zeros(len(vectors), np.bool_)
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, np.nan)
    typical = np.nanmedian(similarities, axis=1)
    middle = np.median(typical)
    deviation = 1.4826 * np.median(np.abs(typical - middle))
    apart: NDArray[np.bool_] = typical < middle - max(spread * deviation, floor)
    return apart
