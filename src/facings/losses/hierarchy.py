"""A loss for classifiers at every level of a category tree, coarse to fine.

Knows nothing of where the logits come from.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError

UNKNOWN = -1


class HierarchicalLoss(nn.Module):
    """Cross-entropy at each level, and agreement between neighbouring levels.

    The levels weigh exp(-`alpha`·h), h their height above the finest, as the edges of the tree do in Bertinetto et al.:
    "Making Better Mistakes", CVPR 2020, eq. 4 (λ(C) = exp(-α·h(C))); scaled to sum to 1. There one leaf classifier's
    conditional probabilities are weighted, here one classifier a level. `alpha` 0: all alike; above: fine levels count more.

    `consistency`: weight of the mean Jensen-Shannon divergence (natural logarithm, 0 to ln 2) between a level's
    probabilities and those of the next finer level summed over each node's children; Garg, Sani, Anand: "Learning
    Hierarchy Aware Features for Reducing Mistake Severity", ECCV 2022, soft hierarchical consistency.

    `smoothing`: label smoothing of the cross-entropies, 0 to 1 (Szegedy et al., CVPR 2016).

    Raises ConfigError for a setting out of range.
    """

    def __init__(self, *, alpha: float = 0.0, consistency: float = 1.0, smoothing: float = 0.0) -> None:
        super().__init__()
        if not math.isfinite(alpha):
            raise ConfigError(f"category_loss.alpha={alpha}: expected a finite number (0: all levels weigh alike)")
        if not 0 <= consistency < math.inf:
            raise ConfigError(f"category_loss.consistency={consistency}: expected 0 or more")
        if not 0 <= smoothing < 1:
            raise ConfigError(f"category_loss.smoothing={smoothing}: expected 0 or more, below 1")
        self.alpha, self.consistency, self.smoothing = alpha, consistency, smoothing

    def forward(self, logits: Sequence[Tensor], targets: Tensor, parents: Sequence[Tensor]) -> dict[str, Tensor]:
        """`logits`: for each of K levels, coarse first, [B, nodes]. `targets` (B, K) int64, -1 where not known.
        `parents`: for each level but the first (nodes,) int64, the node above.

        Returns the scalars `categories` (the weighted cross-entropies) and `consistency` (weighted, 0 with one level);
        both are 0 where nothing is known, never NaN.
        """
        shown = [level.float() for level in logits]
        entropies = [_cross_entropy(level, targets[:, k], self.smoothing) for k, level in enumerate(shown)]
        weights = level_weights(len(shown), self.alpha)
        terms = {
            "categories": sum((w * e for w, e in zip(weights, entropies, strict=True)), targets.new_zeros(()).float())
        }
        agreement = shown[0].new_zeros(())
        if self.consistency and len(shown) > 1:
            pairs = zip(shown[:-1], shown[1:], parents, strict=True)
            agreement = torch.stack([disagreement(coarse, fine, above) for coarse, fine, above in pairs]).mean()
        terms["consistency"] = self.consistency * agreement
        return terms


def level_weights(levels: int, alpha: float) -> list[float]:
    """Weights of the levels, coarse first, sum 1.

    >>> [round(weight, 3) for weight in level_weights(3, 0.5)]
    [0.186, 0.307, 0.506]
    """
    # The largest exponent is taken out, so that a large alpha does not leave zeros only.
    heights = range(levels - 1, -1, -1)
    exponents = [-alpha * height for height in heights]
    largest = max(exponents, default=0.0)
    raw = [math.exp(exponent - largest) for exponent in exponents]
    return [weight / sum(raw) for weight in raw]


def disagreement(coarse: Tensor, fine: Tensor, parents: Tensor) -> Tensor:
    """Mean Jensen-Shannon divergence between `coarse` [B, N] and `fine` [B, M] logits, summed over `parents` (M,) in 0 … N-1.

    By hand: coarse sure of node 0, and both leaves below node 1: the two share nothing, the divergence is ln 2.

    >>> far = disagreement(torch.tensor([[99.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([1, 1]))
    >>> round(float(far), 4)
    0.6931
    """
    given = coarse.softmax(dim=1)
    summed = torch.zeros_like(given).index_add(1, parents, fine.softmax(dim=1))
    between = (given + summed) / 2
    return (_relative_entropy(given, between) + _relative_entropy(summed, between)).mean() / 2


def _relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    """(B,) Kullback-Leibler divergence of rows; the floor keeps 0·log 0 and its gradient at 0."""
    least = torch.finfo(p.dtype).tiny
    return (p * (p.clamp(min=least).log() - q.clamp(min=least).log())).sum(dim=1)


def _cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean over what is known; a 0 with gradient where nothing is, so that processes stay in step."""
    total = F.cross_entropy(logits, targets, ignore_index=UNKNOWN, label_smoothing=smoothing, reduction="sum")
    return total / (targets != UNKNOWN).sum().clamp(min=1)
