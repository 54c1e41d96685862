"""The alarm rings falsely as seldom as it says, and rings when something has changed."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from facings.runtime.drift import DriftAlarm, two_sample_p_value


def test_p_values_are_uniform_and_independent_with_ties_and_a_short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facings.runtime.drift.MOST", 200)
    rng = np.random.default_rng(0)
    alarm = DriftAlarm(rng.normal(size=50).round(1), seed=4)
    p = np.array([alarm.update(score) for score in rng.normal(size=3000).round(1)])
    assert kstest(p, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(p[1:], p[:-1])[0, 1]) < 0.06
    assert alarm.count == 3000


def test_false_alarms_stay_below_the_chosen_rate() -> None:
    """Ville: of 200 quiet streams of 300 crops, looked at after each, at most 10 % ever alarm."""
    rng = np.random.default_rng(1)
    alarmed = sum(
        DriftAlarm(rng.normal(size=100), false_alarms=0.1, seed=n).watch(rng.normal(size=300)) for n in range(200)
    )
    assert alarmed <= 20 + 3 * 18**0.5


@pytest.mark.parametrize("shift, spread", [(1.0, 1.0), (-1.0, 1.0), (0.0, 3.0)])
def test_rings_for_higher_lower_and_wilder_scores_late_too(shift: float, spread: float) -> None:
    rng = np.random.default_rng(2)
    alarm = DriftAlarm(rng.normal(size=500), false_alarms=0.01)
    assert not alarm.watch(rng.normal(size=500))
    assert alarm.watch(shift + spread * rng.normal(size=400))
    assert alarm.log10_capital > 2
    alarm.reset(rng.normal(size=100))
    assert not alarm.alarmed and alarm.count == 0 and alarm.log10_capital == 0


def test_the_alarm_stays_on_when_the_capital_is_lost_again() -> None:
    rng = np.random.default_rng(3)
    alarm = DriftAlarm(rng.normal(size=300), false_alarms=0.05)
    alarm.watch(3 + rng.normal(size=60))
    assert alarm.alarmed
    assert alarm.watch(rng.normal(size=500)) and alarm.alarmed


def test_refusals() -> None:
    with pytest.raises(ValueError, match="false_alarms is 0"):
        DriftAlarm(false_alarms=0)
    with pytest.raises(ValueError, match="reference must be finite"):
        DriftAlarm([0.1, float("nan")])
    with pytest.raises(ValueError, match="the score nan"):
        DriftAlarm().update(float("nan"))
    for before, now, text in (([], [1.0], "0 and 1"), ([1.0], [float("inf")], "finite")):
        with pytest.raises(ValueError, match=text):
            two_sample_p_value(np.array(before), np.array(now))


def test_two_samples_beside_scipy() -> None:
    rng = np.random.default_rng(4)
    for shift in (0.0, 0.5, 1.0):
        before, now = rng.normal(size=60), shift + rng.normal(size=40)
        p, exact = two_sample_p_value(before, now), ks_2samp(before, now).pvalue
        assert abs(p - max(exact, 0.001)) < 4 * (exact * (1 - exact) / 999) ** 0.5 + 0.003
    assert two_sample_p_value(np.ones(5), np.ones(7)) == 1.0
