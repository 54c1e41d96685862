"""What went wrong in each picture, in words that a shop would use. Knows nothing of pixels, models or files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.analysis.comparison import Kind, PicturePair

# Of a detection: `doubled` lies on an object that a better one already took, `false` fits none.
Outcome = Literal["right", "wrong class", "doubled", "false"]
# Of an object: `misnamed` is the other side of a `wrong class`.
Fate = Literal["found", "misnamed", "missed"]


@dataclass(frozen=True)
class JudgedPicture:
    """One picture with the detections that count, a judgement of each, and of each object.

    `matched` (N,) int64: the object of a `right` or `wrong class` detection, else -1.
    """

    pair: PicturePair
    outcomes: tuple[Outcome, ...]
    fates: tuple[Fate, ...]
    matched: NDArray[np.int64]

    @property
    def right(self) -> int:
        return self.outcomes.count("right")

    @property
    def errors(self) -> dict[str, int]:
        """How many of each kind, those that occur: missed, false, doubled, wrong class."""
        counts = {"missed": self.fates.count("missed")}
        counts |= {name: self.outcomes.count(name) for name in ("false", "doubled", "wrong class")}  # type: ignore[arg-type]
        return {name: count for name, count in counts.items() if count}

    @property
    def f1(self) -> float:
        """2 · right / (detections + objects), 0–1; 1 for an empty picture in which nothing was found."""
        whole = len(self.outcomes) + len(self.fates)
        return 2 * self.right / whole if whole else 1.0

    @property
    def reason(self) -> str:
        """What went wrong: `missed 3, doubled 1`."""
        return ", ".join(f"{name} {count}" for name, count in self.errors.items()) or "no error"


def judge(pair: PicturePair, *, score: float, kind: Kind = "boxes", threshold: float = 0.5) -> JudgedPicture:
    """Judge the detections of at least `score` at an IoU of `threshold`.

    First each detection, best score first, takes the object of its class that it overlaps most (`right`). What is left
    of both is matched once more whatever the class (`wrong class`). What then still fits an object is `doubled`, the
    rest `false`, near misses among them; objects without a match are `missed`. Every object and every detection is
    counted once.

    By hand: an apple with two boxes on it, of which the better takes it; a pear that was called an apple; a box on
    nothing; an apple that no box lies on. F1 = 2 · 1 / (4 + 3).

    >>> from facings.analysis.comparison import Objects
    >>> boxes = np.array([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [60, 0, 69, 9]], np.float32)
    >>> truth = Objects(9, 99, boxes[:3], np.array([0, 1, 0]), np.ones(3, np.float32))
    >>> scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    >>> found = Objects(9, 99, boxes[[0, 0, 1, 3]], np.array([0, 0, 0, 0]), scores)
    >>> judged = judge(PicturePair(1, "shelf.jpg", truth, found), score=0.5)
    >>> judged.outcomes, judged.fates
    (('right', 'doubled', 'wrong class', 'false'), ('found', 'misnamed', 'missed'))
    >>> judged.reason, round(judged.f1, 4)
    ('missed 1, false 1, doubled 1, wrong class 1', 0.2857)
    """
    kept = pair.above(score)
    overlap = kept.overlap(kind)
    same = kept.found.labels[:, None] == kept.truth.labels[None, :]
    matched = _match(np.where(same, overlap, 0), threshold)
    right = matched >= 0
    taken = np.isin(np.arange(len(kept.truth)), matched[right])
    misnamed = _match(np.where(right[:, None] | taken[None, :], 0, overlap), threshold)
    covered = overlap.max(axis=1, initial=0) >= threshold
    outcomes: list[Outcome] = [
        "right" if hit else "wrong class" if other >= 0 else "doubled" if cover else "false"
        for hit, other, cover in zip(right, misnamed, covered, strict=True)
    ]
    called = np.isin(np.arange(len(kept.truth)), misnamed[misnamed >= 0])
    fates: list[Fate] = [
        "found" if hit else "misnamed" if other else "missed" for hit, other in zip(taken, called, strict=True)
    ]
    return JudgedPicture(kept, tuple(outcomes), tuple(fates), np.where(right, matched, misnamed))


def worst_first(judged: Sequence[JudgedPicture]) -> list[JudgedPicture]:
    """Lowest F1 first, more errors first among equals."""
    return sorted(judged, key=lambda p: (p.f1, -sum(p.errors.values()), p.pair.image_id))


def worst_pictures(judged: Sequence[JudgedPicture], count: int) -> list[JudgedPicture]:
    """The first of `worst_first`; those without an error are left out."""
    return [picture for picture in worst_first(judged) if picture.errors][:count]


def best_pictures(judged: Sequence[JudgedPicture], count: int) -> list[JudgedPicture]:
    """The pictures of highest F1, more objects found first among equals; those with nothing right are left out."""
    good = [picture for picture in judged if picture.right]
    return sorted(good, key=lambda p: (-p.f1, -p.right, p.pair.image_id))[:count]


def _match(overlap: NDArray[Any], threshold: float) -> NDArray[np.int64]:
    """(N,) for each detection (rows, best score first) the object that it takes, or -1: greedy and one to one."""
    matched = np.full(len(overlap), -1, np.int64)
    free = overlap.copy()
    for index in np.flatnonzero(overlap.max(axis=1, initial=0) >= threshold):
        best = int(np.argmax(free[index]))
        if free[index, best] >= threshold:
            matched[index] = best
            free[:, best] = -1.0
    return matched
