"""R@k, CMC, mAP, mAP@R from the places of the right views: over queries, over classes, at each category level.

Knows nothing of vectors, except where a figure at another level has to be ranked anew. All figures are 0–1.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.metrics.nearest import Gallery, Indices
from facings.metrics.ranking import Ranks, relevant_ranks

Values = NDArray[np.float64]
Missing = Literal["wrong", "skip"]


def query_figures(ranks: Ranks, *, ks: Sequence[int] = (1, 5), missing: Missing = "wrong") -> dict[str, Values]:
    """(Q,) of each query: `r1`, `r5` … (a right view among the first k), `map`, `map_at_r`, `r_precision`.

    Of a query with R right views at the places p_1 < … < p_R: average precision is the mean of i / p_i (Manning et al.:
    "Introduction to Information Retrieval", 8.4, not interpolated); the same at R leaves out those with p_i > R, over R
    (Musgrave et al., ECCV 2020); R-precision is the share of right views among the first R. `missing`: a query without a
    right view is "wrong" (0), or nan: "skip", as Market-1501's code does.

    By hand: right at 2 and 4: average precision (1/2 + 2/4) / 2 = 0.5; at R = 2 (1/2) / 2 = 0.25; R-precision 1/2.

    >>> ranks = Ranks(np.array([0, 2]), np.array([2, 4]))
    >>> {name: value.tolist() for name, value in query_figures(ranks).items()}
    {'r1': [0.0], 'r5': [1.0], 'map': [0.5], 'map_at_r': [0.25], 'r_precision': [0.5]}

    Raises ValueError for a k below 1.
    """
    if any(k < 1 for k in ks):
        raise ValueError(f"ks is {tuple(ks)}; expected numbers from 1")
    relevant = ranks.relevant
    query = np.repeat(np.arange(len(relevant)), relevant)
    place = np.arange(len(ranks.ranks)) - np.repeat(ranks.offsets[:-1], relevant) + 1
    within = ranks.ranks <= relevant[query]

    def mean(values: NDArray[Any]) -> Values:
        return np.bincount(query, weights=values, minlength=len(relevant)) / np.maximum(relevant, 1)

    figures: dict[str, Values] = {f"r{k}": (ranks.first <= k).astype(np.float64) for k in ks}
    figures["map"] = mean(place / ranks.ranks)
    figures["map_at_r"] = mean(place / ranks.ranks * within)
    figures["r_precision"] = mean(within.astype(np.float64))
    if missing == "skip":
        figures = {name: np.where(relevant > 0, values, np.nan) for name, values in figures.items()}
    return figures


def summary(figures: Mapping[str, Values], labels: Indices) -> dict[str, float]:
    """Means over queries (micro, the plain name) and over the labels' own means (`macro_…`); nan queries are left out.

    By hand: label 0 has 1, 1, 1 and label 1 has 0: micro 3/4, macro (1 + 0) / 2.

    >>> summary({"r1": np.array([1.0, 1.0, 1.0, 0.0])}, np.array([0, 0, 0, 1]))
    {'r1': 0.75, 'macro_r1': 0.5}

    Raises ValueError without a query, and for lengths that differ.
    """
    means = {name: of_label.values() for name, of_label in _label_means(figures, labels).items()}
    found = {name: _mean(values) for name, values in figures.items()}
    return found | {f"macro_{name}": _mean(np.array([*values])) for name, values in means.items()}


def class_figures(figures: Mapping[str, Values], labels: Indices) -> dict[int, dict[str, float]]:
    """Label → its means, and its number of `queries`.

    >>> class_figures({"r1": np.array([1.0, 0.0, 1.0])}, np.array([4, 4, 9]))
    {4: {'r1': 0.5, 'queries': 2.0}, 9: {'r1': 1.0, 'queries': 1.0}}
    """
    means = _label_means(figures, labels)
    names, counts = np.unique(labels, return_counts=True)
    return {
        int(label): {name: of[int(label)] for name, of in means.items()} | {"queries": float(count)}
        for label, count in zip(names, counts, strict=True)
    }


def cmc_curve(ranks: Ranks, depth: int, *, missing: Missing = "wrong") -> Values:
    """(depth,) cumulative match characteristic: share of queries with a right view among the first 1, 2, … `depth`.

    The Market-1501 form: a hit counts once, however many right views there are; R@k is its k-th value.

    >>> cmc_curve(Ranks(np.array([0, 1, 2]), np.array([1, 3])), 3).tolist()
    [0.5, 0.5, 1.0]

    Raises ValueError for a depth below 1, or when no query is left.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}; expected 1 or more")
    first = ranks.first if missing == "wrong" else ranks.first[ranks.relevant > 0]
    if not len(first):
        raise ValueError("the curve needs a query that has a right view" if missing == "skip" else "no query")
    found = first[np.isfinite(first) & (first <= depth)].astype(np.int64)
    curve: Values = np.cumsum(np.bincount(found, minlength=depth + 1)[1:]) / len(first)
    return curve


def level_labels(paths: Sequence[Sequence[str]]) -> list[Indices]:
    """For each level from the coarsest: (N,) int64, rows whose paths agree down to that level share a number.

    A path that ends earlier stands for itself below its end, so a ragged tree has no "other" class. An empty path is a
    class of its own kind: "" at every level.

    >>> [labels.tolist() for labels in level_labels([("Fruit", "Apple"), ("Fruit", "Pear"), ("Milk",)])]
    [[0, 0, 1], [0, 1, 2]]
    """
    depth = max((len(path) for path in paths), default=0)
    levels = []
    for level in range(1, depth + 1):
        cut = [tuple(path[:level]) for path in paths]
        numbers = {path: number for number, path in enumerate(sorted(set(cut)))}
        levels.append(np.array([numbers[path] for path in cut], np.int64))
    return levels


def level_figures(
    queries: NDArray[Any],
    query_paths: Sequence[Sequence[str]],
    gallery: Gallery,
    gallery_paths: Sequence[Sequence[str]],
    *,
    ks: Sequence[int] = (1, 5),
    own: Indices | None = None,
) -> list[tuple[Indices, dict[str, Values]]]:
    """At each level from the coarsest the queries' labels (Q,) there, and their `query_figures`, where a view of the same category
    is right.

    Paths as names from coarse to fine, one a row. Each level is ranked anew: coarse levels have many right views a query,
    and are refused past `ranking.MAX_PAIRS`; R@k alone then comes from `level_hits`.

    By hand: an apple's nearest view is a pear, then an apple: at the fruit level right at 1, at the apple level at 2.

    >>> at = lambda *degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    >>> paths = [("Fruit", "Pear"), ("Fruit", "Apple")]
    >>> [of["r1"].tolist() for _, of in level_figures(at(0), [("Fruit", "Apple")], at(10, 20), paths)]
    [[1.0], [0.0]]
    """
    count = len(query_paths)
    found = []
    for labels in level_labels([*query_paths, *gallery_paths]):
        ranks = relevant_ranks(queries, labels[:count], gallery, labels[count:], own=own)
        found.append((labels[:count], query_figures(ranks, ks=ks)))
    return found


def level_hits(
    nearest: Indices, query_paths: Sequence[Sequence[str]], gallery_paths: Sequence[Sequence[str]]
) -> list[NDArray[np.bool_]]:
    """(Q, K) at each level from the coarsest: whether a right view is among the first 1 … K, out of `top_k`'s indices (Q, K): for
    any size of gallery.

    >>> [hits.tolist() for hits in level_hits(np.array([[0, 1]]), [("Fruit", "Apple")], [("Fruit", "Pear"), ("Fruit", "Apple")])]
    [[[True, True]], [[False, True]]]
    """
    count = len(query_paths)
    levels = []
    for labels in level_labels([*query_paths, *gallery_paths]):
        right = (labels[count:][nearest] == labels[:count, None]) & (nearest >= 0)
        levels.append(np.logical_or.accumulate(right, axis=1))
    return levels


def _label_means(figures: Mapping[str, Values], labels: Indices) -> dict[str, dict[int, float]]:
    for name, values in figures.items():
        if len(values) != len(labels):
            raise ValueError(f"{name} has {len(values)} queries, there are {len(labels)} labels")
    if not len(labels):
        raise ValueError("there is no query to take a mean over")
    names, number = np.unique(labels, return_inverse=True)
    means = {}
    for figure, values in figures.items():
        there = ~np.isnan(values)
        sums = np.bincount(number[there], weights=values[there], minlength=len(names))
        counts = np.bincount(number[there], minlength=len(names))
        of = np.divide(sums, counts, out=np.full(len(names), np.nan), where=counts > 0)
        means[figure] = dict(zip(names.tolist(), of.tolist(), strict=True))
    return means


def _mean(values: Values) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")
