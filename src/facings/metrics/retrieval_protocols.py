"""Who asks whom: which rows are queries, which the gallery, and which view is the query itself. Knows nothing of vectors.

The queries of a split and of its packshot gallery are the same, so that their figures compare.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class Protocol(NamedTuple):
    """Row numbers of `queries` (Q,) and `gallery` (G,); `own` (Q,): each query's own place in the gallery, -1 for none."""

    queries: Indices
    gallery: Indices
    own: Indices


def query_gallery_split(roles: Sequence[str]) -> Protocol:
    """Rows with the role "query" ask rows with the role "gallery"; other rows take no part.

    >>> query_gallery_split(["train", "gallery", "query", "gallery"]).gallery.tolist()
    [1, 3]

    Raises ValueError when one of the two roles has no row.
    """
    named = np.asarray(roles)
    return _of(named == "query", named == "gallery", "role query", "role gallery")


def packshot_gallery(roles: Sequence[str], packshot: Sequence[bool]) -> Protocol:
    """The split's queries ask the packshots (iconic pictures), whatever these rows' role; a packshot is never a query.

    >>> packshot_gallery(["gallery", "query", "train", "query"], [False, False, True, True])
    Protocol(queries=array([1]), gallery=array([2, 3]), own=array([-1]))

    Raises ValueError when no query or no packshot is there.
    """
    iconic = np.asarray(packshot, bool)
    return _of((np.asarray(roles) == "query") & ~iconic, iconic, "role query", "packshot")


def leave_one_out(count: int) -> Protocol:
    """Each row asks all others.

    >>> leave_one_out(2)
    Protocol(queries=array([0, 1]), gallery=array([0, 1]), own=array([0, 1]))

    Raises ValueError below two rows.
    """
    if count < 2:
        raise ValueError(f"leave-one-out wants two rows or more; got {count}")
    rows = np.arange(count, dtype=np.int64)
    return Protocol(rows, rows, rows)


def _of(queries: NDArray[np.bool_], gallery: NDArray[np.bool_], asks: str, asked: str) -> Protocol:
    for rows, name in ((queries, asks), (gallery, asked)):
        if not rows.any():
            raise ValueError(f"no row is a {name}, of {len(rows)} rows")
    found = np.flatnonzero(queries)
    return Protocol(found, np.flatnonzero(gallery), np.full(len(found), -1, np.int64))
