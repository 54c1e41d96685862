"""Has a camera's picture changed between two weeks? Embeddings and picture statistics, with p-values. Knows nothing of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from facings.analysis.error_slices import glare_share
from facings.analysis.slices import laplacian_variance

Vectors = NDArray[np.floating]
# Rows of each week that are compared: the kernel is quadratic in them.
MOST = 1000
STATISTICS = ("brightness", "contrast", "saturation", "red over blue", "sharpness", "glare")


@dataclass(frozen=True)
class EmbeddingDrift:
    """`mmd2`: squared distance of the two weeks, about 0 when they are alike (below it by chance); `p_value` 0–1."""

    mmd2: float
    p_value: float
    rows: tuple[int, int]
    permutations: int


@dataclass(frozen=True)
class StatisticDrift:
    """`before`, `after`: medians; `distance` 0–1: the largest gap of the two distribution functions; `p_value`: corrected for the
    number of statistics asked."""

    name: str
    before: float
    after: float
    distance: float
    p_value: float


def two_weeks(moments: Sequence[datetime], *, days: int = 7) -> tuple[list[int], list[int]]:
    """Places of the pictures of the `days` before the last `days`, and of the last ones, by time; all clocks are of one kind.

    By hand: a picture on the 1st, the 8th, the 12th; the last week starts behind the 5th.

    >>> two_weeks([datetime(2026, 3, 12), datetime(2026, 3, 1), datetime(2026, 3, 8)])
    ([1], [2, 0])
    """
    if not moments:
        return [], []
    start = max(moments) - timedelta(days=days)
    order = sorted(range(len(moments)), key=lambda place: moments[place])
    before = [place for place in order if start - timedelta(days=days) < moments[place] <= start]
    return before, [place for place in order if moments[place] > start]


def embedding_drift(
    before: Vectors,
    after: Vectors,
    *,
    before_groups: Sequence[int] | None = None,
    after_groups: Sequence[int] | None = None,
    permutations: int = 500,
    seed: int = 0,
) -> EmbeddingDrift:
    """The kernel two-sample test of two weeks, `before` (N, D) and `after` (M, D).

    Gretton et al.: "A kernel two-sample test", JMLR 2012: the unbiased estimate of MMD² (equation 3) with a Gaussian kernel as
    wide as the median distance, and a p-value by permuting the weeks. `…_groups`: the picture of each row; crops of one picture
    hang together, so pictures change weeks whole. Of more than 1,000 rows so many are drawn.

    Raises ValueError for fewer than two rows or pictures a week, other dimensions, groups of another number, values not finite.
    """
    groups = [
        np.arange(len(rows)) if own is None else np.unique(np.asarray(own), return_inverse=True)[1]
        for rows, own in ((before, before_groups), (after, after_groups))
    ]
    for name, rows, own in (("before", before, groups[0]), ("after", after, groups[1])):
        if rows.ndim != 2 or rows.shape[1:] != before.shape[1:]:
            raise ValueError(f"{name} has the shape {rows.shape}; expected (N, D) of the same D in both weeks")
        if len(own) != len(rows):
            raise ValueError(f"{name}: {len(own)} groups for {len(rows)} rows; expected one of each")
        if len(np.unique(own)) < 2:
            raise ValueError(f"{name} has fewer than two pictures; two weeks of more can be compared")
        if not np.isfinite(rows).all():
            raise ValueError(f"{name} holds values that are not finite")
    rng = np.random.default_rng(seed)
    drawn = [np.sort(rng.permutation(len(rows))[:MOST]) for rows in (before, after)]
    own_groups = [own[index] for own, index in zip(groups, drawn, strict=True)]
    rows = np.concatenate([before[drawn[0]], after[drawn[1]]]).astype(np.float64)
    member = np.concatenate([own_groups[0], own_groups[1] + own_groups[0].max() + 1])
    member = np.unique(member, return_inverse=True)[1]
    squares = cdist(rows, rows, "sqeuclidean")
    width = float(np.median(squares[np.triu_indices(len(rows), 1)]))
    kernel = np.exp(-squares / width) if width > 0 else np.ones_like(squares)
    np.fill_diagonal(kernel, 0)
    # All that a permutation of whole pictures needs are the sums between pictures.
    count = int(member.max()) + 1
    first = np.zeros((count, len(rows)))
    np.add.at(first, member, kernel)
    sums = np.zeros((count, count))
    np.add.at(sums.T, member, first.T)
    sizes = np.bincount(member).astype(np.float64)
    weeks = np.arange(count) < len(np.unique(own_groups[0]))
    seen = _mmd2(sums, sizes, weeks)
    others = [_mmd2(sums, sizes, rng.permutation(weeks)) for _ in range(permutations)]
    # The week as it was counts as one of the permutations, so that p is never 0.
    p = (1 + sum(value >= seen - 1e-12 for value in others)) / (permutations + 1)
    return EmbeddingDrift(seen, p, (len(drawn[0]), len(drawn[1])), permutations)


def picture_statistics(picture: NDArray[np.uint8]) -> dict[str, float]:
    """`STATISTICS` of a picture (H, W, 3) uint8: brightness and contrast (mean, standard deviation of the luma, 0–1), saturation
    0–1, red over blue (the light's colour), sharpness (see `laplacian_variance`), glare (see `glare_share`).

    >>> statistics = picture_statistics(np.full((4, 4, 3), 51, np.uint8))
    >>> round(statistics["brightness"], 3), statistics["saturation"], statistics["red over blue"], statistics["glare"]
    (0.2, 0.0, 1.0, 0.0)
    """
    shares = picture.astype(np.float64) / 255
    luma = shares @ np.array([0.299, 0.587, 0.114])
    top, low = shares.max(axis=2), shares.min(axis=2)
    saturation = np.divide(top - low, top, out=np.zeros_like(top), where=top > 0)
    values = (
        float(luma.mean()),
        float(luma.std()),
        float(saturation.mean()),
        float((shares[..., 0].mean() + 1e-3) / (shares[..., 2].mean() + 1e-3)),
        laplacian_variance(picture),
        glare_share(picture),
    )
    return dict(zip(STATISTICS, values, strict=True))


def statistics_drift(before: Sequence[dict[str, float]], after: Sequence[dict[str, float]]) -> list[StatisticDrift]:
    """Kolmogorov and Smirnov's test of each statistic, least p-value first, corrected after Holm (1979).

    `before`, `after`: `picture_statistics` of each picture. Raises ValueError for a week without pictures.
    """
    if not before or not after:
        raise ValueError(f"{len(before)} pictures before, {len(after)} after; expected some of both")
    found = []
    for name in before[0]:
        sides = [np.array([entry[name] for entry in week]) for week in (before, after)]
        test = ks_2samp(*sides)
        before_median, after_median = (float(np.median(side)) for side in sides)
        found.append(StatisticDrift(name, before_median, after_median, float(test.statistic), float(test.pvalue)))
    found.sort(key=lambda entry: entry.p_value)
    corrected = np.maximum.accumulate([min(1.0, e.p_value * (len(found) - n)) for n, e in enumerate(found)])
    return [
        StatisticDrift(e.name, e.before, e.after, e.distance, float(p)) for e, p in zip(found, corrected, strict=True)
    ]


def _mmd2(sums: NDArray[np.float64], sizes: NDArray[np.float64], weeks: NDArray[np.bool_]) -> float:
    """Unbiased MMD² from sums of the kernel between pictures, its diagonal left out; `weeks`: the pictures of the first week."""
    first, second = weeks.astype(np.float64), (~weeks).astype(np.float64)
    n, m = float(sizes @ first), float(sizes @ second)
    if min(n, m) < 2:
        return -np.inf
    within = first @ sums @ first / (n * (n - 1)) + second @ sums @ second / (m * (m - 1))
    return float(within - 2 * (first @ sums @ second) / (n * m))
