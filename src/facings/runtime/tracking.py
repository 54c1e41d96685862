"""Which facing of a frame is which of the last: for a camera that stands still, so that boxes hardly move.

Knows nothing of pixels: boxes and product ids in, track numbers and events out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facings.boxes import Boxes, iou, rounded
from facings.errors import ConfigError
from facings.runtime.track_events import Appeared, Event, Gone, Moved

Indices = NDArray[np.int64]
# The number of a facing that has not been seen often enough to have one.
UNTRACKED = -1


@dataclass(frozen=True)
class Patience:
    """How long something has to last before it is an event, in frames, and how far is far.

    `confirm`: a facing, a place or another product counts once it was there in so many frames on end; `hidden`: a facing
    that is missing (a hand before it) is gone in the so-manyth frame on end; `least_iou`: two boxes of one facing overlap
    so much; `move`: a facing has moved when its centre has, by so much of its box's side (the root of its area).
    """

    confirm: int = 2
    hidden: int = 15
    least_iou: float = 0.3
    move: float = 0.25

    def __post_init__(self) -> None:
        if self.confirm < 1 or self.hidden < 1:
            raise ConfigError(f"confirm is {self.confirm}, hidden {self.hidden}; expected 1 frame or more")
        if not 0 < self.least_iou < 1 or not self.move > 0:
            raise ConfigError(f"least_iou is {self.least_iou}, move {self.move}; expected between 0 and 1, and above 0")


@dataclass(eq=False)
class _Track:
    """One facing. `anchor`: where the last event left it; counts are frames on end."""

    box: Boxes
    anchor: Boxes
    product_id: str | None
    number: int = UNTRACKED
    seen: int = 1
    missing: int = 0
    away: int = 0
    other: str | None = None
    other_seen: int = 0

    @property
    def confirmed(self) -> bool:
        return self.number != UNTRACKED


class Tracker:
    """Follows the facings of one camera. Frames come in order; not for several threads at once."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._tracks: list[_Track] = []
        self._next = 0
        self._frame = -1

    def update(
        self, boxes: Boxes, products: Sequence[str | None], *, relabel: bool = False
    ) -> tuple[Indices, tuple[Event, ...]]:
        """`boxes` (N, 4) xyxy pixels and the product of each, None where it is not known → track numbers (N,), `UNTRACKED`
        where there is none yet, and what happened, in order of track numbers.

        `relabel`: the gallery is another than in the last frame, so that another name is no other product.
        """
        if len(boxes) != len(products):
            raise ValueError(f"{len(boxes)} boxes, but {len(products)} products")
        self._frame += 1
        pairs = assign(
            np.array([t.box for t in self._tracks], np.float32).reshape(-1, 4), boxes, self.patience.least_iou
        )
        events: list[Event] = []
        of_box: dict[int, _Track] = {}
        for row, column in pairs:
            track = self._tracks[row]
            events += self._seen_again(track, boxes[column], products[column], relabel)
            of_box[column] = track
        matched = {row for row, _ in pairs}
        for row, track in enumerate(self._tracks):
            if row not in matched:
                track.missing, track.seen = track.missing + 1, 0
                track.away = track.other_seen = 0
        for column in range(len(boxes)):
            if column not in of_box:
                of_box[column] = _Track(boxes[column].copy(), boxes[column].copy(), products[column])
                self._tracks.append(of_box[column])
        events += self._confirm(of_box)
        events += self._drop()
        numbers = np.array([of_box[column].number for column in range(len(boxes))], np.int64)
        return numbers, tuple(sorted(events, key=lambda event: (event.track, event.kind)))

    def _seen_again(self, track: _Track, box: Boxes, product: str | None, relabel: bool) -> list[Event]:
        """A facing where it was: perhaps a little aside, perhaps another product."""
        track.box, track.missing, track.seen = box.copy(), 0, track.seen + 1
        if relabel or not track.confirmed or (track.product_id is None and product is not None):
            track.product_id, track.other_seen = product, 0
        elif product == track.product_id:
            track.other_seen = 0
        else:
            track.other_seen = track.other_seen + 1 if product == track.other else 1
            track.other = product
            # That nothing is known any more may be a hand; that it is another product is not.
            if track.other_seen >= (self.patience.hidden if product is None else self.patience.confirm):
                return self._swapped(track, product)
        if not track.confirmed:
            track.anchor = track.box
        return self._aside(track)

    def _swapped(self, track: _Track, product: str | None) -> list[Event]:
        gone = Gone(self._frame, track.number, track.product_id, rounded(track.anchor))
        track.number, track.product_id, track.other_seen, track.away = self._number(), product, 0, 0
        track.anchor = track.box
        return [gone, Appeared(self._frame, track.number, product, rounded(track.box))]

    def _aside(self, track: _Track) -> list[Event]:
        side = float(np.sqrt(max(np.prod(track.anchor[2:] - track.anchor[:2]), 1e-6)))
        shift = float(np.hypot(*(_centre(track.box) - _centre(track.anchor))))
        track.away = track.away + 1 if shift > self.patience.move * side else 0
        if track.away < self.patience.confirm or not track.confirmed:
            return []
        before, track.anchor, track.away = rounded(track.anchor), track.box, 0
        return [Moved(self._frame, track.number, track.product_id, rounded(track.box), before)]

    def _confirm(self, of_box: dict[int, _Track]) -> list[Event]:
        """New facings that have been there long enough: one that is missing elsewhere, or a new one."""
        events: list[Event] = []
        for column, track in of_box.items():
            if track.confirmed or track.seen < self.patience.confirm:
                continue
            lost = self._lost(track)
            if lost is None:
                track.number = self._number()
                events.append(Appeared(self._frame, track.number, track.product_id, rounded(track.box)))
                continue
            self._tracks.remove(track)
            before = rounded(lost.anchor)
            lost.box = lost.anchor = track.box
            lost.seen, lost.missing, of_box[column] = track.seen, 0, lost
            events.append(Moved(self._frame, lost.number, lost.product_id, rounded(lost.box), before))
        return events

    def _lost(self, track: _Track) -> _Track | None:
        """The nearest facing of the same known product that was missing when this one was first seen, or has been since."""
        if track.product_id is None:
            return None
        others = [t for t in self._tracks if t.confirmed and t.missing > 0 and t.product_id == track.product_id]
        return min(
            others,
            key=lambda t: (float(np.hypot(*(_centre(t.box) - _centre(track.box)))), t.number),
            default=None,
        )

    def _drop(self) -> list[Event]:
        """Forget what has been missing too long; what was never confirmed, at once."""
        events: list[Event] = []
        kept = []
        for track in self._tracks:
            if track.missing >= (self.patience.hidden if track.confirmed else 1):
                if track.confirmed:
                    events.append(Gone(self._frame, track.number, track.product_id, rounded(track.box)))
            else:
                kept.append(track)
        self._tracks = kept
        return events

    def _number(self) -> int:
        self._next += 1
        return self._next - 1


def assign(before: Boxes, now: Boxes, least_iou: float) -> list[tuple[int, int]]:
    """(N, 4), (M, 4) → pairs (row of `before`, row of `now`), each row at most once, in descending IoU, from `least_iou` on.

    Greedy: the pair with the highest IoU first, of equals the lower rows. Where boxes of one frame overlap each other little,
    as those of facings do, no box has more than one partner above 0.5, and nothing better can be found (the Hungarian method
    gives the same; tested against it).

    >>> shelf = np.array([[0, 0, 10, 10], [10, 0, 20, 10]], np.float32)
    >>> assign(shelf, shelf[::-1] + np.float32(1), 0.3)
    [(0, 1), (1, 0)]
    """
    if not len(before) or not len(now):
        return []
    overlaps = iou(before, now)
    rows, columns = np.nonzero(overlaps >= least_iou)
    order = np.lexsort((columns, rows, -overlaps[rows, columns]))
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
            pairs.append((row, column))
    return pairs


def _centre(box: Boxes) -> NDArray[np.float32]:
    return (box[:2] + box[2:]) / np.float32(2)
