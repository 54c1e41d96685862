"""What calibration crops find in a gallery, their own product apart: the most similar item, and the best outside its category.

Knows nothing of error rates. Levels: 0 … L - 1 are the category's, coarse to fine; the last, L, is the product itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Path = tuple[str, ...]
NOTHING = -1.0
# Similarities held at once.
CELLS = 4_000_000
# Above this a crop and a view are the same photo, which says nothing of the next photo.
SAME = 0.99999


@dataclass(frozen=True)
class Tree:
    """Items of a gallery in their categories. `nodes` (I, L + 1) int64: number of each item's node at each level, where a
    shorter category goes on with its last node and an item without any has nodes of its own; `named` (I,): has a category."""

    items: tuple[str, ...]
    categories: Mapping[str, Path]
    nodes: NDArray[np.int64]
    named: NDArray[np.bool_]

    @classmethod
    def of(cls, items: Sequence[str], categories: Mapping[str, Sequence[str]]) -> "Tree":
        paths = {name: tuple(path) for name, path in categories.items()}
        depth = max((len(paths.get(name, ())) for name in items), default=0)
        numbers: dict[object, int] = {}
        rows = [[numbers.setdefault(key, len(numbers)) for key in _keys(name, paths, depth)] for name in items]
        nodes = np.array(rows, np.int64).reshape(len(items), depth + 1)
        return cls(tuple(items), paths, nodes, np.array([bool(paths.get(name)) for name in items], bool))

    @property
    def depth(self) -> int:
        """L: levels of category above the products."""
        return self.nodes.shape[1] - 1

    def path(self, item: int, level: int) -> Path:
        """Names of an item's node at a category level, or all of its category at the product's."""
        return self.categories.get(self.items[item], ())[: level + 1]

    def nodes_of(self, products: Sequence[str | None]) -> NDArray[np.int64]:
        """(C, L + 1) the same for any products; -1 where the gallery has no such node, and of None."""
        known = {
            key: int(number)
            for name, row in zip(self.items, self.nodes, strict=True)
            for key, number in zip(_keys(name, self.categories, self.depth), row, strict=True)
        }
        missing = [-1] * (self.depth + 1)
        rows = [
            missing if name is None else [known.get(key, -1) for key in _keys(name, self.categories, self.depth)]
            for name in products
        ]
        return np.array(rows, np.int64).reshape(len(products), self.depth + 1)

    def knows_category(self, products: Sequence[str | None]) -> NDArray[np.bool_]:
        return np.array([name is not None and bool(self.categories.get(name)) for name in products], bool)


@dataclass(frozen=True)
class Tops:
    """Of C crops. `item` (C,): the most similar item of another product; `first` (C,): how similar; `second` (C, L + 1): the
    most similar item outside the first one's node at each level; `wrong` (C, L + 1): whether that node is not the crop's;
    `outer_first`, `outer_second` (C, L + 1): the same two with all items of the crop's own node left out. -1: there is none."""

    item: NDArray[np.int64]
    first: Vectors
    second: Vectors
    wrong: NDArray[np.bool_]
    outer_first: Vectors
    outer_second: Vectors


def tops(
    crops: Vectors,
    owners: Sequence[str | None],
    views: Vectors,
    item: NDArray[np.int64],
    tree: Tree,
    *,
    offsets: Vectors | None = None,
) -> Tops:
    """`crops` (C, D) of the products `owners`; `views` (M, D) with `item` (M,), an index into the tree's items; `offsets`
    (I,): added to each item's similarity."""
    own, levels = tree.nodes_of(owners), tree.depth + 1
    count = len(crops)
    top = np.zeros(count, np.int64)
    first = np.full(count, NOTHING, np.float32)
    second, outer_first, outer_second = (np.full((count, levels), NOTHING, np.float32) for _ in range(3))
    for part, similar in item_similarities(crops, views, item, len(tree.items)):
        if offsets is not None:
            similar += offsets
        similar[own[part, -1:] == tree.nodes[None, :, -1]] = NOTHING
        top[part] = similar.argmax(axis=1)
        first[part] = similar.max(axis=1)
        for level in range(levels):
            nodes = tree.nodes[:, level]
            second[part, level] = _outside(similar, nodes, nodes[top[part]])
            others = np.where(nodes == own[part, level, None], NOTHING, similar)
            outer_first[part, level] = others.max(axis=1)
            outer_second[part, level] = _outside(others, nodes, nodes[others.argmax(axis=1)])
    return Tops(top, first, second, tree.nodes[top] != own, outer_first, outer_second)


def item_similarities(
    crops: Vectors, views: Vectors, item: NDArray[np.int64], items: int
) -> Iterator[tuple[slice, Vectors]]:
    """Parts of the crops with (c, I): the similarity of each to each item's most similar view; every item has a view."""
    order = np.argsort(item, kind="stable")
    starts = np.searchsorted(item[order], np.arange(items))
    ordered = views[order]
    step = max(1, CELLS // max(1, len(views)))
    for start in range(0, len(crops), step):
        part = slice(start, start + step)
        yield part, np.maximum.reduceat(crops[part] @ ordered.T, starts, axis=1)


def own_similarities(
    crops: Vectors,
    owners: Sequence[str | None],
    views: Vectors,
    item: NDArray[np.int64],
    items: Sequence[str],
    *,
    leave_out: bool = False,
) -> Vectors:
    """(C,) the similarity of each crop to the most similar view of its own product; nan where it has none.

    A crop that is itself a view says nothing of the next photo: it is nan, or with `leave_out` compared with the other views.
    """
    found = np.full(len(crops), np.nan, np.float32)
    index = {name: number for number, name in enumerate(items)}
    numbers = np.array([index.get(name, -1) if name is not None else -1 for name in owners], np.int64)
    for number in np.unique(numbers[numbers >= 0]):
        rows = numbers == number
        similar = crops[rows] @ views[item == number].T
        same = similar > SAME
        best = np.where(same, -np.inf, similar).max(axis=1)
        useless = ~np.isfinite(best) | (same.any(axis=1) & (not leave_out))
        found[rows] = np.where(useless, np.nan, best)
    return found


def _keys(name: str, paths: Mapping[str, Path], depth: int) -> list[object]:
    """What names a product's node at each level; the product itself last."""
    path = paths.get(name, ())
    above: list[object] = [path[: level + 1] if path else ("", name) for level in range(depth)]
    return [*((level, key) for level, key in enumerate(above)), name]


def _outside(similar: Vectors, nodes: NDArray[np.int64], node: NDArray[np.int64]) -> Vectors:
    """(c,) the highest similarity to an item that is not in `node` (c,)."""
    highest: Vectors = np.where(nodes == node[:, None], NOTHING, similar).max(axis=1)
    return highest
