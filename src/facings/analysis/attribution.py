"""Which stage of the chain lost a product: detector, crop, gallery, match or decision. Knows nothing of models, pixels or files.

Stages are asked in the order in which a picture goes through them, and the first that failed is to blame. Every object and
every decision is counted once.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facings.boxes import area, intersection
from facings.metrics.end_to_end import match_decision
from facings.structures import Decision, Item

# Of an object. The first three are no errors: `unjudged` was found, but nobody noted its product.
Fate = Literal[
    "right",
    "rightly unknown",
    "unjudged",
    "not detected",
    "wrong crop",
    "not enrolled",
    "sibling",
    "another product",
    "rejected as unknown",
    "ambiguous, in the list",
    "ambiguous, not in the list",
]
# Of a decision. `matched` is judged with its object, `crop` belongs to objects of a wrong crop: neither is an error of its own.
Origin = Literal["matched", "crop", "doubled", "background named", "background unknown"]
FATES: tuple[Fate, ...] = get_args(Fate)
ORIGINS: tuple[Origin, ...] = get_args(Origin)
ERRORS: tuple[Fate | Origin, ...] = (*FATES[3:], *ORIGINS[2:])
# Below this IoU a box has nothing to do with an object; so much of an object lies in a box that swallows it.
LOOSE, SWALLOWED = 0.1, 0.5
Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class FrameAttribution:
    """One frame: `fates` (M,) of the objects, `origins` (N,) of the decisions; `answers` (M,) the decision that was matched to
    an object, or -1; `homes` (N,) the object that a decision overlaps most, or -1."""

    fates: tuple[Fate, ...]
    origins: tuple[Origin, ...]
    answers: NDArray[np.int64]
    homes: NDArray[np.int64]


def attribute_frame(
    decision: Decision,
    boxes: Boxes,
    products: Sequence[str | None],
    *,
    categories: Mapping[str, tuple[str, ...]] | None = None,
    enrolled: Collection[str] | None = None,
    threshold: float = 0.5,
) -> FrameAttribution:
    """`boxes` (M, 4) xyxy truth; `products`: id each, None where it was not noted. `categories`: product → path from coarse to
    fine; products of the same path are siblings. `enrolled`: the gallery's products; None takes all noted ones for enrolled.

    Objects and decisions are matched as in `metrics.end_to_end`, at an IoU of `threshold`. An object that got none is of a
    *wrong crop* when a decision is about it all the same: one that overlaps it more than any other object, by 0.1 or more, or
    one in which it lies by half together with another object, as where two were merged. Else it was *not detected*.

    By hand: two apples of different kinds and a pear. The first apple is called the second, its sibling; the second is not
    found; on the pear lies half a box; and a shelf label is called a pear.

    >>> from facings.structures import Item
    >>> def named(x1, x2, product):
    ...     return Item((x1, 0, x2, 9), 0.9, "known", product, (), ())
    >>> decision = Decision("1", (named(0, 9, "gala"), named(44, 49, "pear"), named(70, 79, "pear")))
    >>> truth = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], np.float32)
    >>> fruit = {"fuji": ("Fruit", "Apple"), "gala": ("Fruit", "Apple"), "pear": ("Fruit", "Pear")}
    >>> found = attribute_frame(decision, truth, ["fuji", "gala", "pear"], categories=fruit, threshold=0.6)
    >>> found.fates, found.origins
    (('sibling', 'not detected', 'wrong crop'), ('matched', 'crop', 'background named'))

    Raises ValueError for another number of products than boxes.
    """
    if len(products) != len(boxes):
        raise ValueError(f"{len(products)} products for {len(boxes)} boxes; expected one of each (None: not noted)")
    found = np.array([item.box for item in decision.items], np.float32).reshape(-1, 4)
    matched = match_decision(decision, boxes, threshold=threshold)
    answers = np.full(len(boxes), -1, np.int64)
    answers[matched[matched >= 0]] = np.flatnonzero(matched >= 0)
    homes, merged, crops = _crops(found, boxes, matched, answers)
    loose = np.unique(homes[(matched < 0) & (homes >= 0)])
    about: NDArray[np.bool_] = np.asarray(merged.any(axis=0))
    about[loose] = True
    fates = tuple(
        fate_of(decision.items[answer], product, categories or {}, enrolled)
        if answer >= 0
        else "wrong crop"
        if spoiled
        else "not detected"
        for answer, product, spoiled in zip(answers.tolist(), products, about.tolist(), strict=True)
    )
    origins: tuple[Origin, ...] = tuple(
        "matched" if match >= 0 else "crop" if crop else "doubled" if home >= 0 else _stray(item)
        for item, match, crop, home in zip(
            decision.items, matched.tolist(), crops.tolist(), homes.tolist(), strict=True
        )
    )
    return FrameAttribution(fates, origins, answers, homes)


def fate_of(
    item: Item, product: str | None, categories: Mapping[str, tuple[str, ...]], enrolled: Collection[str] | None
) -> Fate:
    """Of an object that a decision was matched to; `categories`, `enrolled`: as in `attribute_frame`."""
    if product is None:
        return "unjudged"
    # Even of a product that has left the gallery since.
    if item.product_id == product:
        return "right"
    if enrolled is not None and product not in enrolled:
        return "rightly unknown" if item.status == "unknown" else "not enrolled"
    if item.status == "known":
        return "sibling" if are_siblings(product, item.product_id, categories) else "another product"
    if item.status == "unknown":
        return "rejected as unknown"
    listed = any(candidate.product_id == product for candidate in item.candidates)
    return "ambiguous, in the list" if listed else "ambiguous, not in the list"


def count_stages(frames: Sequence[FrameAttribution]) -> dict[str, int]:
    """How many of each: all fates and origins, in the order of the chain. Those of `ERRORS` sum to all errors.

    `objects` = the fates; `decisions` = the origins; so `errors` = objects + decisions - right - rightly unknown - unjudged
    - matched - crop.
    """
    counts: Counter[str] = Counter(name for frame in frames for name in (*frame.fates, *frame.origins))
    return {name: counts[name] for name in (*FATES, *ORIGINS)}


def errors_of(counts: Mapping[str, int]) -> dict[str, int]:
    """Those that are errors and occur, most first."""
    return dict(sorted(((name, counts[name]) for name in ERRORS if counts[name]), key=lambda entry: -entry[1]))


def _crops(
    found: Boxes, boxes: Boxes, matched: NDArray[np.int64], answers: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """`homes`; `merged` (N, M): a box swallowed this free object and another; `crops` (N,): free boxes that spoil an object."""
    if not len(found) or not len(boxes):
        return np.full(len(found), -1, np.int64), np.zeros((len(found), len(boxes)), bool), np.zeros(len(found), bool)
    shared = intersection(found, boxes)
    sizes = area(boxes)
    union = area(found)[:, None] + sizes[None] - shared
    overlap = np.where(union > 0, shared / np.maximum(union, 1e-12), 0)
    nearest = overlap.argmax(axis=1)
    homes = np.where(overlap.max(axis=1) >= LOOSE, nearest, -1)
    inside = (shared >= SWALLOWED * sizes[None]) & (sizes[None] > 0)
    free = answers < 0
    merged = inside & (inside.sum(axis=1) > 1)[:, None] & free[None]
    spoils = merged.any(axis=1) | ((homes >= 0) & free[homes])
    return homes, merged, spoils & (matched < 0)


def are_siblings(first: str, second: str | None, categories: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether both are of the same category; products without one have no siblings."""
    own = categories.get(first, ())
    return bool(own) and second is not None and own == categories.get(second, ())


def _stray(item: Item) -> Origin:
    return "background unknown" if item.status == "unknown" else "background named"
