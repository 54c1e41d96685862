"""How far a figure would move on other pictures of the same kind. Knows nothing of what the figure is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Draw = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """First minus second on the same pictures: `value`, its 95 % interval, and the share of draws that the first wins."""

    value: float
    low: float
    high: float
    wins: float


def bootstrap_interval(
    statistic: Callable[[Draw], float],
    n: int,
    *,
    seed: int = 0,
    repeats: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap (Efron 1979): low and high of `statistic` over resampled units.

    `statistic` takes (n,) int64 indices of the drawn units (pictures, queries) and returns a number. Draws whose
    statistic is nan are left out; when all are, so are low and high.

    By hand: of two units worth 0 and 1 a quarter of the draws are 0, 0 and a quarter 1, 1: 95 % reach from 0 to 1.

    >>> worth = np.array([0.0, 1.0])
    >>> bootstrap_interval(lambda index: float(worth[index].mean()), 2)
    (0.0, 1.0)

    Raises ValueError for n < 1.
    """
    values = np.array([statistic(index) for index in draws(n, seed=seed, repeats=repeats)])
    return percentile_interval(values, confidence=confidence)


def draws(n: int, *, seed: int = 0, repeats: int = 1000) -> Iterator[Draw]:
    """`repeats` times (n,) int64 indices, drawn with replacement; the same for the same seed.

    >>> [index.tolist() for index in draws(1, repeats=2)]
    [[0], [0]]

    Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError("a bootstrap needs one unit or more")
    rng = np.random.default_rng(seed)
    return (rng.integers(0, n, n) for _ in range(repeats))


def percentile_interval(values: NDArray[np.float64], *, confidence: float = 0.95) -> tuple[float, float]:
    """The middle `confidence` of the values; nan are left out.

    >>> percentile_interval(np.arange(101.0), confidence=0.5)
    (25.0, 75.0)
    """
    values = values[~np.isnan(values)]
    if not values.size:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def paired_difference(first: NDArray[np.float64], second: NDArray[np.float64], value: float) -> Difference:
    """What two figures' differences over the same draws say: `first` and `second` (repeats,), `value` on all pictures.

    A draw in which both are equal is half a win; one in which either is nan is left out.

    By hand: the first is better by 0.1 in three draws of four, and equal in one: it wins 3.5 of 4.

    >>> paired_difference(np.array([0.6, 0.7, 0.8, 0.5]), np.array([0.5, 0.6, 0.7, 0.5]), 0.1).wins
    0.875
    """
    apart = (first - second)[~np.isnan(first - second)]
    low, high = percentile_interval(apart)
    wins = float((apart > 0).mean() + (apart == 0).mean() / 2) if apart.size else float("nan")
    return Difference(value, low, high, wins)


def share_interval(
    parts: NDArray[np.int64], wholes: NDArray[np.int64], *, seed: int = 0, repeats: int = 1000
) -> tuple[float, float]:
    """Interval of sum(parts) / sum(wholes), drawn over units (pictures) that hold several answers each.

    By hand: every picture has 3 right of 4, so every draw has 0.75.

    >>> share_interval(np.array([3, 3]), np.array([4, 4]))
    (0.75, 0.75)
    """

    def share(index: Draw) -> float:
        whole = wholes[index].sum()
        return float(parts[index].sum() / whole) if whole else float("nan")

    return bootstrap_interval(share, len(wholes), seed=seed, repeats=repeats)
