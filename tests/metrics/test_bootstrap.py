"""The percentile bootstrap against the closed form for a mean."""

import numpy as np
import pytest

from facings.metrics.bootstrap import bootstrap_interval


def test_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(lambda index: float(values[index].mean()), len(values), repeats=2000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_equals_scipy() -> None:
    scipy = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(2).exponential(size=60)
    ours = bootstrap_interval(lambda index: float(np.median(values[index])), 60, repeats=3000)
    theirs = scipy.bootstrap((values,), np.median, method="percentile", n_resamples=3000, rng=0).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.05)


def test_same_seed_same_interval() -> None:
    values = np.arange(20.0)
    first, again, other = (
        bootstrap_interval(lambda index: float(values[index].mean()), 20, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again != other


def test_draws_without_a_value_are_left_out() -> None:
    values = np.array([1.0, np.nan])
    low, high = bootstrap_interval(lambda index: float(values[index].mean()), 2, repeats=50)
    assert (low, high) == (1.0, 1.0)


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="one unit or more"):
        bootstrap_interval(lambda index: 0.0, 0)
    assert all(np.isnan(bootstrap_interval(lambda index: float("nan"), 3, repeats=5)))
