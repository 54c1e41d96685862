"""A better order from what was found: query expansion and k-reciprocal neighbours, on top-k lists. Knows nothing of labels.

Vectors are unit length; distance is 1 - cosine, half the squared Euclidean one.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.metrics.nearest import Indices, Nearest, Vectors, top_k

# Ways of putting a list in a better order.
Reranking = Literal["expansion", "k_reciprocal"]
# Views of each query that are put in order anew.
CANDIDATES = 100
# Nearest views that a query is mixed with.
EXPANDED = 10
BLOCK = 4096
Row = tuple[Indices, NDArray[np.float64]]


def reranked(way: Reranking, queries: Vectors, gallery: Vectors, count: int = CANDIDATES) -> Nearest:
    """The `count` nearest views by `expanded_queries` ("expansion") or by `k_reciprocal`, at their papers' settings."""
    if way == "k_reciprocal":
        return k_reciprocal(queries, gallery, candidates=count)
    return top_k(expanded_queries(queries, gallery, top_k(queries, gallery, EXPANDED)), gallery, count)


def expanded_queries(
    queries: Vectors, gallery: NDArray[Any], nearest: Nearest, *, count: int = EXPANDED, alpha: float = 0.0
) -> Vectors:
    """(Q, D) unit queries mixed with their `count` nearest views; ask `top_k` again with them.

    `alpha` 0: the plain mean of query and views (average query expansion; Chum et al.: "Total Recall", ICCV 2007).
    Above: views weigh similarity^alpha and the query 1 (Radenović, Tolias, Chum: "Fine-tuning CNN Image Retrieval with No
    Human Annotation", TPAMI 2018; alpha = 3 there); a similarity below 0 weighs nothing. `gallery` may be a memory map.
    Lists shorter than `count` are taken as they are.

    By hand: a query at 0 degrees whose nearest is at 60: their mean is at 30; weighed by 0.5^1 it is at 19.1.

    >>> at = lambda *degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    >>> found = top_k(at(0), at(60), 1)
    >>> [round(float(np.degrees(np.arctan2(*expanded_queries(at(0), at(60), found, alpha=a)[0, ::-1])))) for a in (0, 1)]
    [30, 19]

    Raises ValueError for a count below 1 or a negative alpha.
    """
    if count < 1 or alpha < 0:
        raise ValueError(f"count is {count}, alpha {alpha}; expected 1 or more, and 0 or more")
    mixed = np.array(queries, np.float32)
    for low in range(0, len(mixed), BLOCK):
        part = slice(low, low + BLOCK)
        index, similarity = nearest.indices[part, :count], nearest.similarities[part, :count]
        there = index >= 0
        weight = np.where(there, np.maximum(np.where(there, similarity, 0), 0) ** alpha if alpha else 1.0, 0.0)
        views = np.asarray(gallery[np.maximum(index, 0)], np.float32)
        mixed[part] += np.einsum("qk,qkd->qd", weight.astype(np.float32), views)
    mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
    return mixed


def k_reciprocal(
    queries: Vectors,
    gallery: Vectors,
    *,
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    candidates: int = CANDIDATES,
) -> Nearest:
    """The `candidates` nearest views of each query, put in order by k-reciprocal neighbours.

    Zhong, Zheng, Cao, Li: "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. Queries and views
    are one set of N; N(p, k) are p and its k nearest; R(p, k) those of N(p, k) whose N(·, k) hold p (eq. 3), and R* adds
    R(q, k1 / 2) of each q in it that shares two thirds with it (eq. 5). p's vector has exp(-distance) at R*(p, k1)
    (eq. 7), sums to one, and becomes the mean over N(p, k2 - 1) (eq. 11). With the Jaccard distance of two vectors (eq. 10)
    the answer is (1 - weight) Jaccard + weight distance (eq. 12); similarity is its negative. k1, k2, weight: the authors'.

    What differs: the authors' code divides each row of distances by its largest; here they stay 1 - cosine, so that no
    full matrix is needed. Memory: N (k1 + 1) numbers for the lists, and some N k1 k2 for the vectors; the time is that
    of `top_k` of N against N. A query's answer depends on the other queries, as it does there.

    By hand: two views alike, each other's neighbours, before one that stands alone:

    >>> at = lambda *degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    >>> k_reciprocal(at(0), at(20, -5, -10), k1=2, k2=1).indices.tolist()
    [[1, 2, 0]]

    Raises ValueError for k1, k2 or candidates below 1, or a weight outside 0–1.
    """
    if min(k1, k2, candidates) < 1 or not 0 <= weight <= 1:
        raise ValueError(
            f"k1 {k1}, k2 {k2}, candidates {candidates}, weight {weight}; expected 1 or more each, and a weight from 0 to 1"
        )
    items = np.concatenate([queries, gallery]).astype(np.float32)
    lists = _with_itself(top_k(items, items, min(k1 + 1, len(items))), len(items))
    rows = [_encoded(item, lists, items, k1) for item in range(len(items))]
    smooth = [_mean_row([rows[near] for near in lists[item, :k2].tolist()]) for item in range(len(items))]
    found = top_k(queries, gallery, candidates)
    index, similarity = np.empty_like(found.indices), np.empty_like(found.similarities)
    own = np.zeros(len(items))
    for query in range(len(queries)):
        columns, values = smooth[query]
        own[columns] = values
        jaccard = np.array([_jaccard(own, smooth[len(queries) + view]) for view in found.indices[query].tolist()])
        distance = (1 - weight) * jaccard + weight * (1 - found.similarities[query].astype(np.float64))
        # Of equals the view that was nearer stays before.
        order = np.argsort(distance, kind="stable")
        index[query], similarity[query] = found.indices[query, order], -distance[order]
        own[columns] = 0
    return Nearest(index, similarity)


def _with_itself(nearest: Nearest, count: int) -> Indices:
    """(N, k) lists that begin with the item itself: a twin before it in the set would be named in its place."""
    lists = nearest.indices
    itself = np.arange(count)[:, None]
    # The item goes to the front; where it was beaten out of the list by twins, the last of them leaves.
    place = np.where((lists == itself).any(axis=1), (lists == itself).argmax(axis=1), lists.shape[1] - 1)
    rest = np.arange(lists.shape[1])[None, :] != place[:, None]
    return np.concatenate([itself, lists[rest].reshape(count, -1)], axis=1)


def _reciprocal(item: int, lists: Indices, k: int) -> Indices:
    """R(item, k), sorted."""
    near = lists[item, : k + 1]
    return np.sort(near[(lists[near, : k + 1] == item).any(axis=1)])


def _encoded(item: int, lists: Indices, items: Vectors, k1: int) -> Row:
    """Members of R*(item, k1) and their weights, which sum to one."""
    core = _reciprocal(item, lists, k1)
    members = [core]
    for near in core.tolist():
        theirs = _reciprocal(near, lists, round(k1 / 2))
        if 3 * len(np.intersect1d(core, theirs, assume_unique=True)) >= 2 * len(theirs):
            members.append(theirs)
    found = np.unique(np.concatenate(members))
    weights = np.exp(-(1 - (items[found] @ items[item]).astype(np.float64)))
    return found, weights / weights.sum()


def _mean_row(rows: list[Row]) -> Row:
    columns, place = np.unique(np.concatenate([row[0] for row in rows]), return_inverse=True)
    values = np.bincount(place, weights=np.concatenate([row[1] for row in rows]), minlength=len(columns))
    return columns, values / len(rows)


def _jaccard(own: NDArray[np.float64], other: Row) -> float:
    """1 - sum of minima / sum of maxima; both sum to one, so that the maxima sum to 2 - the minima."""
    shared = float(np.minimum(own[other[0]], other[1]).sum())
    return 1 - shared / (2 - shared)
