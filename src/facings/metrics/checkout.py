"""Checkout figures: the list of products of a picture against the true one, as a till would be judged.

Knows nothing of boxes: where a product lies does not count, only how many of it there are.

Wei, Cui, Yang, Wang, Liu: "RPC: A Large-Scale Retail Product Checkout Dataset", arXiv 1901.07249, 2019, section 4.1. The
paper leaves open what becomes of a product that no picture of the truth holds; see `checkout_figures`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.metrics.bootstrap import draws, percentile_interval

NAMES = ("cacc", "acd", "mccd", "mciou")
LEVELS = ("easy", "medium", "hard")
# Most products of an easy and of a medium picture: RPC's are of 3 to 10, 10 to 15, and 15 to 20.
EASY, MEDIUM = 10, 15
# Weighted sums (draws by products) held at once, as floats: 64 MB.
HELD = 1 << 23
Counts = NDArray[np.int64]


def checkout_figures(predicted: Counts, truth: Counts) -> dict[str, float]:
    """`predicted`, `truth` (N, K) int64: how many of each of K products are in each of N pictures.

    `cacc` (0–1): share of pictures whose whole list is right (eq. 4). `acd` (0 and up): wrong counts a picture, the sum of
    |predicted − truth| over products (eq. 5). `mccd` (0 and up): a product's wrong counts over its true count, both over all
    pictures, mean over products (eq. 6). `mciou` (0–1): sum of the smaller over sum of the larger count, mean over products
    (eq. 7). A product that only was predicted has an IoU of 0 and no `mccd`, whose denominator is zero; one that neither
    was predicted nor is there is in no mean. nan without pictures, or without a product.

    By hand: two pictures of apples and pears. The first holds 2, 1 and is read as 2, 1: right. The second holds 2, 3 and is
    read as 1, 3: one wrong count. cAcc 1/2; ACD 1/2; of 4 apples 1 wrong, of 4 pears none: mCCD (1/4 + 0) / 2 = 1/8; apples
    2 + 1 of 2 + 2, pears all: mCIoU (3/4 + 1) / 2 = 7/8.

    >>> checkout_figures(np.array([[2, 1], [1, 3]]), np.array([[2, 1], [2, 3]]))
    {'cacc': 0.5, 'acd': 0.5, 'mccd': 0.125, 'mciou': 0.875}

    Raises ValueError for counts that are negative, no whole numbers, or of different shapes.
    """
    predicted, truth = _checked(predicted, truth)
    values = _weighted(predicted, truth, np.ones((1, len(truth))))
    return {name: float(values[name][0]) for name in NAMES}


def checkout_metrics(predicted: Counts, truth: Counts, levels: Sequence[str] | None = None) -> dict[str, float]:
    """`checkout_figures` of all pictures, and of each level of clutter that occurs as `cacc_easy` and so on.

    `levels`: a level each picture, by default from how many products are there (`clutter`).

    >>> figures = checkout_metrics(np.array([[2], [12]]), np.array([[2], [11]]))
    >>> figures["cacc"], figures["cacc_easy"], figures["acd_medium"], "acd_hard" in figures
    (0.5, 1.0, 1.0, False)
    """
    predicted, truth = _checked(predicted, truth)
    figures = checkout_figures(predicted, truth)
    for level, rows in _by_level(truth, levels).items():
        own = checkout_figures(predicted[rows], truth[rows])
        figures |= {f"{name}_{level}": value for name, value in own.items()}
    return figures


def checkout_intervals(
    predicted: Counts,
    truth: Counts,
    levels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    repeats: int = 1000,
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of `checkout_metrics` over pictures; within a level its own pictures are drawn.

    By hand: one of two pictures is right; a quarter of the draws holds the wrong one alone, a quarter the right one alone.

    >>> checkout_intervals(np.array([[1], [2]]), np.array([[1], [1]]))["cacc"]
    (0.0, 1.0)

    Raises ValueError as `checkout_figures`, and without a picture.
    """
    predicted, truth = _checked(predicted, truth)
    groups = {"": np.arange(len(truth))} | {f"_{k}": rows for k, rows in _by_level(truth, levels).items()}
    found: dict[str, tuple[float, float]] = {}
    for suffix, rows in groups.items():
        values = checkout_draws(predicted[rows], truth[rows], seed=seed, repeats=repeats)
        found |= {f"{name}{suffix}": percentile_interval(values[name]) for name in NAMES}
    return found


def checkout_draws(
    predicted: Counts, truth: Counts, *, seed: int = 0, repeats: int = 1000
) -> dict[str, NDArray[np.float64]]:
    """Figure → (repeats,) over draws of the pictures; the same draws for the same seed and number of pictures, so that two
    systems' can be subtracted (`facings.metrics.bootstrap.paired_difference`).

    >>> checkout_draws(np.array([[1]]), np.array([[2]]), repeats=2)["acd"].tolist()
    [1.0, 1.0]
    """
    predicted, truth = _checked(predicted, truth)
    weights = np.array(
        [np.bincount(index, minlength=len(truth)) for index in draws(len(truth), seed=seed, repeats=repeats)]
    )
    step = max(HELD // max(truth.shape[1], 1), 1)
    parts = [
        _weighted(predicted, truth, weights[low : low + step].astype(np.float64)) for low in range(0, repeats, step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in NAMES}


def clutter(truth: Counts) -> tuple[str, ...]:
    """A level each picture: `easy` up to 10 products, `medium` up to 15, else `hard`, as RPC's pictures are.

    >>> clutter(np.array([[10, 0], [10, 1], [8, 8]]))
    ('easy', 'medium', 'hard')
    """
    places = np.searchsorted([EASY, MEDIUM], truth.sum(axis=1), side="left")
    return tuple(LEVELS[place] for place in places)


def count_products(lists: Iterable[Sequence[str]], products: Sequence[str]) -> Counts:
    """(N, K) how often each of K `products` is in each of N lists.

    >>> count_products([["b", "a", "b"], []], ["a", "b"]).tolist()
    [[1, 2], [0, 0]]

    Raises ValueError for a product that is not among `products`.
    """
    index = {product: number for number, product in enumerate(products)}
    rows = []
    for names in lists:
        strange = [name for name in names if name not in index]
        if strange:
            raise ValueError(
                f"product {strange[0]!r} is not among the {len(index)} that are counted; add it to `products`"
            )
        rows.append(np.bincount([index[name] for name in names], minlength=len(index)))
    return np.array(rows, np.int64).reshape(-1, len(index))


def _weighted(predicted: Counts, truth: Counts, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The figures (R,) when picture i counts `weights[r, i]` times."""
    apart = np.abs(predicted - truth)
    pictures = weights.sum(axis=1)
    wrong, there = weights @ apart, weights @ truth
    both, either = weights @ np.minimum(predicted, truth), weights @ np.maximum(predicted, truth)
    lists = apart.sum(axis=1)
    return {
        "cacc": _ratio(weights @ (lists == 0), pictures),
        "acd": _ratio(weights @ lists, pictures),
        "mccd": _mean_ratio(wrong, there),
        "mciou": _mean_ratio(both, either),
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean_ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) mean over the products that have a denominator."""
    counted = whole > 0
    shares = np.divide(part, whole, out=np.zeros(part.shape), where=counted)
    return _ratio(shares.sum(axis=1), counted.sum(axis=1).astype(np.float64))


def _by_level(truth: Counts, levels: Sequence[str] | None) -> dict[str, Counts]:
    """Pictures of each level that occurs, the known ones first and in order."""
    given = clutter(truth) if levels is None else tuple(levels)
    if len(given) != len(truth):
        raise ValueError(f"{len(truth)} pictures have {len(given)} levels; expected one each")
    order = [level for level in LEVELS if level in given] + sorted(set(given) - set(LEVELS))
    return {level: np.flatnonzero(np.array(given) == level) for level in order}


def _checked(predicted: NDArray[Any], truth: NDArray[Any]) -> tuple[Counts, Counts]:
    for name, counts in (("predicted", predicted), ("truth", truth)):
        if counts.ndim != 2 or not np.issubdtype(counts.dtype, np.integer):
            raise ValueError(f"{name} is {counts.dtype} {counts.shape}; expected whole numbers (pictures, products)")
        if counts.size and counts.min() < 0:
            raise ValueError(f"{name} holds {counts.min()}; expected counts of 0 and more")
    if predicted.shape != truth.shape:
        raise ValueError(
            f"predicted {predicted.shape} and truth {truth.shape} differ; expected (pictures, products) both"
        )
    return predicted.astype(np.int64), truth.astype(np.int64)
