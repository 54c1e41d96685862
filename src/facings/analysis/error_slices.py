"""Errors by what has a name (camera, hour, category, packaged or produce) and by glare; the stages of the chain by any value.

Beside `slices`, which has density, neighbour gap, size and blur. Knows nothing of models or files.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.analysis.attribution import FATES, FrameAttribution
from facings.analysis.confusions import AnsweredFrame
from facings.analysis.slices import (
    DENSITY,
    GAP,
    SIZE,
    Predictions,
    Rows,
    Truth,
    bin_rows,
    bins_of,
    box_gaps,
    quartiles,
    slice_by_object,
    slice_by_picture,
)
from facings.boxes import area

# Of a pixel's darkest channel, 0–255: nothing of the surface is left to see there.
BURNT = 250
# Hours of the day that are one slice: light and stock change with them.
HOURS = 3
# As `bin_rows` ends the name of the highest bin.
MORE = " or more"


def glare_share(picture: NDArray[np.uint8]) -> float:
    """Share 0–1 of the pixels that are burnt out in every channel; `picture` (H, W) or (H, W, 3).

    White paper is burnt out as well: compare pictures of one camera.

    >>> picture = np.zeros((2, 2, 3), np.uint8)
    >>> picture[0, 0], picture[0, 1] = 255, (255, 255, 0)
    >>> glare_share(picture)
    0.25

    Raises ValueError for a picture without pixels.
    """
    if not picture.size:
        raise ValueError("a picture without pixels has no share of glare")
    darkest = picture if picture.ndim == 2 else picture.min(axis=2)
    return float((darkest >= BURNT).mean())


def glare_slices(
    truth: Truth,
    predictions: Predictions,
    glare: Mapping[int, float],
    *,
    edges: Sequence[float] | None = None,
    **options: Any,
) -> Rows:
    """By the share of burnt-out pixels, by image id; `edges` default to its quartiles. `options`: see `slice_by_picture`."""
    if edges is None:
        values = [glare[int(image["id"])] for image in truth["images"]]
        edges = np.unique(np.quantile(values, (0.25, 0.5, 0.75))).tolist()
    return slice_by_picture(truth, predictions, glare, edges, **options)


def slices_by_picture_name(
    truth: Truth, predictions: Predictions, names: Mapping[int, str | None], **options: Any
) -> Rows:
    """A row a name, in order: of each picture by id, as its camera; None is in no slice. Rows as in `slice_by_picture`.

    >>> truth = {"images": [{"id": 1}, {"id": 2}], "categories": [{"id": 1, "name": "product"}]}
    >>> truth["annotations"] = [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 9, 9]} for n in (1, 2)]
    >>> found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.9}]
    >>> [(row["slice"], row["recall50"]) for row in slices_by_picture_name(truth, found, {1: "left", 2: "right"})]
    [('left', 1.0), ('right', 0.0)]
    """
    known = sorted({name for name in names.values() if name is not None})
    number = {name: float(place) for place, name in enumerate(known)}
    values = {image: number[name] if name is not None else np.nan for image, name in names.items()}
    return _named(slice_by_picture(truth, predictions, values, _between(known), **options), known)


def slices_by_object_name(truth: Truth, predictions: Predictions, names: Sequence[str | None], **options: Any) -> Rows:
    """The same by a name of each annotation, as its category or department. `options`: see `slice_by_object`."""
    known = sorted({name for name in names if name is not None})
    number = {name: float(place) for place, name in enumerate(known)}
    values = np.array([number[name] if name is not None else np.nan for name in names], np.float64)
    return _named(slice_by_object(truth, predictions, values, _between(known), **options), known)


def picture_slices(
    truth: Truth,
    predictions: Predictions,
    cameras: Mapping[int, str | None],
    moments: Mapping[int, datetime | None],
    **options: Any,
) -> dict[str, Rows]:
    """By camera and by time of day, of each picture by id; a table alone where it is known of any picture."""
    times = {image: None if moment is None else time_of_day(moment) for image, moment in moments.items()}
    named = {"camera": cameras, "time of day": times}
    found = {key: slices_by_picture_name(truth, predictions, names, **options) for key, names in named.items()}
    return {key: rows for key, rows in found.items() if rows}


def time_of_day(moment: datetime) -> str:
    """The `HOURS` hours of the day, in the clock of the camera.

    >>> time_of_day(datetime(2026, 3, 1, 8, 30)), time_of_day(datetime(2026, 3, 1, 21, 0))
    ('06 to 09 h', '21 to 24 h')
    """
    start = moment.hour // HOURS * HOURS
    return f"{start:02d} to {start + HOURS:02d} h"


def department(path: Sequence[str]) -> str | None:
    """The coarsest name of a category path: as a rule packaged or produce. None without a path.

    >>> department(("Produce", "Fruit", "Apple")), department(())
    ('Produce', None)
    """
    return path[0] if path else None


def stage_slices(frames: Sequence[FrameAttribution], values: Sequence[Sequence[Hashable]]) -> Rows:
    """What became of the objects, a row a value: `slice`, `objects`, the count of each fate that occurs, `error_share` 0–1 of
    those that could be judged. `values`: of each frame's objects, as a camera, a bin of sizes, a category; None is in no slice.

    Raises ValueError for another number of values than objects.
    """
    counts: dict[Hashable, Counter[str]] = {}
    for frame, own in zip(frames, values, strict=True):
        if len(own) != len(frame.fates):
            raise ValueError(f"{len(own)} values for {len(frame.fates)} objects; expected one of each")
        for fate, value in zip(frame.fates, own, strict=True):
            if value is not None:
                counts.setdefault(value, Counter())[fate] += 1
    rows = []
    for value in sorted(counts, key=str):
        own_counts = counts[value]
        fine = own_counts["right"] + own_counts["rightly unknown"]
        judged = own_counts.total() - own_counts["unjudged"]
        share = 1 - fine / judged if judged else float("nan")
        row: dict[str, Any] = {"slice": str(value), "objects": own_counts.total(), "error_share": share}
        rows.append(row | {fate: own_counts[fate] for fate in FATES if own_counts[fate]})
    return rows


def chain_slices(
    frames: Sequence[AnsweredFrame],
    categories: Mapping[str, tuple[str, ...]],
    *,
    of_frames: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Rows]:
    """Rows of `stage_slices` by department (where categories have levels), category, size (COCO's limits), objects a picture and
    gap to the neighbour; by camera and time of day where any picture tells. `categories`: product → path from coarse to fine;
    `of_frames`: what each picture is cut by at its quartiles beside, as its sharpness, a number a frame."""
    judged = [frame.attribution for frame in frames]
    paths = [[categories.get(product or "", ()) for product in frame.products] for frame in frames]
    slices = {
        "department": stage_slices(judged, [[department(path) for path in own] for own in paths]),
        "category": stage_slices(judged, [["/".join(path) or None for path in own] for own in paths]),
        "size": _binned(judged, [_sizes(frame) for frame in frames], SIZE, unit=" pixels"),
        "objects a picture": _binned(judged, _spread(frames, [len(frame.products) for frame in frames]), DENSITY),
        "gap to the neighbour, in object sizes": _binned(judged, [box_gaps(frame.boxes) for frame in frames], GAP),
    }
    if [row["slice"] for row in slices["category"]] == [row["slice"] for row in slices["department"]]:
        # Categories of one level are their own departments.
        del slices["department"]
    for name, numbers in (of_frames or {}).items():
        slices[name] = _binned(judged, _spread(frames, numbers), quartiles(numbers)) if len(numbers) else []
    of_picture = {
        "camera": [frame.camera for frame in frames],
        "time of day": [None if frame.moment is None else time_of_day(frame.moment) for frame in frames],
    }
    for key, told in of_picture.items():
        values = [[name] * len(frame.products) for name, frame in zip(told, frames, strict=True)]
        if rows := stage_slices(judged, values):
            slices[key] = rows
    return slices


def _binned(
    judged: Sequence[FrameAttribution], values: Sequence[NDArray[np.float64]], edges: Sequence[float], *, unit: str = ""
) -> Rows:
    """Rows of `stage_slices` by the bin of each object's value, lowest bin first."""
    words = [str(row["slice"]) for row in bin_rows(edges)]
    names = [w.replace(MORE, f"{unit}{MORE}") if w.endswith(MORE) else f"{w}{unit}" for w in words]
    bins = [[names[place] if place >= 0 else None for place in bins_of(own, edges).tolist()] for own in values]
    return sorted(stage_slices(judged, bins), key=lambda row: names.index(row["slice"]))


def _spread(frames: Sequence[AnsweredFrame], numbers: Sequence[float]) -> list[NDArray[np.float64]]:
    """The number of each frame, for each of its objects."""
    return [np.full(len(frame.products), number, np.float64) for frame, number in zip(frames, numbers, strict=True)]


def _sizes(frame: AnsweredFrame) -> NDArray[np.float64]:
    return np.sqrt(np.asarray(area(frame.boxes), np.float64).clip(0))


def _between(names: Sequence[str]) -> list[float]:
    return [number + 0.5 for number in range(len(names) - 1)]


def _named(rows: Rows, names: Sequence[str]) -> Rows:
    if not names:
        return []
    return [
        {key: value for key, value in row.items() if key not in ("low", "high")} | {"slice": name}
        for row, name in zip(rows, names, strict=True)
    ]
