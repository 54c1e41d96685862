"""All there is to say of one retrieval, in one record for JSON. Knows nothing of pictures or models."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.metrics.hierarchy import CategoryTree, hierarchical_errors
from facings.metrics.nearest import Indices, top_k
from facings.metrics.rank_figures import (
    Missing,
    class_figures,
    cmc_curve,
    level_figures,
    level_recall,
    query_figures,
    summary,
)
from facings.metrics.ranking import Ranks, hidden_pairs, relevant_ranks
from facings.metrics.retrieval_intervals import figure_intervals
from facings.metrics.threshold_consistency import threshold_consistency

# Past this many pairs of query and view the levels have R@k alone, and the thresholds are not looked at.
PAIRS = 50_000_000
WORST = 0.1


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
    intervals = {
        "products": figure_intervals(figures, groups=query_labels, seed=seed, repeats=repeats),
        "macro": figure_intervals(figures, groups=query_labels, macro=True, seed=seed, repeats=repeats),
    }
    has_any = missing == "wrong" or bool((ranks.relevant > 0).any())
    report: dict[str, Any] = {
        "queries": len(queries),
        "views": len(gallery),
        "without_view": int((ranks.relevant == 0).sum()),
        "figures": summary(figures, query_labels),
        "intervals": {kind: {name: asdict(value) for name, value in of.items()} for kind, of in intervals.items()},
        "cmc": cmc_curve(ranks, depth, missing=missing).tolist() if has_any else None,
        "classes": class_figures(figures, query_labels),
        "threshold_consistency": _consistency(queries, query_labels, gallery, gallery_labels, ranks, own),
    }
    if paths is None:
        return report
    left_out = hidden_pairs(query_labels, gallery_labels, cameras=cameras, own=own)
    nearest = top_k(queries, gallery, max(ks), left_out=left_out).indices
    return report | _by_category(queries, query_labels, gallery, gallery_labels, paths, nearest, ks, own, cameras)


def _by_category(
    queries: NDArray[np.float32],
    query_labels: Indices,
    gallery: NDArray[np.float32],
    gallery_labels: Indices,
    paths: Sequence[Sequence[str]],
    nearest: Indices,
    ks: Sequence[int],
    own: Indices | None,
    cameras: tuple[Indices, Indices] | None,
) -> dict[str, Any]:
    asked, views = [paths[label] for label in query_labels], [paths[label] for label in gallery_labels]
    answers = np.where(nearest >= 0, gallery_labels[nearest], -1)
    levels: list[dict[str, float]]
    # A camera's own views are hidden by product, which ranking anew by category would not know.
    if cameras is None and len(queries) * len(gallery) <= PAIRS:
        levels = level_figures(queries, asked, gallery, views, ks=ks, own=own)
    else:
        curves = level_recall(nearest, asked, views)
        levels = [{f"r{k}": curve[min(k, len(curve)) - 1] for k in ks} for curve in curves]
    return {"levels": levels, "hierarchy": hierarchical_errors(answers, query_labels, CategoryTree(paths))}


def _consistency(
    queries: NDArray[np.float32],
    query_labels: Indices,
    gallery: NDArray[np.float32],
    gallery_labels: Indices,
    ranks: Ranks,
    own: Indices | None,
) -> dict[str, float] | None:
    """None past `PAIRS`, or when no query has a right view and a wrong one."""
    compared = (ranks.relevant > 0).any() and len(np.unique(gallery_labels)) > 1
    if not compared or len(queries) * len(gallery) > PAIRS:
        return None
    if own is not None:
        found = threshold_consistency(gallery, gallery_labels)
    else:
        found = threshold_consistency(queries, query_labels, gallery=gallery, gallery_labels=gallery_labels)
    return {
        "opis": found.opis,
        f"opis_worst_{WORST:g}": found.worst(WORST),
        "low": found.low,
        "high": found.high,
        "classes": float(len(found.classes)),
    }
