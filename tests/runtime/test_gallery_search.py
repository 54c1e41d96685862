"""Search: the exact one agrees with looking at every pair, the index is measured, and its cache may go at any time."""

import sys
from pathlib import Path

import numpy as np
import pytest

from facings.errors import ConfigError
from facings.runtime import search
from facings.runtime.gallery import Gallery
from facings.runtime.search import ExactSearch, IndexSearch, searcher
from tests.runtime.gallery_parts import small_gallery, unit_rows


def by_hand(queries: np.ndarray, vectors: np.ndarray, item: np.ndarray, k: int) -> list[list[int]]:
    """Every pair in double precision; the products sorted by their best view."""
    found = []
    for query in queries.astype(np.float64):
        best = {int(i): max(float(v @ query) for v in vectors[item == i].astype(np.float64)) for i in np.unique(item)}
        found.append(sorted(best, key=lambda i: (-best[i], i))[:k])
    return found


@pytest.mark.parametrize("held", [1 << 24, 100])
def test_exact_is_what_looking_at_every_pair_gives(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    monkeypatch.setattr(search, "HELD", held)
    vectors, queries = unit_rows(rng, 300), unit_rows(rng, 20)
    item = rng.permutation(np.concatenate([np.arange(40), rng.integers(0, 40, 260)]))
    found = ExactSearch(vectors, item).top(queries, 7)
    assert found.items.tolist() == by_hand(queries, vectors, item, 7)
    assert (np.diff(found.similarities, axis=1) <= 0).all()


def test_equals_come_in_order_and_k_is_limited(rng: np.random.Generator) -> None:
    vectors = np.eye(8, dtype=np.float32)[[0] * 5]  # no rounding, whatever the kernel
    found = ExactSearch(vectors, np.array([4, 2, 0, 1, 3])).top(vectors[:1], 9)
    assert found.items.tolist() == [[0, 1, 2, 3, 4]]
    assert ExactSearch(vectors, np.arange(5)).top(vectors[:0], 2).items.shape == (0, 2)
    with pytest.raises(ConfigError, match="k is 0"):
        ExactSearch(vectors, np.arange(5)).top(vectors, 0)


def test_retired_products_are_not_found(tmp_path: Path, rng: np.random.Generator) -> None:
    gallery = small_gallery(tmp_path / "gallery", rng).retire("b")
    found = searcher(gallery).top(gallery.views_of("b"), 5)
    assert {gallery.items[i] for i in found.items.ravel()} == {"a", "c"}


def test_without_faiss_the_message_names_the_extra(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    gallery = small_gallery(tmp_path / "gallery", rng)
    with pytest.raises(ConfigError, match=r"facings\[search\]"):
        searcher(gallery, approximate=True)
    monkeypatch.setattr(search, "EXACT_VIEWS", 1)
    assert isinstance(searcher(gallery), ExactSearch)


@pytest.fixture
def crowd(tmp_path: Path, rng: np.random.Generator) -> Gallery:
    """500 products of four views around a centre each, in 16 dimensions."""
    centres = np.repeat(unit_rows(rng, 500, 16), 4, axis=0)
    vectors = centres + 0.3 * unit_rows(rng, 2000, 16)
    return Gallery.create(
        tmp_path / "gallery", embedder_sha256="a" * 64, vectors=vectors, item=np.repeat(np.arange(500), 4),
        items=[f"p{i}" for i in range(500)], calibration_vectors=unit_rows(rng, 100, 16), calibration_items=[None] * 100,
    )  # fmt: skip


def test_the_index_finds_what_exact_search_finds(crowd: Gallery, tmp_path: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("faiss")
    made = searcher(crowd, approximate=True, cache=tmp_path / "cache")
    assert isinstance(made, IndexSearch) and made.recall >= search.WANTED_RECALL
    queries = unit_rows(rng, 50, 16)
    truth = ExactSearch(crowd.vectors, crowd.item).top(queries, 5)
    found = made.top(queries, 5)
    same = [len(set(a) & set(b)) / 5 for a, b in zip(found.items.tolist(), truth.items.tolist(), strict=True)]
    assert np.mean(same) > 0.9
    # What is found has its exact similarity, not that of the codes.
    for query, items, similarities in zip(queries, found.items, found.similarities, strict=True):
        for number, similarity in zip(items, similarities, strict=True):
            assert similarity == pytest.approx(float((crowd.views_of(f"p{number}") @ query).max()), abs=1e-5)
    assert made.top(queries[:3], 10_000).items.shape == (3, 500)


def test_the_index_is_a_cache(crowd: Gallery, tmp_path: Path, rng: np.random.Generator) -> None:
    """Deleted, damaged, truncated or of another gallery: made again, with the same answers."""
    pytest.importorskip("faiss")
    cache, queries = tmp_path / "cache", unit_rows(rng, 10, 16)
    answer = searcher(crowd, approximate=True, cache=cache).top(queries, 5).items
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    for damage in (None, whole, whole[:100], b"", whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], b"[]\n"):
        path.unlink() if damage is None else path.write_bytes(damage)
        np.testing.assert_array_equal(searcher(crowd, approximate=True, cache=cache).top(queries, 5).items, answer)
        assert path.read_bytes() == whole
    searcher(crowd.retire("p7"), approximate=True, cache=cache)
    assert len(list(cache.iterdir())) == 2 and "p7" in crowd.items
