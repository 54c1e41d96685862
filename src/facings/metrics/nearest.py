"""The nearest views of each query: exact, in blocks, whatever the gallery's size. Knows nothing of labels.

Similarity is the dot product, taken in float32 whatever the gallery is stored in. Of equally similar views the earlier wins.
Ties are those of the computed numbers: how a product of matrices sums depends on its shape, so that the similarity of unit
vectors of length D is off by D * 2^-24 at most (7.6e-6 at 128; a few 1e-8 as a rule), and two views that are closer to each
other than this may change places against a sum in another order. Where the products are exact (short binary fractions, as in
the tests) nothing moves.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]
# An array or memory map (G, D), or what gives the chunks (g, D) of one, anew at each call.
Gallery = NDArray[Any] | Callable[[], Iterable[NDArray[Any]]]
# Similarities in flight: 512 × 16384 float32 are 32 MiB.
QUERIES, VIEWS = 512, 16384


class Nearest(NamedTuple):
    """`indices` (Q, k) int64 of the gallery, best first, -1 where there is no view left; `similarities` (Q, k) float32."""

    indices: Indices
    similarities: Vectors


def own_pairs(own: Indices | None) -> tuple[Indices, Indices] | None:
    """`top_k`'s `left_out` out of (Q,) each query's own view, -1 for none; None where no query has one.

    >>> own_pairs(np.array([-1, 4]))
    (array([1]), array([4]))
    """
    asked = np.flatnonzero(own >= 0) if own is not None else np.zeros(0, np.int64)
    return (asked, own[asked]) if own is not None and len(asked) else None


def top_k(
    queries: NDArray[Any],
    gallery: Gallery | Iterable[NDArray[Any]],
    k: int,
    *,
    left_out: tuple[Indices, Indices] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Nearest:
    """The k most similar views of each query; one pass, so `gallery` may also be an iterator of chunks.

    `queries` (Q, D). `left_out`: query and view numbers of pairs that do not count. `advance`: told the views done.
    Memory: 12 Q k bytes and one block, whatever the gallery's size.

    By hand: a query at 0 degrees; views at 90, 0 and 0 degrees: the first of the two equal ones comes first.

    >>> views = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    >>> top_k(views[1:2], views, 2).indices.tolist()
    [[1, 2]]
    >>> top_k(views[1:2], iter([views[:2], views[2:]]), 2, left_out=(np.array([0]), np.array([1]))).indices.tolist()
    [[2, 0]]

    Raises ValueError for k < 1, dimensions that differ, and values that are not finite.
    """
    if k < 1:
        raise ValueError(f"k is {k}; expected 1 or more")
    queries = finite_vectors(queries, "queries")
    best = np.full((len(queries), k), -np.inf, np.float32)
    index = np.full((len(queries), k), -1, np.int64)
    hidden = Pairs(*left_out) if left_out is not None else None
    total = 0
    for start, views in gallery_chunks(gallery, queries.shape[1]):
        total = start + len(views)
        inside = hidden.of(start, total) if hidden else None
        for block in blocks_of(len(queries)):
            similarities = queries[block] @ views.T
            if inside is not None:
                rows, columns, _ = inside.within(block.start, block.stop)
                similarities[rows, columns] = -np.inf
            _merge(best[block], index[block], similarities, start)
        advance(len(views))
    width = min(k, total)
    return Nearest(index[:, :width], best[:, :width])


class Pairs:
    """Pairs of query and view, `query` ascending, looked up by chunk of views and block of queries."""

    def __init__(self, query: Indices, view: Indices) -> None:
        order = np.argsort(query, kind="stable")
        self.query, self.view = query[order], view[order]
        self._by_view = np.argsort(self.view, kind="stable")
        self._views = self.view[self._by_view]

    def of(self, start: int, stop: int) -> "Inside":
        low, high = np.searchsorted(self._views, [start, stop])
        numbers = np.sort(self._by_view[low:high])
        return Inside(self.query[numbers], self.view[numbers] - start, numbers)


class Inside(NamedTuple):
    """Pairs of one chunk: `query` ascending, `column` in the chunk, `number` of the pair."""

    query: Indices
    column: Indices
    number: Indices

    def within(self, low: int, high: int) -> tuple[Indices, Indices, Indices]:
        """Row in the block of queries, column in the chunk, number of the pair."""
        part = slice(*np.searchsorted(self.query, [low, high]))
        return self.query[part] - low, self.column[part], self.number[part]


def gallery_chunks(gallery: Gallery | Iterable[NDArray[Any]], dimensions: int) -> Iterator[tuple[int, Vectors]]:
    """Number of the first view, and views (g, D) float32, g at most `VIEWS`."""
    parts = [gallery] if isinstance(gallery, np.ndarray) else gallery() if callable(gallery) else gallery
    start = 0
    for part in parts:
        if part.ndim != 2 or part.shape[1] != dimensions:
            raise ValueError(
                f"queries have {dimensions} dimensions, the gallery's views have the shape {part.shape[1:]}"
            )
        for low in range(0, len(part), VIEWS):
            views = finite_vectors(part[low : low + VIEWS], f"views {start} and after")
            yield start, views
            start += len(views)


def blocks_of(count: int) -> Iterator[slice]:
    """Blocks of at most `QUERIES` of so many queries."""
    return (slice(low, min(low + QUERIES, count)) for low in range(0, count, QUERIES))


def finite_vectors(vectors: NDArray[Any], name: str) -> Vectors:
    """float32 in one piece. Raises ValueError for values that are not finite."""
    taken = np.ascontiguousarray(vectors, dtype=np.float32)
    if not bool(np.isfinite(taken).all()):
        raise ValueError(f"{name} hold values that are not finite; a model that gives these has failed")
    return taken


def _merge(best: Vectors, index: Indices, similarities: Vectors, start: int) -> None:
    """Take a chunk's better views into `best` and `index` (q, k), in place. Kept views are earlier: they win ties."""
    k, width = best.shape[1], similarities.shape[1]
    floor = best[:, -1:]
    wanted = similarities > floor
    if k < width and bool(np.isneginf(floor).any()):
        wanted &= similarities >= np.partition(similarities, width - k, axis=1)[:, width - k, None]
    # Flat, since numpy is several times as fast there where little is found.
    rows, columns = np.divmod(np.flatnonzero(wanted), width)
    if not len(rows):
        return
    counts = np.bincount(rows, minlength=len(best))
    place = k + np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    joined = np.full((len(best), k + int(counts.max())), -np.inf, np.float32)
    numbers = np.full(joined.shape, -1, np.int64)
    joined[:, :k], numbers[:, :k] = best, index
    joined[rows, place], numbers[rows, place] = similarities[rows, columns], start + columns
    order = np.argsort(-joined, axis=1, kind="stable")[:, :k]
    best[:], index[:] = np.take_along_axis(joined, order, axis=1), np.take_along_axis(numbers, order, axis=1)
