"""The power law against SciPy's regression."""

import numpy as np
import pytest
from scipy import stats

from facings.metrics.scaling import fit_power_law


def test_equals_a_regression_on_logarithms() -> None:
    rng = np.random.default_rng(0)
    sizes = np.geomspace(10, 1e6, 12)
    costs = 3 * sizes**0.8 * np.exp(rng.normal(0, 0.1, 12))
    law, theirs = fit_power_law(sizes.tolist(), costs.tolist()), stats.linregress(np.log(sizes), np.log(costs))
    half = stats.t.ppf(0.975, 10) * theirs.stderr
    assert law.exponent == pytest.approx(theirs.slope)
    assert (law.low, law.high) == pytest.approx((theirs.slope - half, theirs.slope + half))
    assert law.r2 == pytest.approx(theirs.rvalue**2)
    assert law.factor == pytest.approx(np.exp(theirs.intercept))
    assert law.low < 0.8 < law.high


def test_two_points_have_no_interval() -> None:
    law = fit_power_law([1, 10], [1, 100])
    assert law.exponent == pytest.approx(2) and np.isnan(law.low)


@pytest.mark.parametrize(
    ("sizes", "costs", "message"),
    [
        ([1, 1], [1, 2], "1 different sizes"),
        ([1, 2], [0, 2], "above 0"),
        ([1, np.nan], [1, 2], "above 0"),
        ([1, 2], [1], "alike in length"),
    ],
)
def test_what_has_no_law_is_refused(sizes, costs, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_power_law(sizes, costs)
