"""p-values hold for crops of a product that was not seen, whatever its crops have in common."""

import doctest

import numpy as np
import pytest

import facings.runtime.conformal as conformal
from facings.runtime.conformal import Reference, balanced_weights, effective_size, numbered


def test_worked_examples() -> None:
    outcome = doctest.testmod(conformal, extraglobs={"np": np})
    assert outcome.attempted > 3 and outcome.failed == 0


@pytest.mark.parametrize("within", [0.1, 1.0, 5.0])
def test_products_are_exact_where_views_are_not(within: float) -> None:
    """The share of new products' crops with p ≤ α is α at most, though crops of one product nearly repeat each other."""
    rng = np.random.default_rng(0)
    groups = [f"p{n}" for n in range(40) for _ in range(25)]
    accepted = {"products": 0.0, "views": 0.0, "estimated": 0.0}
    trials = 1500
    for _ in range(trials):
        scores = np.repeat(rng.normal(size=40), 25) + within * rng.normal(size=1000)
        new = rng.normal() + within * rng.normal(size=10)
        for unit in accepted:
            p = Reference.of(scores, groups, unit=unit, level=0.1).p_values(new)  # type: ignore[arg-type]
            accepted[unit] += float((p <= 0.1).mean()) / trials
    noise = 3 * (0.1 * 0.9 / trials) ** 0.5
    assert accepted["products"] <= 0.1 + noise
    # Within one product's share of the exact level, so neither is it idle.
    assert accepted["products"] >= 0.1 - 1 / 41 - noise
    assert abs(accepted["estimated"] - 0.1) < 0.02 + noise
    assert accepted["products"] <= accepted["estimated"] <= accepted["views"] + 1e-12


def test_alone_each_is_the_classical_split_conformal_p_value() -> None:
    rng = np.random.default_rng(1)
    scores, asked = rng.normal(size=30).round(1), rng.normal(size=50).round(1)
    for unit in ("products", "views"):
        found = Reference.of(scores, [None] * 30, unit=unit).p_values(asked)  # type: ignore[arg-type]
        brute = [(1 + sum(s >= a for s in scores)) / 31 for a in asked]
        assert np.allclose(found, brute)


def test_weights_match_a_sum_by_hand_and_the_threshold_matches_the_p_value() -> None:
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 12, 200).astype(str).tolist()
    scores = rng.normal(size=200)
    reference = Reference.of(scores, groups)
    for asked in rng.normal(size=20):
        shares = [np.mean([s >= asked for s, g in zip(scores, groups, strict=True) if g == k]) for k in set(groups)]
        assert reference.p_values(np.array([asked]))[0] == pytest.approx((1 + sum(shares)) / (1 + len(shares)))
    cut = reference.threshold(0.3)
    above, at = reference.p_values(np.array([np.nextafter(cut, 9), cut]))
    assert above <= 0.3 < at
    assert reference.threshold(1 / 14) == float("inf")


def test_edges() -> None:
    nothing = Reference.of(np.zeros(0), [])
    assert nothing.p_values(np.array([[0.9, -5.0]])).tolist() == [[1.0, 1.0]]
    assert nothing.threshold(0.5) == float("inf")
    one = Reference.of(np.array([0.5]), ["a"])
    assert one.p_values(np.array([0.6, 0.5, np.nan, np.inf, -np.inf])).tolist() == [0.5, 1.0, 1.0, 0.5, 1.0]
    assert one.size == 1 and Reference.of(np.array([np.nan, 0.1]), ["a", "b"]).size == 1
    assert balanced_weights(np.zeros(0, np.int64)).tolist() == []
    assert numbered([None, None]).tolist() == [0, 1]
    # The same everywhere: nothing says that groups matter.
    assert effective_size(np.ones(6), np.array([0, 0, 1, 1, 2, 2]), 0.05) == 3.0


def test_effective_size_lies_between_products_and_crops() -> None:
    rng = np.random.default_rng(3)
    numbers = np.repeat(np.arange(50), 20)
    alike = effective_size(np.repeat(rng.normal(size=50), 20) + 0.001 * rng.normal(size=1000), numbers, 0.2)
    apart = effective_size(rng.normal(size=1000), numbers, 0.2)
    assert 50 <= alike < 60 and 600 < apart <= 1000


def test_refusals() -> None:
    with pytest.raises(ValueError, match="'crops'; expected one of products, views, estimated"):
        Reference.of(np.ones(2), ["a", "b"], unit="crops")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 scores, but 1 groups"):
        Reference.of(np.ones(2), ["a"])
