"""One picture's detections by TIDE's kinds of error. Knows nothing of AP, pixels or files."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

# In the order in which they are asked for: an error is of the first kind that fits.
TideError = Literal["localisation", "classification", "duplicate", "background", "both", "missed"]
ERRORS: tuple[TideError, ...] = get_args(TideError)
RIGHT = -1
LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND, BOTH = range(5)
# What counts as found, and what as nothing: the paper's t_f and t_b.
FOREGROUND, NOTHING = 0.5, 0.1
Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedDetections:
    """One picture: `kinds` (n,) place in `ERRORS`, or `RIGHT`; `targets` (n,) the object in question, or -1; `mended` (n,) bool:
    the detection that the object would take; `missed` (m,) bool; `lost` (m,) bool: without a hit, mendable or not."""

    kinds: Numbers
    targets: Numbers
    mended: NDArray[np.bool_]
    missed: NDArray[np.bool_]
    lost: NDArray[np.bool_]


def judge_picture(
    overlap: Floats,
    classes: Numbers,
    labels: Numbers,
    *,
    foreground: float = FOREGROUND,
    background: float = NOTHING,
) -> JudgedDetections:
    """`overlap` (n, m) IoU 0–1, detections best score first; `classes` (n,) of the detections, `labels` (m,) of the objects."""
    count, objects = overlap.shape
    kinds, targets = np.full(count, BACKGROUND, np.int64), np.full(count, -1, np.int64)
    if not count or not objects:
        lost = np.ones(objects, bool)
        return JudgedDetections(kinds, targets, np.zeros(count, bool), lost, lost)
    same = classes[:, None] == labels[None]
    own, other = overlap * same, overlap * ~same
    taken = _take(own, foreground)
    used = np.bincount(taken[taken >= 0], minlength=objects) > 0
    best = {name: table.argmax(axis=1) for name, table in (("own", own), ("other", other), ("used", own * used))}
    each = np.arange(count)
    near, strange, doubled = own[each, best["own"]], other[each, best["other"]], (own * used)[each, best["used"]]
    rules = [
        (taken >= 0, RIGHT, taken),
        ((near >= background) & (near <= foreground), LOCALISATION, best["own"]),
        (strange >= foreground, CLASSIFICATION, best["other"]),
        (doubled >= foreground, DUPLICATE, best["used"]),
        (overlap.max(axis=1) <= background, BACKGROUND, targets),
        (np.ones(count, bool), BOTH, overlap.argmax(axis=1)),
    ]
    for fits, kind, target in reversed(rules):
        kinds, targets = np.where(fits, kind, kinds), np.where(fits, target, targets)
    # Of the detections that would be right about an object which nothing has, the best one alone can be mended.
    mendable = np.isin(kinds, (LOCALISATION, CLASSIFICATION)) & ~used[targets]
    reached, first = np.unique(targets[mendable], return_index=True)
    mended = np.zeros(count, bool)
    mended[np.flatnonzero(mendable)[first]] = True
    missed = ~used
    missed[reached] = False
    return JudgedDetections(kinds, targets, mended, missed, ~used)


def _take(own: Floats, foreground: float) -> Numbers:
    """(n,) the object that each detection takes, or -1: the free one that it overlaps most, of equals the first."""
    taken, free = np.full(len(own), -1, np.int64), own.copy()
    for number in np.flatnonzero(own.max(axis=1) >= foreground).tolist():
        target = int(free[number].argmax())
        if free[number, target] >= foreground:
            taken[number] = target
            free[:, target] = 0
    return taken
