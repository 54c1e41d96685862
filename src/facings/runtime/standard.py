"""The standard by which every gallery version is judged: the operator chooses error rates, thresholds follow from them.

Knows nothing of pictures. All that it needs is taken again whenever the gallery changes, from stored calibration crops of many
products. For the statements that it makes, and what they rest on, see docs/turnover.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facings.runtime.conformal import Reference, Unit
from facings.runtime.similarity_tops import NOTHING, Tops, Tree, own_similarities, tops
from facings.structures import Matches, Status

Vectors = NDArray[np.float32]
STATUSES: tuple[Status, ...] = ("known", "ambiguous", "unknown")
# With fewer products than this whose crops meet their own views, the gallery's views bear witness too.
FEW_MATED, MOST_VIEWS = 20, 2000


@dataclass(frozen=True)
class Rates:
    """What the operator chooses, shares 0–1. `false_accept`: of crops of goods that are not enrolled, those taken for one that
    is; `coverage`: of crops of enrolled goods, those whose product is in the answer set; `category_error`: of all crops, those
    whose reported category (or product, in `Verdicts.level`) is wrong; `pick_list`: most products shown to choose from;
    `unit`: see `Reference.of`; `margin`: how much the lead over the next product or category counts beside the similarity."""

    false_accept: float = 0.05
    coverage: float = 0.95
    category_error: float = 0.03
    pick_list: int = 3
    unit: Unit = "estimated"
    margin: float = 1.0

    def __post_init__(self) -> None:
        for name in ("false_accept", "coverage", "category_error"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"{name} is {value}; expected a share between 0 and 1")
        if self.unit not in get_args(Unit):
            raise ValueError(f"unit is {self.unit!r}; expected one of {', '.join(get_args(Unit))}")
        if self.pick_list < 1 or not 0 <= self.margin < 100:
            raise ValueError(f"pick_list is {self.pick_list}, margin {self.margin}; expected 1 or more, and 0 to 100")


@dataclass(frozen=True)
class Verdicts:
    """For B crops with k candidates each, most similar first. `status` (B,): index into STATUSES; `p_values` (B, k): that a
    good which is not enrolled looks as much like the candidate; `answers` (B, k): which candidates are in the answer set;
    `level` (B,): the deepest level with p ≤ category_error, the tree's depth for the product itself, -1 for none;
    `level_p` (B, L + 1)."""

    status: NDArray[np.int64]
    p_values: NDArray[np.float64]
    answers: NDArray[np.bool_]
    level: NDArray[np.int64]
    level_p: NDArray[np.float64]


@dataclass(frozen=True)
class Standard:
    """Fitted to one gallery version. `unknown`: how sure goods look to be what they are not (`item_lead`); `gap`: how far the right
    product lies behind the best wrong one; `levels`: of each level, how sure a wrong answer looks; `joint`: the same over all
    levels."""

    rates: Rates
    tree: Tree
    unknown: Reference
    gap: Reference
    levels: tuple[Reference, ...]
    joint: Reference
    offsets: Vectors | None = None

    @classmethod
    def fit(
        cls,
        rates: Rates,
        *,
        vectors: Vectors,
        item: NDArray[np.int64],
        items: Sequence[str],
        calibration_vectors: Vectors,
        calibration_items: Sequence[str | None],
        categories: Mapping[str, Sequence[str]],
        calibration_mated: Vectors | None = None,
        offsets: Vectors | None = None,
    ) -> "Standard":
        """`vectors` (M, D), `item` (M,), `items`: the gallery; `calibration_vectors` (C, D) of `calibration_items`; all of
        unit length. `categories`: product id → names from coarse to fine, of the gallery's products and the calibration's.

        `calibration_mated` (C, V): the similarity of each calibration crop to the best of 1, 2, … V enrolment photos of its
        own product, nan where there were fewer; it stands for products that are not enrolled now. `offsets` (I,): a prior's.

        Raises ValueError for arrays that do not fit each other.
        """
        if calibration_mated is not None and (
            calibration_mated.ndim != 2 or len(calibration_mated) != len(calibration_items)
        ):
            raise ValueError(
                f"calibration_mated is {calibration_mated.shape}; expected ({len(calibration_items)}, V), a row a crop"
            )
        if len(calibration_vectors) != len(calibration_items) or len(vectors) != len(item):
            raise ValueError("a standard wants one product for each calibration vector, and one item for each view")
        tree = Tree.of(items, categories)
        found = tops(calibration_vectors, calibration_items, vectors, item, tree, offsets=offsets)
        sure = item_lead(found.first, found.second[:, -1], rates.margin)
        unknown = Reference.of(sure, calibration_items, unit=rates.unit, level=rates.false_accept)
        own = own_similarities(calibration_vectors, calibration_items, vectors, item, items)
        if offsets is not None:
            index = {name: number for number, name in enumerate(items)}
            own += np.array([offsets[index[i]] if i in index else 0.0 for i in calibration_items], np.float32)
        if calibration_mated is not None:
            own = np.where(np.isfinite(own), own, _column(calibration_mated, item))
        gap = _gaps(rates, found.first, own, calibration_items, vectors, item, tree, offsets)
        levels, joint = _levels(rates, found, calibration_items, tree)
        return cls(rates, tree, unknown, gap, levels, joint, offsets)

    @property
    def thresholds(self) -> dict[str, float]:
        """What the rates come to in this gallery. `lead`: a crop whose `item_lead` exceeds it is of an enrolled product (inf: none
        ever is); `gap`: candidates no further behind the first belong to the answer set (inf: all do)."""
        return {
            "lead": self.unknown.threshold(self.rates.false_accept),
            "gap": self.gap.threshold(1 - self.rates.coverage),
        }

    def judge(self, matches: Matches) -> Verdicts:
        """Statuses, answer sets and levels; with a prior, `matches` must have been moved by it."""
        first = matches.similarities[:, 0].astype(np.float64)
        seconds = self._seconds(matches)
        best_other = np.repeat(first[:, None], matches.similarities.shape[1], axis=1)
        best_other[:, 0] = seconds[:, -1]
        p_values = self.unknown.p_values(item_lead(matches.similarities, best_other, self.rates.margin))
        behind = first[:, None] - matches.similarities
        answers = self.gap.p_values(behind) > 1 - self.rates.coverage
        answers[:, 0] = True
        status = np.where(p_values[:, 0] > self.rates.false_accept, 2, (answers.sum(axis=1) > 1).astype(np.int64))
        sure = np.stack([lead(first, s, self.rates.margin) for s in seconds.T], axis=1)
        each = np.stack([self.levels[level].p_values(sure[:, level]) for level in range(sure.shape[1])], axis=1)
        level_p = self.joint.p_values(-each)
        level_p[~self.tree.named[matches.items[:, 0]], :-1] = 1.0
        deep = level_p <= self.rates.category_error
        deepest = np.where(deep.any(axis=1), deep.shape[1] - 1 - deep[:, ::-1].argmax(axis=1), -1)
        return Verdicts(status.astype(np.int64), p_values, answers, deepest, level_p)

    def path(self, item: int, level: int) -> tuple[str, ...]:
        """Names of the category reported for a crop whose first candidate is `item`; none at level -1."""
        return self.tree.path(item, level) if level >= 0 else ()

    def _seconds(self, matches: Matches) -> NDArray[np.float64]:
        """(B, L + 1) the most similar candidate outside the first one's node; the last one's where all lie inside."""
        nodes = self.tree.nodes[matches.items]
        outside = nodes != nodes[:, :1]
        place = np.where(outside.any(axis=1), outside.argmax(axis=1), -1)
        similar = np.take_along_axis(
            matches.similarities, np.where(place < 0, matches.items.shape[1] - 1, place), axis=1
        )
        everything = matches.items.shape[1] >= len(self.tree.items)
        return np.where((place < 0) & everything, NOTHING, similar).astype(np.float64)


def lead(first: ArrayLike, second: ArrayLike, margin: float) -> NDArray[np.float64]:
    """How sure an answer looks: its similarity, and `margin` times what it has before the next; below the similarity where another
    is nearer.

    Whatever else is true, a wrong node looks no surer when the right one is enrolled beside it than when it is not: the right one
    can only take the first place or come nearer as the second. So the goods that are not enrolled are the hardest case, and
    an error rate that holds for them holds for a mixture with any share of enrolled ones.
    """
    similar = np.asarray(first, np.float64)
    return np.asarray(similar + margin * (similar - np.asarray(second, np.float64)))


def item_lead(similar: ArrayLike, other: ArrayLike, margin: float) -> NDArray[np.float64]:
    """`lead` of an item over the best of the others, where an item that has nothing in common with the crop, or none, counts
    as 0: in a gallery of two an enrolled view, which meets all but its own, would look surer than any stranger."""
    return lead(similar, np.maximum(other, 0.0), margin)


def _column(mated: Vectors, item: NDArray[np.int64]) -> Vectors:
    """(C,) what stands for the usual number of views in this gallery."""
    usual = int(np.median(np.bincount(item)))
    columns: Vectors = mated[:, min(usual, mated.shape[1]) - 1]
    return columns


def _gaps(
    rates: Rates,
    first: Vectors,
    own: Vectors,
    owners: Sequence[str | None],
    vectors: Vectors,
    item: NDArray[np.int64],
    tree: Tree,
    offsets: Vectors | None,
) -> Reference:
    groups = list(owners)
    if len({g for g, o in zip(owners, own, strict=True) if np.isfinite(o)}) < FEW_MATED:
        chosen = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), MOST_VIEWS)).astype(np.int64))
        names = [tree.items[number] for number in item[chosen]]
        beside = own_similarities(vectors[chosen], names, vectors, item, tree.items, leave_out=True)
        if offsets is not None:
            beside += offsets[item[chosen]]
        first = np.concatenate([first, tops(vectors[chosen], names, vectors, item, tree, offsets=offsets).first])
        own, groups = np.concatenate([own, beside]), groups + names
    return Reference.of(np.maximum(first - own, 0), groups, unit=rates.unit, level=1 - rates.coverage)


def _levels(
    rates: Rates, found: Tops, owners: Sequence[str | None], tree: Tree
) -> tuple[tuple[Reference, ...], Reference]:
    """How sure wrong answers look at each level, and the least p-value at which each crop would be answered wrongly.

    A node that is wrong is also wrong at every deeper level, so a crop is answered wrongly at a level of significance θ if
    and only if one of its wrong levels has p ≤ θ: the least of these is a score, and its quantile holds all levels at once.
    """
    knows = tree.knows_category(owners)
    outer = lead(found.outer_first, found.outer_second, rates.margin)
    outer[~knows, :-1] = np.nan
    levels = tuple(
        Reference.of(outer[:, level], owners, unit=rates.unit, level=rates.category_error)
        for level in range(tree.depth + 1)
    )
    sure = lead(found.first[:, None], found.second, rates.margin)
    each = np.stack([levels[level].p_values(sure[:, level]) for level in range(tree.depth + 1)], axis=1)
    least = np.where(found.wrong, each, np.inf).min(axis=1)
    if tree.depth:
        least[~knows] = np.nan
    return levels, Reference.of(-least, owners, unit=rates.unit, level=rates.category_error)
