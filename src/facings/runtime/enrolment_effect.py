"""What a change of the gallery does to the answers: thresholds, confusions, expected error. Knows nothing of photos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facings.runtime.gallery import Gallery
from facings.runtime.search import HELD, ExactSearch

# Views of changed products that are looked at; beyond, a sample stands for them.
SAMPLE = 2048


@dataclass(frozen=True)
class Confusion:
    """Two products of which a view of one is so similar to a view of the other that it would be accepted as it."""

    product_id: str
    other: str
    similarity: float


@dataclass(frozen=True)
class Effect:
    """`threshold_before`, `threshold_after`: similarity above which an answer is accepted at the chosen share of unknown goods,
    infinite where nothing is; `confusions`: new ones, most similar first; `views`: views of changed products that were
    looked at, each left out in turn: `mistaken` share of them whose nearest view is another product's, `unsure` share whose
    own product does not reach the threshold; NaN without such views."""

    false_accept_rate: float
    threshold_before: float
    threshold_after: float
    confusions: tuple[Confusion, ...]
    views: int
    mistaken: float
    unsure: float

    def to_dict(self) -> dict[str, Any]:
        """JSON content; what is not finite becomes null."""
        values = {name: value for name, value in vars(self).items() if name != "confusions"}
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


def effect(
    before: Gallery, after: Gallery, changed: Sequence[str], false_accept_rate: float, *, seed: int = 0
) -> Effect:
    """What came of changing the products `changed` (those that `after` answers)."""
    changed = [name for name in changed if name in set(after.items)]
    least = threshold(after, false_accept_rate)
    pairs, views, mistaken, unsure = _against(after, changed, least, seed)
    known = [name for name in changed if name in set(before.items)]
    old = _against(before, known, threshold(before, false_accept_rate), seed)[0] if known else {}
    fresh = [Confusion(a, b, s) for (a, b), s in pairs.items() if (a, b) not in old]
    return Effect(
        false_accept_rate,
        threshold(before, false_accept_rate),
        least,
        tuple(sorted(fresh, key=lambda c: (-c.similarity, c.product_id, c.other))),
        views,
        mistaken,
        unsure,
    )


def _against(
    gallery: Gallery, names: Sequence[str], least: float, seed: int
) -> tuple[dict[tuple[str, str], float], int, float, float]:
    """Pairs (changed, other) whose best similarity exceeds `least`; views looked at; shares mistaken and unsure."""
    index = {name: number for number, name in enumerate(gallery.items)}
    wanted = np.array([index[name] for name in names], np.int64)
    rows = np.flatnonzero(np.isin(gallery.item, wanted))
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE])
    search = ExactSearch(gallery.vectors, gallery.item)
    pairs: dict[tuple[str, str], float] = {}
    wrong, below, judged = 0, 0, 0
    step = max(HELD // len(gallery.vectors), 1)
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        best = search.best(gallery.vectors[chosen])
        for row, similarities in zip(chosen, best, strict=True):
            own = int(gallery.item[row])
            rest = gallery.item == own
            rest[row] = False
            own_best = float((gallery.vectors[rest] @ gallery.vectors[row]).max()) if rest.any() else math.nan
            similarities[own] = -np.inf
            for other in np.flatnonzero(similarities > least):
                key = (gallery.items[own], gallery.items[other])
                pairs[key] = max(pairs.get(key, -1.0), round(float(similarities[other]), 6))
            if not math.isnan(own_best):
                judged += 1
                wrong += bool(similarities.max() > own_best)
                below += own_best <= least
    return pairs, judged, wrong / judged if judged else math.nan, below / judged if judged else math.nan
