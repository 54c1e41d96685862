"""How far up the category tree a mistake is. Knows nothing of vectors.

Bertinetto, Mueller, Tertikas, Samangooei, Lord: "Making Better Mistakes", CVPR 2020: the height of the lowest common
ancestor (LCA) of answer and truth. A node's height is the longest way down to a leaf, so that in a ragged tree a short
branch is not lower for being short: a mistake between two children of the same parent counts what that parent holds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Node = tuple[str, ...]


class CategoryTree:
    """`paths`: of class 0 … C-1, names from coarse to fine, the class itself last; lengths may differ.

    A class that is also the parent of others ("Apple" beside "Apple / Gala") is their ancestor.
    Raises ValueError for no class, an empty path, or two classes of one path.
    """

    def __init__(self, paths: Sequence[Sequence[str]]) -> None:
        own = [tuple(path) for path in paths]
        if not own or not all(own):
            raise ValueError("a category tree wants a path of one name or more for each class")
        if len(set(own)) < len(own):
            twice = next(path for number, path in enumerate(own) if path in own[:number])
            raise ValueError(f"two classes have the path {' / '.join(twice)}; append the class's own name")
        heights: dict[Node, int] = {}
        for path in own:
            for length in range(len(path) + 1):
                heights[path[:length]] = max(heights.get(path[:length], 0), len(path) - length)
        depth = max(len(path) for path in own)
        numbers = {node: number for number, node in enumerate(sorted(heights))}
        # (C, depth + 1): the node at each length of a path; past its end a number that no other path has there.
        self._nodes = np.array(
            [[numbers[path[:n]] if n <= len(path) else -1 - c for n in range(depth + 1)] for c, path in enumerate(own)]
        )
        self._heights = np.array([heights[node] for node in sorted(heights)], np.int64)
        self.height = heights[()]

    def __len__(self) -> int:
        return len(self._nodes)

    def lca_heights(self, first: Labels, second: Labels) -> Labels:
        """Height of the lowest common ancestor of classes, any shapes that broadcast; 0 where both are the same.

        >>> tree = CategoryTree([("Fruit", "Apple", "Gala"), ("Fruit", "Apple", "Fuji"), ("Fruit", "Pear"), ("Milk",)])
        >>> tree.lca_heights(np.array([0]), np.array([0, 1, 2, 3])).tolist()
        [0, 1, 2, 3]

        Raises ValueError for a class that the tree has not.
        """
        for classes in (first, second):
            if classes.size and not (classes.min() >= 0 and classes.max() < len(self)):
                raise ValueError(f"classes {classes.min()} to {classes.max()}; the tree has 0 to {len(self) - 1}")
        one, two = np.broadcast_arrays(first, second)
        same = self._nodes[one] == self._nodes[two]
        # Paths agree from the root down: the last agreement is the LCA.
        last = same.shape[-1] - 1 - np.argmax(same[..., ::-1], axis=-1)
        found: Labels = self._heights[np.take_along_axis(self._nodes[one], last[..., None], axis=-1)[..., 0]]
        return np.where(one == two, 0, found)


def mistake_heights(answers: Labels, truth: Labels, tree: CategoryTree) -> Labels:
    """(N, K) LCA height of each answer with the truth (N,): 0 where it is right, the root's where there is none (-1).

    `answers` (N, K) classes, best first, or (N,).

    >>> tree = CategoryTree([("Apple", "Gala"), ("Apple", "Fuji"), ("Pear",)])
    >>> mistake_heights(np.array([[0, 1], [2, -1]]), np.array([0, 0]), tree).tolist()
    [[0, 1], [2, 2]]

    Raises ValueError without an answer, for lengths that differ, or for a class that the tree has not.
    """
    answers = answers[:, None] if answers.ndim == 1 else answers
    if len(answers) != len(truth) or answers.size == 0:
        raise ValueError(
            f"answers have the shape {answers.shape}, truth {truth.shape}; expected one row a truth, not empty"
        )
    heights = tree.lca_heights(np.where(answers < 0, truth[:, None], answers), truth[:, None])
    return np.where(answers < 0, tree.height, heights)


def hierarchical_errors(answers: Labels, truth: Labels, tree: CategoryTree) -> dict[str, float]:
    """`answers` (N, K) classes, best first, -1 for none, or (N,); `truth` (N,).

    `mistake_height`: mean LCA height of wrong first answers ("hierarchical distance of a mistake"; nan without one),
    from 1 to the tree's height; `height`: over all first answers, right ones being 0; `height_at_K`: over all K answers
    ("average hierarchical distance of top-K"), a missing answer counting as the root; `mistakes`: share of wrong first
    answers; `mistakes_at_height_h`: share of all queries whose first answer is wrong at that height.

    By hand: Gala, Fuji under Apple, Pear beside it: truth Gala twice, answers Fuji (height 1) and Pear (height 2).

    >>> tree = CategoryTree([("Apple", "Gala"), ("Apple", "Fuji"), ("Pear",)])
    >>> hierarchical_errors(np.array([1, 2]), np.array([0, 0]), tree)["mistake_height"]
    1.5

    Raises ValueError without an answer, for lengths that differ, or for a class that the tree has not.
    """
    heights = mistake_heights(answers, truth, tree)
    first = heights[:, 0]
    wrong = first > 0
    figures = {
        "mistake_height": float(first[wrong].mean()) if wrong.any() else float("nan"),
        "height": float(first.mean()),
        "mistakes": float(wrong.mean()),
    }
    if heights.shape[1] > 1:
        figures[f"height_at_{heights.shape[1]}"] = float(heights.mean())
    at = np.bincount(first, minlength=tree.height + 1)[1:] / len(first)
    return figures | {f"mistakes_at_height_{height}": float(share) for height, share in enumerate(at, start=1)}
