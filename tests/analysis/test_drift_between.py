"""Drift between two weeks: false alarms at the chosen rate, real changes found, the estimate against its definition."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from facings.analysis.drift_between import embedding_drift, picture_statistics, statistics_drift


def test_the_estimate_is_the_papers() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (7, 3)), rng.normal(0.5, 1, (9, 3))
    rows = np.concatenate([first, second])
    squares = cdist(rows, rows, "sqeuclidean")
    kernel = np.exp(-squares / np.median(squares[np.triu_indices(16, 1)]))
    within = sum(kernel[i, j] for i in range(7) for j in range(7) if i != j) / (7 * 6)
    within += sum(kernel[i, j] for i in range(7, 16) for j in range(7, 16) if i != j) / (9 * 8)
    between = sum(kernel[i, j] for i in range(7) for j in range(7, 16)) / (7 * 9)
    assert embedding_drift(first, second, permutations=1).mmd2 == pytest.approx(within - 2 * between)


def test_alike_weeks_alarm_at_the_rate_and_others_always() -> None:
    rng = np.random.default_rng(1)
    p = [
        embedding_drift(rng.normal(0, 1, (20, 4)), rng.normal(0, 1, (25, 4)), permutations=60, seed=n).p_value
        for n in range(60)
    ]
    assert 0 <= np.mean(np.array(p) <= 0.1) <= 0.25 and 0.35 < np.mean(p) < 0.65
    moved = embedding_drift(rng.normal(0, 1, (40, 4)), rng.normal(0.8, 1, (40, 4)), permutations=100)
    assert moved.p_value == pytest.approx(1 / 101) and moved.mmd2 > 0


def test_crops_of_one_picture_count_as_one() -> None:
    """Forty crops each, but of two pictures a week: no such week can be told from another."""
    rng = np.random.default_rng(2)
    pictures = rng.normal(0, 1, (4, 3))
    rows = [pictures[pair] + rng.normal(0, 0.01, (40, 3)) for pair in (np.repeat([0, 1], 20), np.repeat([2, 3], 20))]
    groups = np.repeat([0, 1], 20).tolist()
    naive = embedding_drift(rows[0], rows[1], permutations=200)
    fair = embedding_drift(rows[0], rows[1], before_groups=groups, after_groups=groups, permutations=200)
    assert naive.p_value < 0.01 and fair.p_value > 0.1 and fair.mmd2 == pytest.approx(naive.mmd2)


def test_weeks_that_cannot_be_compared() -> None:
    rows = np.zeros((3, 2))
    with pytest.raises(ValueError, match="before has fewer than two"):
        embedding_drift(rows[:1], rows)
    with pytest.raises(ValueError, match="same D"):
        embedding_drift(rows, np.zeros((3, 5)))
    with pytest.raises(ValueError, match="not finite"):
        embedding_drift(rows, rows * np.nan)
    with pytest.raises(ValueError, match="2 groups for 3 rows"):
        embedding_drift(rows, rows, before_groups=[0, 1])
    assert embedding_drift(rows, rows, permutations=20).p_value == 1.0


def test_a_darker_week_is_told_by_its_brightness() -> None:
    rng = np.random.default_rng(3)
    weeks = [
        [picture_statistics(rng.integers(0, top, (12, 12, 3), dtype=np.uint8)) for _ in range(20)] for top in (200, 150)
    ]
    found = statistics_drift(*weeks)
    assert {entry.name for entry in found if entry.p_value < 0.01} >= {"brightness", "contrast"}
    same = statistics_drift(weeks[0], weeks[0])
    assert all(entry.p_value == 1.0 and entry.distance == 0 for entry in same)
    with pytest.raises(ValueError, match="0 pictures before"):
        statistics_drift([], weeks[1])
