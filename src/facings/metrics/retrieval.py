"""Retrieval against a gallery: exact, in chunks. Knows nothing of pictures or models.

The short form, for every epoch; `ranking` and `rank_figures` have all of it (CMC, mAP, classes, levels, large galleries).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facings.metrics.nearest import own_pairs, top_k
from facings.metrics.reranking import CANDIDATES, Reranking, reranked

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]
CHUNK = 1024


def retrieval_metrics(
    queries: Vectors,
    query_labels: Labels,
    gallery: Vectors,
    gallery_labels: Labels,
    *,
    ks: Sequence[int] = (1, 5),
    exclude_self: bool = False,
    own: Labels | None = None,
) -> dict[str, float]:
    """R@k for each of `ks` (as `r1`, `r5`) and mAP@R (`map_at_r`), all 0–1.

    `queries` (Q, D), `gallery` (G, D): unit vectors; similarity is the cosine. R@k: share of queries with a view of
    their product among the k most similar views. mAP@R (Musgrave, Belongie, Lim: "A Metric Learning Reality Check",
    ECCV 2020): with R the number of views of the query's product, the mean over i = 1 … R of precision at i where the
    i-th view is right, 0 where it is wrong. A query without a view in the gallery counts as wrong.

    `exclude_self`: the gallery is the queries themselves, and query i never finds view i. `own`: (Q,) the view that is the query
    itself, -1 for none, where only some are in the gallery or their order is another.

    By hand: query a; views by similarity a, b, a (R = 2): R@1 = 1, mAP@R = (1/1 + 0) / 2 = 0.5.

    >>> q, g = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
    >>> retrieval_metrics(q, np.array([0]), g, np.array([0, 1, 0]), ks=(1,))
    {'r1': 1.0, 'map_at_r': 0.5}

    Without itself, each of the three views has one right answer at most: the first finds b before a (wrong), b has no
    other view (wrong), the last finds b before a (wrong).

    >>> retrieval_metrics(g, np.array([0, 1, 0]), g, np.array([0, 1, 0]), ks=(1, 2), exclude_self=True)
    {'r1': 0.0, 'r2': 0.6666666666666666, 'map_at_r': 0.0}

    Raises ValueError when there is no query or no view, `exclude_self` is asked of a gallery of another length, or with `own`.
    """
    _check(queries, query_labels, gallery, gallery_labels)
    if exclude_self and len(queries) != len(gallery):
        raise ValueError(f"exclude_self wants the queries as gallery; got {len(queries)} queries, {len(gallery)} views")
    if exclude_self and own is not None:
        raise ValueError("exclude_self and own both say which view a query is; give one of them")
    if exclude_self:
        own = np.arange(len(queries), dtype=np.int64)
    hidden = np.full(len(queries), -1, np.int64) if own is None else own
    relevant = _views_of(query_labels, gallery_labels) - (hidden >= 0)
    depth = min(len(gallery) - int((hidden >= 0).any()), max(*ks, int(relevant.max()), 1))
    if depth == 0:
        return dict.fromkeys([*(f"r{k}" for k in ks), "map_at_r"], 0.0)
    sums = dict.fromkeys([*(f"r{k}" for k in ks), "map_at_r"], 0.0)
    for start in range(0, len(queries), CHUNK):
        part = slice(start, start + CHUNK)
        right = _ranked(queries[part], gallery, gallery_labels, depth, hidden[part]) == query_labels[part, None]
        for name, values in _of_lists(right, relevant[part], ks).items():
            sums[name] += float(values.sum())
    return {name: total / len(queries) for name, total in sums.items()}


def reranked_figures(
    way: Reranking,
    queries: Vectors,
    query_labels: Labels,
    gallery: Vectors,
    gallery_labels: Labels,
    *,
    ks: Sequence[int] = (1, 5),
) -> dict[str, NDArray[np.float64]]:
    """(Q,) of each query the figures of `retrieval_metrics`, after `facings.metrics.reranking.reranked` of as many views as a
    product has, 100 or more.

    By hand: the nearest view, 8 degrees away, is another product's; mixed with all three views the query turns to -2.75 degrees:

    >>> at = lambda *degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1).astype(np.float32)
    >>> found = reranked_figures("expansion", at(0), np.array([0]), at(8, -9, -10), np.array([1, 0, 0]), ks=(1,))
    >>> found["r1"]
    array([1.])

    Raises ValueError when there is no query or no view.
    """
    _check(queries, query_labels, gallery, gallery_labels)
    relevant = _views_of(query_labels, gallery_labels)
    found = reranked(way, queries, gallery, min(len(gallery), max(CANDIDATES, *ks, int(relevant.max()))))
    right = gallery_labels[found.indices] == query_labels[:, None]
    return _of_lists(right, relevant, ks)


def _views_of(labels: Labels, gallery_labels: Labels) -> Labels:
    """(Q,) how many views the gallery has of each label."""
    views = {
        int(label): int(count) for label, count in zip(*np.unique(gallery_labels, return_counts=True), strict=True)
    }
    return np.array([views.get(int(label), 0) for label in labels], np.int64)


def _of_lists(right: NDArray[np.bool_], relevant: Labels, ks: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """(q,) R@k for each of `ks` and mAP@R of each query. `right` (q, L): whether each view of its list is the product's;
    `relevant` (q,): views that the product has, L or fewer."""
    figures = {f"r{k}": np.asarray(right[:, :k].any(axis=1), np.float64) for k in ks}
    ranks = np.arange(1, right.shape[1] + 1)
    precision = np.cumsum(right, axis=1) / ranks * right * (ranks <= relevant[:, None])
    figures["map_at_r"] = (precision.sum(axis=1) / np.maximum(relevant, 1)).astype(np.float64)
    return figures


def nearest_labels(queries: Vectors, gallery: Vectors, gallery_labels: Labels) -> Labels:
    """(Q,) label of the most similar view of each query.

    >>> nearest_labels(np.array([[0.6, 0.8]]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([4, 7])).tolist()
    [7]
    """
    parts = [
        _ranked(queries[start : start + CHUNK], gallery, gallery_labels, 1)[:, 0]
        for start in range(0, len(queries), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def prototype_predictions(
    queries: Vectors, gallery: Vectors, gallery_labels: Labels, *, own: Labels | None = None
) -> Labels:
    """(Q,) label of the product whose mean view (renormalised) is most similar to each query.

    Snell, Swersky, Zemel: "Prototypical Networks", NeurIPS 2017, with the cosine for the distance.

    By hand: views of product 4 at 0 and 90 degrees have their mean at 45; product 7 lies at 100. A query at 80 degrees
    is nearer to 7's mean (20 degrees) than to 4's (35), although 4 has a view at 10 degrees and 7's is at 20.

    >>> at = lambda *degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    >>> prototype_predictions(at(80), at(0, 90, 100), np.array([4, 4, 7])).tolist()
    [7]
    >>> nearest_labels(at(80), at(0, 90, 100), np.array([4, 4, 7])).tolist()
    [4]

    `own`: (Q,) the view that is the query itself, -1 for none: its product's mean is then that of the product's other views.
    Without itself the view of product 4 at 90 degrees is nearer to 7's (10 degrees) than to the other of 4 (90):

    >>> prototype_predictions(at(90), at(0, 90, 100), np.array([4, 4, 7]), own=np.array([1])).tolist()
    [7]

    Raises ValueError when there is no view.
    """
    if len(gallery) == 0:
        raise ValueError("prototypes need views; the gallery is empty")
    labels = np.unique(gallery_labels)
    if own is not None and (own >= 0).any():
        return labels[_other_means(queries, gallery, np.searchsorted(labels, gallery_labels), own).argmax(axis=1)]
    means = np.stack([gallery[gallery_labels == label].mean(axis=0) for label in labels])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return nearest_labels(queries, means.astype(np.float32), labels)


def _other_means(queries: Vectors, gallery: Vectors, place: Labels, own: Labels) -> Vectors:
    """(Q, P) similarity to each product's mean, of the query's own product without the query's own view; -inf where it is all.

    `place` (G,): each view's product, 0 … P-1.
    """
    counts = np.bincount(place)
    sums = np.zeros((len(counts), gallery.shape[1]))
    np.add.at(sums, place, gallery)
    found = queries @ _unit(sums).T
    asked = np.flatnonzero(own >= 0)
    products, views = place[own[asked]], gallery[own[asked]]
    rest = (queries[asked] * _unit(sums[products] - views)).sum(axis=1)
    found[asked, products] = np.where(counts[products] > 1, rest, -np.inf)
    return found


def _unit(vectors: NDArray[np.float64]) -> Vectors:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _ranked(
    queries: Vectors, gallery: Vectors, gallery_labels: Labels, depth: int, own: Labels | None = None
) -> Labels:
    """(q, depth) labels of the most similar views, best first; ties go to the earlier view.

    `own`: (q,) the view that each query may not find, -1 for none.
    """
    ranked: Labels = gallery_labels[top_k(queries, gallery, depth, left_out=own_pairs(own)).indices]
    return ranked


def _check(queries: Vectors, query_labels: Labels, gallery: Vectors, gallery_labels: Labels) -> None:
    if len(queries) == 0 or len(gallery) == 0:
        raise ValueError(f"retrieval needs queries and views; got {len(queries)} queries, {len(gallery)} views")
    if len(queries) != len(query_labels) or len(gallery) != len(gallery_labels):
        raise ValueError("retrieval needs one label a vector")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} dimensions, the gallery has {gallery.shape[1]}")
