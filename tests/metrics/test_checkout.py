"""The checkout figures against the paper's formulas written out in loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from facings.metrics.bootstrap import draws
from facings.metrics.checkout import (
    checkout_draws,
    checkout_figures,
    checkout_intervals,
    checkout_metrics,
    count_products,
)


def written_out(predicted: list[list[int]], truth: list[list[int]]) -> dict[str, float]:
    """Equations 4 to 7, one sum at a time."""
    pictures, products = range(len(truth)), range(len(truth[0]))
    lists = [sum(abs(predicted[i][k] - truth[i][k]) for k in products) for i in pictures]
    ccd, iou = [], []
    for k in products:
        there = sum(truth[i][k] for i in pictures)
        either = sum(max(truth[i][k], predicted[i][k]) for i in pictures)
        if there:
            ccd.append(sum(abs(predicted[i][k] - truth[i][k]) for i in pictures) / there)
        if either:
            iou.append(sum(min(truth[i][k], predicted[i][k]) for i in pictures) / either)
    mean = lambda values: sum(values) / len(values) if values else float("nan")  # noqa: E731
    return {"cacc": mean([float(n == 0) for n in lists]), "acd": mean(lists), "mccd": mean(ccd), "mciou": mean(iou)}


pairs = st.tuples(st.integers(1, 6), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(*[arrays.arrays(np.int64, shape, elements=st.integers(0, 4))] * 2)
)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_equals_the_formulas(pair) -> None:
    predicted, truth = pair
    expected = written_out(predicted.tolist(), truth.tolist())
    assert checkout_figures(predicted, truth) == pytest.approx(expected, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_what_must_hold_of_any_lists(pair) -> None:
    predicted, truth = pair
    figures = checkout_figures(predicted, truth)
    assert 0 <= figures["cacc"] <= 1 and figures["acd"] >= 0
    same = checkout_figures(truth, truth)
    assert (same["cacc"], same["acd"]) == (1.0, 0.0)
    # Pictures and products in another order change nothing.
    again = checkout_figures(predicted[::-1, ::-1], truth[::-1, ::-1])
    assert again == pytest.approx(figures, nan_ok=True)
    # Every count that is not right moves the mean distance by one.
    worse = predicted.copy()
    worse[0, 0] = truth[0, 0] + abs(predicted[0, 0] - truth[0, 0]) + 1
    assert checkout_figures(worse, truth)["acd"] >= figures["acd"]


def test_levels_are_pictures_apart() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, (40, 5))
    predicted = np.maximum(truth + rng.integers(-1, 2, truth.shape), 0)
    levels = ["easy" if n % 2 else "hard" for n in range(40)]
    figures = checkout_metrics(predicted, truth, levels)
    odd = np.arange(40) % 2 == 1
    own = checkout_figures(predicted[odd], truth[odd])
    assert {name: figures[f"{name}_easy"] for name in own} == own
    assert "cacc_medium" not in figures
    assert figures["acd"] == pytest.approx((figures["acd_easy"] + figures["acd_hard"]) / 2)


def test_draws_are_the_figures_of_the_drawn_pictures() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(0, 4, (2, 9, 3))
    drawn = checkout_draws(predicted, truth, seed=3, repeats=5)
    for number, index in enumerate(draws(9, seed=3, repeats=5)):
        expected = checkout_figures(predicted[index], truth[index])
        assert {name: values[number] for name, values in drawn.items()} == pytest.approx(expected)
    intervals = checkout_intervals(predicted, truth, seed=3)
    assert intervals["acd"][0] <= checkout_figures(predicted, truth)["acd"] <= intervals["acd"][1]


def test_a_phantom_costs_iou_and_has_no_share() -> None:
    figures = checkout_figures(np.array([[1, 1]]), np.array([[1, 0]]))
    assert (figures["mccd"], figures["mciou"], figures["acd"], figures["cacc"]) == (0.0, 0.5, 1.0, 0.0)


def test_nothing_is_not_a_number() -> None:
    none = np.zeros((0, 3), np.int64)
    assert all(np.isnan(value) for value in checkout_figures(none, none).values())
    with pytest.raises(ValueError, match="one unit or more"):
        checkout_intervals(none, none)


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        (np.zeros((1, 2)), np.zeros((1, 2), int), "predicted is float64 .* expected whole numbers"),
        (np.array([[-1]]), np.array([[0]]), "predicted holds -1"),
        (np.zeros((1, 2), int), np.zeros((1, 3), int), "differ"),
    ],
)
def test_counts_at_fault_are_refused(predicted, truth, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checkout_figures(predicted, truth)


def test_levels_and_products_are_checked() -> None:
    one = np.ones((2, 1), np.int64)
    with pytest.raises(ValueError, match="2 pictures have 1 levels"):
        checkout_metrics(one, one, ["easy"])
    with pytest.raises(ValueError, match="product 'c' is not among the 2"):
        count_products([["a", "c"]], ["a", "b"])
