"""What happens at one wall in the course of time, as a log of events from which the wall at any frame follows.

Knows nothing of pictures. An event of frame k shows from frame k on. Kinds: `start` (what stands there at first), `take`,
`put_back` (a taken piece, where it was), `misplace` (a taken piece, somewhere else), `tidy` (a misplaced piece is carried away),
`restock` (a new piece in a gap), `swap_out` and `swap_in` (the assortment changes), `lights_off`, `lights_on`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from facings.data.synthetic.planogram import Placement, Wall
from facings.data.synthetic.products import Product

BEGIN = datetime(2026, 1, 5, 8)
OPEN, CLOSE = 7, 22  # o'clock
ARRIVES = frozenset(("start", "put_back", "misplace", "restock", "swap_in"))
LEAVES = frozenset(("take", "tidy", "swap_out"))


@dataclass(frozen=True)
class Slot:
    """A place for one piece: `stands` with the product that belongs there, in row `row` of the wall."""

    row: int
    stands: Placement


@dataclass(frozen=True)
class Event:
    """One piece arrives at or leaves a slot; `from_slot`: where a misplaced one was taken. None of them for lights."""

    frame: int
    kind: str
    piece: int | None = None
    product: Product | None = None
    slot: int | None = None
    from_slot: int | None = None


@dataclass(frozen=True)
class Timeline:
    """`wall`: the furniture, and what is nobody's slot; `slots` by number; `events` in order."""

    wall: Wall
    slots: dict[int, Slot]
    events: tuple[Event, ...]
    seconds: float

    def at(self, frame: int) -> dict[int, Event]:
        """Slot → the event by which its piece came, of the slots that are full in a frame."""
        full: dict[int, Event] = {}
        for event in self.events:
            if event.frame > frame:
                break
            if event.kind in ARRIVES and event.slot is not None:
                full[event.slot] = event
            elif event.kind in LEAVES and event.slot is not None:
                del full[event.slot]
        return full

    def wall_at(self, frame: int) -> tuple[Wall, dict[int, int]]:
        """The wall as it stands in a frame, and the slot of each piece on it."""
        pieces: dict[int, list[Placement]] = {row: [] for row in range(len(self.wall.rows))}
        slot_of = {}
        for number, event in sorted(self.at(frame).items()):
            slot = self.slots[number]
            assert event.product is not None and event.piece is not None
            slot_of[event.piece] = number
            stands = replace(slot.stands, product=event.product, piece=event.piece)
            if self.wall.rows[slot.row].hooks:
                # What hangs keeps its upper end where the hook is.
                longer = event.product.size[1] - slot.stands.product.size[1]
                stands = replace(stands, bottom=stands.bottom + longer)
            pieces[slot.row].append(stands)
        # Back to front: what is behind others first, heaps by layer.
        rows = [
            replace(
                row,
                placements=tuple(sorted(pieces[number], key=lambda p: (-p.behind, p.bottom if row.crates else 0))),
            )
            for number, row in enumerate(self.wall.rows)
        ]
        return replace(self.wall, rows=tuple(rows)), slot_of

    def time(self, frame: int) -> datetime:
        """When a frame is taken."""
        return time_of(frame, self.seconds)

    def record(self) -> Iterable[dict[str, Any]]:
        """Lines of events.jsonl."""
        for number, event in enumerate(self.events):
            content = {
                "event": number,
                "frame": event.frame,
                "captured_at": self.time(event.frame).isoformat(),
                "kind": event.kind,
                "piece_id": event.piece,
                "product_id": event.product.product_id if event.product else None,
                "slot": event.slot,
                "from_slot": event.from_slot,
            }
            yield {name: value for name, value in content.items() if value is not None}


def time_of(frame: int, seconds: float) -> datetime:
    """When a frame is taken, `seconds` after the last."""
    return BEGIN + timedelta(seconds=seconds * frame)


def is_closed(time: datetime) -> bool:
    """Whether the lamps of the shop are off."""
    return not OPEN <= time.hour < CLOSE
