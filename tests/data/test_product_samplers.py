"""Balanced, repeat-factor and hierarchical batches: how often each product comes, and alike over processes."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facings.data import samplers
from facings.data.product_samplers import BalancedSampler, HierarchicalSampler, RepeatFactorSampler, batches_of
from facings.data.samplers import Draw, PKSampler, ProductSampler
from facings.errors import ConfigError

SIZES = [40, 4, 12, 7, 25, 1, 9, 16]
LABELS = np.repeat(np.arange(8), SIZES).tolist()
PATHS = [("Fruit", "Apple")] * 3 + [("Fruit", "Pear")] * 2 + [("Packed", "Milk"), ("Packed", "Juice"), ()]
MAKERS: dict[str, Callable[..., ProductSampler]] = {
    "pk": PKSampler,
    "balanced": BalancedSampler,
    "square_root": partial(BalancedSampler, power=0.5),
    "repeat_factor": RepeatFactorSampler,
    "hierarchical": HierarchicalSampler,
}
ALL = pytest.mark.parametrize("name", sorted(MAKERS))


def make(name: str, epoch: int = 0, *, products: int = 2, views: int = 2, seed: int = 5) -> ProductSampler:
    sampler = MAKERS[name](LABELS, products=products, views=views, seed=seed, paths=PATHS)
    sampler.set_epoch(epoch)
    return sampler


def numbers(name: str, epoch: int, **settings: int) -> list[int]:
    return [draw.number for draw in make(name, epoch, **settings)]


def batches(sampler: ProductSampler) -> list[list[Draw]]:
    draws = list(sampler)
    return [draws[start : start + sampler.batch_size] for start in range(0, len(draws), sampler.batch_size)]


@ALL
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 4))
def test_every_batch_is_products_with_views(name: str, products: int, views: int, epoch: int) -> None:
    sampler = make(name, epoch, products=products, views=views)
    found = batches(sampler)
    assert found and len(sampler) == sum(map(len, found))
    for batch in found:
        assert sorted(Counter(LABELS[draw.number] for draw in batch).values()) == [views] * products


@ALL
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_together_see_what_one_sees_with_the_joined_batch(name: str, processes: int) -> None:
    parts = []
    for rank in range(processes):
        with mock.patch.object(samplers, "process", return_value=(rank, processes)):
            sampler = make(name, 3)
            assert len(list(sampler)) == len(sampler)
            parts.append(batches(sampler))
    joined = [set().union(*step) for step in zip(*parts, strict=True)]
    assert joined == [set(batch) for batch in batches(make(name, 3, products=2 * processes))]
    for batch in (batch for part in parts for batch in part):
        assert sorted(Counter(LABELS[draw.number] for draw in batch).values()) == [2, 2]


@ALL
def test_a_resumed_run_draws_what_the_unbroken_run_would(name: str) -> None:
    unbroken = make(name)
    epochs = []
    for epoch in range(4):
        unbroken.set_epoch(epoch)
        epochs.append(list(unbroken))
    assert list(make(name, 3)) == epochs[3] and len({tuple(epoch) for epoch in epochs}) == 4
    assert list(make(name, seed=6)) != epochs[0]


@ALL
def test_every_crop_comes_in_time(name: str) -> None:
    """P×K, hierarchical and repeat factor: due each epoch; balanced: after 2n/d epochs, 10 here. Leaving out costs a few more."""
    epochs = 30 if name in ("balanced", "square_root") else 4
    seen = {number for epoch in range(epochs) for number in numbers(name, epoch)}
    assert seen == set(range(len(LABELS)))
    if name in ("pk", "repeat_factor", "hierarchical"):
        assert min(len(set(numbers(name, epoch))) for epoch in range(4)) >= 0.75 * len(LABELS)


def test_balanced_shows_each_product_equally_often() -> None:
    for epoch in range(3):
        counts = Counter(LABELS[number] for number in numbers("balanced", epoch))
        assert len(counts) == 8 and max(counts.values()) - min(counts.values()) <= 2


def test_square_root_follows_the_formula() -> None:
    sampler = make("square_root")
    assert isinstance(sampler, BalancedSampler)
    counts = Counter(LABELS[number] for epoch in range(20) for number in numbers("square_root", epoch))
    wanted = np.sqrt(SIZES) / np.sqrt(SIZES).sum()
    got = np.array([counts[label] for label in range(8)]) / sum(counts.values())
    # A product has whole groups only: half a group of one epoch's 58 is off by 0.9 %.
    assert np.abs(got - wanted).max() < 0.015
    whole = BalancedSampler(LABELS, products=2, views=2, seed=0, power=1.0).groups_an_epoch()
    assert max(abs(whole[label] * 2 - size) for label, size in enumerate(SIZES)) <= 2


def test_balanced_shows_a_crop_again_only_after_all_others() -> None:
    sampler = make("balanced")
    assert isinstance(sampler, BalancedSampler)
    row = sampler._stretch(0, 0, 200)
    assert all(len(set(row[start : start + 40])) == 40 for start in range(0, 200, 40))
    assert sampler._stretch(0, 70, 25) == row[70:95] and sampler._stretch(5, 3, 4) == [LABELS.index(5)] * 4


def test_repeat_factors_are_those_of_the_paper() -> None:
    labels = [0] * 90 + [1] * 10
    sampler = RepeatFactorSampler(labels, products=2, views=1, seed=0, threshold=0.5)
    assert sampler.factors() == {0: 1.0, 1: pytest.approx(5**0.5)}
    drawn = [sum(len(group) for group in sampler._repeated(1, 5**0.5, np.random.default_rng(s))) for s in range(400)]
    # Mean of 400 sums of ten crops of r = 2.236; standard error 0.067.
    assert np.mean(drawn) == pytest.approx(10 * 5**0.5, abs=0.27)
    assert RepeatFactorSampler(labels, products=2, views=1, seed=0).factors()[0] == 1.0


def test_hierarchical_batches_hold_relatives() -> None:
    labels = np.repeat(np.arange(12), 8).tolist()
    paths = [("Food", f"kind {label // 4}") for label in range(12)]

    def largest(sampler: ProductSampler) -> list[int]:
        """Products of the most frequent category in each batch."""
        kinds = [Counter(labels[draw.number] // 4 for draw in batch[::4]) for batch in batches(sampler)]
        return [max(kind.values()) for kind in kinds]

    common = {"products": 4, "views": 4, "seed": 0, "paths": paths}
    assert set(largest(HierarchicalSampler(labels, near=1.0, **common))) == {4}
    mostly = largest(HierarchicalSampler(labels, near=0.75, **common))
    assert np.mean(mostly) > np.mean(largest(PKSampler(labels, **common))) and mostly.count(3) + mostly.count(4) >= 4


def test_a_small_category_is_filled_up_from_the_next_in_the_tree() -> None:
    labels = np.repeat(np.arange(6), 4).tolist()
    paths = [("Fruit", "Apple")] * 2 + [("Fruit", "Pear")] * 2 + [("Milk", "Apple")] * 2
    sampler = HierarchicalSampler(labels, products=4, views=4, seed=0, near=1.0, paths=paths)
    first = {labels[draw.number] for draw in batches(sampler)[0]}
    # From milk, all fruit is equally far; from fruit, the other fruit comes before milk although "Apple" is a name there too.
    assert first == {0, 1, 2, 3} or {4, 5} <= first


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7), st.integers(1, 4))
def test_the_number_of_batches_is_the_largest_possible(left: list[int], together: int) -> None:
    """Against trying them all (Gale–Ryser: B batches can be dealt when the sum of min(left, B) reaches B × together)."""
    possible = [b for b in range(sum(left) + 1) if sum(min(n, b) for n in left) >= b * together]
    assert batches_of(np.array(left), together) == max(possible)


@pytest.mark.parametrize(
    "make_it, words",
    [
        (partial(BalancedSampler, power=1.5), r"sampler.power=1.5: expected 0"),
        (partial(RepeatFactorSampler, threshold=0.0), r"sampler.threshold=0.0: expected a share"),
        (partial(HierarchicalSampler, near=0.0, paths=PATHS), r"sampler.near=0.0"),
        (partial(HierarchicalSampler, paths=PATHS[:3]), r"3 category paths for 8 products"),
        (partial(HierarchicalSampler, paths=[(str(n),) for n in range(8)]), r"no two of the 8 .* share a category"),
        (partial(BalancedSampler, products=9), r"only 8 products; set it to at most 8 \(data.products_per_batch\)"),
        (partial(PKSampler, products=0), r"data.products_per_batch=0: expected 1 or more"),
        (partial(PKSampler, views=0), r"data.views_per_product=0: expected 1 or more"),
    ],
)
def test_impossible_settings_are_refused(make_it: Callable[..., ProductSampler], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_it(LABELS, **({"products": 2, "views": 2, "seed": 0} | getattr(make_it, "keywords", {})))
