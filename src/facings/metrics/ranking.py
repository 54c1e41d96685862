"""At which place each right view of a query comes: exact, without a ranking. Knows nothing of pictures or figures.

Similarities, ties and their tolerance: see `nearest`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.metrics.nearest import Gallery, Indices, Inside, Pairs, Vectors, blocks_of, finite_vectors, gallery_chunks

MAX_PAIRS = 100_000_000


@dataclass(frozen=True)
class Ranks:
    """Places of the right views of each query, from 1, ascending: `ranks[offsets[q] : offsets[q + 1]]` are query q's.

    `offsets` (Q + 1,) int64, `ranks` (P,) int64, P the number of right views over all queries.
    """

    offsets: Indices
    ranks: Indices

    def of(self, query: int) -> Indices:
        return self.ranks[self.offsets[query] : self.offsets[query + 1]]

    @property
    def relevant(self) -> Indices:
        """(Q,) how many right views each query has."""
        return np.diff(self.offsets)

    @property
    def first(self) -> NDArray[np.float64]:
        """(Q,) place of the best right view, infinite without one."""
        found = np.full(len(self.offsets) - 1, np.inf)
        has = self.relevant > 0
        found[has] = self.ranks[self.offsets[:-1][has]]
        return found


def relevant_ranks(
    queries: NDArray[Any],
    query_labels: Indices,
    gallery: Gallery,
    gallery_labels: Indices,
    *,
    cameras: tuple[Indices, Indices] | None = None,
    own: Indices | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Ranks:
    """The exact place of every right view of every query, in two passes over the gallery and without a ranking.

    A right view's place is 1 + the right views before it + the wrong views that are more similar. The first pass takes
    the right views' similarities (blocks without any are passed over: a gallery in order of products costs little more
    than one pass), the second counts the wrong ones above each. Nothing is cut at a depth: CMC, mAP and mAP@R are exact.

    `query_labels` (Q,), `gallery_labels` (G,) int64. `cameras`: of queries (Q,) and views (G,), -1 for unknown: a view of
    the query's product from the query's camera does not count (Zheng et al.: "Scalable Person Re-identification: A
    Benchmark", ICCV 2015, Market-1501). `own`: (Q,) the view that is the query itself, -1 for none; it does not count.
    `advance`: told the views done, twice the gallery in all. Memory: some 60 bytes a pair of query and view of the same
    label (P), and one block.

    By hand: labels of the views by similarity b, a, b, a: a's places are 2 and 4.

    >>> at = lambda *degrees: np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    >>> ranks = relevant_ranks(at(0), np.array([0]), at(10, 20, 30, 40), np.array([1, 0, 1, 0]))
    >>> ranks.of(0).tolist(), ranks.first.tolist()
    ([2, 4], [2.0])

    Raises ValueError for lengths or dimensions that differ, values that are not finite, an `own` view of another label,
    and more than `MAX_PAIRS` pairs.
    """
    queries = finite_vectors(queries, "queries")
    if len(queries) != len(query_labels):
        raise ValueError(f"{len(queries)} queries have {len(query_labels)} labels; expected one each")
    # Like labels side by side: the first pass finds blocks to pass over.
    order = np.argsort(query_labels, kind="stable")
    pairs, junk = _like_pairs(query_labels, gallery_labels, cameras, own, order)
    rows = queries[order]
    values = np.zeros(len(pairs.query), np.float32)
    for _, inside, block, similarities in _blocks(rows, gallery, len(gallery_labels), pairs, advance, only_pairs=True):
        first, second, numbers = inside.within(block.start, block.stop)
        values[numbers] = similarities[first, second]
    kept = np.flatnonzero(~junk)
    kept = kept[np.lexsort((pairs.view[kept], -values[kept], pairs.query[kept]))]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(pairs.query[kept], minlength=len(rows)))]).astype(np.int64)
    counter = _Counter(offsets, values[kept], pairs.view[kept])
    for start, inside, block, similarities in _blocks(rows, gallery, len(gallery_labels), pairs, advance):
        first, second, _ = inside.within(block.start, block.stop)
        similarities[first, second] = -np.inf
        counter.add(similarities, block, start)
    return _in_order(counter, order)


def hidden_pairs(
    query_labels: Indices,
    gallery_labels: Indices,
    *,
    cameras: tuple[Indices, Indices] | None = None,
    own: Indices | None = None,
) -> tuple[Indices, Indices]:
    """Queries and views of the pairs that `relevant_ranks` does not count, for `top_k`'s `left_out`.

    >>> hidden_pairs(np.array([5, 6]), np.array([6, 5, 6]), own=np.array([1, -1]))
    (array([0]), array([1]))
    """
    pairs, junk = _like_pairs(query_labels, gallery_labels, cameras, own, np.arange(len(query_labels)))
    return pairs.query[junk], pairs.view[junk]


class _Counter:
    """Counts the wrong views above each right one. `similarity`, `view`: of the right ones, by query, best first."""

    def __init__(self, offsets: Indices, similarity: Vectors, view: Indices) -> None:
        self.offsets, self.similarity, self.view = offsets, similarity, view
        self.above = np.zeros(len(view), np.int64)
        self.lowest = np.full(len(offsets) - 1, np.inf, np.float32)
        has = np.diff(offsets) > 0
        self.lowest[has] = similarity[offsets[1:][has] - 1]

    def add(self, similarities: Vectors, block: slice, start: int) -> None:
        """Count in a block (q, g) of wrong views; right ones and those that do not count are -inf there."""
        worth = similarities >= self.lowest[block, None]
        for row in np.flatnonzero(worth.any(axis=1)).tolist():
            part = slice(self.offsets[block.start + row], self.offsets[block.start + row + 1])
            wrong = np.sort(similarities[row, worth[row]])
            right = self.similarity[part]
            after = np.searchsorted(wrong, right, side="right")
            self.above[part] += len(wrong) - after
            for tied in np.flatnonzero(after > np.searchsorted(wrong, right, side="left")).tolist():
                number = int(self.offsets[block.start + row]) + tied
                equal = start + np.flatnonzero(similarities[row] == right[tied])
                self.above[number] += int((equal < self.view[number]).sum())


def _blocks(
    queries: Vectors,
    gallery: Gallery,
    views: int,
    pairs: Pairs,
    advance: Callable[[int], None],
    only_pairs: bool = False,
) -> Iterator[tuple[int, Inside, slice, Vectors]]:
    """Number of the chunk's first view, its pairs, block of queries, similarities; `only_pairs`: blocks that hold a pair."""
    total = 0
    for start, chunk in gallery_chunks(gallery, queries.shape[1]):
        total = start + len(chunk)
        inside = pairs.of(start, total)
        for block in blocks_of(len(queries)):
            if only_pairs and not len(inside.within(block.start, block.stop)[0]):
                continue
            yield start, inside, block, queries[block] @ chunk.T
        advance(len(chunk))
    if total != views:
        raise ValueError(f"the gallery gave {total} views for {views} labels; it must give all of them at each pass")


def _like_pairs(
    query_labels: Indices,
    gallery_labels: Indices,
    cameras: tuple[Indices, Indices] | None,
    own: Indices | None,
    order: Indices,
) -> tuple[Pairs, NDArray[np.bool_]]:
    """Pairs of the same label, queries in `order`, and which of them do not count."""
    by_label = np.argsort(gallery_labels, kind="stable")
    labels = query_labels[order]
    low, high = (np.searchsorted(gallery_labels, labels, side=s, sorter=by_label) for s in ("left", "right"))  # type: ignore[call-overload]
    counts = high - low
    if int(counts.sum()) > MAX_PAIRS:
        raise ValueError(
            f"{int(counts.sum())} pairs of query and view of one label, at most {MAX_PAIRS}; ask fewer queries, or take "
            "the figures of top_k"
        )
    query = np.repeat(np.arange(len(labels)), counts)
    view = by_label[np.arange(len(query)) + np.repeat(low - (np.cumsum(counts) - counts), counts)]
    pairs = Pairs(query, view)
    junk = np.zeros(len(query), bool)
    if cameras is not None:
        of_query, of_view = cameras[0][order][pairs.query], cameras[1][pairs.view]
        junk |= (of_query == of_view) & (of_query >= 0)
    if own is not None:
        if bool((gallery_labels[own[own >= 0]] != query_labels[own >= 0]).any()):
            raise ValueError("own: a query's own view must have the query's label")
        junk |= own[order][pairs.query] == pairs.view
    return pairs, junk


def _in_order(counter: _Counter, order: Indices) -> Ranks:
    """Ranks of the queries as they were given."""
    sizes = np.diff(counter.offsets)
    place = np.arange(len(counter.above)) - np.repeat(counter.offsets[:-1], sizes)
    ranks = counter.above + place + 1
    given = np.argsort(order)
    offsets = np.concatenate([[0], np.cumsum(sizes[given])]).astype(np.int64)
    source = np.arange(len(ranks)) + np.repeat(counter.offsets[:-1][given] - offsets[:-1], sizes[given])
    return Ranks(offsets, ranks[source])
