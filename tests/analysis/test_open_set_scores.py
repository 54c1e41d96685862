"""Known and unknown scores against a search that really lacks the product, and what follows from them."""

import doctest

import numpy as np
import pytest

from facings.analysis import open_set_scores as module
from facings.analysis.curve_figures import png
from facings.analysis.open_set_figures import draw_growth, draw_open_set
from facings.analysis.open_set_scores import open_set_scores


def directions(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.standard_normal((count, 6)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_worked_examples() -> None:
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


def test_each_query_by_itself(rng: np.random.Generator) -> None:
    """The second formula: a gallery without the product, searched anew for each query."""
    gallery, owners = directions(rng, 20), np.repeat(np.arange(5), 4)
    queries, labels = directions(rng, 30), rng.integers(0, 7, 30)  # products 5 and 6 are not enrolled
    found = open_set_scores(queries, labels, gallery, owners)
    known = [float((q @ gallery.T).max()) for q, own in zip(queries, labels, strict=True) if own < 5]
    right = [owners[(q @ gallery.T).argmax()] == own for q, own in zip(queries, labels, strict=True) if own < 5]
    unknown = [float((q @ gallery[owners != own].T).max()) for q, own in zip(queries, labels, strict=True)]
    np.testing.assert_allclose(found.known, known, atol=1e-6)
    np.testing.assert_allclose(found.unknown, unknown, atol=1e-6)
    assert found.right.tolist() == right


def test_the_lead_over_the_next_product(rng: np.random.Generator) -> None:
    """The second formula: products one by one, the first two of each search, with and without the query's own."""
    gallery, owners = directions(rng, 12), np.repeat(np.arange(4), 3)
    queries, labels = directions(rng, 20), rng.integers(0, 4, 20)
    found = open_set_scores(queries, labels, gallery, owners, sure=lambda first, second: 2 * first - second)
    for number, (query, own) in enumerate(zip(queries, labels.tolist(), strict=True)):
        best = {item: float((gallery[owners == item] @ query).max()) for item in range(4)}
        for scores, kept in ((found.known, best), (found.unknown, {k: v for k, v in best.items() if k != own})):
            second, first = sorted(kept.values())[-2:]
            assert scores[number] == pytest.approx(2 * first - second, abs=1e-5)


def test_shares_at_a_threshold(rng: np.random.Generator) -> None:
    found = open_set_scores(
        directions(rng, 40), rng.integers(0, 5, 40), directions(rng, 20), np.repeat(np.arange(5), 4)
    )
    for cut in (-2.0, 0.3, 2.0):
        shares = found.at(cut)
        assert abs(shares["right"] + shares["wrong"] + shares["refused"] - 1) < 1e-12
    assert found.at(-2.0)["false_accept"] == 1 and found.at(2.0)["refused"] == 1
    worst = found.boldest(list("abcde"), 0.3, most=3)
    assert len(worst) == 3 and float(worst[0]["false_accept"]) >= float(worst[-1]["false_accept"])


def test_what_cannot_be_asked(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="1 products; to take one out"):
        open_set_scores(directions(rng, 2), np.zeros(2, np.int64), directions(rng, 3), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="1 labels for 2 queries"):
        open_set_scores(directions(rng, 2), np.zeros(1, np.int64), directions(rng, 3), np.arange(3))


def test_figures_are_drawn(rng: np.random.Generator) -> None:
    found = open_set_scores(directions(rng, 9), rng.integers(0, 3, 9), directions(rng, 6), np.repeat(np.arange(3), 2))
    sizes = {2: {"fnir_0.05": 0.2, "fpir_fixed": 0.05}, 4: {"fnir_0.05": 0.3, "fpir_fixed": 0.2}}
    nothing = draw_open_set(found, float("inf"), measure="lead")
    for figure in (draw_open_set(found, 0.5), nothing, draw_growth(sizes, asked=0.05)):
        assert png(figure).startswith(b"\x89PNG")
    words = [text.get_text() for axis in nothing.axes for text in axis.get_legend().get_texts()]
    assert "threshold in force: accepts nothing" in words and nothing.axes[0].get_xlabel() == "lead"
