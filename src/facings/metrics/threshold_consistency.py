"""Whether one threshold serves all classes alike: the operating-point inconsistency score. Knows nothing of models.

Zhang et al.: "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning", ICLR 2024. At a distance threshold d
(pairs at most d apart are called the same) a class has a sensitivity and a specificity; their harmonic mean is its utility
U_i(d). OPIS = mean over classes i and over d in the calibration range of (U_i(d) - mean_j U_j(d))^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Labels = NDArray[np.int64]
MAX_PAIRS = 100_000_000


@dataclass(frozen=True)
class ThresholdConsistency:
    """`opis` 0–0.25 (0: all classes alike); `low`, `high`: the range of distances; `classes` (T,): those that count;
    `of_class` (T,): each one's mean squared deviation (`opis` is their mean); `utility` (T,): each one's mean utility."""

    opis: float
    low: float
    high: float
    classes: Labels
    of_class: Values
    utility: Values

    def worst(self, share: float) -> float:
        """Epsilon-OPIS: the mean over the `share` of classes (at least one) that deviate most; 0–1, never below `opis`.

        The paper's epsilon-OPIS looks at the outlying share of the classes; its exact formula was not at hand, and this
        one, which at share 1 is OPIS itself, may differ from it.

        >>> ThresholdConsistency(0.1, 0.0, 1.0, np.arange(2), np.array([0.05, 0.15]), np.ones(2)).worst(0.5)
        0.15

        Raises ValueError for a share that is not above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}; expected above 0, at most 1")
        count = max(1, round(share * len(self.of_class)))
        return float(np.sort(self.of_class)[-count:].mean())


def threshold_consistency(
    vectors: NDArray[np.float32],
    labels: Labels,
    *,
    gallery: NDArray[np.float32] | None = None,
    gallery_labels: Labels | None = None,
    false_accepts: tuple[float, float] = (0.01, 0.1),
) -> ThresholdConsistency:
    """OPIS of unit vectors (N, D), of all pairs among them, or of each with each view of a gallery.

    Distance is the Euclidean one, 0–2. The calibration range reaches from the distance at which the first of
    `false_accepts`, as a share of all pairs of different classes, is accepted to that of the second. Classes without a
    pair of their own or without one with another class are left out.

    By hand, at one threshold (both shares 0.5): class 0 is at 0 and 60 degrees, class 1 at 90 and 180. Pairs across are
    90, 180, 30 and 120 degrees apart; half of them within 90. Class 0's own pair (60) is within: sensitivity 1,
    specificity 1/2, utility 2/3; class 1's (90) is too. Both are alike.

    >>> at = lambda *degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    >>> found = threshold_consistency(at(0, 60, 90, 180), np.array([0, 0, 1, 1]), false_accepts=(0.5, 0.5))
    >>> round(found.opis, 6), found.utility.round(3).tolist()
    (0.0, [0.667, 0.667])

    Raises ValueError for a gallery without labels, and as `inconsistency` does.
    """
    if (gallery is None) != (gallery_labels is None):
        raise ValueError("gallery and gallery_labels are given together")
    alone = gallery is None
    views = vectors if gallery is None else gallery
    view_labels = labels if gallery_labels is None else gallery_labels
    if len(vectors) * len(views) > MAX_PAIRS:
        raise ValueError(f"{len(vectors)} x {len(views)} pairs, at most {MAX_PAIRS}; take a sample of each class")
    cosine = np.clip(vectors.astype(np.float64) @ views.astype(np.float64).T, -1, 1)
    keep = ~np.eye(len(vectors), dtype=bool) if alone else np.ones(cosine.shape, bool)
    same = labels[:, None] == view_labels[None, :]
    classes = np.broadcast_to(labels[:, None], cosine.shape)
    return inconsistency(np.sqrt(2 - 2 * cosine)[keep], same[keep], classes[keep], false_accepts=false_accepts)


def inconsistency(
    distances: Values,
    same: NDArray[np.bool_],
    classes: Labels,
    *,
    false_accepts: tuple[float, float] = (0.01, 0.1),
    between: tuple[float, float] | None = None,
) -> ThresholdConsistency:
    """The same of pairs (P,): `distances`, whether both are the `same`, and the class that each pair counts for.

    `between`: the range of distances itself. Utility is a step function of the threshold that changes at the pairs'
    distances, so that the integral is a sum over them, exact but for rounding: O(P log P), no grid. A range of one point
    gives the score there.

    By hand: class 0's own pair is at 1, class 1's at 3, those with others at 4, and the range is 0 to 4. Utility is 0 below
    the own pair and 1 from there: they differ from 1 to 3, where each is 1/2 from their mean: 1/4 for half of the range.

    >>> pairs = np.array([1.0, 4.0, 3.0, 4.0]), np.array([True, False, True, False]), np.array([0, 0, 1, 1])
    >>> inconsistency(*pairs, between=(0.0, 4.0)).opis
    0.125

    Raises ValueError for lengths that differ, distances that are not finite, a range that is none, and when no class
    has both kinds of pair.
    """
    if not len(distances) == len(same) == len(classes) or not np.isfinite(distances).all():
        raise ValueError("inconsistency wants finite distances, and for each pair whether it is the same and its class")
    if not same.any() or same.all():
        raise ValueError("inconsistency wants pairs of one class and pairs of two")
    low, high = between or threshold_range(distances[~same], false_accepts)
    if not low <= high:
        raise ValueError(f"the range of thresholds is {low} to {high}; expected the lower first")
    steps = [_utility_steps(distances[part], same[part], low, high) for part in _of_each(classes)]
    counted = [number for number, step in enumerate(steps) if step is not None]
    if not counted:
        raise ValueError("no class has both a pair of its own and one with another class")
    kept = [step for step in steps if step is not None]
    of_class, utility = _deviations(kept, low, high)
    return ThresholdConsistency(float(of_class.mean()), low, high, np.unique(classes)[counted], of_class, utility)


def threshold_range(different: Values, false_accepts: tuple[float, float]) -> tuple[float, float]:
    """The smallest distances that accept at least these shares of pairs of different classes.

    >>> threshold_range(np.array([1.0, 2.0, 3.0, 4.0]), (0.25, 0.6))
    (1.0, 3.0)

    Raises ValueError for shares that are not 0 < first <= second <= 1.
    """
    if not 0 < false_accepts[0] <= false_accepts[1] <= 1:
        raise ValueError(f"false_accepts is {false_accepts}; expected two shares above 0, at most 1, the smaller first")
    low, high = np.quantile(different, false_accepts, method="inverted_cdf")
    return float(low), float(high)


def _of_each(classes: Labels) -> Sequence[Labels]:
    """Pair numbers of each class, classes in order."""
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(classes[order])) + 1)


def _utility_steps(distances: Values, same: NDArray[np.bool_], low: float, high: float) -> tuple[Values, Values] | None:
    """Thresholds from `low` at which the utility of a class changes, and its value from each on; None without both kinds."""
    own, other = np.sort(distances[same]), np.sort(distances[~same])
    if not len(own) or not len(other):
        return None
    inside = np.unique(distances[(distances > low) & (distances < high)])
    at = np.concatenate([[low], inside])
    sensitivity = np.searchsorted(own, at, side="right") / len(own)
    specificity = 1 - np.searchsorted(other, at, side="right") / len(other)
    total = sensitivity + specificity
    return at, np.divide(2 * sensitivity * specificity, total, out=np.zeros(len(at)), where=total > 0)


def _deviations(steps: Sequence[tuple[Values, Values]], low: float, high: float) -> tuple[Values, Values]:
    """Mean squared deviation from the mean utility, and mean utility, of each class over the range.

    The mean's integral up to any step is piecewise linear; each class asks it at its own steps only.
    """
    if low == high:
        utility = np.array([values[0] for _, values in steps])
        return (utility - utility.mean()) ** 2, utility
    starts = np.concatenate([at for at, _ in steps])
    jumps = np.concatenate([np.diff(values, prepend=0.0) for _, values in steps]) / len(steps)
    order = np.argsort(starts, kind="stable")
    starts, mean = starts[order], np.cumsum(jumps[order])
    widths = np.diff(starts, append=high)
    area, square = (np.concatenate([[0.0], np.cumsum(f * widths)]) for f in (mean, mean**2))
    edges = np.concatenate([starts, [high]])
    deviations, utilities = np.zeros(len(steps)), np.zeros(len(steps))
    for number, (at, values) in enumerate(steps):
        lengths = np.diff(at, append=high)
        until = area[np.searchsorted(edges, np.concatenate([at, [high]]), side="left")]
        crossed = (values * np.diff(until)).sum()
        deviations[number] = (values**2 * lengths).sum() - 2 * crossed + square[-1]
        utilities[number] = (values * lengths).sum()
    return np.maximum(deviations, 0) / (high - low), utilities / (high - low)
