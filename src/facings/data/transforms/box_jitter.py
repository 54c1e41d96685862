"""Cutting the crop as a detector would: each side of the box a little off. Knows nothing of colours."""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from facings.boxes import Boxes
from facings.errors import ConfigError

# A side moves no further than so many sigmas, so that the picture around the box can be kept small.
LIMIT = 3.0


class BoxJitter(A.ImageOnlyTransform):
    """Cut `image` to `box`, with each side moved by a normal draw, `sigmas` (left, top, right, bottom) times the width or height.

    Moved outward, what lies around enters: the picture itself where `image` reaches beyond `box`; at the picture's edge
    the crop ends, as the detector's does. For a whole picture (`box` None) the border is mirrored, as nothing else is
    known. `chance`: of moving at all; cut it always is. A side moves at most 3 sigmas and never past the other.
    """

    def __init__(self, sigmas: Sequence[float], chance: float = 1.0) -> None:
        super().__init__(p=1.0)
        if len(sigmas) != 4 or not all(0 <= sigma <= 0.25 for sigma in sigmas):
            raise ConfigError(
                f"transforms.jitter_sigmas={list(sigmas)}: expected four numbers (l, t, r, b) from 0 to 0.25"
            )
        self.sigmas, self.chance = tuple(float(sigma) for sigma in sigmas), chance

    @property
    def targets_as_params(self) -> list[str]:
        return ["image", "box"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = data["image"].shape[:2]
        whole = data["box"] is None
        box = np.array([0, 0, width, height] if whole else data["box"], np.float64)
        if self.random_generator.random() < self.chance:
            drawn = np.clip(self.random_generator.normal(size=4), -LIMIT, LIMIT) * self.sigmas
            sides = box[2:] - box[:2]
            box = box + drawn * np.tile(sides, 2)
        left, top, right, bottom = (int(value) for value in np.round(box))
        if not whole:
            left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        return {"cut": (left, top, max(right, left + 1), max(bottom, top + 1))}

    def apply(self, img: NDArray[np.uint8], cut: tuple[int, int, int, int], **params: Any) -> NDArray[np.uint8]:
        left, top, right, bottom = cut
        height, width = img.shape[:2]
        beyond = (max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width))
        if any(beyond):
            mode = cv2.BORDER_REFLECT_101 if min(height, width) > 1 else cv2.BORDER_REPLICATE
            img = cv2.copyMakeBorder(img, *beyond, mode).astype(np.uint8, copy=False)
            left, right, top, bottom = left + beyond[2], right + beyond[2], top + beyond[0], bottom + beyond[0]
        return np.ascontiguousarray(img[top:bottom, left:right])


def side_sigmas(detected: Boxes, true: Boxes) -> tuple[float, float, float, float]:
    """How far a detector's sides are off: (N, 4) matched boxes, xyxy → root mean square error (left, top, right, bottom) as a
    share of the true width or height. These are `BoxJitter`'s sigmas.

    By hand: two boxes of 10 × 20, the left sides off by 1 and by -1, the tops by 2 and 0: 0.1, sqrt(0.01 / 2) = 0.0707.

    >>> true = np.array([[0, 0, 10, 20], [5, 5, 15, 25]], np.float32)
    >>> side_sigmas(true + np.array([[1, 2, 0, 0], [-1, 0, 0, 0]], np.float32), true)
    (0.1, 0.0707, 0.0, 0.0)
    """
    sides = np.tile(true[:, 2:] - true[:, :2], 2).astype(np.float64)
    left, top, right, bottom = np.sqrt((((detected - true) / sides) ** 2).mean(axis=0)).round(4).tolist()
    return left, top, right, bottom
