"""The coarse-to-fine loss against torch's cross-entropy and scipy's divergence."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.losses.hierarchy import HierarchicalLoss, disagreement, level_weights

# Five leaves under three nodes under two.
PARENTS = [torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1, 2, 2])]
SIZES = (2, 3, 5)


@pytest.fixture
def logits() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(6, size, generator=generator, dtype=torch.float32) * 2 for size in SIZES]


@pytest.fixture
def targets() -> Tensor:
    leaves = torch.tensor([0, 1, 2, 3, 4, 1])
    middle = PARENTS[1][leaves]
    return torch.stack([PARENTS[0][middle], middle, leaves], dim=1)


@pytest.mark.parametrize("alpha, smoothing", [(0.0, 0.0), (0.7, 0.1), (-0.3, 0.0)])
def test_cross_entropies_are_torchs(logits: list[Tensor], targets: Tensor, alpha: float, smoothing: float) -> None:
    terms = HierarchicalLoss(alpha=alpha, smoothing=smoothing, consistency=0.0)(logits, targets, PARENTS)
    weights = np.exp(-alpha * np.array([2, 1, 0]))
    each = [float(F.cross_entropy(x, targets[:, k], label_smoothing=smoothing)) for k, x in enumerate(logits)]
    assert float(terms["categories"]) == pytest.approx(float(weights @ each / weights.sum()), rel=1e-5)
    assert float(terms["consistency"]) == 0


def test_disagreement_is_scipys(logits: list[Tensor], targets: Tensor) -> None:
    terms = HierarchicalLoss(consistency=2.0)(logits, targets, PARENTS)
    probabilities = [x.double().softmax(dim=1).numpy() for x in logits]
    expected = []
    for coarse, fine, parents in zip(probabilities[:-1], probabilities[1:], PARENTS, strict=True):
        summed = np.zeros_like(coarse)
        np.add.at(summed.T, parents.numpy(), fine.T)
        expected.append(np.mean(jensenshannon(coarse, summed, axis=1) ** 2))
    assert float(terms["consistency"]) == pytest.approx(2 * np.mean(expected), rel=1e-4)


def test_levels_that_agree_cost_nothing(logits: list[Tensor]) -> None:
    fine = logits[2]
    coarse = torch.zeros(6, 3).index_add(1, PARENTS[1], fine.softmax(dim=1)).log()
    assert float(disagreement(coarse, fine, PARENTS[1])) == pytest.approx(0, abs=1e-6)


def test_what_is_not_known_counts_for_nothing(logits: list[Tensor], targets: Tensor) -> None:
    partly = targets.clone()
    partly[:3, 2] = -1
    terms = HierarchicalLoss(consistency=0.0)(logits, partly, PARENTS)
    each = [F.cross_entropy(logits[0], targets[:, 0]), F.cross_entropy(logits[1], targets[:, 1])]
    each.append(F.cross_entropy(logits[2][3:], targets[3:, 2]))
    assert float(terms["categories"]) == pytest.approx(float(sum(each)) / 3, rel=1e-5)


def test_nothing_known_is_zero_with_a_gradient(logits: list[Tensor], targets: Tensor) -> None:
    for level in logits:
        level.requires_grad_()
    terms = HierarchicalLoss(consistency=0.0)(logits, torch.full_like(targets, -1), PARENTS)
    assert float(terms["categories"]) == 0
    terms["categories"].backward()
    assert all(level.grad is not None and not level.grad.any() for level in logits)


def test_one_level_and_one_item(targets: Tensor) -> None:
    terms = HierarchicalLoss()([torch.zeros(1, 2, requires_grad=True)], targets[:1, :1], [])
    assert float(terms["categories"]) == pytest.approx(math.log(2)) and float(terms["consistency"]) == 0


def test_huge_logits_have_finite_gradients(targets: Tensor) -> None:
    """Surely and wrongly: probabilities of exactly 0 on both sides."""
    sure = [torch.zeros(6, size).index_fill(1, torch.tensor([size - 1]), 500.0).requires_grad_() for size in SIZES]
    terms = HierarchicalLoss()(sure, torch.zeros_like(targets), PARENTS)
    (terms["categories"] + terms["consistency"]).backward()
    assert all(level.grad is not None and level.grad.isfinite().all() for level in sure)


def test_gradients_are_numerically_right(targets: Tensor) -> None:
    def far(coarse: Tensor, fine: Tensor) -> Tensor:
        return disagreement(coarse, fine, PARENTS[1])

    shown = [torch.randn(2, size, dtype=torch.float64, requires_grad=True) for size in SIZES[1:]]
    assert torch.autograd.gradcheck(far, shown)


def test_weights_of_levels() -> None:
    assert level_weights(3, 0.0) == pytest.approx([1 / 3] * 3)
    assert level_weights(3, 2000.0) == pytest.approx([0, 0, 1]) and level_weights(2, -2000.0) == pytest.approx([1, 0])
    assert level_weights(0, 1.0) == []


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"alpha": math.nan}, "alpha=nan: expected a finite number"),
        ({"consistency": -1.0}, r"consistency=-1\.0: expected 0 or more"),
        ({"smoothing": 1.0}, r"smoothing=1\.0: expected 0 or more, below 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        HierarchicalLoss(**settings)
