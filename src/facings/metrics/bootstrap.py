"""How far a figure would move on other pictures of the same kind. Knows nothing of what the figure is."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float],
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
    if n < 1:
        raise ValueError("a bootstrap needs one unit or more")
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(0, n, n)) for _ in range(repeats)])
    values = values[~np.isnan(values)]
    if not values.size:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def share_interval(
    parts: NDArray[np.int64], wholes: NDArray[np.int64], *, seed: int = 0, repeats: int = 1000
) -> tuple[float, float]:
    """Interval of sum(parts) / sum(wholes), drawn over units (pictures) that hold several answers each.

    By hand: every picture has 3 right of 4, so every draw has 0.75.

    >>> share_interval(np.array([3, 3]), np.array([4, 4]))
    (0.75, 0.75)
    """

    def share(index: NDArray[np.int64]) -> float:
        whole = wholes[index].sum()
        return float(parts[index].sum() / whole) if whole else float("nan")

    return bootstrap_interval(share, len(wholes), seed=seed, repeats=repeats)
