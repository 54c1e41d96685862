"""Box and product right together: what a shop gets out of the whole chain. Knows nothing of models or files.

A decision *names* a product when its status is `known`; `unknown` and `ambiguous` items name none. Truth comes in three
kinds: an enrolled product (the right answer is its name), a product that the gallery does not hold (the right answer is
`unknown`), and an object whose product was not annotated (no answer can be judged: it and its match are left out).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facings.boxes import iou
from facings.metrics.bootstrap import bootstrap_interval
from facings.structures import Decision

Outcome = Literal["right", "wrong", "unknown", "ambiguous", "stray", "unjudged"]
# What is counted in a frame; see `frame_outcome`.
COUNTS = (
    "objects",  # annotated boxes of any kind
    "decisions",
    "found",  # annotated boxes that a decision was matched to
    "enrolled",  # truth whose product is in the gallery
    "enrolled_found",
    "named",  # decisions that name a product, matched to truth that can be judged or to nothing
    "right",
    "unknown",
    "ambiguous",
    "top",  # decisions as `named`, were each to name its most similar product
    "top_right",
    "foreign_found",  # matched truth whose product is not in the gallery
    "foreign_named",
)


@dataclass(frozen=True)
class FrameOutcome:
    """One frame.

    `outcomes`: one a decision; `matched` (N,) int64: index of its truth, -1 for none; `counts`: see `COUNTS`.
    """

    outcomes: tuple[Outcome, ...]
    matched: NDArray[np.int64]
    counts: dict[str, int]


def match_boxes(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], truth: NDArray[np.float32], *, threshold: float = 0.5
) -> NDArray[np.int64]:
    """(N,) for each box the index of its truth, or -1: greedy and one to one, as COCO does it.

    In descending score each box takes, of the truth still free, the one that it overlaps most, at an IoU of `threshold`
    or more. `boxes` (N, 4) and `truth` (M, 4) xyxy.

    By hand: both boxes lie on the first truth; the better one takes it, the other overlaps the second by 1/3 only.

    >>> boxes = np.array([[0, 0, 9, 10], [0, 0, 10, 10]], np.float32)
    >>> truth = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], np.float32)
    >>> match_boxes(boxes, np.array([0.8, 0.9], np.float32), truth).tolist()
    [-1, 0]
    """
    matched = np.full(len(boxes), -1, np.int64)
    if not len(boxes) or not len(truth):
        return matched
    overlap = iou(boxes, truth)
    for index in np.argsort(-scores, kind="stable"):
        best = int(np.argmax(overlap[index]))
        if overlap[index, best] >= threshold:
            matched[index] = best
            overlap[:, best] = -1.0
    return matched


def match_decision(decision: Decision, truth: NDArray[np.float32], *, threshold: float = 0.5) -> NDArray[np.int64]:
    """(N,) for each item of the decision the index of its true box, or -1, see `match_boxes`."""
    boxes = np.array([item.box for item in decision.items], np.float32).reshape(-1, 4)
    scores = np.array([item.detection_score for item in decision.items], np.float32)
    return match_boxes(boxes, scores, truth, threshold=threshold)


def frame_outcome(
    decision: Decision,
    boxes: NDArray[np.float32],
    products: Sequence[str | None],
    *,
    enrolled: Collection[str] | None = None,
    threshold: float = 0.5,
) -> FrameOutcome:
    """Judge one frame. `boxes` (M, 4) xyxy truth; `products`: id each, None where it was not annotated.

    `enrolled`: the gallery's products; None takes every annotated product to be in it.
    """
    matched = match_decision(decision, boxes, threshold=threshold)
    counts = dict.fromkeys(COUNTS, 0)
    counts["objects"], counts["decisions"] = len(boxes), len(decision.items)
    counts["enrolled"] = sum(_is_enrolled(product, enrolled) for product in products)
    outcomes: list[Outcome] = []
    for item, index in zip(decision.items, matched.tolist(), strict=True):
        truth = products[index] if index >= 0 else None
        counts["found"] += index >= 0
        counts[item.status] = counts.get(item.status, 0) + 1
        if index >= 0 and truth is None:
            outcomes.append("unjudged")
            continue
        named, top = item.product_id is not None, bool(item.candidates)
        here = index >= 0 and _is_enrolled(truth, enrolled)
        right = named and index >= 0 and item.product_id == truth
        counts["enrolled_found"] += here
        counts["foreign_found"] += index >= 0 and not here
        counts["foreign_named"] += index >= 0 and not here and named
        counts["named"] += named
        counts["right"] += right
        counts["top"] += top
        counts["top_right"] += top and here and item.candidates[0].product_id == truth
        if index < 0:
            outcomes.append("stray")
        elif item.status == "known":
            outcomes.append("right" if right else "wrong")
        else:
            outcomes.append(item.status)
    counts.pop("known", None)
    return FrameOutcome(tuple(outcomes), matched, counts)


def end_to_end_metrics(frames: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Shares 0–1 over all frames; nan where there is nothing to divide by. `frames`: `counts` of each.

    `precision` = right / named; `recall` = right / enrolled truth, missed boxes included; `f1` their harmonic mean;
    `accuracy_found` = right / enrolled truth whose box was found. `top1_…`: the same, were every decision to name its
    most similar product: what the chain would give without unknowns. `box_precision`, `box_recall`: boxes alone.
    `unknown_share`, `ambiguous_share` of all decisions. `false_accept_share`: of found goods that the gallery does not
    hold, those given a name.

    By hand: 4 enrolled objects; 3 boxes found, of which 2 are named, 1 rightly; 1 stray box, named. So of 3 names 1
    is right: precision 1/3, recall 1/4, F1 = 2/(3 + 4), accuracy of the found 1/3.

    >>> counts = dict.fromkeys(COUNTS, 0)
    >>> counts |= {"objects": 4, "enrolled": 4, "decisions": 4, "found": 3, "enrolled_found": 3, "named": 3, "right": 1}
    >>> figures = end_to_end_metrics([counts])
    >>> [round(figures[name], 4) for name in ("precision", "recall", "f1", "accuracy_found")]
    [0.3333, 0.25, 0.2857, 0.3333]
    """
    return _figures(_table(frames).sum(axis=0))


def end_to_end_intervals(
    frames: Sequence[Mapping[str, int]], *, seed: int = 0, repeats: int = 1000
) -> dict[str, tuple[float, float]]:
    """95 % intervals of `end_to_end_metrics`, drawn over frames: the products of one frame hang together."""
    table = _table(frames)
    names = list(_figures(table.sum(axis=0)))

    def interval(name: str) -> tuple[float, float]:
        return bootstrap_interval(
            lambda index: _figures(table[index].sum(axis=0))[name], len(table), seed=seed, repeats=repeats
        )

    return {name: interval(name) for name in names}


def _is_enrolled(product: str | None, enrolled: Collection[str] | None) -> bool:
    return product is not None and (enrolled is None or product in enrolled)


def _table(frames: Sequence[Mapping[str, int]]) -> NDArray[np.int64]:
    return np.array([[frame[name] for name in COUNTS] for frame in frames], np.int64).reshape(-1, len(COUNTS))


def _figures(row: NDArray[np.int64]) -> dict[str, float]:
    n = dict(zip(COUNTS, row.tolist(), strict=True))
    return {
        "precision": _share(n["right"], n["named"]),
        "recall": _share(n["right"], n["enrolled"]),
        # Two over the sum of both denominators is the harmonic mean, also where one of them is zero.
        "f1": _share(2 * n["right"], n["named"] + n["enrolled"]),
        "accuracy_found": _share(n["right"], n["enrolled_found"]),
        "top1_precision": _share(n["top_right"], n["top"]),
        "top1_recall": _share(n["top_right"], n["enrolled"]),
        "top1_f1": _share(2 * n["top_right"], n["top"] + n["enrolled"]),
        "top1_accuracy_found": _share(n["top_right"], n["enrolled_found"]),
        "box_precision": _share(n["found"], n["decisions"]),
        "box_recall": _share(n["found"], n["objects"]),
        "unknown_share": _share(n["unknown"], n["decisions"]),
        "ambiguous_share": _share(n["ambiguous"], n["decisions"]),
        "false_accept_share": _share(n["foreign_named"], n["foreign_found"]),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
