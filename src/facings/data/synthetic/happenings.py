"""What shoppers and staff do at one wall while time passes. Knows nothing of pictures.

The outcome is a `Timeline`; how it comes about, by chance and by the clock, is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from facings.data.synthetic.parameters import SequenceParameters
from facings.data.synthetic.planogram import Crate, Placement, Wall, heap, let_down
from facings.data.synthetic.products import Product
from facings.data.synthetic.timeline import Event, Slot, Timeline, is_closed, time_of

# O'clock between which shoppers come.
SHOPPERS = (8, 21)


def happen(wall: Wall, pool: Sequence[Product], parameters: SequenceParameters, rng: np.random.Generator) -> Timeline:
    """Let `parameters.frames` frames of time pass at `wall`. `pool`: what a change of the assortment takes products from,
    beside those that stand there."""
    shop = _Shop(wall, list(pool), parameters, rng)
    for frame in range(1, parameters.frames):
        shop.pass_frame(frame)
    bare = replace(wall, rows=tuple(replace(row, placements=()) for row in wall.rows))
    return Timeline(bare, shop.slots, tuple(shop.events), parameters.seconds)


@dataclass
class _Shop:
    """The state while time passes. `belongs`: slot → product that it is kept for; `hands`: taken pieces on their way back."""

    wall: Wall
    pool: list[Product]
    parameters: SequenceParameters
    rng: np.random.Generator
    slots: dict[int, Slot] = field(default_factory=dict)
    full: dict[int, tuple[int, Product]] = field(default_factory=dict)
    belongs: dict[int, Product] = field(default_factory=dict)
    hands: list[tuple[int, int, int, Product]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    pieces: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        for number, row in enumerate(self.wall.rows):
            for placement in row.placements:
                slot = self._new_slot(number, placement)
                self._arrive(0, "start", slot, placement.product)

    def pass_frame(self, frame: int) -> None:
        p = self.parameters
        time = time_of(frame, p.seconds)
        closed = p.night and is_closed(time)
        if closed != self.closed:
            self.closed = closed
            self.events.append(Event(frame, "lights_off" if closed else "lights_on"))
        if frame % p.swap == 0:
            self._swap(frame)
        if frame % p.restock == 0:
            self._restock(frame)
        self._bring_back(frame)
        if not p.night or SHOPPERS[0] <= time.hour < SHOPPERS[1]:
            for _ in range(int(self.rng.poisson(p.takes))):
                self._take(frame)

    def _new_slot(self, row: int, stands: Placement) -> int:
        number = len(self.slots) + 1
        self.slots[number], self.belongs[number] = Slot(row, stands), stands.product
        return number

    def _arrive(
        self, frame: int, kind: str, slot: int, product: Product, piece: int | None = None, source: int | None = None
    ) -> None:
        if piece is None:
            self.pieces += 1
            piece = self.pieces
        self.full[slot] = (piece, product)
        self.events.append(Event(frame, kind, piece, product, slot, source))

    def _leave(self, frame: int, kind: str, slot: int) -> tuple[int, Product]:
        piece, product = self.full.pop(slot)
        self.events.append(Event(frame, kind, piece, product, slot))
        return piece, product

    def _within_reach(self) -> list[int]:
        """Packs at the front, and of each heap what lies on top, at its back."""
        tops: dict[tuple[int, int], int] = {}
        front = []
        for slot in self.full:
            place = self.slots[slot]
            crates = self.wall.rows[place.row].crates
            if place.stands.behind:
                continue
            if not crates:
                front.append(slot)
                continue
            crate = (place.row, _crate_of(crates, place.stands.x))
            if crate not in tops or place.stands.bottom < self.slots[tops[crate]].stands.bottom:
                tops[crate] = slot
        return front + list(tops.values())

    def _take(self, frame: int) -> None:
        reach = self._within_reach()
        if not reach:
            return
        slot = reach[int(self.rng.integers(len(reach)))]
        piece, product = self._leave(frame, "take", slot)
        fate = float(self.rng.random())
        if fate < self.parameters.put_back + self.parameters.misplace:
            back = frame + 1 + int(self.rng.integers(3))
            wrong = fate >= self.parameters.put_back and not product.produce
            self.hands.append((back, -slot if wrong else slot, piece, product))

    def _bring_back(self, frame: int) -> None:
        due = [hand for hand in self.hands if hand[0] <= frame]
        self.hands = [hand for hand in self.hands if hand[0] > frame]
        for _, signed, piece, product in due:
            home = abs(signed)
            gaps = [slot for slot in self._gaps() if slot != home and self._fits(product, slot)]
            if signed < 0 and gaps:
                slot = gaps[int(self.rng.integers(len(gaps)))]
                self._arrive(frame, "misplace", slot, product, piece, home)
            elif home in self.belongs and home not in self.full:
                self._arrive(frame, "put_back", home, product, piece)

    def _gaps(self) -> list[int]:
        return [slot for slot in self.belongs if slot not in self.full]

    def _fits(self, product: Product, slot: int) -> bool:
        there = self.slots[slot].stands
        crates = self.wall.rows[self.slots[slot].row].crates
        return not crates and all(new <= 1.1 * old for new, old in zip(product.size, there.product.size, strict=True))

    def _restock(self, frame: int) -> None:
        for slot, (_, product) in list(self.full.items()):
            if product != self.belongs[slot]:
                self._leave(frame, "tidy", slot)
        # What is still in a shopper's hand finds its place taken, and stays away.
        for slot in self._gaps():
            self._arrive(frame, "restock", slot, self.belongs[slot])

    def _swap(self, frame: int) -> None:
        there = sorted({product.product_id for product in self.belongs.values()})
        count = round(len(there) * self.parameters.turnover)
        for name in self.rng.permutation(there)[:count].tolist():
            self._replace_product(frame, name)

    def _replace_product(self, frame: int, name: str) -> None:
        old = [slot for slot, product in self.belongs.items() if product.product_id == name]
        product = self.belongs[old[0]]
        on_wall = {p.product_id for p in self.belongs.values()}
        widest = min(self._room(group) for group in self._groups(old))
        tallest = min(self._height(slot) for slot in old)
        choice = [
            p for p in self.pool
            if p.product_id not in on_wall and p.produce == product.produce
            and (p.produce or (p.size[0] <= widest and p.size[1] <= tallest))
        ]  # fmt: skip
        if not choice:
            return
        new = choice[int(self.rng.integers(len(choice)))]
        groups = self._groups(old)
        for slot in old:
            if slot in self.full:
                self._leave(frame, "swap_out", slot)
            del self.belongs[slot]
        for group in groups:
            self._fill_group(frame, group, new)

    def _groups(self, slots: Sequence[int]) -> list[list[int]]:
        """Slots that stand together: neighbours on a shelf, or in one crate; those behind others apart."""
        found: list[list[int]] = []
        front = [slot for slot in slots if not self.slots[slot].stands.behind]
        for slot in sorted(front or slots, key=lambda s: (self.slots[s].row, self.slots[s].stands.x)):
            last = self.slots[found[-1][-1]] if found else None
            here = self.slots[slot]
            near = last is not None and last.row == here.row
            if near and last is not None:
                crates = self.wall.rows[here.row].crates
                wide = here.stands.product.size[0]
                near = (
                    _crate_of(crates, last.stands.x) == _crate_of(crates, here.stands.x)
                    if crates
                    else here.stands.x - last.stands.x < 1.35 * wide
                )
            found = [*found[:-1], [*found[-1], slot]] if near else [*found, [slot]]
        return found

    def _room(self, group: Sequence[int]) -> float:
        """cm from the left of the first to the right of the last."""
        places = [self.slots[slot].stands for slot in group]
        return places[-1].x - places[0].x + (places[0].product.size[0] + places[-1].product.size[0]) / 2

    def _height(self, slot: int) -> float:
        """cm of headroom: from the board above, or as tall as the tallest that the row was hung for."""
        row = self.wall.rows[self.slots[slot].row]
        return max((p.product.size[1] for p in row.placements if not p.product.produce), default=np.inf)

    def _fill_group(self, frame: int, group: Sequence[int], new: Product) -> None:
        first = self.slots[group[0]]
        row = self.wall.rows[first.row]
        if new.produce:
            crate = row.crates[_crate_of(row.crates, first.stands.x)]
            for piece in let_down(heap(new, crate, self.rng, 0.0), crate):
                self._arrive(frame, "swap_in", self._new_slot(first.row, piece), new)
            return
        room = self._room(group)
        # A hook holds one column of packs, however narrow.
        count = len(group) if row.hooks else max(1, int(room / (new.size[0] * 1.03)))
        left = first.stands.x - first.stands.product.size[0] / 2
        for place in range(count):
            x = left + room * (place + 0.5) / count
            foot = row.foot
            if row.hooks:
                foot = first.stands.bottom - first.stands.product.size[1] + new.size[1]
            stands = Placement(new, x, foot, float(self.rng.normal()) * 1.2)
            self._arrive(frame, "swap_in", self._new_slot(first.row, stands), new)


def _crate_of(crates: Sequence[Crate], x: float) -> int:
    return int(np.argmin([abs(x - (crate.left + crate.right) / 2) for crate in crates]))
