"""Goods in a thin plastic bag. Knows nothing of what is inside."""

from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.transforms.colour_temperature import LINEAR, to_srgb


class PlasticBag(A.ImageOnlyTransform):
    """A veil of thin film: milky, wrinkled, with bright lines where a fold faces the lamp, and a slight warp behind folds.

    `veil`: how milky it is, 0–1. The film's height is ridged noise of four sizes, drawn out along one direction as folds
    are; its slope towards the lamp makes the lines (a Phong highlight) and moves what is seen through it.
    """

    def __init__(self, veil: tuple[float, float], p: float) -> None:
        super().__init__(p=p)
        self.veil = veil

    @property
    def targets_as_params(self) -> list[str]:
        return ["image"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        rng = self.random_generator
        height, width = data["image"].shape[:2]
        film = _folds(rng, height, width)
        lamp = rng.uniform(0, 2 * np.pi)
        return {"film": film, "lamp": lamp, "milk": rng.uniform(*self.veil), "gloss": rng.uniform(0.35, 0.9)}

    def apply(
        self,
        img: NDArray[np.uint8],
        film: NDArray[np.float32],
        lamp: float,
        milk: float,
        gloss: float,
        **params: Any,
    ) -> NDArray[np.uint8]:
        height, width = film.shape
        # Padded by a line on each side, as a crop one pixel wide has no slope of its own.
        slopes: list[NDArray[np.float32]] = list(np.gradient(np.pad(film, 1, mode="edge")))
        down, right = (part[1:-1, 1:-1].astype(np.float32) * min(height, width) / 8 for part in slopes)
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        bent = cv2.remap(
            img,
            columns + right * 0.012 * width,
            rows + down * 0.012 * height,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        linear = LINEAR[bent]
        grey = linear.mean(axis=2, keepdims=True)
        # Film scatters: colours lose to their own grey and to the room's light, thicker where it is folded over.
        thick = (milk * (0.6 + 0.4 * film))[..., None]
        clouded = linear * (1 - thick) + thick * (0.5 * grey + 0.3)
        slope = np.clip(right * np.cos(lamp) + down * np.sin(lamp), 0, None)
        facing = slope / max(float(np.quantile(slope, 0.99)), 1e-6)
        shine = gloss * np.clip(facing, 0, 1)[..., None] ** 8
        return to_srgb(clouded + (1 - clouded) * shine)


def _folds(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """(H, W) float32, 0–1: ridged noise, drawn out along a random direction."""
    side = int(np.ceil(np.hypot(height, width)))
    total = np.zeros((side, side), np.float32)
    for cells, weight in ((3, 1.0), (6, 0.5), (11, 0.25), (24, 0.08)):
        grid = rng.uniform(-1, 1, (max(2, cells // 2), cells)).astype(np.float32)
        smooth = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        total += weight * (1 - np.abs(smooth))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(0, 180)), 1.0)
    turned = cv2.warpAffine(total, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    top, left = (side - height) // 2, (side - width) // 2
    part = turned[top : top + height, left : left + width]
    low, high = float(part.min()), float(part.max())
    scaled: NDArray[np.float32] = (part - low) / max(high - low, 1e-6)
    return scaled
