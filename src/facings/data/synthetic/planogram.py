"""Which product stands where: shelves of facings and crates of produce, in centimetres of the shop's wall.

Knows nothing of pixels or light.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from facings.data.synthetic.products import Product

TALL = 18.0  # cm
TALL_CRATE = 9.0  # cm more than others
# What a camera sees of a wall at least, as shares of its sides.
IN_VIEW = (0.03, 0.97)
# Degrees by which facings lean to a side (standard deviation) where it is not the usual 1.6: bags stand as they were dropped.
LEAN = {"bag": 4.5, "pouch": 3.5}
# Of what is so turned, it fell onto its side.
FALLEN = 45.0
# Chances of no, one, and two more packs behind a facing.
DEEP = (0.66, 0.22, 0.12)
# What stands in fridge cabinets, and hangs on hooks; how many such products a wall needs for them; cm from post to post.
CHILLED = ("gable", "bottle", "tray", "jar", "multipack")
HANGING = ("pouch", "bag", "cutout")
FEW, DOOR = 2, 72.0
# Crowded shelves: how far from the wanted count a plan may be, how often it is drawn anew, and how loosely goods stand
# compared with an ordinary shelf.
NEAR_ENOUGH, ATTEMPTS, TIGHT = 0.03, 12, 0.3


@dataclass(frozen=True)
class Placement:
    """One piece. `x`: its middle, `bottom`: its foot, cm from the left and top of the wall; `angle`: degrees turned.

    `shade`: 0–1, how much light the shelf above leaves it; `behind`: how many packs stand before it. `piece`: its number where
    it is followed from frame to frame, 0 elsewhere. `ripeness`: of produce, 0 unripe to 1 past its best.
    """

    product: Product
    x: float
    bottom: float
    angle: float = 0.0
    shade: float = 1.0
    scale: float = 1.0
    behind: int = 0
    piece: int = 0
    ripeness: float = 0.5


@dataclass(frozen=True)
class Crate:
    """A crate's inside (cm): left, right, top of its back, foot; its board hides what is below `board`."""

    left: float
    right: float
    top: float
    board: float
    foot: float
    wood: bool


@dataclass(frozen=True)
class Card:
    """A promotion card before the goods (cm): its middle, top and sides; `round`: a disc on a spring."""

    x: float
    top: float
    wide: float
    tall: float
    round: bool


@dataclass(frozen=True)
class Row:
    """One shelf, one row of crates or of hooks, drawn back to front in the order of `placements`.

    `foot`: where the shelf's board is, or the lowest foot of what hangs; `tags`: where price tags hang (cm); `hooks`: x and y of
    the pegs that goods hang on (cm), whose board begins at `top`; `cards`: promotion.
    """

    foot: float
    placements: tuple[Placement, ...]
    crates: tuple[Crate, ...] = ()
    tags: tuple[float, ...] = field(default=())
    hooks: tuple[tuple[float, float], ...] = ()
    cards: tuple[Card, ...] = ()
    top: float = 0.0


@dataclass(frozen=True)
class Wall:
    """All rows of one picture, from the top. `width`, `height` in cm. `doors`: middles of the posts between the glass doors of a
    fridge cabinet (cm), none before an open shelf."""

    width: float
    height: float
    rows: tuple[Row, ...]
    doors: tuple[float, ...] = ()

    def in_view(self) -> int:
        """How many pieces a camera sees: not behind another, their middle within the picture."""
        low, high = IN_VIEW
        return sum(
            low * self.width < piece.x < high * self.width
            and low * self.height < piece.bottom - piece.product.size[1] / 2 < high * self.height
            for row in self.rows
            for piece in row.placements
            if not piece.behind
        )


@dataclass(frozen=True)
class Fixtures:
    """Chances (0–1): that a row carries promotion cards, that a wall is a fridge cabinet, that a row has hooks for boards."""

    cards: float = 0.0
    cabinets: float = 0.0
    pegs: float = 0.0


def plan(
    products: Sequence[Product],
    rng: np.random.Generator,
    *,
    misplaced: float,
    gaps: float,
    width: float | None = None,
    slack: float = 1.0,
    fixtures: Fixtures = Fixtures(),
) -> Wall:
    """Fill a stretch of wall. `misplaced`, `gaps`: chance of a wrong piece, or of none, at a facing; `width`: of the wall
    in cm, null for what a camera over one bay sees; `slack`: room between packs, as a share of the usual."""
    packed = [p for p in products if not p.produce]
    fresh = [p for p in products if p.produce]
    if width is None:
        width = float(rng.uniform(62, 98))
    height = width
    chilled = [p for p in packed if p.kind in CHILLED]
    doors: tuple[float, ...] = ()
    if float(rng.random()) < fixtures.cabinets and len(chilled) >= FEW:
        packed, fresh = chilled, []
        doors = tuple(np.arange(float(rng.uniform(0, DOOR)), width, DOOR).tolist())
    hanging = [p for p in packed if p.kind in HANGING]
    rows: list[Row] = []
    top = float(rng.uniform(-8, 2))
    while top < height - 8:
        crates = bool(fresh) and (not packed or float(rng.random()) < 0.45)
        if crates:
            # Nets and bags stand taller than loose goods lie: some crates are made for them.
            foot = top + float(rng.uniform(20, 26)) + (TALL_CRATE if float(rng.random()) < 0.35 else 0.0)
            rows.append(_crate_row(fresh, top, foot, width, rng, gaps))
        elif len(hanging) >= FEW and not doors and float(rng.random()) < fixtures.pegs:
            foot = top + max(p.size[1] for p in hanging) + float(rng.uniform(3, 6))
            rows.append(_peg_row(hanging, top, foot, width, rng, gaps))
        else:
            # Boards are hung for the goods: a row of tall ones, or of short ones.
            tall = [p for p in packed if p.size[1] >= TALL]
            chosen = tall if tall and float(rng.random()) < 0.4 else [p for p in packed if p.size[1] < TALL] or tall
            foot = top + max(p.size[1] for p in chosen) + float(rng.uniform(2.5, 6))
            rows.append(_shelf(chosen, top, foot, width, rng, misplaced, gaps, slack))
        if float(rng.random()) < fixtures.cards:
            rows[-1] = replace(rows[-1], cards=_cards(foot, width, rng))
        top = foot + float(rng.uniform(3.0, 4.5))
    return Wall(width, height, tuple(rows), doors)


def plan_crowded(
    products: Sequence[Product],
    rng: np.random.Generator,
    *,
    count: int,
    misplaced: float,
    gaps: float,
    fixtures: Fixtures = Fixtures(),
) -> Wall:
    """Fill a wall of which a camera sees about `count` pieces, packs shoulder to shoulder: the more, the wider the wall.

    How many a wall holds follows from which goods it got: walls are drawn, each as wide as the last ones suggest, until
    one fits, and the nearest is taken.
    """
    seed = int(rng.integers(2**32))
    width, packing = 13.0 * float(np.sqrt(count)), []
    best: Wall | None = None
    for attempt in range(ATTEMPTS):
        anew = np.random.default_rng([seed, attempt])
        wall = plan(products, anew, misplaced=misplaced, gaps=gaps, width=width, slack=TIGHT, fixtures=fixtures)
        found = wall.in_view()
        if best is None or abs(found - count) < abs(best.in_view() - count):
            best = wall
        if abs(found - count) <= NEAR_ENOUGH * count:
            break
        packing.append(max(found, 1) / width**2)
        width = float(np.sqrt(count / np.mean(packing)))
    assert best is not None
    return best


def settled(wall: Wall) -> Wall:
    """The wall with every heap let down until what lies in front touches its crate's board."""
    rows = []
    for row in wall.rows:
        pieces = list(row.placements)
        for crate in row.crates:
            inside = [number for number, piece in enumerate(pieces) if crate.left <= piece.x <= crate.right]
            for number, piece in zip(inside, let_down([pieces[n] for n in inside], crate), strict=True):
                pieces[number] = piece
        rows.append(replace(row, placements=tuple(pieces)))
    return replace(wall, rows=tuple(rows))


def let_down(heaped: Sequence[Placement], crate: Crate) -> list[Placement]:
    """A heap whose lowest piece is a little hidden by the crate's board."""
    if not heaped:
        return []
    lowest = max(heaped, key=lambda piece: piece.bottom)
    drop = max(0.0, min(crate.board + 0.18 * lowest.product.size[1], crate.foot) - lowest.bottom)
    return [replace(piece, bottom=piece.bottom + drop) for piece in heaped]


def _shelf(
    packed: Sequence[Product],
    top: float,
    foot: float,
    width: float,
    rng: np.random.Generator,
    misplaced: float,
    gaps: float,
    slack: float,
) -> Row:
    """Groups of one to four facings a product; some with a pack visible behind the front one."""
    front: list[Placement] = []
    behind: list[Placement] = []
    tags: list[float] = []
    x = float(rng.uniform(-8, 3))
    fitting = [p for p in packed if p.size[1] < foot - top]
    while x < width + 4 and fitting:
        product = fitting[int(rng.integers(len(fitting)))]
        tags.append(x + product.size[0] * 0.6)
        for _ in range(int(rng.integers(1, 5))):
            piece = fitting[int(rng.integers(len(fitting)))] if float(rng.random()) < misplaced else product
            stands = _standing(piece, 0.0, foot, rng)
            # One that has fallen takes the room that it lies on.
            wide = piece.size[1] if abs(stands.angle) > FALLEN else piece.size[0]
            middle = x + wide / 2
            for deep in range(int(rng.choice(3, p=DEEP)), 0, -1):
                aside = middle + float(rng.normal()) * 0.8
                back = Placement(piece, aside, foot - 1.6 * deep, shade=0.5**deep, scale=0.95**deep, behind=deep)
                behind.append(back)
            if float(rng.random()) >= gaps:
                front.append(replace(stands, x=middle))
            x += wide + abs(float(rng.normal())) * 0.5 * slack + 0.15 * slack
            if x > width + 4:
                break
        x += float(rng.exponential(0.8)) * slack
    return Row(foot, (*sorted(behind, key=lambda piece: -piece.behind), *front), tags=tuple(tags))


def _peg_row(
    hanging: Sequence[Product], top: float, foot: float, width: float, rng: np.random.Generator, gaps: float
) -> Row:
    """Packs that hang on hooks, one to three on each, one product to three hooks side by side at most."""
    placements: list[Placement] = []
    hooks: list[tuple[float, float]] = []
    x = float(rng.uniform(-8, 3))
    while x < width + 4:
        product = hanging[int(rng.integers(len(hanging)))]
        hook = foot - max(p.size[1] for p in hanging)
        for _ in range(int(rng.integers(1, 4))):
            middle = x + product.size[0] / 2
            hooks.append((middle, hook))
            count = 0 if float(rng.random()) < gaps else int(rng.integers(1, 4))
            for deep in range(count - 1, -1, -1):
                swing = float(rng.normal()) * 1.2
                placements.append(Placement(product, middle, hook + product.size[1], swing, 0.75**deep, behind=deep))
            x += product.size[0] + float(rng.uniform(0.8, 2.2))
    return Row(foot, tuple(sorted(placements, key=lambda piece: -piece.behind)), hooks=tuple(hooks), top=top)


def _cards(foot: float, width: float, rng: np.random.Generator) -> tuple[Card, ...]:
    """One or two on a shelf's edge: most hang over the goods below, some stand before those above, some are discs."""
    found = []
    for _ in range(int(rng.integers(1, 3))):
        x, wide, tall = float(rng.uniform(0, width)), float(rng.uniform(9, 17)), float(rng.uniform(5, 9))
        kind = float(rng.random())
        if kind < 0.3:
            found.append(Card(x, foot + 1.5, wide * 0.6, wide * 0.6, True))
        else:
            found.append(Card(x, foot + 0.4 if kind < 0.8 else foot + 2.8 - tall, wide, tall, False))
    return tuple(found)


def _standing(product: Product, x: float, foot: float, rng: np.random.Generator) -> Placement:
    """A facing: nearly straight, or (seldom) fallen onto its side."""
    if float(rng.random()) < 0.015:
        return Placement(product, x, foot, angle=float(rng.choice([-90.0, 90.0])))
    lean = LEAN.get(product.kind, 1.6)
    return Placement(product, x, foot + float(rng.uniform(-0.5, 0.3)), angle=float(rng.normal()) * lean)


def _crate_row(
    fresh: Sequence[Product], top: float, foot: float, width: float, rng: np.random.Generator, gaps: float
) -> Row:
    placements: list[Placement] = []
    crates: list[Crate] = []
    tags: list[float] = []
    x = float(rng.uniform(-15, 0))
    fresh = [p for p in fresh if p.size[1] < foot - top] or fresh
    while x < width:
        wide = float(rng.uniform(27, 40))
        board = foot - float(rng.uniform(3.5, 6))
        crate = Crate(x, x + wide, top + (foot - top) * 0.12, board, foot, wood=bool(rng.random() < 0.5))
        product = fresh[int(rng.integers(len(fresh)))]
        placements += heap(product, crate, rng, gaps)
        crates.append(crate)
        tags.append(x + wide * float(rng.uniform(0.3, 0.7)))
        x += wide + float(rng.uniform(0.3, 1.5))
    return Row(foot, tuple(placements), tuple(crates), tuple(tags))


def heap(product: Product, crate: Crate, rng: np.random.Generator, gaps: float) -> list[Placement]:
    """Layers from the back to the front, each a little lower and before the last."""
    wide, tall = product.size
    step_x, step_y = wide * float(rng.uniform(0.8, 0.98)), max(tall * 0.55, 3.0)
    layers = max(1, int((crate.board - crate.top) / step_y))
    turn = 360.0 if product.kind in ("round", "lump", "half_seeds", "half_hollow") else 24.0
    # What lies in a crate came with one delivery.
    ripe = float(rng.uniform(0.1, 0.95)) + rng.normal(0, 0.12, 200)
    pieces: list[Placement] = []
    for layer in range(layers):
        # The crate leans towards the shopper: what lies in front is nearer the light.
        foot = crate.top + tall * 0.9 + layer * step_y
        if layer and foot > crate.board + tall * 0.55:
            break
        foot = min(foot, crate.foot)
        across = max(1, int((crate.right - crate.left - wide * 0.6) / step_x))
        start = (crate.left + crate.right) / 2 - (across - 1) / 2 * step_x + (layer % 2 - 0.5) * step_x * 0.4
        shade = 0.72 + 0.28 * (layer + 1) / layers
        filled = rng.random(across) >= gaps * (2.5 if layer == 0 else 1.0)
        x = start + np.arange(across) * step_x + rng.normal(0, 0.05, across) * wide
        x = np.maximum(np.minimum(x, crate.right - wide * 0.42), crate.left + wide * 0.42)[filled]
        angles = (rng.uniform(-0.5, 0.5, across) * turn)[filled]
        feet = (foot + rng.normal(0, 0.05, across) * tall)[filled]
        for place, bottom, angle in zip(x.tolist(), feet.tolist(), angles.tolist(), strict=True):
            ripeness = min(1.0, max(0.0, float(ripe[len(pieces) % len(ripe)])))
            pieces.append(Placement(product, place, bottom, angle, shade, ripeness=ripeness))
    return pieces
