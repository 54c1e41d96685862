"""How much of its accuracy a bundle loses when the camera's picture is spoiled. Knows nothing of training.

Every picture is asked as it is and with every corruption at every strength, so that a loss is always one on the same
pictures, and its interval is drawn in pairs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.accuracy import NOTHING, coco_results, identify
from facings.benchmark.corruptions import CORRUPTIONS, STRENGTHS, Spoiled, check_corruption, spoil
from facings.benchmark.frames import Data, Frame, Query
from facings.benchmark.judged import Answer
from facings.metrics.average_precision import DrawnPrecision
from facings.metrics.bootstrap import draws, percentile_interval
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.structures import Decision

METRICS = ("ap50", "ap", "r1")
REPEATS = 200
CLEAN = ("clean", 0)
Cell = tuple[str, int]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One figure of one cell: its `value` on all pictures, and `drawn` (R,) on as many draws of them, alike in all cells."""

    value: float
    drawn: Values


@dataclass(frozen=True)
class Loss:
    """`value`: 1 − spoiled / clean: 0 where nothing is lost, 1 where all is, below 0 where it got better; `interval`: 95 %."""

    value: float
    interval: tuple[float, float]


def cells(corruptions: Sequence[str] = CORRUPTIONS, strengths: Sequence[int] = STRENGTHS) -> list[Cell]:
    """The clean pictures first, then every corruption at every strength. Raises ConfigError for an unknown one."""
    made = [(name, int(strength)) for name in corruptions for strength in strengths]
    for name, strength in made:
        check_corruption(name, strength)
    return [CLEAN, *made]


def measure(
    recognizer: Recognizer,
    data: Data,
    asked: Sequence[Cell],
    *,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> dict[Cell, dict[str, Measured]]:
    """Figures of each cell: `ap50` and `ap` of the detector's boxes, `r1` of crops cut at true boxes; those that bundle and
    data have something for. Data without frames are asked by their queries. `advance`: after each picture of a cell.

    A picture is read once. Memory: the detections of all cells.
    """
    frames = data.frames or query_frames(data.queries)
    boxes = bool(data.frames) and recognizer.bundle.has("detector")
    answers: dict[Cell, list[Answer]] = {cell: [] for cell in asked}
    for index, frame in enumerate(frames):
        image = read_image(frame.path)
        for cell in asked:
            spoiled = spoiled_frame(image, frame, cell, index=index, seed=seed)
            answers[cell].append(_ask(recognizer, *spoiled, boxes=boxes))
            advance()
    return {
        cell: _figures(found, data, recognizer.bundle.labels if boxes else (), seed) for cell, found in answers.items()
    }


def spoiled_frame(
    image: NDArray[np.uint8], frame: Frame, cell: Cell, *, index: int, seed: int
) -> tuple[NDArray[np.uint8], Frame]:
    """The picture of a cell and its truth: boxes moved, objects that no longer count gone."""
    if cell == CLEAN:
        return image, frame
    count = len(frame.boxes)
    regions = np.array([box for box, _ in frame.crowds], np.float32).reshape(-1, 4)
    found: Spoiled = spoil(image, np.concatenate([frame.boxes, regions]), *cell, index=index, seed=seed)
    own = found.kept < count
    kept = found.kept[own]
    products = tuple(frame.products[place] for place in kept.tolist())
    crowds = tuple(
        (tuple(box), frame.crowds[place - count][1])
        for box, place in zip(found.boxes[~own].tolist(), found.kept[~own].tolist(), strict=True)
    )
    moved = replace(frame, boxes=found.boxes[own], labels=frame.labels[kept], products=products, crowds=crowds)
    return found.image, moved


def query_frames(queries: Sequence[Query]) -> tuple[Frame, ...]:
    """Crops of a recognition table as frames of their pictures, for the recogniser alone; a whole picture is its own box."""
    frames = []
    for number, (path, rows) in enumerate(groupby(sorted(queries, key=lambda q: str(q.path)), key=lambda q: q.path), 1):
        asked = list(rows)
        whole = _whole(path) if any(query.box is None for query in asked) else (0.0, 0.0, 0.0, 0.0)
        boxes = np.array([query.box or whole for query in asked], np.float32)
        products = tuple(query.product_id for query in asked)
        frames.append(Frame(number, path, boxes, np.zeros(len(asked), np.int64), products))
    return tuple(frames)


def loss(clean: Measured, spoiled: Measured) -> Loss:
    """Relative loss and its interval; nan where the clean figure is 0 or nan.

    By hand: 0.6 of 0.8 is left, a quarter lost; the draws lost 1/4 and 1/2.

    >>> value = loss(Measured(0.8, np.array([0.8, 0.8])), Measured(0.6, np.array([0.6, 0.4])))
    >>> round(value.value, 6), [round(end, 2) for end in value.interval]
    (0.25, [0.26, 0.49])
    """
    return mean_loss(clean, [spoiled])


def mean_loss(clean: Measured, spoiled: Iterable[Measured]) -> Loss:
    """Mean of the relative losses of several cells, their draws taken together.

    By hand: of 0.8 are left 0.6 and 0.4: 1/4 and 1/2 lost, 3/8 in the mean.

    >>> drawn = np.array([0.8])
    >>> round(mean_loss(Measured(0.8, drawn), [Measured(0.6, drawn), Measured(0.4, drawn)]).value, 6)
    0.375
    """
    found = list(spoiled)
    value = float(np.mean([_relative(np.array(clean.value), np.array(cell.value)) for cell in found]))
    drawn = np.mean([_relative(clean.drawn, cell.drawn) for cell in found], axis=0)
    return Loss(value, percentile_interval(drawn))


def summarise(measured: Mapping[Cell, Mapping[str, Measured]]) -> dict[str, Any]:
    """`clean` (metric → value, low, high); `slices`: one a cell and metric, the greatest loss first; `means`: metric →
    corruption → mean relative loss over its strengths, worst first, and over all as `mean`."""
    clean = measured[CLEAN]
    spoiled = {cell: found for cell, found in measured.items() if cell != CLEAN}
    slices = []
    for (name, strength), found in spoiled.items():
        for metric, value in found.items():
            own = loss(clean[metric], value)
            slices.append(
                {"corruption": name, "strength": strength, "metric": metric, **_entry(value.value, value.drawn),
                 "loss": own.value, "loss_low": own.interval[0], "loss_high": own.interval[1]}
            )  # fmt: skip
    names = list(dict.fromkeys(name for name, _ in spoiled))
    means: dict[str, dict[str, Any]] = {}
    for metric in clean:
        groups = {n: [found[metric] for (m, _), found in spoiled.items() if m == n] for n in names}
        losses = {name: mean_loss(clean[metric], group) for name, group in groups.items()}
        ordered = dict(sorted(losses.items(), key=lambda pair: -_sortable(pair[1].value)))
        ordered["mean"] = mean_loss(clean[metric], [value for group in groups.values() for value in group])
        means[metric] = {
            name: {"value": own.value, "low": own.interval[0], "high": own.interval[1]} for name, own in ordered.items()
        }
    return {
        "clean": {metric: _entry(value.value, value.drawn) for metric, value in clean.items()},
        "slices": sorted(slices, key=lambda entry: -_sortable(entry["loss"])),
        "means": means,
    }


def _ask(recognizer: Recognizer, image: NDArray[np.uint8], frame: Frame, *, boxes: bool) -> Answer:
    ranks, nearest = np.full(len(frame.boxes), -2, np.int64), tuple[str, ...]()
    if recognizer.gallery is not None and len(frame.boxes):
        ranks, nearest = identify(recognizer, image, frame.boxes, frame.products)
    detections = recognizer.detect(image) if boxes else NOTHING
    return Answer(frame, Decision(None, ()), detections, None, ranks, nearest)


def _figures(answers: Sequence[Answer], data: Data, classes: Sequence[str], seed: int) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    if classes:
        moved = replace(data, frames=tuple(answer.frame for answer in answers))
        drawn = DrawnPrecision(moved.ground_truth(), coco_results(answers, moved, classes))
        rows, whole = drawn.drawn(seed=seed, repeats=REPEATS), drawn.average_precision()
        found |= {"ap50": Measured(float(whole[0]), rows[:, 0]), "ap": Measured(float(whole.mean()), rows.mean(axis=1))}
    asked = np.array([(answer.ranks != -2).sum() for answer in answers], np.float64)
    if asked.sum():
        right = np.array([(answer.ranks == 0).sum() for answer in answers], np.float64)
        lots = draws(len(answers), seed=seed, repeats=REPEATS)
        shares = [right[lot].sum() / asked[lot].sum() if asked[lot].sum() else np.nan for lot in lots]
        found["r1"] = Measured(float(right.sum() / asked.sum()), np.array(shares))
    return found


def _relative(clean: Values, spoiled: Values) -> Values:
    return np.divide(clean - spoiled, clean, out=np.full(np.shape(clean), np.nan), where=clean > 0)


def _entry(value: float, drawn: Values) -> dict[str, float]:
    low, high = percentile_interval(drawn)
    return {"value": value, "low": low, "high": high}


def _sortable(value: float) -> float:
    """What has no value comes last."""
    return value if np.isfinite(value) else -np.inf


def _whole(path: Path) -> tuple[float, float, float, float]:
    height, width = read_image(path).shape[:2]
    return 0.0, 0.0, float(width), float(height)
