"""The most similar products where a prior moves similarities. Knows nothing of what an answer means.

A product that the prior favours may lie behind many others in the picture alone, so all products are compared, whatever the
size of the gallery, and moved before the nearest are taken.
"""

import numpy as np

from facings.runtime.gallery import Gallery
from facings.runtime.priors import Prior
from facings.runtime.search import HELD, ExactSearch, Vectors
from facings.structures import Matches


class PriorSearch:
    """Exact search in a gallery under a prior; similarities are the moved ones."""

    recall = 1.0

    def __init__(self, gallery: Gallery, prior: Prior) -> None:
        self._exact = ExactSearch(gallery.vectors, gallery.item)
        self._offsets = prior.offsets(gallery.items)

    def top(self, queries: Vectors, k: int) -> Matches:
        """The `k` products that are the most similar once moved (all, where there are fewer), for queries (B, D)."""
        k = min(k, len(self._offsets))
        found = Matches(np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k), np.float32))
        step = max(HELD // len(self._exact.vectors), 1)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            moved = self._exact.best(queries[part]) + self._offsets
            order = np.argsort(-moved, axis=1, kind="stable")[:, :k]
            found.items[part], found.similarities[part] = order, np.take_along_axis(moved, order, axis=1)
        return found
