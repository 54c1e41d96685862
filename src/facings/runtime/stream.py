"""Frames of one camera that stands still: recognised anew where the picture changed, kept where it did not.

Cost follows the change, not the number of products. Decisions are those of `Recognizer.run` on the same frame, up to the tolerance
that docs/streaming.md states. Knows nothing of files; other cameras are other streams over the same recogniser.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.boxes import Boxes
from facings.errors import ConfigError, DataError
from facings.runtime.changes import Cells, Change, ChangeDetector, Sensitivity, cell_means, touched
from facings.runtime.crops import crop_edges
from facings.runtime.hot_swap import HotSwap
from facings.runtime.recognizer import Clock, FrameResult, Outputs, Picture, Recognizer, check_image, described
from facings.runtime.track_events import Event
from facings.runtime.tracking import Patience, Tracker
from facings.structures import Decision, Detections, Matches
from facings.tiles import Found

# Why a frame cost what it did: the first six are worked out whole.
Reason = Literal["first", "bundle", "refresh", "light", "share", "no detector", "change", "gallery", "still"]
# Stages that a stream has beside `STAGES`.
STREAM_STAGES = ("compare", "track")


@dataclass(frozen=True)
class StreamSettings:
    """`sensitivity`: when a picture has changed; `patience`: when that is an event; `refresh_frames`, `refresh_seconds`: all is
    worked out anew after so many frames or so long, None for never; `most_changed`: and when more than this share of the
    picture changed. A facing is embedded again where its pixels changed, or a corner moved by more than `box_share` of the
    box's shorter side, and more than `box_pixels`."""

    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    patience: Patience = field(default_factory=Patience)
    refresh_frames: int | None = 3000
    refresh_seconds: float | None = 600.0
    most_changed: float = 0.4
    box_share: float = 0.03
    box_pixels: float = 1.0

    def __post_init__(self) -> None:
        if self.refresh_frames is not None and self.refresh_frames < 1:
            raise ConfigError(f"refresh_frames is {self.refresh_frames}; expected 1 or more, or None")
        if self.refresh_seconds is not None and not self.refresh_seconds > 0:
            raise ConfigError(f"refresh_seconds is {self.refresh_seconds}; expected above 0, or None")
        if not 0 <= self.most_changed <= 1 or not 0 <= self.box_share < 0.5 or not self.box_pixels >= 0:
            raise ConfigError(
                f"most_changed is {self.most_changed}, box_share {self.box_share}, box_pixels {self.box_pixels}; "
                "expected 0 to 1, 0 to below 0.5, 0 or more"
            )


@dataclass(frozen=True)
class Work:
    """What a frame cost. `changed`: share of the picture, 0–1; `looked`: parts (tiles) that the detector ran on; `embedded`:
    facings; `matched`: facings that were compared with the gallery."""

    reason: Reason
    changed: float
    looked: int
    embedded: int
    matched: int


@dataclass(frozen=True)
class StreamResult:
    """One frame of a stream. `frame`: its number, from 0; `result`: as `Recognizer.run` gives it, its arrays read-only, and with
    `STREAM_STAGES` in its timings; `tracks` (N,): the number of each item's facing, -1 where it has none yet."""

    frame: int
    result: FrameResult
    tracks: NDArray[np.int64]
    events: tuple[Event, ...]
    work: Work

    @property
    def decision(self) -> Decision:
        return self.result.decision


@dataclass(frozen=True)
class _Memory:
    """What is kept. `outputs`: the detector's, part by part; `embedded` (N, 4): the boxes that `embeddings` are of."""

    recognizer: Recognizer
    outputs: tuple[Outputs, ...]
    detections: Detections
    embeddings: NDArray[np.float32]
    embedded: Boxes
    matches: Matches | None
    decision: Decision


@dataclass(frozen=True)
class _Now:
    recognizer: Recognizer
    image: Picture
    clock: Clock


class StreamRecognizer:
    """One camera. `source`: what recognises; through a `HotSwap`, a new bundle or gallery version is taken between two frames.

    Frames are of one size and come in order. A stream is one thread's work (a lock sees to it); several streams may share a
    source and run at the same time.
    """

    def __init__(self, source: Recognizer | HotSwap, settings: StreamSettings | None = None) -> None:
        self.settings = settings or StreamSettings()
        self._source = source
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._memory: _Memory | None = None
        self._changes = ChangeDetector(self.settings.sensitivity)
        self._tracker = Tracker(self.settings.patience)
        self._frame = -1
        self._whole = (0, 0.0)
        self._shape: tuple[int, ...] = ()

    def reset(self) -> None:
        """Forget everything, as before the first frame: the camera was moved or set to another size. No facing is said to be
        gone; frames and tracks are counted from 0 again."""
        with self._lock:
            self._begin()

    def run(self, image: Picture, *, seconds: float | None = None) -> StreamResult:
        """The next frame, (H, W, 3) uint8 RGB. `seconds`: when it was taken, by any clock (default: this system's, now).

        Raises DataError for what is no frame, or has another size than the ones before; the stream stands as if it had not come.
        """
        check_image(image)
        with self._lock, _leased(self._source) as recognizer:
            if self._shape not in ((), image.shape):
                raise DataError(
                    f"the frame is {image.shape}, the ones before were {self._shape}; a stream has one size: "
                    "make another, or reset() this one"
                )
            return self._step(recognizer, image, time.monotonic() if seconds is None else seconds)

    def _step(self, recognizer: Recognizer, image: Picture, now: float) -> StreamResult:
        clock, before = Clock(), self._memory
        clock.milliseconds |= dict.fromkeys(STREAM_STAGES, 0.0)
        with clock("total"):
            with clock("compare"):
                means = cell_means(image, self.settings.sensitivity.cell)
                change, light = (None, None) if before is None else self._changes.compare(means)
            reason = self._reason(recognizer, change, now)
            cells = None if change is None or reason not in ("change", "gallery", "still") else change.cells
            memory, work = self._work(_Now(recognizer, image, clock), reason, cells, change.share if change else 1.0)
            with clock("track"):
                relabel = before is not None and before.recognizer is not recognizer
                products = [item.product_id for item in memory.decision.items]
                tracks, events = self._tracker.update(memory.detections.boxes, products, relabel=relabel)
        self._memory, self._frame, self._shape = memory, self._frame + 1, image.shape
        if cells is None or light is None:
            self._changes.restart(means)
            self._whole = (self._frame, now)
        elif cells.any():
            self._changes.accept(means, cells, light)
        result = FrameResult(memory.decision, memory.detections, memory.embeddings, clock.milliseconds)
        return StreamResult(self._frame, result, tracks, events, work)

    def _reason(self, recognizer: Recognizer, change: Change | None, now: float) -> Reason:
        memory, settings = self._memory, self.settings
        if memory is None or change is None:
            return "first"
        known = memory.recognizer
        if not known.shares_networks(recognizer) or (known.gallery is None) != (recognizer.gallery is None):
            return "bundle"
        frames, seconds = self._frame + 1 - self._whole[0], now - self._whole[1]
        if settings.refresh_frames is not None and frames >= settings.refresh_frames:
            return "refresh"
        if settings.refresh_seconds is not None and seconds >= settings.refresh_seconds:
            return "refresh"
        if change.beyond:
            return "light"
        if change.share > settings.most_changed:
            return "share"
        if change.cells.any():
            return "change" if recognizer.bundle.has("detector") else "no detector"
        return "still" if known is recognizer else "gallery"

    def _work(self, now: _Now, reason: Reason, cells: Cells | None, share: float) -> tuple[_Memory, Work]:
        """What is known after this frame. `cells` None: nothing that was known before counts."""
        before = self._memory if cells is not None else None
        if before is None or cells is None:
            outputs, found, looked = _look(now, None, None)
            kept = np.full(len(found), -1, np.int64)
        elif cells.any():
            due = touched(cells, now.recognizer.parts(*now.image.shape[:2]), self.settings.sensitivity.cell)
            outputs, found, looked = _look(now, before.outputs, due)
            with now.clock("compare"):
                kept = self._kept(now, found.boxes, before.embedded, cells)
        elif before.recognizer is now.recognizer:
            return before, Work(reason, share, 0, 0, 0)
        else:
            matches, decision = _answer(now, before.detections, before.embeddings)
            memory = replace(before, recognizer=now.recognizer, matches=matches, decision=decision)
            return memory, Work(reason, share, 0, 0, len(before.embeddings))
        memory, embedded, matched = _renewed(now, before, outputs, found, kept)
        return memory, Work(reason, share, looked, embedded, matched)

    def _kept(self, now: _Now, boxes: Boxes, embedded: Boxes, cells: Cells) -> NDArray[np.int64]:
        """(N,): the row of `embedded` that is still good for each box, -1 where there is none."""
        kept = np.full(len(boxes), -1, np.int64)
        if not len(boxes) or not len(embedded):
            return kept
        apart = np.abs(boxes[:, None] - embedded[None]).max(axis=2)
        nearest = apart.argmin(axis=1)
        side = (embedded[:, 2:] - embedded[:, :2]).min(axis=1)[nearest]
        tolerance = np.maximum(self.settings.box_pixels, self.settings.box_share * side)
        near = np.flatnonzero(apart[np.arange(len(boxes)), nearest] <= tolerance)
        margin, (height, width) = now.recognizer.bundle.postprocess.crop_margin, now.image.shape[:2]
        windows = np.array([crop_edges(boxes[row], margin, height, width) for row in near], np.int64).reshape(-1, 4)
        near = near[~touched(cells, windows, self.settings.sensitivity.cell)]
        kept[near] = nearest[near]
        return kept


@contextmanager
def _leased(source: Recognizer | HotSwap) -> Iterator[Recognizer]:
    if isinstance(source, HotSwap):
        with source.use() as recognizer:
            yield recognizer
    else:
        yield source


def _look(
    now: _Now, before: tuple[Outputs, ...] | None, due: NDArray[np.bool_] | None
) -> tuple[tuple[Outputs, ...], Found, int]:
    """What the detector says of each part, what it found in all of them, and on how many it ran: those `due` (T,)."""
    outputs: list[Outputs] = []
    looked = 0

    def look(picture: Picture) -> Outputs:
        nonlocal looked
        number = len(outputs)
        if before is None or due is None or due[number]:
            outputs.append(now.recognizer.look_at(picture, now.clock))
            looked += 1
        else:
            outputs.append(before[number])
        return outputs[-1]

    found = now.recognizer.find(now.image, clock=now.clock, look=look)
    return tuple(outputs), found, looked


def _renewed(
    now: _Now, before: _Memory | None, outputs: tuple[Outputs, ...], found: Found, kept: NDArray[np.int64]
) -> tuple[_Memory, int, int]:
    """Everything about what was found: embedded, outlined and matched anew where `kept` (N,) is -1, else taken from before. And
    how many were embedded and matched."""
    recognizer, clock = now.recognizer, now.clock
    fresh = found.boxes[kept < 0]
    with clock("detect"):
        detections = _described(found, before, kept)
    new, embedded = np.zeros((0, 0), np.float32), fresh
    if recognizer.gallery is not None:
        with clock("embed"):
            new = recognizer.embed(now.image, fresh)
    embeddings = new
    if before is not None:
        embedded = _merged(fresh, before.embedded, kept)
        embeddings = new if recognizer.gallery is None else _merged(new, before.embeddings, kept)
    matches: Matches | None
    if before is not None and before.matches is not None and before.recognizer is recognizer:
        with clock("match"):
            some, known = recognizer.match(new), before.matches
            items, similarities = some.items, some.similarities
            matches = Matches(_merged(items, known.items, kept), _merged(similarities, known.similarities, kept))
            decision, matched = recognizer.decide(detections, matches), len(new)
    else:
        (matches, decision), matched = _answer(now, detections, embeddings), len(embeddings)
    for array in (detections.boxes, detections.scores, detections.labels, embeddings, embedded):
        array.flags.writeable = False
    return _Memory(recognizer, outputs, detections, embeddings, embedded, matches, decision), len(new), matched


def _answer(now: _Now, detections: Detections, embeddings: NDArray[np.float32]) -> tuple[Matches | None, Decision]:
    recognizer = now.recognizer
    with now.clock("match"):
        matches = recognizer.match(embeddings) if recognizer.gallery is not None else None
        return matches, recognizer.decide(detections, matches)


def _described(found: Found, before: _Memory | None, kept: NDArray[np.int64]) -> Detections:
    """What is passed on. An outline is drawn anew where the crop is embedded anew: decoding masks is dear."""
    old = before.detections.polygons if before is not None else None
    if old is None or not found.has_masks:
        return described(found, outlines=True)
    drawn = iter(described(found.at(np.flatnonzero(kept < 0)), outlines=True).polygons or ())
    polygons = tuple(old[row] if row >= 0 else next(drawn) for row in kept.tolist())
    return Detections(found.boxes, found.scores, found.labels, polygons=polygons, attributes=found.attributes)


def _merged(fresh: NDArray[Any], old: NDArray[Any], kept: NDArray[np.int64]) -> NDArray[Any]:
    """(N, …): rows of `old` where `kept` (N,) names one, else the next row of `fresh`."""
    merged = np.empty((len(kept), *(fresh if len(fresh) else old).shape[1:]), old.dtype)
    merged[kept < 0] = fresh
    merged[kept >= 0] = old[kept[kept >= 0]]
    return merged
