"""The most similar products of a large gallery: exact up to 100,000 views, through a faiss index beyond.

A product counts with its best view. Knows nothing of pictures or of what an answer means. The index is a cache outside the
gallery, in the user's own cache folder: a bundle may come from anywhere, and an index file is not read from it.
"""

import json
import math
import os
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facings.errors import ConfigError
from facings.files import atomic_write
from facings.runtime.gallery import Gallery
from facings.structures import Matches

Vectors = NDArray[np.float32]
EXACT_VIEWS = 100_000
# Similarities held at once, as floats: 64 MB.
HELD = 1 << 24
# The index looks into more and more of its cells until so many of the probes' products are found.
WANTED_RECALL = 0.99
PROBES, PROBE_PRODUCTS = 256, 5
# Views asked of the index per product wanted; more where several views of one product crowd the list.
VIEWS_A_PRODUCT, MOST_VIEWS = 16, 4096
INDEX_SCHEMA = "facings.index/1"


class Search(Protocol):
    """`recall`: share of the exact answer's products that this one finds, measured on probes; 1 for an exact one."""

    recall: float

    def top(self, queries: Vectors, k: int) -> Matches:
        """The `k` most similar products (all, where there are fewer) for each of B queries (B, D) of unit length."""


class ExactSearch:
    """Every view is compared. `vectors` (M, D) unit length, `item` (M,) index of each view's product, every index used."""

    recall = 1.0

    def __init__(self, vectors: Vectors, item: NDArray[np.int64]) -> None:
        self.vectors = vectors
        self._order = None if (np.diff(item) >= 0).all() else np.argsort(item, kind="stable")
        ordered = item if self._order is None else item[self._order]
        self._starts = np.flatnonzero(np.diff(ordered, prepend=-1))

    def top(self, queries: Vectors, k: int) -> Matches:
        k = _checked(k, len(self._starts))
        found = Matches(np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k), np.float32))
        step = max(HELD // len(self.vectors), 1)
        for start in range(0, len(queries), step):
            best = self.best(queries[start : start + step])
            for number, row in enumerate(best, start=start):
                found.items[number], found.similarities[number] = _highest(row, k)
        return found

    def best(self, queries: Vectors) -> Vectors:
        """(B, P) the similarity of each query's best view of each product."""
        similarities = queries @ self.vectors.T
        if self._order is not None:
            similarities = np.take(similarities, self._order, axis=1)
        highest: Vectors = np.maximum.reduceat(similarities, self._starts, axis=1)
        return highest


class IndexSearch:
    """A faiss index proposes views, their similarities are taken exactly.

    Inverted lists over 8-bit codes (Jégou, Douze, Schmid: "Product Quantization for Nearest Neighbor Search", 2011, section
    IV, with a scalar quantizer): it takes a quarter of the vectors' memory. Made by `build`, or read from a cache.
    """

    def __init__(self, index: Any, vectors: Vectors, item: NDArray[np.int64], *, recall: float = math.nan) -> None:
        self.index, self.vectors, self.item, self.recall = index, vectors, item, recall
        self.products = int(item.max()) + 1

    @classmethod
    def build(cls, vectors: Vectors, item: NDArray[np.int64], probes: Vectors, *, seed: int = 0) -> "IndexSearch":
        """Train on at most 64 views a cell and look into as many cells as `probes` (Q, D) need for `WANTED_RECALL`."""
        faiss = _faiss()
        count, dimension = vectors.shape
        cells = max(int(4 * math.sqrt(count)), 1)
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dimension), dimension, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.seed = seed
        drawn = np.sort(np.random.default_rng(seed).permutation(count)[: 64 * cells])
        index.train(vectors[drawn])
        index.add(vectors)
        made = cls(index, vectors, item)
        truth = ExactSearch(vectors, item).top(probes[:PROBES], PROBE_PRODUCTS)
        index.nprobe = min(8, cells)
        while (made.measured(probes[:PROBES], truth)) < WANTED_RECALL and index.nprobe < cells:
            index.nprobe = min(2 * index.nprobe, cells)
        return made

    def measured(self, probes: Vectors, truth: Matches) -> float:
        """Take `recall` anew: share of `truth`'s products (Q, k) that are found for `probes` (Q, D)."""
        k = truth.items.shape[1]
        found = self.top(probes, k).items
        hits = [len(set(a) & set(b)) / k for a, b in zip(found.tolist(), truth.items.tolist(), strict=True)]
        self.recall = float(np.mean(hits)) if hits else math.nan
        return self.recall

    def top(self, queries: Vectors, k: int) -> Matches:
        k = _checked(k, self.products)
        items = np.zeros((len(queries), k), np.int64)
        similarities = np.zeros((len(queries), k), np.float32)
        left, views = np.arange(len(queries)), min(VIEWS_A_PRODUCT * k, len(self.vectors))
        while len(left) and views <= min(MOST_VIEWS, len(self.vectors)):
            _, found = self.index.search(np.ascontiguousarray(queries[left]), views)
            full = np.zeros(len(left), np.bool_)
            for row, number in enumerate(left):
                rows = found[row][found[row] >= 0]
                best = np.full(self.products, -np.inf, np.float32) if len(rows) else np.zeros(0, np.float32)
                if len(rows):
                    np.maximum.at(best, self.item[rows], self.vectors[rows] @ queries[number])
                if np.isfinite(best).sum() >= k:
                    items[number], similarities[number] = _highest(best, k)
                    full[row] = True
            left, views = left[~full], views * 2
        if len(left):
            # Where one product's views fill every list, only looking at all of them finds k others.
            rest = ExactSearch(self.vectors, self.item).top(queries[left], k)
            items[left], similarities[left] = rest.items, rest.similarities
        return Matches(items, similarities)


def searcher(gallery: Gallery, *, approximate: bool | None = None, cache: Path | None = None) -> Search:
    """The search for a version's answered products.

    `approximate`: None for as many views as `EXACT_VIEWS` or less exactly, and beyond through faiss where it is installed
    (exactly else); `cache`: folder for indexes, by default `facings/index` in the user's cache folder.

    Raises ConfigError when an index is asked for and faiss is missing.
    """
    large = len(gallery.vectors) > EXACT_VIEWS
    if approximate is False or (approximate is None and not (large and _has_faiss())):
        return ExactSearch(gallery.vectors, gallery.item)
    _faiss()
    path = (cache or default_cache()) / f"{gallery.digest}.index" if gallery.digest else None
    if path is not None and (read := _read_index(path, gallery)) is not None:
        return read
    made = IndexSearch.build(gallery.vectors, gallery.item, _probes(gallery))
    if path is not None:
        _write_index(path, made)
    return made


def default_cache() -> Path:
    """Where indexes are kept: `$XDG_CACHE_HOME/facings/index`, or `~/.cache/facings/index`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facings" / "index"


def _probes(gallery: Gallery) -> Vectors:
    """What cameras saw, where the gallery keeps some of it; else its own views with noise, as other photos would differ."""
    generator = np.random.default_rng(0)
    if len(gallery.calibration_vectors) >= PROBES // 4:
        chosen = generator.permutation(len(gallery.calibration_vectors))[:PROBES]
        return gallery.calibration_vectors[chosen]
    views = gallery.vectors[generator.permutation(len(gallery.vectors))[:PROBES]]
    noisy = views + generator.normal(0, 0.5 / math.sqrt(views.shape[1]), views.shape)
    return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def _write_index(path: Path, search: IndexSearch) -> None:
    data = _faiss().serialize_index(search.index).tobytes()
    header = {"schema": INDEX_SCHEMA, "sha256": sha256(data).hexdigest(), "recall": search.recall}
    atomic_write(path, json.dumps(header).encode() + b"\n" + data)


def _read_index(path: Path, gallery: Gallery) -> IndexSearch | None:
    """The cached index; None for one that is missing, damaged, or does not fit, which is then made again."""
    try:
        head, _, data = path.read_bytes().partition(b"\n")
        header = json.loads(head)
        if header["schema"] != INDEX_SCHEMA or sha256(data).hexdigest() != header["sha256"]:
            return None
        index = _faiss().deserialize_index(np.frombuffer(data, np.uint8))
        if (index.ntotal, index.d) != gallery.vectors.shape:
            return None
        return IndexSearch(index, gallery.vectors, gallery.item, recall=float(header["recall"]))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _checked(k: int, products: int) -> int:
    if k < 1:
        raise ConfigError(f"k is {k}; expected 1 or more")
    return min(k, products)


def _highest(best: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
    """The k highest of (P,), descending; of equals the lower index first."""
    least = np.partition(best, len(best) - k)[len(best) - k]
    rows = np.flatnonzero(best >= least)
    rows = rows[np.argsort(-best[rows], kind="stable")][:k]
    return rows, best[rows]


def _has_faiss() -> bool:
    try:
        _faiss()
    except ConfigError:
        return False
    return True


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as fault:
        raise ConfigError("an index over a large gallery needs faiss: pip install 'facings[search]'") from fault
    return faiss
