"""Batch sizes by memory: by a made-up need, and by that of a real training step."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facings.errors import ConfigError
from facings.tasks.batch_size import batches_of, find_batch_size, free_bytes, largest_fitting
from tests.tasks.conftest import squares_config, training

MIB = 2**20


@given(st.integers(0, 1000), st.integers(1, 100), st.integers(0, 20_000), st.sampled_from([1, 8, 64]))
def test_a_straight_need_is_foretold_exactly(fixed: int, each: int, limit: int, largest: int) -> None:
    asked: list[int] = []

    def need(size: int) -> float:
        asked.append(size)
        return fixed + each * size

    if limit < need(1):
        with pytest.raises(ConfigError, match="a step with one item takes"):
            largest_fitting(need, limit, largest=largest)
        return
    found = largest_fitting(need, limit, largest=largest)
    fitting = [size for size in (1, 2, 4, 8, 16, 32, 64) if size <= largest and need(size) <= limit]
    # Where memory is short, a size may be left out because one point cannot tell what is fixed; never the other way.
    assert found in fitting and (found == fitting[-1] or fixed + 2 * each > limit / 2)


def test_example_of_the_docstring_and_no_size_that_might_not_fit_is_tried() -> None:
    asked: list[int] = []

    def need(size: int) -> float:
        asked.append(size)
        return 10 + 5 * size

    assert largest_fitting(need, 100) == 16 and asked == [1, 2, 4]
    asked.clear()
    assert largest_fitting(need, 28) == 1 and asked == [1]


def test_on_a_gpu_the_answer_is_tried_and_halved() -> None:
    """Past 8 items this need bends upwards, which three points do not show."""
    assert largest_fitting(lambda n: float(n if n <= 8 else n * n), 40, tried=True) == 8
    assert largest_fitting(lambda n: float(n if n <= 8 else "inf"), 1000, tried=True) == 8


def test_a_real_step_stays_within_the_limit(squares: Path, tmp_path: Path) -> None:
    run = training(squares_config(squares, tmp_path, "image_size=128"))
    make = batches_of(run.data.train_dataloader())
    assert len(make(11)["boxes"]) == 11 == len(make(11)["pixels"])
    before = {name: value.clone() for name, value in run.task.state_dict().items()}
    generator = torch.get_rng_state()
    small, large = (find_batch_size(run.task, make, limit_bytes=limit * MIB, largest=64) for limit in (100, 300))
    assert 1 <= small < large < 64
    assert all(torch.equal(value, run.task.state_dict()[name]) for name, value in before.items())
    assert torch.equal(generator, torch.get_rng_state())
    assert all(p.grad is None for p in run.task.parameters())
    with pytest.raises(
        ConfigError, match=r"data.batch_size=auto: a step with one item takes 0\.\d+ GiB, 0.00 GiB may be used"
    ):
        find_batch_size(run.task, make, limit_bytes=1)
    assert find_batch_size(run.task, make, largest=2) == 2


def test_free_memory_is_that_of_this_machine() -> None:
    assert 10 * MIB < free_bytes(torch.device("cpu")) < 2**50


@pytest.mark.slow
def test_what_was_foretold_is_what_a_step_takes(squares: Path, tmp_path: Path) -> None:
    """The found batch fits, measured; four times as many items would not."""
    from facings.tasks import batch_size

    run = training(squares_config(squares, tmp_path, "image_size=256"))
    make = batches_of(run.data.train_dataloader())
    limit = 600 * MIB
    start = batch_size._resident()
    found = find_batch_size(run.task, make, limit_bytes=limit)

    def need(size: int) -> float:
        batch = make(size)
        return batch_size._peak(
            lambda: batch_size._step(run.task, batch, batch_size.nullcontext), torch.device("cpu"), start
        )

    assert need(found) <= 1.15 * limit
    assert need(4 * found) > limit
