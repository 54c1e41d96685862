"""What AP would gain if one kind of error were mended: TIDE's six kinds, of boxes and masks. Knows nothing of pixels or files.

Bolya et al.: "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020, in the conventions of the authors'
own package, which differ from COCO's in places: the best detections of a picture count whatever their class, a class without
objects that something was found of has an AP of 0, and of detections of equal score the mended ones come before the right
ones. One picture is looked at at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from facings.analysis.comparison import KINDS, MAX_DETECTIONS, Kind
from facings.analysis.tide_judgement import (
    ERRORS,
    FOREGROUND,
    NOTHING,
    RIGHT,
    Floats,
    JudgedDetections,
    Numbers,
    TideError,
    judge_picture,
)
from facings.analysis.tide_precision import ScoredEntries, mean_precision
from facings.metrics.matching import IouType, box_overlap, masks_of


@dataclass(frozen=True)
class Tide:
    """`ap`: AP at the foreground IoU, 0–1; `gains`: what it would gain, 0–1, without each kind of error; `counts`: how many
    there are.

    `false_positives`, `false_negatives`: gained with perfect precision at this recall, and with perfect recall at this
    precision. For pictures: `rows` (n,) places of the detections that are no hits in the predictions, `kinds` (n,) the place
    of their kind in `ERRORS`, `targets` (n,) the place of the object in question in the annotations, or -1; `missed` (m,)
    places of objects that no detection could be mended to. Figures are nan where nothing is left to be right about.
    """

    ap: float
    gains: Mapping[str, float]
    counts: Mapping[str, int]
    false_positives: float
    false_negatives: float
    rows: Numbers
    kinds: Numbers
    targets: Numbers
    missed: Numbers

    def of_kind(self, error: TideError) -> tuple[Numbers, Numbers]:
        """Places of the detections of one kind, and of the objects in question; of `missed` no detections."""
        if error == "missed":
            return np.zeros(0, np.int64), self.missed
        own = self.kinds == ERRORS.index(error)
        return self.rows[own], self.targets[own]


def tide(
    ground_truth: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    *,
    kind: Kind = "boxes",
    foreground: float = FOREGROUND,
    background: float = NOTHING,
    max_detections: int = MAX_DETECTIONS,
) -> Tide:
    """The errors of a split. `ground_truth`: COCO dict; `predictions`: COCO results.

    The best `max_detections` of each picture count, of all classes together (the package's own limit is 100). A detection
    that lies by more than `foreground` in a crowd region of its class is no false one, though its error is still counted.

    - `localisation`: overlaps an object of its class by `background` to `foreground`;
    - `classification`: overlaps an object of another class by `foreground` or more;
    - `duplicate`: overlaps an object of its class enough, which a better one has;
    - `background`: overlaps nothing by more than `background`;
    - `both`: the rest, wrong in class and place;
    - `missed`: an object without detection that no localisation or classification error could be mended to.

    By hand: apples at 0 and 20, a pear at 40. Found: the first apple, twice; the pear, called an apple; a stray box. AP of
    apple, right, false, false, false of 2 objects: precision 1 up to recall 0.5, so 51 of 101 points; AP of pear 0. With the
    pear's name mended its AP is 1, and apple's stays: the gain is a half. Without missed objects apple's AP is 1.

    >>> truth = {"images": [{"id": 1, "width": 99, "height": 9}], "annotations": [
    ...     {"image_id": 1, "category_id": c, "bbox": [x, 0, 9, 9]} for c, x in ((1, 0), (1, 20), (2, 40))]}
    >>> found = [{"image_id": 1, "category_id": 1, "bbox": [x, 0, 9, 9], "score": s}
    ...     for x, s in ((0, 0.9), (0, 0.8), (40, 0.7), (70, 0.6))]
    >>> result = tide(truth, found)
    >>> round(result.ap, 4), {name: count for name, count in result.counts.items() if count}
    (0.2525, {'classification': 1, 'duplicate': 1, 'background': 1, 'missed': 1})
    >>> round(result.gains["classification"], 4), round(result.gains["missed"], 4), result.gains["background"]
    (0.5, 0.2475, 0.0)

    Raises ValueError for limits that are not 0 < background < foreground <= 1, predictions of a picture that the truth does
    not list, and masks that are missing.
    """
    if not 0 < background < foreground <= 1:
        raise ValueError(
            f"background is {background}, foreground {foreground}; expected 0 < background < foreground <= 1"
        )
    truth = ground_truth["annotations"]
    objects, found = _by_picture(truth), _by_picture(predictions)
    images = {int(image["id"]): image for image in ground_truth["images"]}
    if strange := sorted(found.keys() - images.keys()):
        raise ValueError(f"predictions of image_id {strange[0]}, which the truth does not list")
    labels, crowd = _fields(truth)
    classes = _fields(predictions)[0]
    scores = np.array([float(entry["score"]) for entry in predictions], np.float64)
    nothing = np.zeros(0, np.int64)
    parts = []
    for identifier, image in images.items():
        rows, places = found.get(identifier, nothing), objects.get(identifier, nothing)
        rows = rows[np.argsort(-scores[rows], kind="stable")[:max_detections]]
        inside = crowd[places]
        overlap = _overlap(predictions, truth, rows, places, inside, image, KINDS[kind])
        solid = places[~inside]
        judged = judge_picture(
            overlap[:, ~inside], classes[rows], labels[solid], foreground=foreground, background=background
        )
        region = overlap[:, inside] * (classes[rows][:, None] == labels[places[inside]][None])
        excused = (judged.kinds != RIGHT) & (region.max(axis=1, initial=0) > foreground)
        parts.append((rows, judged, solid, excused))
    return _summarise(parts, scores, classes, labels, crowd)


def tide_figures(
    ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], **options: Any
) -> dict[str, float]:
    """`ap`, the gain of each kind of error by its name, `false_positives`, `false_negatives`, and `KIND count`. See `tide`."""
    found = tide(ground_truth, predictions, **options)
    figures: dict[str, float] = {"ap": found.ap, **found.gains}
    figures |= {"false_positives": found.false_positives, "false_negatives": found.false_negatives}
    return figures | {f"{error} count": float(count) for error, count in found.counts.items()}


def _summarise(
    parts: Sequence[tuple[Numbers, JudgedDetections, Numbers, NDArray[np.bool_]]],
    scores: Floats,
    classes: Numbers,
    labels: Numbers,
    crowd: NDArray[np.bool_],
) -> Tide:
    empty, never = np.zeros(0, np.int64), np.zeros(0, bool)
    rows = np.concatenate([empty, *(rows for rows, *_ in parts)])
    kinds = np.concatenate([empty, *(judged.kinds for _, judged, *_ in parts)])
    mended = np.concatenate([never, *(judged.mended for _, judged, *_ in parts)])
    excused = np.concatenate([never, *(excused for *_, excused in parts)])
    targets = np.concatenate([empty, *(np.append(places, -1)[judged.targets] for _, judged, places, _ in parts)])
    missed = np.concatenate([empty, *(places[judged.missed] for _, judged, places, _ in parts)])
    lost = np.concatenate([empty, *(places[judged.lost] for _, judged, places, _ in parts)])
    names, number = np.unique(np.concatenate([labels[~crowd], classes[rows]]), return_inverse=True)
    solid = int((~crowd).sum())
    objects = np.bincount(number[:solid], minlength=len(names))
    place = np.zeros(len(labels), np.int64)
    place[~crowd] = number[:solid]
    split = _Split(scores[rows], number[solid:], kinds, excused, np.append(place, -1)[targets], mended)
    ap = mean_precision(split.as_found(), objects)
    gains: dict[str, float] = {
        error: _gain(mean_precision(split.without(kind), objects), ap) for kind, error in enumerate(ERRORS[:-1])
    }
    missing = np.bincount(place[missed], minlength=len(names))
    gains["missed"] = _gain(mean_precision(split.without(None), objects - missing), ap)
    falls = np.bincount(place[lost], minlength=len(names))
    counts: dict[str, int] = {error: int((kinds == kind).sum()) for kind, error in enumerate(ERRORS[:-1])}
    wrong = kinds != RIGHT
    return Tide(
        ap=ap,
        gains=gains,
        counts={**counts, "missed": len(missed)},
        false_positives=mean_precision(split.parted(), objects) - ap,
        false_negatives=mean_precision(split.without(None), objects - falls) - ap,
        rows=rows[wrong],
        kinds=kinds[wrong],
        targets=targets[wrong],
        missed=missed,
    )


@dataclass(frozen=True)
class _Split:
    """All detections, picture by picture, best first in each; `classes` are numbers from 0, `goals` those of the targets."""

    scores: Floats
    classes: Numbers
    kinds: Numbers
    excused: NDArray[np.bool_]
    goals: Numbers
    mended: NDArray[np.bool_]

    def as_found(self) -> ScoredEntries:
        kept = ~self.excused
        return ScoredEntries(self.scores[kept], self.classes[kept], (self.kinds == RIGHT)[kept])

    def without(self, kind: int | None) -> ScoredEntries:
        """With the errors of one kind mended: those that can be are right, the others gone. False ones come first."""
        mended = self.kinds == kind if kind is not None else np.zeros(len(self.kinds), bool)
        right = mended & self.mended
        wrong = np.flatnonzero((self.kinds != RIGHT) & np.where(mended, right, ~self.excused))
        order = np.concatenate([wrong, np.flatnonzero(self.kinds == RIGHT)])
        classes = np.where(right, self.goals, self.classes)
        return ScoredEntries(self.scores[order], classes[order], (right | (self.kinds == RIGHT))[order])

    def parted(self) -> ScoredEntries:
        """Every right one above every false one."""
        found = self.without(None)
        return ScoredEntries(found.hits.astype(np.float64), found.classes, found.hits)


def _gain(mended: float, ap: float) -> float:
    """Where precision is read at another recall point a gain may come out below 0: that is none."""
    return mended - ap if np.isnan(mended) else max(mended - ap, 0.0)


def _by_picture(records: Sequence[Mapping[str, Any]]) -> dict[int, Numbers]:
    places: dict[int, list[int]] = {}
    for place, record in enumerate(records):
        places.setdefault(int(record["image_id"]), []).append(place)
    return {identifier: np.array(own, np.int64) for identifier, own in places.items()}


def _fields(records: Sequence[Mapping[str, Any]]) -> tuple[Numbers, NDArray[np.bool_]]:
    """Categories and crowd flags."""
    categories = np.array([int(entry["category_id"]) for entry in records], np.int64)
    return categories, np.array([bool(entry.get("iscrowd", 0)) for entry in records], bool)


def _overlap(
    predictions: Sequence[Mapping[str, Any]],
    truth: Sequence[Mapping[str, Any]],
    rows: Numbers,
    places: Numbers,
    crowd: NDArray[np.bool_],
    image: Mapping[str, Any],
    iou_type: IouType,
) -> Floats:
    """(n, m) of one picture; against a crowd region the share of the detection that lies in it."""
    if not len(rows) or not len(places):
        return np.zeros((len(rows), len(places)))
    found, there = [predictions[row] for row in rows.tolist()], [truth[place] for place in places.tolist()]
    if iou_type == "bbox":
        boxes, targets = (np.array([entry["bbox"] for entry in side], np.float64) for side in (found, there))
        return box_overlap(boxes, targets, crowd)
    masks = masks_of(found, image), masks_of(there, image)
    return np.asarray(coco_mask.iou(*masks, crowd.astype(int).tolist()), np.float64)
