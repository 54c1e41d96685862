"""Train there, test here: how a figure holds over several shops, and its geometric mean. Knows nothing of bundles.

A geometric mean punishes the one shop in which a model fails: twice as bad in one counts as much as half as bad in another
makes up for.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facings.metrics.bootstrap import percentile_interval

Drawn = NDArray[np.float64]


def geometric_mean(values: Sequence[float]) -> float:
    """0 where one is 0, nan without values or with one that is nan.

    >>> round(geometric_mean([0.2, 0.8]), 6), geometric_mean([0.0, 0.9])
    (0.4, 0.0)

    Raises ValueError for a negative value.
    """
    array = np.asarray(values, np.float64)
    return float(_geometric(array[:, None])[0]) if array.size else float("nan")


def mean_with_interval(cells: Sequence[tuple[float, Drawn]]) -> dict[str, float]:
    """`value`, `low`, `high` of the geometric mean of cells of different pictures, so that their draws are independent.

    `cells`: the figure on all pictures, and (R,) on draws.

    >>> mean_with_interval([(0.25, np.array([0.25, 0.25])), (1.0, np.array([1.0, 1.0]))])
    {'value': 0.5, 'low': 0.5, 'high': 0.5}
    """
    low, high = percentile_interval(_geometric(np.stack([drawn for _, drawn in cells])))
    return {"value": geometric_mean([value for value, _ in cells]), "low": low, "high": high}


def mean_rows(table: Mapping[str, Mapping[str, tuple[float, Drawn]]]) -> dict[str, dict[str, float]]:
    """Bundle → geometric mean over its datasets."""
    return {bundle: mean_with_interval(list(cells.values())) for bundle, cells in table.items()}


def _geometric(values: NDArray[np.float64]) -> Drawn:
    """(C, R) → (R,)"""
    if (values < 0).any():
        raise ValueError(f"a geometric mean wants values of 0 and more; got {np.nanmin(values)}")
    with np.errstate(divide="ignore"):
        mean: Drawn = np.exp(np.log(values).mean(axis=0))
    return mean
