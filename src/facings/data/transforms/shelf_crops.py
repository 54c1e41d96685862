"""Augmentation of product crops as a shelf camera's detector would cut them.

Knows nothing of labels. No hue rotation: the light's colour changes along the black-body line only, within a limit.
"""

from collections.abc import Sequence

import albumentations as A

from facings.data.transforms.bag import PlasticBag
from facings.data.transforms.box_jitter import LIMIT, BoxJitter
from facings.data.transforms.colour_temperature import ColourTemperature
from facings.data.transforms.crop_compose import CropCompose, check_range, check_shares
from facings.data.transforms.light import Glare, LowLight
from facings.data.transforms.occlusion import Neighbours
from facings.data.transforms.recognition import colour_jitter, geometry
from facings.errors import ConfigError


def training_transform(
    *,
    size: int,
    jitter: float = 0.8,
    jitter_sigmas: Sequence[float] = (0.04, 0.04, 0.04, 0.04),
    neighbours: float = 0.3,
    neighbour_depth: tuple[float, float] = (0.06, 0.25),
    bag: float = 0.1,
    bag_veil: tuple[float, float] = (0.1, 0.35),
    scale: tuple[float, float] = (0.5, 1.0),
    ratio: tuple[float, float] = (0.75, 1.333),
    letterbox: float = 0.0,
    flip: float = 0.5,
    rotate_degrees: float = 10.0,
    brightness: float = 0.2,
    saturation: float = 0.1,
    hue: float = 0.0,
    temperature: float = 0.4,
    temperature_mired: float = 60.0,
    temperature_limit: float = 6.0,
    glare: float = 0.15,
    glare_strength: tuple[float, float] = (0.4, 0.95),
    low_light: float = 0.15,
    low_light_exposure: tuple[float, float] = (0.1, 0.5),
    motion_blur: float = 0.1,
    defocus: float = 0.1,
    compression: float = 0.3,
    compression_quality: tuple[int, int] = (35, 95),
) -> CropCompose:
    """Albumentations pipeline in the order of the world: the box, what is before the goods, their pose, light, lens, camera, file.

    uint8 (H, W, 3) in, uint8 (size, size, 3) out; asks for the picture around the box and for other crops (`CropCompose`).
    `jitter`, `neighbours`, `bag`, `flip`, `temperature`, `glare`, `low_light`, `motion_blur`, `defocus`,
    `compression`: probabilities, each drawn on its own;
    `letterbox`, `scale`, `ratio`, `brightness`, `saturation`, `hue`: as in `recognition.py`.
    `jitter_sigmas`: left, top, right, bottom, as shares of the box's sides (`side_sigmas` measures a detector's).
    `neighbour_depth`: how far one reaches in. `bag_veil`, `glare_strength`: 0–1. `temperature_mired`: largest change of
    light; `temperature_limit`: largest ΔE (CIE 1976) of a picture's colours. `low_light_exposure`: share of light left.
    `compression_quality`: JPEG, 1–100.

    Raises ConfigError where a value is outside its range, naming its key.
    """
    check_shares(
        jitter=jitter, neighbours=neighbours, bag=bag, letterbox=letterbox, flip=flip, temperature=temperature, glare=glare,
        low_light=low_light, motion_blur=motion_blur, defocus=defocus, compression=compression,
        brightness=brightness, saturation=saturation,
    )  # fmt: skip
    if not 0 <= temperature_mired <= 100:
        raise ConfigError(f"transforms.temperature_mired={temperature_mired}: expected 0 to 100 (3900 K from daylight)")
    if not 0 < temperature_limit <= 30:
        raise ConfigError(f"transforms.temperature_limit={temperature_limit}: expected a ΔE above 0 and at most 30")
    if not 0 <= hue <= 0.5:
        raise ConfigError(f"transforms.hue={hue}: expected 0 (no rotation) to 0.5 (half the circle)")
    low, high = check_range("compression_quality", compression_quality, 1, 100)
    return CropCompose(
        [
            BoxJitter(jitter_sigmas, chance=jitter),
            Neighbours(check_range("neighbour_depth", neighbour_depth, 0.01, 0.5), p=neighbours),
            PlasticBag(check_range("bag_veil", bag_veil, 0, 1), p=bag),
            *geometry(size, scale, ratio, letterbox, flip, rotate_degrees),
            colour_jitter(brightness, saturation, hue),
            ColourTemperature(temperature_mired, temperature_limit, p=temperature),
            Glare(check_range("glare_strength", glare_strength, 0, 1), p=glare),
            A.Defocus(radius=(1, 3), alias_blur=(0.1, 0.3), p=defocus),
            A.MotionBlur(blur_limit=(3, 9), p=motion_blur),
            LowLight(check_range("low_light_exposure", low_light_exposure, 0.02, 1), p=low_light),
            A.ImageCompression(quality_range=(int(low), int(high)), p=compression),
        ],
        context=LIMIT * max(jitter_sigmas) if jitter else 0.0,
        others=neighbours > 0,
    )
