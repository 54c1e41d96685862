"""p-values from calibration scores that come in products, several crops of each. Knows nothing of pictures or galleries.

Crops of one product resemble each other, so a thousand crops of fifty products are not a thousand independent witnesses of
what a fifty-first product will do. A product is the unit that is exchangeable with the next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Unit = Literal["products", "views", "estimated"]


@dataclass(frozen=True)
class Reference:
    """What scores are usual: `ordered` (C,) ascending, finite; `above` (C + 1,): weight at or above each place, 1 at the
    first and 0 past the last; `size`: how many independent observations all of them are worth."""

    ordered: Scores
    above: Scores
    size: float

    @classmethod
    def of(
        cls, scores: NDArray[np.floating], groups: Sequence[str | None], *, unit: Unit = "products", level: float = 0.05
    ) -> "Reference":
        """`scores` (C,), one a crop; `groups` (C,): the product of each, None for one that stands alone.

        Each product weighs the same, whatever the number of its crops. `unit` says what is exchangeable with the next
        crop: "products": its product with these products, which is exact for a crop of a product that was not seen (Lee,
        Barber, Willett: "Distribution-free inference with hierarchical data", 2023, HCP; Dunn, Wasserman, Ramdas:
        "Distribution-free prediction sets for two-layer hierarchical models", JASA 2023), `size` = products; "views": the
        crop with these crops, as if none were of one product, `size` = crops; "estimated": `size` is what the spread
        between products at `level` says, see `effective_size`. It is not exact, but neither as timid as the first with few
        products nor as bold as the second.

        Scores that are not finite are left out. Raises ValueError for an unknown unit or a group too many.

        >>> Reference.of(np.array([0.1, 0.2, 0.9]), ["a", "a", "b"]).p_values(np.array([0.15, 0.5, 0.95])).round(3).tolist()
        [0.833, 0.667, 0.333]

        By hand at 0.5: b counts wholly, a not at all: (1 + 0 + 1) / (1 + 2 products).
        """
        if unit not in get_args(Unit):
            raise ValueError(f"the exchangeable unit is {unit!r}; expected one of {', '.join(get_args(Unit))}")
        if len(scores) != len(groups):
            raise ValueError(f"{len(scores)} scores, but {len(groups)} groups; each crop has one")
        kept = np.isfinite(scores)
        finite: Scores = np.asarray(scores, np.float64)[kept]
        numbers = numbered([group for group, k in zip(groups, kept, strict=True) if k])
        weights = balanced_weights(numbers)
        order = np.argsort(finite, kind="stable")
        above = np.concatenate([np.cumsum(weights[order][::-1])[::-1], [0.0]])
        count = int(numbers.max()) + 1 if len(numbers) else 0
        if unit == "views":
            size: float = len(finite)
        elif unit == "products":
            size = count
        else:
            size = effective_size(finite, numbers, level)
        return cls(finite[order], above, size)

    def p_values(self, scores: NDArray[np.floating]) -> Scores:
        """For each score, in any shape: (1 + size · weight of calibration at or above it) / (1 + size); 1 without any
        calibration. A score from the same source has p ≤ α in a share α of cases at most. nan counts as the lowest."""
        asked = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
        higher = self.above[np.searchsorted(self.ordered, asked, side="left")]
        p: Scores = np.minimum((1 + self.size * higher) / (1 + self.size), 1.0)
        return p

    def threshold(self, level: float) -> float:
        """The least calibration score above which p ≤ `level`: a score beyond it is accepted; inf where none ever is."""
        if 1 / (1 + self.size) > level:
            return float("inf")
        low = np.flatnonzero((1 + self.size * self.above) / (1 + self.size) <= level)
        return float(self.ordered[low[0] - 1]) if low[0] else -float("inf")


def numbered(groups: Sequence[str | None]) -> NDArray[np.int64]:
    """(C,) group numbers from 0 in order of appearance; each None is a group of its own.

    >>> numbered(["b", None, "a", "b", None]).tolist()
    [0, 1, 2, 0, 3]
    """
    found: dict[object, int] = {}
    keys = [object() if group is None else group for group in groups]
    return np.array([found.setdefault(key, len(found)) for key in keys], np.int64)


def balanced_weights(numbers: NDArray[np.int64]) -> Scores:
    """(C,) weights that sum to 1, the same for each group, split evenly among its members.

    >>> balanced_weights(np.array([0, 0, 1])).tolist()
    [0.25, 0.25, 0.5]
    """
    if not len(numbers):
        return np.zeros(0)
    counts = np.bincount(numbers)
    return np.asarray(1 / counts[numbers] / len(counts), np.float64)


def effective_size(scores: Scores, numbers: NDArray[np.int64], level: float) -> float:
    """How many independent crops tell as much of the share `level` of highest scores as these do, in their groups.

    Kish's effective sample size (Kish: "Survey Sampling", 1965, section 8.2): w (1 - w) over the variance of w, where w, the
    share above the cut, is a mean of the groups' shares. Between the number of groups (all crops of a group alike) and
    of crops (groups do not matter).

    By hand: two groups of two; the highest quarter is one crop, so the groups' shares are 1/2 and 0, their variance 1/8, and
    that of w 1/16: 3/16 / (1/16) = 3.

    >>> effective_size(np.array([1.0, 4.0, 2.0, 3.0]), np.array([0, 0, 1, 1]), 0.25)
    3.0
    """
    groups = int(numbers.max()) + 1 if len(numbers) else 0
    if groups < 2:
        return float(groups)
    weights = balanced_weights(numbers)
    order = np.argsort(-scores, kind="stable")
    last = min(int(np.searchsorted(np.cumsum(weights[order]), level - 1e-12)), len(order) - 1)
    over = scores >= scores[order[last]]
    shares = np.bincount(numbers, weights=over) / np.bincount(numbers)
    share, spread = float(shares.mean()), float(shares.var(ddof=1)) / groups
    if spread <= 0:
        return float(len(scores)) if 0 < share < 1 else float(groups)
    return float(np.clip(share * (1 - share) / spread, groups, len(scores)))
