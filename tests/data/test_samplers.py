from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facings.data.samplers import PKSampler
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
