"""The cross test beside the project's other way to count R@1."""

import numpy as np
import pytest

from facings.metrics.compatibility import cross_hits
from facings.metrics.retrieval import retrieval_metrics


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, 6)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_hits_are_r1_of_each_pair(rng: np.random.Generator) -> None:
    old_q, new_q, old_g, new_g = unit(rng, 50), unit(rng, 50), unit(rng, 30), unit(rng, 30)
    labels, owners = rng.integers(0, 5, 50), rng.integers(0, 5, 30)
    hits = cross_hits((old_q, new_q), labels, (old_g, new_g), owners)
    for name, asked, views in (("old", old_q, old_g), ("cross", new_q, old_g), ("new", new_q, new_g)):
        assert hits[name].mean() == pytest.approx(retrieval_metrics(asked, labels, views, owners, ks=(1,))["r1"])


def test_no_query_finds_itself(rng: np.random.Generator) -> None:
    old, new, labels = unit(rng, 30), unit(rng, 30), rng.integers(0, 5, 30)
    own = np.arange(30)
    hits = cross_hits((old, new), labels, (old, new), labels, own=own)
    for name, vectors in (("old", old), ("new", new)):
        expected = retrieval_metrics(vectors, labels, vectors, labels, ks=(1,), exclude_self=True)["r1"]
        assert hits[name].mean() == pytest.approx(expected)
    alone = cross_hits((old[:1], new[:1]), labels[:1], (old[:1], new[:1]), labels[:1], own=own[:1])
    assert {name: hit.tolist() for name, hit in alone.items()} == {"old": [0.0], "cross": [0.0], "new": [0.0]}


def test_what_does_not_fit_is_refused(rng: np.random.Generator) -> None:
    queries, views = unit(rng, 4), unit(rng, 3)
    with pytest.raises(ValueError, match=r"queries \(4, 6\) and \(4, 5\)"):
        cross_hits((queries, queries[:, :5]), np.zeros(4, int), (views, views), np.zeros(3, int))
    with pytest.raises(ValueError, match="with 4 and 2 labels"):
        cross_hits((queries, queries), np.zeros(4, int), (views, views), np.zeros(2, int))
    with pytest.raises(ValueError, match="none of them empty"):
        cross_hits((queries[:0], queries[:0]), np.zeros(0, int), (views, views), np.zeros(3, int))
