"""Who beats whom: two systems on the same pictures, their difference drawn in pairs. Knows nothing of files.

Two intervals that overlap say little, as hard pictures are hard for both. What is drawn here is the difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.metrics.average_precision import DrawnPrecision, paired_intervals
from facings.metrics.bootstrap import Difference, draws, paired_difference
from facings.metrics.checkout import checkout_draws, checkout_figures, count_products
from facings.metrics.end_to_end import frame_outcome
from facings.metrics.matching import IouType
from facings.structures import Decision

REPEATS = 1000
LEVEL = 0.05
# Of fewer pictures a bootstrap's interval is too narrow to be believed.
FEW = 20
# Figures of which less is better.
LESS = ("acd",)
Winner = Literal["better", "worse", "no difference shown"]
Products = Sequence[str | None]
# What is matched by overlap → kind of IoU, and what its figures' names begin with.
OVERLAPS: Mapping[str, tuple[IouType, str]] = {"boxes": ("bbox", ""), "masks": ("segm", "mask_")}


@dataclass(frozen=True)
class Side:
    """One system's answers. `predictions`: COCO results; `decisions`: one a picture of the truth, or None."""

    name: str
    predictions: Sequence[Mapping[str, Any]]
    decisions: Sequence[Decision] | None = None


@dataclass(frozen=True)
class Truth:
    """What is there: COCO dict, and for each of its pictures boxes (N, 4) float32 xyxy and products, None where not known."""

    coco: Mapping[str, Any]
    boxes: Sequence[NDArray[np.float32]]
    products: Sequence[Products]


@dataclass(frozen=True)
class Verdict:
    """Of one figure, `second` minus `first`. `p`: two-sided, raised for the number of comparisons (Holm)."""

    figure: str
    first: str
    second: str
    difference: Difference
    p: float

    @property
    def winner(self) -> Winner:
        """Of the second."""
        if not self.p < LEVEL or self.difference.value == 0:
            return "no difference shown"
        return "better" if (self.difference.value > 0) != (self.figure in LESS) else "worse"


def verdicts(
    truth: Truth,
    sides: Sequence[Side],
    *,
    of: Sequence[str] = ("boxes", "products"),
    seed: int = 0,
    repeats: int = REPEATS,
) -> list[Verdict]:
    """Every side but the first against the first: of `boxes` `ap`, `ap50`; of `masks` `mask_ap`, `mask_ap50`; of `products`, where
    all have decisions and products are known, `f1`, `cacc`, `acd` (see `facings.metrics.end_to_end`, `checkout`; every annotated
    product counts, enrolled or not, so that what both are divided by is the same).

    Raises ValueError for fewer than two sides.
    """
    if len(sides) < 2:
        raise ValueError(f"{len(sides)} sides; a comparison wants two or more")
    found: list[tuple[str, str, Difference]] = []
    for kind, (iou_type, prefix) in OVERLAPS.items():
        if kind in of:
            drawn = [DrawnPrecision(truth.coco, side.predictions, iou_type=iou_type) for side in sides]
            for side, own in zip(sides[1:], drawn[1:], strict=True):
                pairs = paired_intervals(own, drawn[0], seed=seed, repeats=repeats)
                found += [(f"{prefix}{figure}", side.name, difference) for figure, difference in pairs.items()]
    known = any(p is not None for row in truth.products for p in row)
    if "products" in of and known and all(side.decisions is not None for side in sides):
        found += _by_product(truth, sides, seed=seed, repeats=repeats)
    return adjusted(found, sides[0].name, repeats)


def rank_verdicts(
    sides: Mapping[str, Mapping[str, Sequence[NDArray[np.bool_]]]], *, seed: int = 0, repeats: int = REPEATS
) -> list[Verdict]:
    """Every side but the first against the first. `sides`: name → figure → for each picture whether each crop was named right; of
    all sides the same figures, pictures and crops."""
    (first, base), found = next(iter(sides.items())), []
    for name, own in list(sides.items())[1:]:
        for figure, pictures in own.items():
            wholes = np.array([len(right) for right in pictures], np.float64)
            lots = list(draws(len(pictures), seed=seed, repeats=repeats))
            rows, values = [], []
            for side in (pictures, base[figure]):
                parts = np.array([right.sum() for right in side], np.float64)
                rows.append(
                    np.array([parts[lot].sum() / wholes[lot].sum() if wholes[lot].sum() else np.nan for lot in lots])
                )
                values.append(float(parts.sum() / wholes.sum()) if wholes.sum() else float("nan"))
            found.append((figure, name, paired_difference(rows[0], rows[1], values[0] - values[1])))
    return adjusted(found, first, repeats)


def adjusted(found: Sequence[tuple[str, str, Difference]], first: str, repeats: int) -> list[Verdict]:
    """Verdicts of figure, side and difference, figure by figure, their p raised for the sides."""
    made = []
    for figure in dict.fromkeys(name for name, _, _ in found):
        group = [entry for entry in found if entry[0] == figure]
        raised = holm([p_value(difference, repeats) for _, _, difference in group])
        made += [Verdict(figure, first, n, d, p) for (_, n, d), p in zip(group, raised, strict=True)]
    return made


def p_value(difference: Difference, repeats: int) -> float:
    """Two-sided, from the share of draws that the first wins; never below one in `repeats`, and nan without a draw.

    Efron, Tibshirani: "An Introduction to the Bootstrap", 1993, section 15.4.

    >>> p_value(Difference(0.1, 0.0, 0.2, 0.98), 1000), p_value(Difference(0.1, 0.05, 0.2, 1.0), 1000)
    (0.04, 0.001)
    """
    share = min(difference.wins, 1 - difference.wins)
    return float(np.round(min(1.0, max(2 * share, 1 / repeats)), 12)) if np.isfinite(share) else float("nan")


def holm(values: Sequence[float]) -> list[float]:
    """p values raised so that of all comparisons together a false one is called true with the level's probability.

    Holm: "A Simple Sequentially Rejective Multiple Test Procedure", 1979. nan stays nan and is not counted.

    By hand: of three, the least times 3, the next times 2, and none below the one before it.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    array = np.array(values, np.float64)
    order = [int(place) for place in np.argsort(array) if np.isfinite(array[place])]
    raised, highest = array.copy(), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, float(array[place]) * (len(order) - rank)))
        raised[place] = highest
    return [float(value) for value in raised]


def _by_product(truth: Truth, sides: Sequence[Side], *, seed: int, repeats: int) -> list[tuple[str, str, Difference]]:
    values = [_product_draws(truth, side, seed=seed, repeats=repeats) for side in sides]
    (base, base_whole), found = values[0], []
    for side, (drawn, whole) in zip(sides[1:], values[1:], strict=True):
        for figure in base:
            difference = paired_difference(drawn[figure], base[figure], whole[figure] - base_whole[figure])
            found.append((figure, side.name, difference))
    return found


def _product_draws(
    truth: Truth, side: Side, *, seed: int, repeats: int
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """`f1`, `cacc`, `acd` over draws, and on all pictures."""
    assert side.decisions is not None
    pairs = zip(side.decisions, truth.boxes, truth.products, strict=True)
    outcomes = [frame_outcome(*pair) for pair in pairs]
    right = np.array([2 * outcome.counts["right"] for outcome in outcomes], np.float64)
    whole = np.array([o.counts["named"] + o.counts["enrolled"] for o in outcomes], np.float64)
    lots = list(draws(len(outcomes), seed=seed, repeats=repeats))
    there = [[p for p in row if p is not None] for row in truth.products]
    named = [
        [
            i.product_id
            for i, o in zip(d.items, out.outcomes, strict=True)
            if o != "unjudged" and i.product_id is not None
        ]
        for d, out in zip(side.decisions, outcomes, strict=True)
    ]
    products = sorted({name for names in (*there, *named) for name in names})
    lists = count_products(named, products), count_products(there, products)
    drawn = checkout_draws(*lists, seed=seed, repeats=repeats)
    f1 = np.array([right[lot].sum() / whole[lot].sum() if whole[lot].sum() else np.nan for lot in lots])
    figures = checkout_figures(*lists)
    of_all = {"f1": float(right.sum() / whole.sum()) if whole.sum() else float("nan")}
    return {"f1": f1, "cacc": drawn["cacc"], "acd": drawn["acd"]}, of_all | {n: figures[n] for n in ("cacc", "acd")}
