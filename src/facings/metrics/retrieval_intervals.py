"""How far a retrieval figure would move on other queries, or on other products. Knows nothing of how it was ranked.

Queries of one product are alike, so that drawing queries one by one promises too much: with `groups` (the product of each
query) whole products are drawn, with all their queries (the cluster bootstrap; Davison, Hinkley: "Bootstrap Methods and
their Application", 1997, 3.8). The gallery stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facings.metrics.bootstrap import Difference, draws, paired_difference, percentile_interval

Values = NDArray[np.float64]
Groups = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A figure and its interval."""

    value: float
    low: float
    high: float


def figure_intervals(
    figures: Mapping[str, Values],
    *,
    groups: Groups | None = None,
    macro: bool = False,
    seed: int = 0,
    repeats: int = 1000,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Interval of the mean of each of `query_figures`' (Q,) values; nan queries are left out.

    `macro`: the mean over groups of the groups' means, instead of over queries.

    By hand: two products, one always right and one never, with one query each: 0.5, and every second draw holds but one
    of them.

    >>> figure_intervals({"r1": np.array([1.0, 0.0])}, groups=np.array([3, 8]))
    {'r1': Interval(value=0.5, low=0.0, high=1.0)}

    Raises ValueError without a query, for lengths that differ, or for `macro` without groups.
    """
    found = {}
    for name, values in figures.items():
        units = _Units(values, groups, macro)
        drawn = units.drawn(seed, repeats)
        found[name] = Interval(units.mean(), *percentile_interval(drawn, confidence=confidence))
    return found


def figure_differences(
    first: Mapping[str, Values],
    second: Mapping[str, Values],
    *,
    groups: Groups | None = None,
    macro: bool = False,
    seed: int = 0,
    repeats: int = 1000,
) -> dict[str, Difference]:
    """First minus second on the same queries, drawn together, of each figure that both have.

    By hand: the first is right at one more query of four; a draw without that query shows no difference.

    >>> both = np.array([1.0, 0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 0.0])
    >>> found = figure_differences({"r1": both[0]}, {"r1": both[1]})["r1"]
    >>> found.value, found.low
    (0.25, 0.0)

    Raises ValueError as `figure_intervals` does, and for different numbers of queries.
    """
    found = {}
    for name in first:
        if name not in second:
            continue
        if len(first[name]) != len(second[name]):
            raise ValueError(
                f"{name}: {len(first[name])} and {len(second[name])} queries; a pair is of the same queries"
            )
        # A query that one of both left out tells nothing of their difference.
        there = ~np.isnan(first[name]) & ~np.isnan(second[name])
        one, two = (_Units(np.where(there, of[name], np.nan), groups, macro) for of in (first, second))
        found[name] = paired_difference(one.drawn(seed, repeats), two.drawn(seed, repeats), one.mean() - two.mean())
    return found


class _Units:
    """What is drawn: queries or groups, each with the sum of its values and how many they are."""

    def __init__(self, values: Values, groups: Groups | None, macro: bool) -> None:
        if not len(values):
            raise ValueError("there is no query to draw from")
        if groups is None and macro:
            raise ValueError("macro wants groups: the label of each query")
        if groups is not None and len(groups) != len(values):
            raise ValueError(f"{len(values)} queries have {len(groups)} groups; expected one each")
        there = ~np.isnan(values)
        number: Groups = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
        self.sums: Values = np.asarray(np.bincount(number, weights=np.where(there, values, 0.0)), np.float64)
        self.counts: Values = np.asarray(np.bincount(number, weights=there.astype(np.float64)), np.float64)
        if macro:
            # A group is worth its mean, whatever its size; one without a value is worth nothing.
            self.sums = self.sums / np.maximum(self.counts, 1)
            self.counts = np.minimum(self.counts, 1)

    def mean(self) -> float:
        return _ratio(self.sums.sum(), self.counts.sum())

    def drawn(self, seed: int, repeats: int) -> Values:
        """(repeats,) the mean of each draw."""
        index = draws(len(self.sums), seed=seed, repeats=repeats)
        return np.array([_ratio(self.sums[drawn].sum(), self.counts[drawn].sum()) for drawn in index])


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
