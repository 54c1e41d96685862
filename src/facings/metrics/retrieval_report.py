"""All there is to say of one retrieval, in one record for JSON. Knows nothing of pictures or models."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.metrics.hierarchy import CategoryTree, hierarchical_errors, mistake_heights
from facings.metrics.nearest import Indices, top_k
from facings.metrics.rank_figures import (
    Missing,
    class_figures,
    cmc_curve,
    level_figures,
    level_hits,
    level_labels,
    query_figures,
    summary,
)
from facings.metrics.ranking import Ranks, hidden_pairs, relevant_ranks
from facings.metrics.retrieval_intervals import Values, figure_intervals
from facings.metrics.threshold_consistency import ThresholdConsistency, threshold_consistency

# Past this many pairs of query and view the levels have R@k alone, and the thresholds are not looked at.
PAIRS = 50_000_000
WORST = 0.1
Intervals = dict[str, dict[str, float]]


def retrieval_report(
    queries: NDArray[np.float32],
    query_labels: Indices,
    gallery: NDArray[np.float32],
    gallery_labels: Indices,
    *,
    paths: Sequence[Sequence[str]] | None = None,
    own: Indices | None = None,
    cameras: tuple[Indices, Indices] | None = None,
    ks: Sequence[int] = (1, 5, 10),
    depth: int = 50,
    missing: Missing = "wrong",
    seed: int = 0,
    repeats: int = 1000,
) -> dict[str, Any]:
    """`figures` (micro and macro), `intervals` (95 %, whole products drawn), `cmc`, `classes` by label; with `paths` also
    `levels` (from the coarsest) and `hierarchy`; `threshold_consistency` where classes can be compared, else None.

    `intervals` are of all of these: `products` and `macro` of the figures, `levels` (a list), `hierarchy`, and of
    `threshold_consistency` that of OPIS, for which its classes are drawn.

    `paths`: of label 0, 1, …: category names from coarse to fine, the product itself last; a product without a view has a
    label and a path as well. `own`, `cameras`: see `relevant_ranks`; `missing`: see `query_figures`. `depth` of the curve.

    By hand: two queries of product 0, whose view is the nearest of the first and the second nearest of the second.

    >>> at = lambda *degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    >>> found = retrieval_report(at(0, 90), np.array([0, 0]), at(10, 80), np.array([0, 1]), ks=(1,), depth=2)
    >>> found["figures"]["r1"], found["figures"]["map"], found["cmc"]
    (0.5, 0.75, [0.5, 1.0])

    Raises ValueError as `relevant_ranks`, and for a label without a path.
    """
    if paths is not None and len(paths) <= max(int(query_labels.max()), int(gallery_labels.max())):
        raise ValueError(f"{len(paths)} paths, but labels up to {max(query_labels.max(), gallery_labels.max())}")
    ranks = relevant_ranks(queries, query_labels, gallery, gallery_labels, cameras=cameras, own=own)
    figures = query_figures(ranks, ks=ks, missing=missing)

    def intervals(of: Mapping[str, Values], groups: Indices | None = query_labels, macro: bool = False) -> Intervals:
        found = figure_intervals(of, groups=groups, macro=macro, seed=seed, repeats=repeats)
        return {name: asdict(value) for name, value in found.items()}

    consistency = _consistency(queries, query_labels, gallery, gallery_labels, ranks, own)
    opis = {} if consistency is None else intervals({"opis": consistency.of_class}, groups=None)
    has_any = missing == "wrong" or bool((ranks.relevant > 0).any())
    report: dict[str, Any] = {
        "queries": len(queries),
        "views": len(gallery),
        "without_view": int((ranks.relevant == 0).sum()),
        "figures": summary(figures, query_labels),
        "intervals": {
            "products": intervals(figures),
            "macro": intervals(figures, macro=True),
            "threshold_consistency": opis,
        },
        "cmc": cmc_curve(ranks, depth, missing=missing).tolist() if has_any else None,
        "classes": class_figures(figures, query_labels),
        "threshold_consistency": None if consistency is None else _told(consistency),
    }
    if paths is None:
        return report
    left_out = hidden_pairs(query_labels, gallery_labels, cameras=cameras, own=own)
    nearest = top_k(queries, gallery, max(ks), left_out=left_out).indices
    levels = _levels(queries, query_labels, gallery, gallery_labels, paths, nearest, ks, own, cameras)
    answers, tree = np.where(nearest >= 0, gallery_labels[nearest], -1), CategoryTree(paths)
    first = mistake_heights(answers, query_labels, tree)[:, 0].astype(np.float64)
    heights = {"mistake_height": np.where(first > 0, first, np.nan), "height": first, "mistakes": np.sign(first)}
    report["intervals"] |= {"levels": [intervals(of) for _, of in levels], "hierarchy": intervals(heights)}
    shown = [summary(of, labels) for labels, of in levels]
    return report | {"levels": shown, "hierarchy": hierarchical_errors(answers, query_labels, tree)}


def _levels(
    queries: NDArray[np.float32],
    query_labels: Indices,
    gallery: NDArray[np.float32],
    gallery_labels: Indices,
    paths: Sequence[Sequence[str]],
    nearest: Indices,
    ks: Sequence[int],
    own: Indices | None,
    cameras: tuple[Indices, Indices] | None,
) -> list[tuple[Indices, dict[str, Values]]]:
    """The queries' labels and figures at each level from the coarsest; where views are too many, R@k alone."""
    asked, views = [paths[label] for label in query_labels], [paths[label] for label in gallery_labels]
    # A camera's own views are hidden by product, which ranking anew by category would not know.
    if cameras is None and len(queries) * len(gallery) <= PAIRS:
        return level_figures(queries, asked, gallery, views, ks=ks, own=own)
    of_query = [labels[: len(asked)] for labels in level_labels([*asked, *views])]
    return [
        (labels, {f"r{k}": hits[:, min(k, hits.shape[1]) - 1].astype(np.float64) for k in ks})
        for labels, hits in zip(of_query, level_hits(nearest, asked, views), strict=True)
    ]


def _consistency(
    queries: NDArray[np.float32],
    query_labels: Indices,
    gallery: NDArray[np.float32],
    gallery_labels: Indices,
    ranks: Ranks,
    own: Indices | None,
) -> ThresholdConsistency | None:
    """None past `PAIRS`, or when no query has a right view and a wrong one."""
    compared = (ranks.relevant > 0).any() and len(np.unique(gallery_labels)) > 1
    if not compared or len(queries) * len(gallery) > PAIRS:
        return None
    if own is not None:
        return threshold_consistency(gallery, gallery_labels)
    return threshold_consistency(queries, query_labels, gallery=gallery, gallery_labels=gallery_labels)


def _told(found: ThresholdConsistency) -> dict[str, float]:
    return {
        "opis": found.opis,
        f"opis_worst_{WORST:g}": found.worst(WORST),
        "low": found.low,
        "high": found.high,
        "classes": float(len(found.classes)),
    }
