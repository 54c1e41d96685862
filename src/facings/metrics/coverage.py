"""Answer sets and answers at a level of the category tree: do they hold the truth, and how much do they say?

Knows nothing of how they were made.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Path = Sequence[str]


def answer_figures(
    ranked_truth: Flags, answers: Flags, says_unknown: Flags, known: Flags, *, pick_list: int = 3
) -> dict[str, float]:
    """`ranked_truth`, `answers` (B, k): of each crop's candidates, most similar first, which is its product, and which are in
    its answer set; `says_unknown` (B,): whether "not enrolled" is in it; `known` (B,): whether the product is enrolled.

    - `coverage`: share of crops whose truth is in the answer set, where the truth of those not enrolled is "not enrolled";
      `coverage_known`, `coverage_unknown`: among each. Conditional on the kind, so that the mixture does not matter
      (Sadinle, Lei, Wasserman: "Least ambiguous set-valued classifiers with bounded error levels", JASA 2019);
    - `set_size`: mean number of products in the sets of the known ones;
    - `picklist3` (after `pick_list`): share of the known whose product is among the first three candidates.

    By hand: a is found first, b is second and outside its set; u, not enrolled, is told so.

    >>> truth = np.array([[True, False], [False, True], [False, False]])
    >>> sets = np.array([[True, False], [True, False], [True, True]])
    >>> answer_figures(truth, sets, np.array([False, False, True]), np.array([True, True, False]), pick_list=1)
    {'coverage': 0.6666666666666666, 'coverage_known': 0.5, 'coverage_unknown': 1.0, 'set_size': 1.0, 'picklist1': 0.5}

    Figures of an empty kind are nan. Raises ValueError for shapes that differ.
    """
    if ranked_truth.shape != answers.shape or answers.ndim != 2 or not len(answers) == len(says_unknown) == len(known):
        raise ValueError(
            f"truth {ranked_truth.shape}, answers {answers.shape}, {len(says_unknown)} and {len(known)} flags: expected (B, k) "
            "twice and B of each"
        )
    covered: Flags = np.where(known, (ranked_truth & answers).any(axis=1), says_unknown).astype(bool)
    return {
        "coverage": mean_or_nan(covered),
        "coverage_known": mean_or_nan(covered[known]),
        "coverage_unknown": mean_or_nan(covered[~known]),
        "set_size": mean_or_nan(answers[known].sum(axis=1)),
        f"picklist{pick_list}": mean_or_nan(ranked_truth[known][:, :pick_list].max(axis=1, initial=False)),
    }


def backoff_figures(truth: Sequence[Path], reported: Sequence[Path]) -> dict[str, float]:
    """Answers at any level. `truth`: names of each crop's categories and last its product; `reported`: the first so many names
    of such a path, all of them for a product, none where nothing was said.

    - `correct_at_level`: of all crops, those whose reported node holds the truth; silence, the root of the tree, holds everything
      (the accuracy of Deng, Krause, Berg, Fei-Fei: "Hedging your bets", CVPR 2012);
    - `correct_when_said`: the same of the crops of which something was said;
    - `leaf_share`, `silent_share`: of all crops, those answered with a product, and not at all;
    - `depth`: mean over all crops of reported names over names of the truth: 1 for products, 0 for silence.

    By hand: a Gala is called Gala; a Fuji is called an apple; a pear is called an apple; of milk nothing is said. Three
    of four are right, two of the three that were said; depth (1 + 2/3 + 2/3 + 0) / 4.

    >>> gala, fuji, pear = [("Fruit", "Apple", "Gala"), ("Fruit", "Apple", "Fuji"), ("Fruit", "Pear", "Conference")]
    >>> figures = backoff_figures([gala, fuji, pear, ("Dairy", "Milk")], [gala, gala[:2], gala[:2], ()])
    >>> {name: round(value, 4) for name, value in figures.items()}
    {'correct_at_level': 0.75, 'correct_when_said': 0.6667, 'leaf_share': 0.25, 'silent_share': 0.25, 'depth': 0.5833}

    `leaf_share` counts a reported path that is as long as it can be, that is as long as a path of the truth with that beginning,
    or as the truth itself. Raises ValueError for lists of different lengths.
    """
    if len(truth) != len(reported):
        raise ValueError(f"{len(truth)} truths, but {len(reported)} reported paths; each crop has one of each")
    leaves = {tuple(path) for path in truth}
    inner = {path[:length] for path in leaves for length in range(len(path))}
    said = np.array([len(path) > 0 for path in reported], bool)
    right = np.array([tuple(t[: len(r)]) == tuple(r) for t, r in zip(truth, reported, strict=True)], bool)
    leaf = np.array([len(r) > 0 and tuple(r) not in inner for r in reported], bool)
    depth = [min(len(r) / max(len(t), 1), 1.0) for t, r in zip(truth, reported, strict=True)]
    return {
        "correct_at_level": mean_or_nan(right),
        "correct_when_said": mean_or_nan(right[said]),
        "leaf_share": mean_or_nan(leaf),
        "silent_share": mean_or_nan(~said),
        "depth": float(np.mean(depth)) if depth else float("nan"),
    }


def mean_or_nan(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else float("nan")  # type: ignore[attr-defined]
