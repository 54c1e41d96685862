"""Lamps and cameras: glare on packs, and too little light. Knows nothing of products."""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.transforms.colour_temperature import LINEAR, to_srgb

# Electrons that a pixel of the shrunk crop collects from white in full light, and the camera's own noise in electrons.
FULL_WELL, READ_NOISE = 1500.0, 4.0


class Glare(A.ImageOnlyTransform):
    """One or two soft bright patches, as lamps leave on foil and film: round ones of bulbs, long ones of tubes.

    `strength`: how far the middle goes towards white, 0–1; added in linear light, so that bright parts burn out first.
    """

    def __init__(self, strength: tuple[float, float], p: float) -> None:
        super().__init__(p=p)
        self.strength = strength

    @property
    def targets_as_params(self) -> list[str]:
        return ["image"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        rng = self.random_generator
        height, width = data["image"].shape[:2]
        veil = np.zeros((height, width), np.float32)
        for _ in range(1 + int(rng.random() < 0.4)):
            size = rng.uniform(0.04, 0.12) * min(height, width)
            long = rng.uniform(3.0, 8.0) if rng.random() < 0.5 else rng.uniform(1.0, 2.0)
            # Tubes hang level or lead away from the camera: mostly near upright or level on the pack.
            angle = rng.normal(0, 0.25) + np.pi / 2 * int(rng.integers(2))
            middle = rng.uniform(0.1, 0.9, 2) * (width, height)
            patch = _patch((height, width), middle, (size * long, size), angle) * rng.uniform(*self.strength)
            veil = 1 - (1 - veil) * (1 - patch)
        return {"veil": veil}

    def apply(self, img: NDArray[np.uint8], veil: NDArray[np.float32], **params: Any) -> NDArray[np.uint8]:
        linear = LINEAR[img]
        return to_srgb(linear + (1 - linear) * veil[..., None].astype(np.float64) ** 1.5)


def _patch(
    shape: tuple[int, int], middle: NDArray[np.float64], radii: Sequence[float], angle: float
) -> NDArray[np.float32]:
    """(H, W) float32, 1 in the middle: flat core and a long soft rim, `exp(-r^3)` of the elliptic radius, with a faint halo."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    right, down = columns - middle[0], rows - middle[1]
    along = (right * np.cos(angle) + down * np.sin(angle)) / max(radii[0], 1)
    across = (down * np.cos(angle) - right * np.sin(angle)) / max(radii[1], 1)
    squared = along**2 + across**2
    core: NDArray[np.float32] = (0.85 * np.exp(-(squared**1.5)) + 0.15 * np.exp(-squared / 6)).astype(np.float32)
    return core


class LowLight(A.ImageOnlyTransform):
    """Less light, brought up again by the camera in part, with the noise that this brings.

    `exposure`: share of the light that is left. Shot noise grows with the root of the light, read noise does not depend on it
    (EMVA 1288, eq. 11: variance = electrons + read noise²); the gain raises both. Computed in linear light.
    """

    def __init__(self, exposure: tuple[float, float], p: float) -> None:
        super().__init__(p=p)
        self.exposure = exposure

    @property
    def targets_as_params(self) -> list[str]:
        return ["image"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        rng = self.random_generator
        noise = rng.normal(size=data["image"].shape).astype(np.float32)
        # A camera interpolates its colour mosaic, so that noise of neighbouring pixels hangs together.
        noise = cv2.GaussianBlur(noise, (3, 3), 0.6)
        return {
            "exposure": rng.uniform(*self.exposure),
            "recovered": rng.uniform(0.3, 0.85),
            "noise": noise / noise.std(),
        }

    def apply(
        self,
        img: NDArray[np.uint8],
        exposure: float,
        recovered: float,
        noise: NDArray[np.float32],
        **params: Any,
    ) -> NDArray[np.uint8]:
        electrons = LINEAR[img] * exposure * FULL_WELL
        electrons = electrons + noise * np.sqrt(electrons + READ_NOISE**2)
        return to_srgb(electrons / FULL_WELL * exposure**-recovered)
