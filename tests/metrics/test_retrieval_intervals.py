"""Intervals against the bootstrap of the same statistic written out, and against the closed form."""

import numpy as np
import pytest

from facings.metrics.bootstrap import bootstrap_interval
from facings.metrics.retrieval_intervals import figure_differences, figure_intervals


def test_queries_equal_the_bootstrap_of_their_mean(rng: np.random.Generator) -> None:
    values = rng.random(40)
    found = figure_intervals({"map": values}, seed=3, repeats=300)["map"]
    low, high = bootstrap_interval(lambda index: float(values[index].mean()), 40, seed=3, repeats=300)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


@pytest.mark.parametrize("macro", [False, True])
def test_products_are_drawn_whole(rng: np.random.Generator, macro: bool) -> None:
    groups, values = rng.integers(10, 18, 60), rng.random(60)
    values[groups == 12] = np.nan  # a product whose queries were all left out
    members = [values[groups == g] for g in np.unique(groups)]

    def statistic(index: np.ndarray) -> float:
        drawn = [members[i] for i in index]
        if macro:
            return float(np.nanmean([d.mean() for d in drawn]))
        return float(np.nanmean(np.concatenate(drawn)))

    found = figure_intervals({"map": values}, groups=groups, macro=macro, repeats=200)["map"]
    low, high = bootstrap_interval(statistic, len(members), repeats=200)
    assert (found.value, found.low, found.high) == pytest.approx((statistic(np.arange(len(members))), low, high))


def test_like_queries_widen_the_interval(rng: np.random.Generator) -> None:
    groups = np.repeat(np.arange(20), 25)
    values = rng.random(20)[groups]
    alone, whole = (figure_intervals({"r": values}, groups=g, repeats=400)["r"] for g in (None, groups))
    # With queries of a product all the same, only products count: sqrt(25) times as wide.
    assert (whole.high - whole.low) / (alone.high - alone.low) == pytest.approx(5, rel=0.25)


def test_a_paired_difference_is_narrower_than_both(rng: np.random.Generator) -> None:
    hard = rng.random(200)
    first, second = {"map": hard + 0.02 + rng.normal(0, 0.01, 200)}, {"map": hard, "r1": hard}
    found = figure_differences(first, second, repeats=300)
    assert list(found) == ["map"]
    own = figure_intervals(first, repeats=300)["map"]
    assert 0.015 < found["map"].low < found["map"].value < found["map"].high < 0.025
    assert found["map"].high - found["map"].low < (own.high - own.low) / 5
    assert found["map"].wins == 1.0


def test_a_query_that_one_left_out_is_left_out_of_both() -> None:
    found = figure_differences({"r": np.array([1.0, np.nan, 0.0])}, {"r": np.array([0.0, 1.0, 0.0])})["r"]
    assert found.value == 0.5


def test_refusals() -> None:
    one = {"r": np.ones(3)}
    with pytest.raises(ValueError, match="macro wants groups"):
        figure_intervals(one, macro=True)
    with pytest.raises(ValueError, match="3 queries have 2 groups"):
        figure_intervals(one, groups=np.arange(2))
    with pytest.raises(ValueError, match="no query"):
        figure_intervals({"r": np.zeros(0)})
    with pytest.raises(ValueError, match="3 and 2 queries"):
        figure_differences(one, {"r": np.ones(2)})
    assert np.isnan(figure_intervals({"r": np.full(2, np.nan)})["r"].value)
