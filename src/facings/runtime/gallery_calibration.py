"""The stored calibration crops against a gallery: how alike other products look. Knows nothing of files or versions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
# Similarities held at once: 1,024 crops x 8,192 views are 32 MB.
CROPS, VIEWS = 1024, 8192
# Below so many multiplications scores are taken anew, to the bit; above, only what a change can have moved.
CHEAP = 200_000_000
# Similarities of one pair can differ by a rounding between two products of matrices of other sizes.
ROUNDING = 1e-5


def unit(vectors: Vectors) -> Vectors:
    """Vectors (N, D) at unit length, float32; those that have it already stay bit for bit."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True) if len(vectors) else np.ones((0, 1), np.float32)
    if (np.abs(lengths - 1) < 1e-5).all():
        return vectors
    return np.where(np.abs(lengths - 1) < 1e-5, vectors, vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def non_mated_scores(
    vectors: Vectors, owners: Sequence[str | None], gallery: Vectors, item: NDArray[np.int64], items: Sequence[str]
) -> Vectors:
    """(C,) for each calibration vector (C, D) its highest similarity to a view (M, D) of another product; -1 without one.

    `owners`: product of each calibration vector, None for one that is no product of this shop; `item` (M,): index of each
    view into `items`.

    >>> views = np.eye(2, dtype=np.float32)
    >>> non_mated_scores(views[:1], ["a"], views, np.array([0, 1]), ["a", "b"])  # its own view does not count
    array([0.], dtype=float32)
    """
    index = {name: number for number, name in enumerate(items)}
    own = np.array([index.get(owner, -1) if owner is not None else -1 for owner in owners], np.int64)
    scores = np.full(len(vectors), -1.0, np.float32)
    for first in range(0, len(vectors), CROPS):
        crops = slice(first, first + CROPS)
        for start in range(0, len(gallery), VIEWS):
            views = slice(start, start + VIEWS)
            similarities = vectors[crops] @ gallery[views].T
            similarities[own[crops, None] == item[None, views]] = -1.0
            scores[crops] = np.maximum(scores[crops], similarities.max(axis=1))
    return scores


def witness_rows(owner: NDArray[np.int64], wanted: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Rows of at most `most` views that stand for their products: the first of each, then the second of each, and so on, in
    ascending order. `owner` (R,): product of each view, -1 for none; `wanted` (I,): products that are asked for.

    >>> witness_rows(np.array([0, 0, 0, -1, 1, 2]), np.array([True, True, False]), most=3).tolist()
    [0, 1, 4]
    """
    rows = np.flatnonzero((owner >= 0) & np.append(wanted, False)[owner])
    if len(rows) <= most:
        return rows
    order = np.argsort(owner[rows], kind="stable")
    ordered = owner[rows][order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    chosen = order[np.argsort(rank, kind="stable")]
    if len(starts) > most:
        chosen = chosen[np.linspace(0, len(starts) - 1, most).astype(np.int64)]
    return np.sort(rows[chosen[:most]])


def stale_scores(
    scores: Vectors, vectors: Vectors, owners: Sequence[str | None], gone: Vectors, gone_names: Sequence[str]
) -> NDArray[np.bool_]:
    """(C,) which scores may have come from one of the views `gone` (G, D), whose products are `gone_names`."""
    items, item = np.unique(np.asarray(gone_names, dtype=object).astype(str), return_inverse=True)
    reached = non_mated_scores(vectors, owners, gone, item.astype(np.int64), items.tolist())
    stale: NDArray[np.bool_] = reached >= scores - ROUNDING
    return stale


def raised_scores(
    scores: Vectors, vectors: Vectors, owners: Sequence[str | None], added: Vectors, added_names: Sequence[str]
) -> Vectors:
    """(C,) the scores after the views `added` (A, D) of the products `added_names` came in: they can only rise."""
    items, item = np.unique(np.asarray(added_names, dtype=object).astype(str), return_inverse=True)
    return np.maximum(scores, non_mated_scores(vectors, owners, added, item.astype(np.int64), items.tolist()))
