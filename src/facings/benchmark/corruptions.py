"""What a shelf camera suffers, in five strengths: the same picture, spoiled the same way each time.

After Hendrycks, Dietterich: "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019, and
Michaelis et al.: "Benchmarking Robustness in Object Detection", 2019; what happens in a shop stands in place of their snow
and frost. Knows nothing of models.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark import corruption_light as light
from facings.benchmark import corruption_optics as optics
from facings.benchmark import corruption_place as place
from facings.boxes import Boxes
from facings.errors import ConfigError
from facings.runtime.recognizer import check_image

STRENGTHS = (1, 2, 3, 4, 5)
# Name → what each strength means to its function. Looked at on shelves: 1 is what a good installation still has now and then,
# 3 what a person would complain about, 5 what a person can just make sense of.
LEVELS: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "low_light": (0.4, 0.2, 0.1, 0.05, 0.025),
        "colour_temperature": ((30, 20), (65, 40), (105, 60), (150, 80), (200, 100)),
        "glare": ((1, 0.05, 0.6), (2, 0.055, 0.75), (3, 0.065, 0.9), (4, 0.075, 1.0), (5, 0.09, 1.0)),
        "motion_blur": (0.006, 0.012, 0.02, 0.032, 0.05),
        "defocus": (0.002, 0.004, 0.007, 0.011, 0.016),
        "wet_glass": ((12, 0.001, 0.05), (30, 0.002, 0.12), (60, 0.0035, 0.22), (100, 0.006, 0.36), (160, 0.009, 0.52)),
        "occlusion": (0.03, 0.07, 0.12, 0.19, 0.28),
        "tilt": ((2, 0.01), (4, 0.03), (7, 0.05), (10, 0.08), (14, 0.12)),
        "jpeg": (40, 22, 12, 7, 3),
        "resolution": (0.6, 0.4, 0.28, 0.2, 0.13),
        "noise": (8, 16, 28, 44, 66),
    }
)
CORRUPTIONS = tuple(LEVELS)
_PLACE: dict[str, Callable[..., tuple[NDArray[np.uint8], Boxes, NDArray[np.int64]]]] = {
    "occlusion": place.occlusion,
    "tilt": place.tilt,
}
_LOOK: dict[str, Callable[..., NDArray[np.uint8]]] = {
    "low_light": light.low_light,
    "colour_temperature": light.colour_temperature,
    "glare": light.glare,
    "motion_blur": optics.motion_blur,
    "defocus": optics.defocus,
    "wet_glass": optics.wet_glass,
    "jpeg": optics.jpeg,
    "resolution": optics.resolution,
    "noise": light.noise,
}


@dataclass(frozen=True)
class Spoiled:
    """`image` (H, W, 3) uint8; `boxes` (M, 4): where the objects that still count are; `kept` (M,): which those are."""

    image: NDArray[np.uint8]
    boxes: Boxes
    kept: NDArray[np.int64]


def spoil(image: NDArray[np.uint8], boxes: Boxes, name: str, strength: int, *, index: int, seed: int = 0) -> Spoiled:
    """`image` (H, W, 3) uint8 RGB, `boxes` (N, 4) float32 xyxy pixels; neither is changed.

    `index`: the picture's number. What is left to chance depends on name, index and seed alone: the same on every machine,
    and the same at all five strengths, where only the measure grows.

    Raises ConfigError for an unknown name or strength, DataError for another kind of picture.
    """
    check_image(image)
    check_corruption(name, strength)
    rng = np.random.default_rng([seed, index, zlib.crc32(name.encode())])
    level = LEVELS[name][strength - 1]
    if name in _PLACE:
        return Spoiled(*_PLACE[name](image, boxes, level, rng))
    return Spoiled(_LOOK[name](image, level, rng), boxes, np.arange(len(boxes)))


def check_corruption(name: str, strength: int) -> None:
    """Raise ConfigError for an unknown one."""
    if name not in LEVELS:
        raise ConfigError(f"corruption {name!r}: unknown; known are {', '.join(CORRUPTIONS)}")
    if strength not in STRENGTHS:
        raise ConfigError(f"strength {strength!r} of {name}: expected 1 (weak) to 5 (strong)")
