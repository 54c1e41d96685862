"""Query expansion and k-reciprocal neighbours against sets and dense matrices, written down from the papers anew."""

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from facings.metrics.nearest import Nearest, top_k
from facings.metrics.reranking import Reranking, expanded_queries, k_reciprocal, reranked
from facings.metrics.retrieval import reranked_figures, retrieval_metrics


def unit(values: NDArray) -> NDArray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def manifolds(rng: np.random.Generator, views: int) -> tuple[NDArray, NDArray]:
    """Views along arcs: neighbours of neighbours belong together, though the ends are far apart."""
    labels = rng.integers(0, 4, views)
    axes = np.random.default_rng(3).normal(size=(4, 2, 12))
    along = rng.uniform(0, 1.5, views)[:, None]
    points = axes[labels, 0] * np.cos(along) + axes[labels, 1] * np.sin(along)
    return unit(points + rng.normal(0, 0.35, (views, 12))), labels


def by_sets(queries: NDArray, gallery: NDArray, k1: int, k2: int, weight: float) -> NDArray:
    """Distances (Q, G) with dense vectors and Python's sets."""
    items = np.concatenate([queries, gallery]).astype(np.float64)
    distance = 1 - items @ items.T
    order = [[i, *(j for j in np.argsort(row, kind="stable").tolist() if j != i)] for i, row in enumerate(distance)]

    def near(item: int, k: int) -> set[int]:
        return set(order[item][: k + 1])

    def mutual(item: int, k: int) -> set[int]:
        return {other for other in near(item, k) if item in near(other, k)}

    encoded = np.zeros(distance.shape)
    for item in range(len(items)):
        core = mutual(item, k1)
        grown = set(core)
        for other in core:
            theirs = mutual(other, round(k1 / 2))
            if len(core & theirs) >= 2 / 3 * len(theirs) - 1e-9:
                grown |= theirs
        members = sorted(grown)
        encoded[item, members] = np.exp(-distance[item, members])
        encoded[item] /= encoded[item].sum()
    smooth = np.stack([encoded[order[item][:k2]].mean(axis=0) for item in range(len(items))])
    count = len(queries)
    low = np.minimum(smooth[:count, None], smooth[None, count:]).sum(axis=2)
    high = np.maximum(smooth[:count, None], smooth[None, count:]).sum(axis=2)
    return (1 - weight) * (1 - low / high) + weight * distance[:count, count:]


@pytest.mark.parametrize(("k1", "k2", "weight"), [(6, 3, 0.3), (5, 1, 0.0), (4, 2, 1.0), (90, 4, 0.5)])
def test_k_reciprocal_equals_sets_and_matrices(rng: np.random.Generator, k1: int, k2: int, weight: float) -> None:
    (queries, _), (gallery, _) = manifolds(rng, 8), manifolds(rng, 50)
    expected = by_sets(queries, gallery, k1, k2, weight)
    found = k_reciprocal(queries, gallery, k1=k1, k2=k2, weight=weight, candidates=50)
    assert np.sort(found.indices, axis=1).tolist() == [list(range(50))] * 8
    assert -found.similarities == pytest.approx(np.take_along_axis(expected, found.indices, axis=1), abs=1e-5)
    assert (np.diff(found.similarities, axis=1) <= 0).all()
    few = k_reciprocal(queries, gallery, k1=k1, k2=k2, weight=weight, candidates=5)
    assert np.sort(few.indices).tolist() == np.sort(top_k(queries, gallery, 5).indices).tolist()


def test_both_help_on_manifolds(rng: np.random.Generator) -> None:
    (queries, labels), (gallery, of_view) = manifolds(rng, 40), manifolds(rng, 120)

    def precision(nearest: Nearest) -> float:
        return float((of_view[nearest.indices[:, :20]] == labels[:, None]).mean())

    plain = top_k(queries, gallery, 120)
    expanded = top_k(expanded_queries(queries, gallery, plain, count=5, alpha=3), gallery, 20)
    assert precision(expanded) > precision(plain)
    assert precision(k_reciprocal(queries, gallery, k1=15, k2=4, candidates=120)) > precision(plain)


@pytest.mark.parametrize("way", get_args(Reranking))
def test_figures_of_the_better_order(rng: np.random.Generator, way: Reranking) -> None:
    (queries, labels), (gallery, of_view) = manifolds(rng, 40), manifolds(rng, 120)
    plain = retrieval_metrics(queries, labels, gallery, of_view)
    of_each = reranked_figures(way, queries, labels, gallery, of_view)
    better = {name: values.mean() for name, values in of_each.items()}
    assert set(better) == set(plain) and better["map_at_r"] > plain["map_at_r"]
    lists = of_view[reranked(way, queries, gallery).indices] == labels[:, None]
    assert (
        of_each["r1"].tolist() == lists[:, 0].tolist() and of_each["r5"].tolist() == lists[:, :5].any(axis=1).tolist()
    )


@pytest.mark.parametrize("way", get_args(Reranking))
def test_products_without_a_view_and_tiny_galleries(way: Reranking) -> None:
    one = np.array([[1.0, 0.0]], np.float32)
    for product, share in ((3, 0.0), (7, 1.0)):
        assert reranked_figures(way, one, np.array([product]), one, np.array([7])) == dict.fromkeys(
            ("r1", "r5", "map_at_r"), share
        )


def test_twins_keep_themselves_first() -> None:
    same = np.ones((9, 2), np.float32) / np.sqrt(np.float32(2))
    found = k_reciprocal(same[:2], same, k1=3, k2=2, candidates=9)
    assert np.isfinite(found.similarities).all()
    assert k_reciprocal(same[:1], same[:1]).indices.tolist() == [[0]]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_expansion_equals_a_loop(rng: np.random.Generator, alpha: float) -> None:
    (queries, _), (gallery, _) = manifolds(rng, 6), manifolds(rng, 30)
    found = top_k(queries, gallery, 30)
    mixed = expanded_queries(queries, gallery, found, count=25, alpha=alpha)
    for row, query in enumerate(queries):
        cosines = gallery @ query
        near = np.argsort(-cosines, kind="stable")[:25]
        total = query + sum(gallery[i] * (max(float(cosines[i]), 0) ** alpha if alpha else 1) for i in near)
        assert mixed[row] == pytest.approx(total / np.linalg.norm(total), abs=1e-5)
    assert np.linalg.norm(mixed, axis=1) == pytest.approx(1)


def test_missing_views_weigh_nothing_and_bad_settings_are_refused() -> None:
    one = np.array([[1.0, 0.0]], np.float32)
    nothing = Nearest(np.array([[-1, -1]]), np.full((1, 2), -np.inf, np.float32))
    for alpha in (0.0, 3.0):
        assert expanded_queries(one, one, nothing, alpha=alpha).tolist() == [[1.0, 0.0]]
    with pytest.raises(ValueError, match="count is 0"):
        expanded_queries(one, one, nothing, count=0)
    with pytest.raises(ValueError, match=r"weight 1\.5"):
        k_reciprocal(one, one, weight=1.5)
