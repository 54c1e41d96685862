"""Places and nearest views against plain loops, in many blocks, with ties; figures against two other libraries."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facings.metrics import nearest, ranking
from facings.metrics.nearest import top_k
from facings.metrics.rank_figures import (
    class_figures,
    cmc_curve,
    level_figures,
    level_hits,
    level_labels,
    query_figures,
    summary,
)
from facings.metrics.ranking import Ranks, relevant_ranks
from facings.metrics.retrieval import retrieval_metrics
from facings.metrics.retrieval_protocols import leave_one_out, packshot_gallery, query_gallery_split


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks and chunks, the last ones short."""
    monkeypatch.setattr(nearest, "QUERIES", 7)
    monkeypatch.setattr(nearest, "VIEWS", 11)


def tied(rng: np.random.Generator, count: int, labels: int = 5) -> tuple[NDArray, NDArray]:
    """Vectors of few small whole numbers: products are exact in any order of summation, and many are equal."""
    return rng.integers(-1, 2, (count, 4)).astype(np.float32), rng.integers(0, labels, count)


def order_of(query: NDArray, gallery: NDArray, allowed: NDArray) -> list[int]:
    """Views by similarity, the earlier first among equals."""
    views = np.flatnonzero(allowed).tolist()
    return sorted(
        views, key=lambda view: (-sum(float(a) * float(b) for a, b in zip(query, gallery[view], strict=True)), view)
    )


@pytest.mark.parametrize("k", [1, 3, 40, 60])
def test_nearest_views_equal_a_sort_with_ties(rng: np.random.Generator, k: int) -> None:
    (queries, _), (gallery, _) = tied(rng, 20), tied(rng, 50)
    left_out = rng.integers(0, 20, 60), rng.integers(0, 50, 60)
    allowed = np.ones((20, 50), bool)
    allowed[left_out] = False
    found = top_k(queries, gallery, k, left_out=left_out)
    for row in range(20):
        expected = order_of(queries[row], gallery, allowed[row])[:k]
        assert found.indices[row, : len(expected)].tolist() == expected
        assert (found.indices[row, len(expected) :] == -1).all()
        assert np.array_equal(found.similarities[row, : len(expected)], gallery[expected] @ queries[row])


def test_all_views_alike_come_in_their_order() -> None:
    same = np.ones((30, 2), np.float32)
    assert top_k(same[:1], same, 4).indices.tolist() == [[0, 1, 2, 3]]
    ranks = relevant_ranks(same[:1], np.array([1]), same, np.arange(30) % 3)
    assert ranks.of(0).tolist() == list(range(2, 31, 3))


def test_any_source_gives_the_same(rng: np.random.Generator, tmp_path: Path) -> None:
    (queries, labels), (gallery, of_view) = tied(rng, 15), tied(rng, 64)
    np.save(tmp_path / "half.npy", gallery.astype(np.float16))
    stored = np.load(tmp_path / "half.npy", mmap_mode="r")

    def parts() -> Iterator[NDArray]:
        return iter(np.split(gallery, [1, 30, 30]))

    expected, ranks = top_k(queries, gallery, 9), relevant_ranks(queries, labels, gallery, of_view)
    for other in (stored, parts, parts()):
        found = top_k(queries, other, 9)
        assert np.array_equal(found.indices, expected.indices)
        assert found.similarities.dtype == np.float32
    for again in (stored, parts):
        assert np.array_equal(relevant_ranks(queries, labels, again, of_view).ranks, ranks.ranks)
    done: list[int] = []
    relevant_ranks(queries, labels, parts, of_view, advance=done.append)
    assert sum(done) == 128


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("filtered", ["none", "cameras", "own"])
def test_places_equal_a_loop_with_ties(seed: int, filtered: str) -> None:
    rng = np.random.default_rng(seed)
    gallery, of_view = tied(rng, 45)
    queries, labels = (gallery, of_view) if filtered == "own" else tied(rng, 25, labels=7)
    cameras = (rng.integers(-1, 2, len(queries)), rng.integers(-1, 2, 45)) if filtered == "cameras" else None
    own = np.arange(45) if filtered == "own" else None
    ranks = relevant_ranks(queries, labels, gallery, of_view, cameras=cameras, own=own)
    for row, query in enumerate(queries):
        allowed = np.ones(45, bool)
        if cameras is not None:
            allowed = (of_view != labels[row]) | (cameras[1] != cameras[0][row]) | (cameras[0][row] == -1)
        if own is not None:
            allowed[row] = False
        order = order_of(query, gallery, allowed)
        assert ranks.of(row).tolist() == [1 + n for n, view in enumerate(order) if of_view[view] == labels[row]]


def clusters(rng: np.random.Generator, count: int) -> tuple[NDArray, NDArray]:
    labels = rng.integers(0, 8, count)
    vectors = np.random.default_rng(5).normal(size=(8, 16))[labels] + rng.normal(0, 1.2, (count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("own", [False, True])
def test_figures_equal_pytorch_metric_learning(rng: np.random.Generator, own: bool) -> None:
    torch = pytest.importorskip("torch")
    calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    gallery, of_view = clusters(rng, 90)
    queries, labels = (gallery, of_view) if own else clusters(rng, 40)
    names = {
        "r1": "precision_at_1",
        "map": "mean_average_precision",
        "map_at_r": "mean_average_precision_at_r",
        "r_precision": "r_precision",
    }
    figures = query_figures(
        relevant_ranks(queries, labels, gallery, of_view, own=np.arange(90) if own else None), ks=(1,)
    )
    for macro in (False, True):
        reference = calculator.AccuracyCalculator(
            include=tuple(names.values()),
            k=90 - own,
            avg_of_avgs=macro,
            device=torch.device("cpu"),
            knn_func=inference.CustomKNN(distances.CosineSimilarity()),
        )
        tensors = [torch.from_numpy(value) for value in (queries, labels, gallery, of_view)]
        expected = reference.get_accuracy(*tensors, ref_includes_query=own)
        found = summary(figures, labels)
        for name, theirs in names.items():
            assert found[f"macro_{name}" if macro else name] == pytest.approx(expected[theirs], abs=1e-6)


def test_average_precision_equals_scikit_learn(rng: np.random.Generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    (gallery, of_view), (queries, labels) = clusters(rng, 80), clusters(rng, 12)
    found = query_figures(relevant_ranks(queries, labels, gallery, of_view))["map"]
    for row, query in enumerate(queries):
        assert found[row] == pytest.approx(metrics.average_precision_score(of_view == labels[row], gallery @ query))


def test_short_form_and_curve_agree_with_the_long_form(rng: np.random.Generator) -> None:
    (gallery, of_view), (queries, labels) = tied(rng, 60), tied(rng, 30, labels=6)
    ranks = relevant_ranks(queries, labels, gallery, of_view)
    short = retrieval_metrics(queries, labels, gallery, of_view, ks=(1, 3, 5))
    long = summary(query_figures(ranks, ks=(1, 3, 5)), labels)
    assert short == pytest.approx({name: long[name] for name in short})
    curve = cmc_curve(ranks, 60)
    assert curve[[0, 2, 4]].tolist() == pytest.approx([long["r1"], long["r3"], long["r5"]])
    assert curve[-1] == np.mean(ranks.relevant > 0)


def test_queries_without_a_view_are_wrong_or_skipped() -> None:
    ranks = Ranks(np.array([0, 1, 1]), np.array([1]))
    assert summary(query_figures(ranks), np.array([0, 9]))["map"] == 0.5
    skipped = summary(query_figures(ranks, missing="skip"), np.array([0, 9]))
    assert (skipped["map"], skipped["macro_map"]) == (1.0, 1.0)
    assert cmc_curve(ranks, 2, missing="skip").tolist() == [1.0, 1.0]
    of_class = class_figures(query_figures(ranks, missing="skip"), np.array([0, 9]))
    assert np.isnan(of_class[9]["map"]) and of_class[9]["queries"] == 1.0
    nothing = Ranks(np.array([0, 0]), np.zeros(0, np.int64))
    assert np.isnan(summary(query_figures(nothing, missing="skip"), np.array([3]))["r1"])
    with pytest.raises(ValueError, match="a right view"):
        cmc_curve(nothing, 1, missing="skip")


def test_levels_of_a_ragged_tree(rng: np.random.Generator) -> None:
    paths = [("Fruit", "Apple", "Gala"), ("Fruit", "Apple", "Fuji"), ("Fruit", "Pear"), ("Milk",)]
    assert [labels.tolist() for labels in level_labels(paths)] == [[0, 0, 0, 1], [0, 0, 1, 2], [1, 0, 2, 3]]
    (gallery, of_view), (queries, labels) = clusters(rng, 70), clusters(rng, 30)
    of_class = [*paths, ("Milk", "Skimmed"), ("Bread", "Rye"), ("Bread",), ("Fruit", "Pear", "Abate")]
    asked, views = [of_class[c] for c in labels], [of_class[c] for c in of_view]
    exact = [summary(of, labels) for labels, of in level_figures(queries, asked, gallery, views, ks=(1, 5))]
    listed = [hits.mean(axis=0) for hits in level_hits(top_k(queries, gallery, 5).indices, asked, views)]
    assert [level["r1"] for level in exact] == pytest.approx([level[0] for level in listed])
    assert [level["r5"] for level in exact] == pytest.approx([level[4] for level in listed])
    # The finest level is the classes themselves; a coarser one is never harder.
    assert exact[-1]["map"] == pytest.approx(
        summary(query_figures(relevant_ranks(queries, labels, gallery, of_view)), labels)["map"]
    )
    assert exact[0]["r1"] >= exact[1]["r1"] >= exact[2]["r1"]


def test_protocols_differ_in_the_gallery_alone() -> None:
    roles = ["query", "gallery", "query", "train", "gallery"]
    split, shots = query_gallery_split(roles), packshot_gallery(roles, [False, True, False, True, False])
    assert split.queries.tolist() == shots.queries.tolist() == [0, 2]
    assert (split.gallery.tolist(), shots.gallery.tolist()) == ([1, 4], [1, 3])
    assert leave_one_out(5).own.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="no row is a packshot, of 5"):
        packshot_gallery(roles, [False] * 5)
    with pytest.raises(ValueError, match="two rows or more; got 1"):
        leave_one_out(1)


def test_one_view_no_view_and_bad_input(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    one, label = np.array([[1.0, 0.0]], np.float32), np.array([0])
    assert relevant_ranks(one, label, one, label).ranks.tolist() == [1]
    assert relevant_ranks(one, label, one, label, own=np.array([0])).relevant.tolist() == [0]
    assert top_k(one, one[:0], 3).indices.shape == (1, 0)
    assert top_k(one, one, 3).indices.tolist() == [[0]]
    with pytest.raises(ValueError, match="k is 0"):
        top_k(one, one, 0)
    with pytest.raises(ValueError, match="views 0 and after hold values that are not finite"):
        relevant_ranks(one, label, one * np.nan, label)
    with pytest.raises(ValueError, match=r"2 dimensions, the gallery's views have the shape \(3,\)"):
        top_k(one, np.ones((2, 3)), 1)
    with pytest.raises(ValueError, match="the gallery gave 1 views for 2 labels"):
        relevant_ranks(one, label, one, np.array([0, 1]))
    with pytest.raises(ValueError, match="must have the query's label"):
        relevant_ranks(one, label, one, np.array([1]), own=np.array([0]))
    with pytest.raises(ValueError, match="1 queries have 2 labels"):
        relevant_ranks(one, np.array([0, 1]), one, label)
    monkeypatch.setattr(ranking, "MAX_PAIRS", 3)
    with pytest.raises(ValueError, match="4 pairs of query and view of one label, at most 3"):
        relevant_ranks(one.repeat(2, 0), label.repeat(2), one.repeat(2, 0), label.repeat(2))
