"""What a change of the gallery does to the answers: thresholds, confusions, expected error. Knows nothing of photos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.runtime.gallery import Gallery
from facings.runtime.search import HELD, ExactSearch
from facings.runtime.similarity_tops import NOTHING
from facings.runtime.standard import Standard, item_lead

# Views of changed products that are looked at; beyond, a sample stands for them.
SAMPLE = 2048
STANDARDS = ("coverage", "gap_before", "gap_after", "uncovered")


@dataclass(frozen=True)
class Confusion:
    """Two products of which a view of one would be accepted as the other if its own product were not enrolled."""

    product_id: str
    other: str
    similarity: float


@dataclass(frozen=True)
class Effect:
    """`threshold_before`, `threshold_after`: similarity above which an answer is accepted at the chosen share of unknown goods,
    infinite where nothing is (a standard counts the lead over the next product beside it: `facings.runtime.standard.item_lead`);
    `confusions`: new ones, most similar first; `views`: views of changed products that were
    looked at, each left out in turn: `mistaken` share of them whose nearest view is another product's, `unsure` share whose
    own product does not reach the threshold; NaN without such views.

    Where a standard decides: `coverage` the operator's, `gap_before` and `gap_after` how far behind the first a candidate of the
    answer set may lie, `uncovered` share of the views whose own product lies further behind."""

    false_accept_rate: float
    threshold_before: float
    threshold_after: float
    confusions: tuple[Confusion, ...]
    views: int
    mistaken: float
    unsure: float
    coverage: float | None = None
    gap_before: float = math.nan
    gap_after: float = math.nan
    uncovered: float = math.nan

    def to_dict(self) -> dict[str, Any]:
        """JSON content; what is not finite becomes null. Without a standard, nothing is told of its figures."""
        left_out = {"confusions"} if self.coverage is not None else {"confusions", *STANDARDS}
        values = {name: value for name, value in vars(self).items() if name not in left_out}
        plain = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
        return plain | {"confusions": [vars(confusion) for confusion in self.confusions]}


def threshold(gallery: Gallery, false_accept_rate: float) -> float:
    """The similarity that an answer must exceed for a p-value of at most `false_accept_rate` (0–1).

    p(s) = (1 + #{scores >= s}) / (1 + C) <= α exactly when fewer than k = floor(α (1 + C)) scores reach s: when s exceeds the
    k-th highest. Infinite where no p-value is so small.
    """
    scores = np.sort(gallery.calibration_scores)[::-1]
    rank = math.floor(false_accept_rate * (1 + len(scores)) + 1e-9)
    if rank < 1:
        return math.inf
    return float(scores[rank - 1]) if rank <= len(scores) else -1.0


@dataclass(frozen=True)
class _Cut:
    """What is accepted: an `item_lead` of more than `accept`; `gap`: as in `Standard.thresholds`, NaN without a standard."""

    accept: float
    gap: float = math.nan
    margin: float = 0.0


@dataclass(frozen=True)
class _Against:
    """Pairs (changed, other) → best similarity above the threshold; of the views looked at, counts."""

    pairs: dict[tuple[str, str], float]
    views: int = 0
    mistaken: int = 0
    unsure: int = 0
    uncovered: int = 0

    def share(self, count: int) -> float:
        return count / self.views if self.views else math.nan


def effect(
    before: Gallery,
    after: Gallery,
    changed: Sequence[str],
    false_accept_rate: float,
    *,
    seed: int = 0,
    standards: tuple[Standard, Standard] | None = None,
) -> Effect:
    """What came of changing the products `changed` (those that `after` answers). `standards`: of `before` and of `after`, where
    they decide; else the share `false_accept_rate` of each gallery's own calibration scores."""
    changed = [name for name in changed if name in set(after.items)]
    cuts = [_Cut(threshold(gallery, false_accept_rate)) for gallery in (before, after)]
    if standards is not None:
        false_accept_rate = standards[1].rates.false_accept
        cuts = [_Cut(s.thresholds["lead"], s.thresholds["gap"], s.rates.margin) for s in standards]
    old_cut, cut = cuts
    found = _against(after, changed, cut, seed)
    known = [name for name in changed if name in set(before.items)]
    old = _against(before, known, old_cut, seed).pairs if known else {}
    fresh = [Confusion(a, b, s) for (a, b), s in found.pairs.items() if (a, b) not in old]
    return Effect(
        false_accept_rate,
        old_cut.accept,
        cut.accept,
        tuple(sorted(fresh, key=lambda c: (-c.similarity, c.product_id, c.other))),
        found.views,
        found.share(found.mistaken),
        found.share(found.unsure),
        standards[1].rates.coverage if standards is not None else None,
        old_cut.gap,
        cut.gap,
        found.share(found.uncovered) if standards is not None else math.nan,
    )


def _against(gallery: Gallery, names: Sequence[str], cut: _Cut, seed: int) -> _Against:
    """Views of the products `names` against all others."""
    index = {name: number for number, name in enumerate(gallery.items)}
    wanted = np.array([index[name] for name in names], np.int64)
    rows = np.flatnonzero(np.isin(gallery.item, wanted))
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE])
    search = ExactSearch(gallery.vectors, gallery.item)
    pairs: dict[tuple[str, str], float] = {}
    judged, wrong, below, uncovered = 0, 0, 0, 0
    step = max(HELD // len(gallery.vectors), 1)
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        best = search.best(gallery.vectors[chosen])
        for row, similarities in zip(chosen, best, strict=True):
            own = int(gallery.item[row])
            rest = gallery.item == own
            rest[row] = False
            own_best = float((gallery.vectors[rest] @ gallery.vectors[row]).max()) if rest.any() else math.nan
            similarities[own] = NOTHING
            for other in np.flatnonzero(_sure(similarities, cut.margin) > cut.accept):
                key = (gallery.items[own], gallery.items[other])
                pairs[key] = max(pairs.get(key, -1.0), round(float(similarities[other]), 6))
            if not math.isnan(own_best):
                judged += 1
                wrong += bool(similarities.max() > own_best)
                below += bool(item_lead(own_best, similarities.max(), cut.margin) <= cut.accept)
                uncovered += bool(similarities.max() - own_best > cut.gap)
    return _Against(pairs, judged, wrong, below, uncovered)


def _sure(similarities: NDArray[np.float32], margin: float) -> NDArray[np.float64]:
    """(I,) the `item_lead` of each item over the best of the others."""
    second, first = np.partition(np.append(similarities, [NOTHING, NOTHING]), -2)[-2:]
    return item_lead(similarities, np.where(similarities == first, second, first), margin)
