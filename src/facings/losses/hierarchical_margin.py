"""A loss whose margin grows with the distance in the tree of categories."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.reducers import AvgNonZeroReducer
from pytorch_metric_learning.utils import loss_and_miner_utils as mining
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError


class CategoryTree(nn.Module):
    """How far apart two products are in the tree of their categories.

    Barz and Denzler: "Hierarchy-based Image Embeddings for Semantic Image Retrieval", WACV 2019: the height of the products'
    lowest common ancestor over that of the root; a node's height is the longest way down to a product. A product without category
    hangs on the root.

    `categories`: for each product its path, coarse to fine.

    >>> paths = [("Fruit", "Apple"), ("Fruit", "Apple"), ("Fruit", "Pear"), ("Dairy",)]
    >>> products = torch.arange(4)
    >>> CategoryTree(paths)(products, products)
    tensor([[0.0000, 0.3333, 0.6667, 1.0000],
            [0.3333, 0.0000, 0.6667, 1.0000],
            [0.6667, 0.6667, 0.0000, 1.0000],
            [1.0000, 1.0000, 1.0000, 0.0000]])

    The height of Apple is 1, of Fruit 2, of the root 3.
    """

    nodes: Tensor
    heights: Tensor

    def __init__(self, categories: Sequence[Sequence[str]]) -> None:
        super().__init__()
        deepest = max((len(path) for path in categories), default=0)
        numbers: dict[tuple[str, ...], int] = {}
        heights: dict[int, int] = {}
        rows = []
        for product, path in enumerate(categories):
            prefixes = [tuple(path[:depth]) for depth in range(len(path) + 1)]
            row = [numbers.setdefault(prefix, len(numbers)) for prefix in prefixes]
            for depth, node in enumerate(row):
                heights[node] = max(heights.get(node, 0), len(path) + 1 - depth)
            # Below its own category a product shares nothing: a number that no other has.
            rows.append(row + [-1 - product] * (deepest - len(path)))
        # (products, levels): the node at each level, the root first. Not saved: they follow from the data.
        self.register_buffer("nodes", torch.tensor(rows).reshape(len(rows), deepest + 1), persistent=False)
        self.register_buffer(
            "heights", torch.tensor([float(heights[n]) for n in range(len(heights))]), persistent=False
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Products (A,) and (R,) → distances (A, R) from 0 (the same product) to 1 (nothing but the root in common)."""
        shared = (self.nodes[first][:, None] == self.nodes[second][None]).sum(dim=-1)
        # Of a product and itself it may be a number below 0; their distance is 0 whatever it is.
        ancestor = self.nodes[first].gather(1, shared - 1).clamp(min=0)
        distance = self.heights[ancestor] / self.heights[self.nodes[0, 0]]
        return distance.masked_fill(first[:, None] == second[None], 0.0)


class HierarchicalMarginLoss(BaseMetricLossFunction):
    """Triplets in which a product further away in the tree has to stay further away from the anchor.

    Of anchor a, another photo p of its product, and a photo n of another product, with cosine similarities s and tree distance d
    (`CategoryTree`), mean over the triplets above 0:

        max(0, s(a, n) − s(a, p) + margin + spread · d(a, n))

    After Ge et al.: "Deep Metric Learning with Hierarchical Triplet Loss", ECCV 2018, whose violate margin is
    β + d_H(y_a, y_n) − s_{y_a}. What differs: the tree is the catalogue's and not merged from the embeddings of each epoch;
    d_H is the share of the tree's height, not the distance at which two classes merge; the spread s_{y_a} within the anchor's
    class is not taken off; similarities are cosines, not squared distances; all triplets of the batch count, not those of
    sampled neighbours.

    Raises ConfigError for data without categories, a number of paths other than that of products, and settings below 0.
    """

    # As pytorch-metric-learning's triplet losses say it.
    triplets_per_anchor = "all"

    def __init__(
        self,
        *,
        num_classes: int,
        categories: Sequence[Sequence[str]] | None,
        margin: float = 0.05,
        spread: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if categories is None or not any(len(path) for path in categories):
            raise ConfigError(
                "hierarchical margins need categories, and the training products have none; fill the table's category column or "
                "take another loss"
            )
        if len(categories) != num_classes:
            raise ConfigError(f"{len(categories)} category paths for {num_classes} products: expected one for each")
        if margin < 0 or spread < 0:
            raise ConfigError(f"margin={margin}, spread={spread}: neither may be below 0")
        self.tree, self.margin, self.spread = CategoryTree(categories), margin, spread

    def get_default_distance(self) -> CosineSimilarity:
        return CosineSimilarity()

    def get_default_reducer(self) -> AvgNonZeroReducer:
        return AvgNonZeroReducer()

    def compute_loss(
        self, embeddings: Tensor, labels: Tensor, indices_tuple: Any, ref_emb: Tensor, ref_labels: Tensor
    ) -> dict[str, Any]:
        """pytorch-metric-learning's entry: embeddings (B, D) against references (R, D), triplets as indices or None for all."""
        triplets = mining.convert_to_triplets(indices_tuple, labels, ref_labels, t_per_anchor="all")
        anchor, positive, negative = triplets
        similarity = self.distance(embeddings, ref_emb)
        margins = self.margin + self.spread * self.tree(labels, ref_labels).to(similarity.dtype)
        violation = similarity[anchor, negative] - similarity[anchor, positive] + margins[anchor, negative]
        return {"loss": {"losses": F.relu(violation), "indices": triplets, "reduction_type": "triplet"}}
