"""The colour of the light: warm bulbs, cold tubes, and a camera that corrects for them in part.

Knows nothing of products. sRGB and CIE Lab after IEC 61966-2-1 and CIE 15, white D65.
"""

from typing import Any

import albumentations as A
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RGB_TO_XYZ: Floats = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
BRADFORD: Floats = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
DAYLIGHT = 6504.0
# The sRGB curve for all 256 values, looked up instead of computed anew for each pixel.
_VALUES = np.arange(256) / 255.0
LINEAR: Floats = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Floats) -> NDArray[np.uint8]:
    """Linear light, 0–1 (clipped) → sRGB uint8."""
    linear = np.clip(linear, 0, 1)
    curved = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(curved * 255).astype(np.uint8)


def lab(linear: Floats) -> Floats:
    """(..., 3) linear sRGB, 0–1 → CIE Lab: L 0–100."""
    ratio = np.clip(linear, 0, 1) @ RGB_TO_XYZ.T / RGB_TO_XYZ.sum(axis=1)
    curved = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = curved[..., 0], curved[..., 1], curved[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def black_body(kelvin: float) -> tuple[float, float]:
    """CIE 1931 chromaticity x, y of a black body of 1667–25000 K.

    Kang et al.: "Design of Advanced Color Temperature Control System for HDTV Applications", J. Korean Physical
    Society 41(6), 2002, cubic splines in 1000 / T.
    """
    t = 1000.0 / kelvin
    warm = kelvin <= 4000
    x = np.polyval(
        [-0.2661239, -0.2343589, 0.8776956, 0.179910] if warm else [-3.0258469, 2.1070379, 0.2226347, 0.240390], t
    )
    if kelvin <= 2222:
        y = np.polyval([-1.1063814, -1.34811020, 2.18555832, -0.20219683], x)
    elif warm:
        y = np.polyval([-0.9549476, -1.37418593, 2.09137015, -0.16748867], x)
    else:
        y = np.polyval([3.0817580, -5.87338670, 3.75112997, -0.37001483], x)
    return float(x), float(y)


def adaptation(mired: float) -> Floats:
    """(3, 3) for linear sRGB: the picture under a black body `mired` (10^6 / K) away from daylight; above 0 is warmer.

    Von Kries: gains on the cones' answers (Bradford), one for each, so that white takes the colour of the light.
    """
    kelvin = 1e6 / (1e6 / DAYLIGHT + mired)
    cones = []
    for x, y in (black_body(kelvin), black_body(DAYLIGHT)):
        cones.append(BRADFORD @ np.array([x / y, 1.0, (1 - x - y) / y]))
    to_cones = BRADFORD @ RGB_TO_XYZ
    matrix: Floats = np.linalg.inv(to_cones) @ np.diag(cones[0] / cones[1]) @ to_cones
    return matrix


class ColourTemperature(A.ImageOnlyTransform):
    """Light up to `mired` warmer or colder, held back so far that colours stay apart.

    `limit`: CIE 1976 ΔE in Lab. The shift is halved until 95 % of the picture's pixels (a grid of them) move by at most this
    much: two colours further apart than twice the limit cannot change places. Lightness of grey is kept.
    """

    def __init__(self, mired: float, limit: float, p: float) -> None:
        super().__init__(p=p)
        self.mired, self.limit = mired, limit

    @property
    def targets_as_params(self) -> list[str]:
        return ["image"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        image = data["image"]
        step = max(1, max(image.shape[:2]) // 32)
        sample = LINEAR[image[::step, ::step]].reshape(-1, 3)
        before, mired = lab(sample), float(self.random_generator.uniform(-self.mired, self.mired))
        for _ in range(8):
            moved = np.linalg.norm(lab(sample @ adaptation(mired).T) - before, axis=1)
            far = float(np.quantile(moved, 0.95))
            if far <= self.limit:
                break
            # ΔE grows nearly in proportion to the shift, so this lands close below the limit in a step or two.
            mired *= max(0.5, 0.98 * self.limit / far)
        return {"matrix": adaptation(mired) if far <= self.limit else np.eye(3)}

    def apply(self, img: NDArray[np.uint8], matrix: Floats, **params: Any) -> NDArray[np.uint8]:
        return to_srgb(LINEAR[img] @ matrix.T)
