from collections import Counter
from collections.abc import Callable, Sequence
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facings.data import samplers
from facings.data.samplers import Draw, PKSampler, ShareSampler, ShuffleSampler
from facings.errors import ConfigError


def batches(sampler: PKSampler) -> list[list[int]]:
    indices = [draw.number for draw in sampler]
    return [indices[start : start + sampler.batch_size] for start in range(0, len(indices), sampler.batch_size)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=30, max_size=90), st.integers(1, 3), st.integers(1, 4), st.integers(0, 5))
def test_every_batch_is_p_products_with_k_views(labels: list[int], products: int, views: int, epoch: int) -> None:
    if len(set(labels)) < products:
        return
    sampler = PKSampler(labels, products=products, views=views, seed=1)
    sampler.set_epoch(epoch)
    for batch in batches(sampler):
        assert sorted(Counter(labels[i] for i in batch).values()) == [views] * products
    assert len(list(sampler)) == len(sampler)


def test_an_epoch_shows_nearly_every_crop() -> None:
    labels = np.repeat(np.arange(10), [8, 12, 20, 30, 8, 8, 40, 16, 24, 32])
    seen = {draw.number for draw in PKSampler(labels, products=4, views=4, seed=0)}
    assert len(seen) >= 0.9 * len(labels)


def test_epochs_differ_and_repeat_by_seed() -> None:
    labels = list(range(8)) * 8
    first, again = (PKSampler(labels, products=4, views=2, seed=3) for _ in range(2))
    assert list(first) == list(again)
    again.set_epoch(1)
    assert list(first) != list(again)


def test_too_few_products_say_how_many_there_are() -> None:
    with pytest.raises(ConfigError, match=r"only 2 products; set it to at most 2"):
        PKSampler([0, 0, 1, 1], products=3, views=2, seed=0)


def shares(make: Callable[[], Sequence[Draw]], processes: int) -> list[list[Draw]]:
    """What each of so many processes draws."""
    found = []
    for rank in range(processes):
        with mock.patch.object(samplers, "process", return_value=(rank, processes)):
            found.append(list(make()))
    return found


def steps(draws: Sequence[Draw], batch: int) -> list[set[Draw]]:
    return [set(draws[start : start + batch]) for start in range(0, len(draws) - batch + 1, batch)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 70), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
def test_processes_together_see_what_one_sees_at_every_step(
    size: int, count: int, processes: int, batch: int, epoch: int
) -> None:
    def sampler() -> ShuffleSampler:
        made = ShuffleSampler(size, count=count, seed=2)
        made.set_epoch(epoch)
        return made

    parts = [steps(part, batch) for part in shares(sampler, processes)]
    assert len({len(part) for part in parts}) == 1
    assert [set().union(*step) for step in zip(*parts, strict=True)] == steps(list(sampler()), batch * processes)


@pytest.mark.parametrize("processes", [2, 3])
def test_each_process_has_products_of_its_own(processes: int) -> None:
    labels = list(np.repeat(np.arange(12), 8))
    parts = shares(lambda: PKSampler(labels, products=2, views=4, seed=0), processes)
    alone = PKSampler(labels, products=2 * processes, views=4, seed=0)
    wanted = steps(list(alone), alone.batch_size)
    assert [set().union(*step) for step in zip(*(steps(part, 8) for part in parts), strict=True)] == wanted
    for part in parts:
        for batch in steps(part, 8):
            assert sorted(Counter(labels[draw.number] for draw in batch).values()) == [4, 4]


def test_too_few_products_for_the_processes() -> None:
    with pytest.raises(
        ConfigError, match=r"products=3 in each of 2 processes: .* only 4 products; set it to at most 2"
    ):
        shares(lambda: PKSampler([0, 1, 2, 3] * 4, products=3, views=2, seed=0), 2)


@pytest.mark.parametrize("size, processes", [(7, 1), (7, 2), (7, 3), (3, 3)])
def test_evaluation_sees_each_item_once(size: int, processes: int) -> None:
    parts = shares(lambda: ShareSampler(size), processes)
    assert sorted(number for part in parts for number in part) == list(range(size))
    with pytest.raises(ConfigError, match=f"{size} pictures to evaluate in {size + 1} processes"):
        shares(lambda: ShareSampler(size), size + 1)
