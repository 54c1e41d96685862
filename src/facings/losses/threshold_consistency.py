"""A loss that keeps one threshold right for all products."""

from typing import Any

from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.utils import loss_and_miner_utils as mining
from torch import Tensor
from torch.nn import functional as F

from facings.errors import ConfigError


class ThresholdConsistentMarginLoss(BaseMetricLossFunction):
    """Pairs of one product less similar than `positive_margin`, and pairs of two more similar than `negative_margin`.

    Zhang et al.: "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning", ICLR 2024. With cosine similarities s
    of the pairs P of one product and N of two, and means over the violating pairs alone:

        positive_weight · mean of (m⁺ − s) over {P: s ≤ m⁺}  +  negative_weight · mean of (s − m⁻) over {N: s ≥ m⁻}

    A part without violating pairs is 0. The paper adds it to a base loss; alone it does not rank.
    pytorch-metric-learning's class of this name knows no memory: it looks the second item of a pair up in the batch.

    Raises ConfigError for margins that are no cosines or cross, and for negative weights.
    """

    def __init__(
        self,
        *,
        positive_margin: float = 0.9,
        negative_margin: float = 0.5,
        positive_weight: float = 1.0,
        negative_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not -1 <= negative_margin < positive_margin <= 1:
            raise ConfigError(
                f"positive_margin={positive_margin}, negative_margin={negative_margin}: expected cosines, the positive one above"
            )
        if positive_weight < 0 or negative_weight < 0:
            raise ConfigError(
                f"positive_weight={positive_weight}, negative_weight={negative_weight}: neither may be below 0"
            )
        self.positive_margin, self.negative_margin = positive_margin, negative_margin
        self.positive_weight, self.negative_weight = positive_weight, negative_weight

    def get_default_distance(self) -> CosineSimilarity:
        return CosineSimilarity()

    def compute_loss(
        self, embeddings: Tensor, labels: Tensor, indices_tuple: Any, ref_emb: Tensor, ref_labels: Tensor
    ) -> dict[str, Any]:
        """pytorch-metric-learning's entry: embeddings (B, D) against references (R, D), pairs as index tensors or None for all."""
        first, positive, second, negative = mining.convert_to_pairs(indices_tuple, labels, ref_labels)
        similarity = self.distance(embeddings, ref_emb)
        together = _violation(self.positive_margin - similarity[first, positive])
        apart = _violation(similarity[second, negative] - self.negative_margin)
        total = self.positive_weight * together + self.negative_weight * apart
        return {"loss": {"losses": total, "indices": None, "reduction_type": "already_reduced"}}


def _violation(excess: Tensor) -> Tensor:
    """Mean of what is not below 0; 0 where nothing is."""
    return F.relu(excess).sum() / (excess >= 0).sum().clamp(min=1)
