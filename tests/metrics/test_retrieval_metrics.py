"""Retrieval figures against pytorch-metric-learning and against a plain loop."""

import numpy as np
import pytest
from numpy.typing import NDArray

from facings.metrics import retrieval
from facings.metrics.retrieval import nearest_labels, prototype_predictions, retrieval_metrics


def unit(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def clusters(rng: np.random.Generator, count: int, products: int, noise: float) -> tuple[NDArray, NDArray]:
    centres = np.random.default_rng(7).normal(size=(products, 16))
    labels = rng.integers(0, products, count)
    return unit(centres[labels] + rng.normal(0, noise, (count, 16))), labels.astype(np.int64)


def by_loop(queries, query_labels, gallery, gallery_labels, k, own=None):
    """The definitions, one query at a time."""
    hits, precision = 0, 0.0
    for index, (query, label) in enumerate(zip(queries, query_labels, strict=True)):
        views = [i for i in range(len(gallery)) if own is None or i != own[index]]
        order = sorted(views, key=lambda i: -float(query @ gallery[i]))
        right = [gallery_labels[i] == label for i in order]
        hits += any(right[:k])
        relevant = sum(right)
        precision += sum(sum(right[: i + 1]) / (i + 1) for i in range(relevant) if right[i]) / max(relevant, 1)
    return hits / len(queries), precision / len(queries)


def test_equals_pytorch_metric_learning(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    inference = pytest.importorskip("pytorch_metric_learning.utils.inference")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    gallery, gallery_labels = clusters(rng, 120, 10, 0.9)
    queries, query_labels = clusters(rng, 60, 10, 0.9)
    reference = calculator.AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=inference.CustomKNN(distances.CosineSimilarity()),
    )
    for own in (False, True):
        first, first_labels = (gallery, gallery_labels) if own else (queries, query_labels)
        tensors = [torch.from_numpy(value) for value in (first, first_labels, gallery, gallery_labels)]
        expected = reference.get_accuracy(*tensors, ref_includes_query=own)
        found = retrieval_metrics(first, first_labels, gallery, gallery_labels, exclude_self=own)
        assert found["r1"] == pytest.approx(expected["precision_at_1"], abs=1e-6)
        assert found["map_at_r"] == pytest.approx(expected["mean_average_precision_at_r"], abs=1e-6)


@pytest.mark.parametrize("own", [False, True])
def test_equals_the_definition(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    monkeypatch.setattr(retrieval, "CHUNK", 7)  # several chunks, the last one short
    gallery, gallery_labels = clusters(rng, 40, 6, 1.2)
    queries, query_labels = (gallery, gallery_labels) if own else clusters(rng, 25, 8, 1.2)
    found = retrieval_metrics(queries, query_labels, gallery, gallery_labels, ks=(1, 5), exclude_self=own)
    for k in (1, 5):
        recall, precision = by_loop(
            queries, query_labels, gallery, gallery_labels, k, own=range(len(queries)) if own else None
        )
        assert found[f"r{k}"] == pytest.approx(recall)
        assert found["map_at_r"] == pytest.approx(precision, abs=1e-6)


def test_some_queries_stand_in_the_gallery(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another order than theirs; one has no other view of its product."""
    monkeypatch.setattr(retrieval, "CHUNK", 7)
    gallery, gallery_labels = clusters(rng, 40, 6, 1.2)
    gallery_labels[11] = 9
    others, other_labels = clusters(rng, 10, 6, 1.2)
    own = np.concatenate([[11], rng.permutation(40)[:19], np.full(10, -1)])
    queries = np.concatenate([gallery[own[:20]], others])
    labels = np.concatenate([gallery_labels[own[:20]], other_labels])
    found = retrieval_metrics(queries, labels, gallery, gallery_labels, ks=(1, 5), own=own)
    recall, precision = by_loop(queries, labels, gallery, gallery_labels, 5, own=own)
    assert found["r5"] == pytest.approx(recall) and found["map_at_r"] == pytest.approx(precision, abs=1e-6)
    predicted = prototype_predictions(queries, gallery, gallery_labels, own=own)
    for query, view, answer in zip(queries, own, predicted, strict=True):
        kept = np.arange(40) != view
        assert prototype_predictions(query[None], gallery[kept], gallery_labels[kept])[0] == answer
    assert predicted[0] != 9
    with pytest.raises(ValueError, match="give one of them"):
        retrieval_metrics(gallery, gallery_labels, gallery, gallery_labels, exclude_self=True, own=own)


def test_a_product_without_a_view_is_wrong() -> None:
    gallery = unit(np.eye(3))
    found = retrieval_metrics(gallery[:2], np.array([0, 99]), gallery, np.array([0, 1, 2]), ks=(1, 3))
    assert found == {"r1": 0.5, "r3": 0.5, "map_at_r": 0.5}


def test_a_single_view_alone_finds_nothing() -> None:
    one = unit(np.eye(1))
    assert retrieval_metrics(one, np.array([0]), one, np.array([0]), exclude_self=True)["r1"] == 0.0


def test_nearest_and_prototype_differ_from_brute_force_nowhere(rng: np.random.Generator) -> None:
    gallery, labels = clusters(rng, 50, 6, 1.0)
    queries, _ = clusters(rng, 30, 6, 1.0)
    expected = [labels[max(range(50), key=lambda i: float(q @ gallery[i]))] for q in queries]
    assert nearest_labels(queries, gallery, labels).tolist() == expected
    means = {label: unit(gallery[labels == label].mean(axis=0, keepdims=True))[0] for label in np.unique(labels)}
    by_mean = [max(means, key=lambda label: float(q @ means[label])) for q in queries]
    assert prototype_predictions(queries, gallery, labels).tolist() == by_mean


def test_no_query_and_mismatched_inputs_are_refused() -> None:
    vectors, labels = unit(np.eye(3)), np.arange(3)
    with pytest.raises(ValueError, match="0 queries, 3 views"):
        retrieval_metrics(vectors[:0], labels[:0], vectors, labels)
    with pytest.raises(ValueError, match="3 dimensions, the gallery has 2"):
        retrieval_metrics(vectors, labels, vectors[:, :2], labels)
    with pytest.raises(ValueError, match="one label a vector"):
        retrieval_metrics(vectors, labels[:2], vectors, labels)
    with pytest.raises(ValueError, match="2 queries, 3 views"):
        retrieval_metrics(vectors[:2], labels[:2], vectors, labels, exclude_self=True)
