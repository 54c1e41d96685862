"""What else a crop can be asked: its category at each level of the tree, and its attributes.

Knows nothing of losses. Trained and evaluated beside the embedding; exported only on demand.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facings.errors import ConfigError

Node = tuple[str, ...]


class CategoryHeads(nn.Module):
    """One linear classifier a level of the category tree, coarse to fine.

    `paths`: for each trained product the names from coarse to fine, the product's id last. Without `products` that last
    name is left out, and the heads tell categories only. Every level is a partition of the products: where a path ends
    early, its end stands for itself at the levels below (a ragged tree). None or empty: no level; `facings train` fills it
    in from the data.

    No bias, as in Luo et al. (see `Embedder`): it would favour products by how often they are seen, and the neck's vector
    is centred. `dimension`: length of the vector that is classified.
    """

    def __init__(self, dimension: int, *, paths: Sequence[Sequence[str]] | None = None, products: bool = True) -> None:
        super().__init__()
        self.products = products
        shown = [self._path(path) for path in paths or ()]
        self.depth = max((len(path) for path in shown), default=0)
        self.levels = tuple(tuple(sorted({_node(path, level) for path in shown})) for level in range(self.depth))
        self.classifiers = nn.ModuleList(nn.Linear(dimension, len(nodes), bias=False) for nodes in self.levels)
        for level in range(1, self.depth):
            above = {node: number for number, node in enumerate(self.levels[level - 1])}
            parents = [above[_node(node, level - 1)] for node in self.levels[level]]
            # Follows from the paths, so it is no part of a checkpoint.
            self.register_buffer(f"parents_{level}", torch.tensor(parents), persistent=False)

    def forward(self, vectors: Tensor) -> list[Tensor]:
        """`vectors` [B, D] → for each level, coarse first, logits [B, nodes]."""
        return [classifier(vectors) for classifier in self.classifiers]

    def parents(self) -> list[Tensor]:
        """For each level but the coarsest: (nodes,) int64, the node above each, by its number in the level above."""
        return [self.get_buffer(f"parents_{level}") for level in range(1, self.depth)]

    def targets(self, paths: Sequence[Sequence[str]]) -> Tensor:
        """`paths` as in the constructor → (paths, levels) int64: the node of each at each level, -1 where training knew none."""
        numbers = [{node: number for number, node in enumerate(nodes)} for nodes in self.levels]
        own = [self._path(path) for path in paths]
        found = [[known.get(_node(path, level), -1) for level, known in enumerate(numbers)] for path in own]
        return torch.tensor(found, dtype=torch.int64).reshape(len(own), self.depth)

    def _path(self, path: Sequence[str]) -> Node:
        if not path:
            raise ConfigError("model.categories.paths: a product's path is empty; expected its categories and its id")
        # A product without category is one of its own.
        return tuple(path) if self.products or len(path) == 1 else tuple(path[:-1])


class AttributeHeads(nn.Module):
    """One yes-or-no answer for each of `names` (bagged, organic sticker, ripe). `channels`: length of the vector asked."""

    def __init__(self, channels: int, *, names: Sequence[str] = ()) -> None:
        super().__init__()
        if len(set(names)) != len(names):
            raise ConfigError(f"model.attributes.names={list(names)}: a name is there twice")
        self.names = tuple(names)
        self.classifier = nn.Linear(channels, len(self.names)) if self.names else None

    def forward(self, vectors: Tensor) -> Tensor:
        """`vectors` [B, C] → logits [B, A]; without names [B, 0]."""
        if self.classifier is None:
            return vectors.new_zeros(len(vectors), 0)
        logits: Tensor = self.classifier(vectors)
        return logits


class EmbedderGraph(nn.Module):
    """An embedder with its heads as one call with tensors out. `outputs`: their names, in order.

    `embeddings` [B, D] come first, then for each level `level_1` … [B, nodes] probabilities, then `attributes` [B, A] 0–1.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        categories, attributes = getattr(model, "categories", None), getattr(model, "attributes", None)
        self.categories = categories if categories is not None and categories.depth else None
        self.attributes = attributes if attributes is not None and attributes.names else None
        self.outputs = ["embeddings"]
        if self.categories is not None:
            self.outputs += [f"level_{level}" for level in range(1, self.categories.depth + 1)]
        if self.attributes is not None:
            self.outputs.append("attributes")

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        """`crops` [B, 3, S, S] → the tensors of `outputs`."""
        parts = self.model.parts(crops)  # type: ignore[operator]
        found: list[Tensor] = [parts.embeddings]
        if self.categories is not None:
            found += [logits.float().softmax(dim=1) for logits in self.categories(parts.necked)]
        if self.attributes is not None:
            found.append(self.attributes(parts.pooled).float().sigmoid())
        return tuple(found)


def _node(path: Sequence[str], level: int) -> Node:
    """A path's node at a level from 0: its beginning, or the whole of it where it has ended."""
    return tuple(path[: level + 1])
