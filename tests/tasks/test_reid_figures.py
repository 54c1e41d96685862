"""Figures by level and of attributes, against scikit-learn and torch."""

import doctest
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import distributed, multiprocessing
from torch.nn import functional as F

from facings.tasks import reid_figures
from facings.tasks.reid_figures import attribute_figures, average_precision, known_cross_entropy, level_numbers


def test_examples_by_hand() -> None:
    assert doctest.testmod(reid_figures).failed == 0


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_scikit_learns(ties: bool, rng: np.random.Generator) -> None:
    for count in (1, 2, 7, 300):
        scores = rng.random(count).round(1 if ties else 12)
        right = rng.random(count) < 0.4
        right[0] = True
        assert average_precision(scores, right) == pytest.approx(average_precision_score(right, scores))


def test_attributes_of_which_nothing_is_known_are_left_out() -> None:
    truth = np.array([[np.nan, 0.0], [np.nan, 0.0]], np.float32)
    said = np.array([[0.9, 0.2], [0.1, 0.7]], np.float32)
    assert attribute_figures(said, truth, ["bagged", "ripe"]) == {"attribute_ripe": 0.5}


def test_unknown_attributes_have_no_gradient() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    truth = torch.tensor([[1.0, torch.nan], [torch.nan, 0.25]])
    loss = known_cross_entropy(logits, truth)
    known = torch.stack([logits[0, 0], logits[1, 1]])
    assert loss.item() == pytest.approx(F.binary_cross_entropy_with_logits(known, torch.tensor([1.0, 0.25])).item())
    loss.backward()
    assert logits.grad is not None and (logits.grad != 0).tolist() == [[True, False], [False, True]]
    nothing = known_cross_entropy(logits, torch.full_like(truth, torch.nan))
    assert nothing.item() == 0 and nothing.requires_grad


def test_levels_of_products_without_category() -> None:
    assert level_numbers([("a",), ("b",)]).shape == (2, 0)
    assert level_numbers([]).shape == (0, 0)
    numbers = level_numbers([("Fruit", "a"), ("b",), ("Fruit", "c")])
    assert numbers.shape == (3, 1) and numbers[0] == numbers[2] != numbers[1]


LOGITS = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-0.5, 1.0], [1.5, 0.2]])
TRUTH = torch.tensor([[1.0, 0.0], [0.0, 1.0], [torch.nan, torch.nan], [1.0, torch.nan]])


def half_of_it(rank: int, folder: str) -> None:
    """The loss and its gradient for two of the four crops."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    logits = LOGITS[2 * rank : 2 * rank + 2].clone().requires_grad_()
    loss = known_cross_entropy(logits, TRUTH[2 * rank : 2 * rank + 2])
    loss.backward()
    torch.save([loss.detach(), logits.grad], f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_know_unlike_many_and_average_to_one(tmp_path: Path) -> None:
    """Four answers are known in one, one in the other."""
    multiprocessing.start_processes(half_of_it, args=(str(tmp_path),), nprocs=2, start_method="forkserver")
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    whole = LOGITS.clone().requires_grad_()
    loss = known_cross_entropy(whole, TRUTH)
    loss.backward()
    torch.testing.assert_close((halves[0][0] + halves[1][0]) / 2, loss.detach())
    torch.testing.assert_close(torch.cat([half[1] for half in halves]) / 2, whole.grad)
