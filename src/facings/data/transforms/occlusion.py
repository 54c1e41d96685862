"""Neighbours that reach into the crop. Knows nothing of which products they are."""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

# Scaled up by more than this, a pixel of a neighbour is a field of one colour anyway.
FLAT = 64


class Neighbours(A.ImageOnlyTransform):
    """A piece of another crop over one or two borders, with a bent edge and the shadow that it throws.

    `depth`: how far a piece reaches in, as a share of the crop's side, before its edge bends (by at most half of it). The
    neighbour is scaled to the crop's height (or width) and shows the side that faces the crop, as beside it on a shelf.
    Without `others` nothing happens.
    """

    def __init__(self, depth: tuple[float, float], p: float) -> None:
        super().__init__(p=p)
        self.depth = depth

    @property
    def targets_as_params(self) -> list[str]:
        return ["image", "others"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        rng, others = self.random_generator, data["others"]
        if not len(others):
            return {"pieces": []}
        borders = rng.permutation(4)[: 1 + int(rng.random() < 0.35)]
        # Goods stand beside one another more often than above: left and right count twice.
        borders = [int(border) if rng.random() < 0.5 else int(border) % 2 for border in borders]
        pieces = []
        for border in dict.fromkeys(borders):
            other = others[int(rng.integers(len(others)))]
            pieces.append((border, other, rng.uniform(*self.depth), rng.uniform(-1, 1, 2), rng.uniform(0.2, 0.6)))
        return {"pieces": pieces}

    def apply(self, img: NDArray[np.uint8], pieces: Sequence[Any] = (), **params: Any) -> NDArray[np.uint8]:
        for border, other, depth, bend, shadow in pieces:
            # Turned so that the piece comes from the left: 0 left, 1 right, 2 top, 3 bottom.
            turned = _turn(_over_left(_turn(img, border), _turn(other, border), depth, bend, shadow), border)
            img = np.ascontiguousarray(turned)
        return img


def _turn(image: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
    """Flip or transpose so that `border` becomes the left one; the same again undoes it."""
    if border == 1:
        return image[:, ::-1]
    if border == 2:
        return image.transpose(1, 0, 2)
    return image[::-1, ::-1].transpose(1, 0, 2) if border == 3 else image


def _over_left(
    image: NDArray[np.uint8], other: NDArray[np.uint8], depth: float, bend: NDArray[np.float64], shadow: float
) -> NDArray[np.uint8]:
    """`image` (H, W, 3) with the right end of `other` over its left border."""
    height, width = image.shape[:2]
    down = np.linspace(-1, 1, height)
    # A slanted and bulging edge: 1 - t² is highest in the middle, as a fruit or a full bag is. Both together are ±1/2.
    edge = depth * width * (1 + 0.2 * bend[0] * down + 0.3 * bend[1] * (1 - 2 * down**2))
    reach = int(np.ceil(edge.max())) + 2
    scale = height / other.shape[0]
    # Of a crop of few lines, which would be drawn out thousands of times, only the end that is seen; of others all, as the filter
    # looks further.
    if scale > FLAT:
        other = other[:, -max(1, int(np.ceil(reach / scale))) :]
    piece = cv2.resize(
        np.ascontiguousarray(other), (max(reach, round(other.shape[1] * scale)), height), interpolation=cv2.INTER_AREA
    )[:, -reach:]
    # The piece follows its own edge: shifted line by line, so that its outline bends and not only the cut.
    distance = np.arange(width)[None, :] - edge[:, None]
    shift = (edge - reach).astype(np.float32)
    columns = np.arange(reach, dtype=np.float32)[None, :] - shift[:, None]
    lines = np.repeat(np.arange(height, dtype=np.float32)[:, None], reach, axis=1)
    piece = cv2.remap(piece, columns, lines, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shade = 1 - shadow * np.exp(-np.maximum(distance, 0) / (0.04 * width + 1))
    result = image * shade[..., None]
    cover = np.clip(0.5 - distance, 0, 1)[:, :reach, None]
    kept = min(reach, width)
    result[:, :kept] = result[:, :kept] * (1 - cover[:, :kept]) + piece[:, :kept] * cover[:, :kept]
    return np.clip(np.round(result), 0, 255).astype(np.uint8)
