"""How a cost grows with a size: the exponent of a power law, and how sure it is. Knows nothing of what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class PowerLaw:
    """cost = `factor` · size ^ `exponent`; `low`, `high`: 95 % of the exponent; `r2`: share of the variance of the logarithms
    that the law tells, 0–1."""

    exponent: float
    low: float
    high: float
    factor: float
    r2: float


def fit_power_law(sizes: Sequence[float], costs: Sequence[float], *, confidence: float = 0.95) -> PowerLaw:
    """Least squares on logarithms; the interval is Student's, with two degrees of freedom fewer than there are points.

    It holds for errors of the logarithms that are alike and independent; a curve that bends (a fixed cost at small sizes) has
    a low r2 and an interval too narrow for what lies beyond the points. Two points have an exponent and no interval (nan).

    By hand: twice the size costs four times as much, three points on a line: exponent 2, no doubt.

    >>> law = fit_power_law([1, 2, 4], [3, 12, 48])
    >>> round(law.exponent, 9), round(law.low, 9), round(law.high, 9), round(law.factor, 9), round(law.r2, 9)
    (2.0, 2.0, 2.0, 3.0, 1.0)

    Raises ValueError for fewer than two different sizes, other lengths, and values that are not above 0 and finite.
    """
    x, y = np.asarray(sizes, np.float64), np.asarray(costs, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"{x.shape} sizes for {y.shape} costs; expected one list each, alike in length")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all() and (y > 0).all()):
        raise ValueError("sizes and costs must be finite and above 0: a power law has no other values")
    if len(np.unique(x)) < 2:
        raise ValueError(f"{len(np.unique(x))} different sizes; an exponent wants two or more")
    u, v = np.log(x), np.log(y)
    apart = u - u.mean()
    exponent = float(apart @ v / (apart @ apart))
    rest = v - v.mean() - exponent * apart
    spread = float(((v - v.mean()) ** 2).sum())
    r2 = 1 - float(rest @ rest) / spread if spread > 0 else 1.0
    half = float("nan")
    if len(x) > 2:
        error = np.sqrt(float(rest @ rest) / (len(x) - 2) / float(apart @ apart))
        half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 2)) * float(error)
    factor = float(np.exp(v.mean() - exponent * u.mean()))
    return PowerLaw(exponent, exponent - half, exponent + half, factor, r2)
