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
from facings.tasks.processes import mean_count

Labels = NDArray[np.int64]
Values = NDArray[np.float64]


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


def level_hits(predicted: Labels, truth: Labels, numbers: Labels) -> dict[str, Values]:
    """`top1_level_1` (coarsest) …: of each query 1.0 where its predicted product lies in the right category there, else 0.0.

    `predicted`, `truth` (Q,): products, rows of `numbers` (products, levels).

    >>> numbers = np.array([[0, 0], [0, 1], [1, 2]])
    >>> {name: hits.tolist() for name, hits in level_hits(np.array([1, 2]), np.array([0, 2]), numbers).items()}
    {'top1_level_1': [1.0, 1.0], 'top1_level_2': [0.0, 1.0]}
    """
    right = (numbers[predicted] == numbers[truth]).astype(np.float64)
    return {f"top1_level_{level}": hits for level, hits in enumerate(right.T, start=1) if len(hits)}


def head_hits(predicted: Labels, truth: Labels) -> dict[str, Values]:
    """`head_level_1` …: of each query 1.0 where the level's classifier is right, else 0.0. `predicted`, `truth` (Q, levels) nodes.

    A truth of -1, a category that training never saw, is nan; a level without any known truth is left out.

    >>> found = head_hits(np.array([[0, 4], [1, 2]]), np.array([[0, 4], [0, -1]]))
    >>> {name: hits.tolist() for name, hits in found.items()}
    {'head_level_1': [1.0, 0.0], 'head_level_2': [1.0, nan]}
    """
    return {
        f"head_level_{level}": np.where(true >= 0, said == true, np.nan)
        for level, (said, true) in enumerate(zip(predicted.T, truth.T, strict=True), start=1)
        if (true >= 0).any()
    }


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

    0, with a gradient of 0, where nothing is known. Under distributed training, where every process has to call it, each sums its
    own part and divides by the mean number of what is known: after averaging over the processes it is the mean over all.
    """
    known = ~targets.isnan()
    each = F.binary_cross_entropy_with_logits(logits.float(), targets.nan_to_num().float(), reduction="none")
    return torch.where(known, each, torch.zeros_like(each)).sum() / mean_count(known.sum())
