"""Figures of an embedder beside retrieval: by level of the category tree, of its heads, of attributes.

Knows nothing of models.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from facings.metrics.rank_figures import level_labels

Labels = NDArray[np.int64]


def level_numbers(paths: Sequence[Sequence[str]]) -> Labels:
    """`paths`: a product each, names from coarse to fine, its id last → (products, levels) number of its category at each level.

    A path that ends early stands for itself further down; a product without category is one of its own.

    >>> paths = [("Fruit", "Apple", "Gala"), ("Fruit", "Pear", "Anjou"), ("Milk", "Arla")]
    >>> level_numbers(paths).tolist()
    [[0, 0], [0, 1], [1, 2]]
    """
    if max((len(path) for path in paths), default=0) < 2:
        return np.zeros((len(paths), 0), np.int64)
    return np.stack(level_labels([tuple(path[:-1]) or tuple(path) for path in paths]), axis=1)


def level_accuracy(predicted: Labels, truth: Labels, numbers: Labels) -> dict[str, float]:
    """`top1_level_1` (coarsest) …: share of queries whose predicted product lies in the right category of that level.

    `predicted`, `truth` (Q,): products, rows of `numbers` (products, levels).

    >>> numbers = np.array([[0, 0], [0, 1], [1, 2]])
    >>> level_accuracy(np.array([1, 2]), np.array([0, 2]), numbers)
    {'top1_level_1': 1.0, 'top1_level_2': 0.5}
    """
    right = numbers[predicted] == numbers[truth]
    return {f"top1_level_{level}": float(hits.mean()) for level, hits in enumerate(right.T, start=1) if len(hits)}


def head_accuracy(predicted: Labels, truth: Labels) -> dict[str, float]:
    """`head_level_1` …: share of right answers of each level's classifier. `predicted`, `truth` (Q, levels) nodes.

    A truth of -1, a category that training never saw, counts for nothing; a level without any known truth is left out.

    >>> head_accuracy(np.array([[0, 4], [1, 2]]), np.array([[0, 4], [0, -1]]))
    {'head_level_1': 0.5, 'head_level_2': 1.0}
    """
    figures = {}
    for level, (said, true) in enumerate(zip(predicted.T, truth.T, strict=True), start=1):
        known = true >= 0
        if known.any():
            figures[f"head_level_{level}"] = float((said == true)[known].mean())
    return figures


def attribute_figures(
    probabilities: NDArray[np.float32], truth: NDArray[np.float32], names: Sequence[str]
) -> dict[str, float]:
    """For each attribute `attribute_NAME`, share of right answers at 0.5, and `attribute_NAME_ap`, average precision.

    `probabilities`, `truth` (Q, A) 0–1; NaN in the truth is not known and counts for nothing; a name without any known
    truth is left out, its average precision also where no truth is yes.

    >>> attribute_figures(np.array([[0.9], [0.8], [0.4]]), np.array([[1.0], [0.0], [np.nan]]), ["bagged"])
    {'attribute_bagged': 0.5, 'attribute_bagged_ap': 1.0}
    """
    figures = {}
    for name, said, true in zip(names, probabilities.T, truth.T, strict=True):
        known = ~np.isnan(true)
        if not known.any():
            continue
        yes = true[known] >= 0.5
        figures[f"attribute_{name}"] = float(((said[known] >= 0.5) == yes).mean())
        if yes.any():
            figures[f"attribute_{name}_ap"] = average_precision(said[known], yes)
    return figures


def average_precision(scores: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Area under the stepwise precision-recall curve, 0–1; equal scores are one step. `scores`, `right` (N,), one right at least.

    By hand: right, wrong, right: precision 1 at recall 1/2, 2/3 at recall 1: (1 + 2/3) / 2.

    >>> round(average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])), 4)
    0.8333
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    precision = hits[ends] / (ends + 1)
    return float((precision * np.diff(hits[ends], prepend=0)).sum() / hits[-1])


def known_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy over what is known: `targets` as `logits` (B, A), 0–1, NaN where not known.

    0, with a gradient of 0, where nothing is known.
    """
    known = ~targets.isnan()
    each = F.binary_cross_entropy_with_logits(logits.float(), targets.nan_to_num().float(), reduction="none")
    return torch.where(known, each, torch.zeros_like(each)).sum() / known.sum().clamp(min=1)
