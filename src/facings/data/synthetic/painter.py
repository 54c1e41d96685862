"""A wall as one calibrated camera sees it, painted on the plane of the goods' fronts. Knows nothing of lenses and light.

Only the part in view is painted. What stands behind the front is painted where the camera sees it through that plane, so that
the plane's picture, seen by that camera, is the solid wall. Every piece has a seed of its own: it looks the same whatever else
is in view.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.foreground import draw_cards, draw_doors
from facings.data.synthetic.furniture import CABINET, RAIL_HEIGHT, RAILS, draw_before, draw_behind, fill, ground
from facings.data.synthetic.lens import View
from facings.data.synthetic.planogram import Crate, Placement, Row, Wall
from facings.data.synthetic.renderer import Renderer
from facings.data.synthetic.solids import Side, board_edges, set_back, sides_of
from facings.data.synthetic.sprites import SOLID, paste

Image = NDArray[np.uint8]
# Canvas pixels for one of the frame, in its middle.
OVERSAMPLING = 1.4
BOARD = (186, 186, 182)


@dataclass(frozen=True)
class Painted:
    """The plane's picture: `canvas` (H, W, 3), `ids` (H, W) uint16 with the number of the piece seen at each pixel (0: none).

    `placed`: the pieces, number 1 first; `wholes`: pixels of each whole outline; `pieces`: each as it was laid.
    `corner`: cm of the canvas' left top; `scale`: pixels a cm; `glazed`: glass doors are before
    it.
    """

    canvas: Image
    ids: NDArray[np.uint16]
    placed: list[Placement]
    wholes: list[float]
    pieces: list["_Piece"]
    corner: tuple[float, float]
    scale: float
    glazed: bool = False

    def hull(self, number: int) -> NDArray[np.float64]:
        """(M, 2) cm of the wall: the convex hull of a piece's whole outline."""
        return self.pieces[number - 1].hull(self.scale) + self.corner


def paint(wall: Wall, view: View, renderer: Renderer, seed: list[int]) -> Painted:
    """Paint what `view` sees of `wall`; `seed` decides colours and how pieces look."""
    edge = view.border_on_wall()
    (left, top), (right, bottom) = edge.min(axis=0), edge.max(axis=0)
    scale = OVERSAMPLING * _density(view, (left + right) / 2, (top + bottom) / 2)
    shape = (int(np.ceil((bottom - top) * scale)), int(np.ceil((right - left) * scale)))
    rng = np.random.default_rng(seed)
    painted = Painted(
        ground(shape, rng),
        np.zeros(shape, np.uint16),
        [],
        [],
        [],
        (float(left), float(top)),
        float(scale),
        bool(wall.doors),
    )
    rail = CABINET if wall.doors else tuple(int(c) for c in rng.choice(RAILS))
    above, first = -np.inf, 1
    for place, row in enumerate(wall.rows):
        row_rng = np.random.default_rng([*seed, 1, place])
        if above < bottom and row.foot + RAIL_HEIGHT > top:
            _row(painted, _shifted(row, left, top), above - top, view, renderer, row_rng, rail, [*seed, 2], first)
        above, first = (row.foot if row.hooks else row.foot + RAIL_HEIGHT), first + len(row.placements)
    for place, row in enumerate(wall.rows):
        cards = _shifted(row, left, top).cards
        draw_cards(painted.canvas, painted.ids, cards, float(scale), np.random.default_rng([*seed, 3, place]))
    draw_doors(painted.canvas, painted.ids, [x - left for x in wall.doors], float(scale))
    return painted


def _row(
    painted: Painted, row: Row, opening: float, view: View, renderer: Renderer, rng: np.random.Generator,
    rail: tuple[int, ...], seed: list[int], first: int,
) -> None:  # fmt: skip
    """One shelf or row of crates, already in cm of the canvas; what is behind the rail above `opening` stays hidden."""
    centre = view.centre - [*painted.corner, 0]
    scale = painted.scale
    hidden = max(0, round(opening * scale)) if np.isfinite(opening) else 0
    canvas, ids = painted.canvas[hidden:], painted.ids[hidden:]
    draw_behind(canvas, row, scale, hidden / scale)
    if not row.crates and not row.hooks:
        _boards(painted, max(opening, row.foot - 60), row.foot, centre, rail)
    shown: list[_Piece] = []
    for number, placement in enumerate(row.placements, start=first):
        if -20 < placement.x < painted.canvas.shape[1] / scale + 20:
            painted.placed.append(placement)
            own = np.random.default_rng([*seed, placement.piece or number])
            foot = placement.bottom if row.hooks else row.foot
            shown.append(_piece(placement, len(painted.placed), foot, centre, renderer, scale, own))
    painted.wholes.extend(0.0 for _ in shown)
    painted.pieces.extend(shown)
    for behind in sorted({piece.placement.behind for piece in shown}, reverse=True):
        group = [piece for piece in shown if piece.placement.behind == behind]
        # Sides lie behind all fronts of their row, those of far packs behind those of near ones.
        for piece in sorted(group, key=lambda piece: -abs(piece.x - centre[0])):
            painted.wholes[piece.number - 1] += _draw_sides(canvas, ids, piece, scale, hidden)
        for piece in group:
            painted.wholes[piece.number - 1] += paste(
                canvas, ids, piece.sprite, piece.left, piece.top - hidden, piece.number, piece.placement.shade, piece.rng
            )  # fmt: skip
    draw_before(painted.canvas, painted.ids, row, scale, rail, rng)


@dataclass(frozen=True)
class _Piece:
    """A piece ready to be drawn: `left`, `top` of its sprite in pixels of the canvas; `x`: its middle, cm."""

    placement: Placement
    number: int
    x: float
    sprite: Image
    left: int
    top: int
    sides: list[Side]
    rng: np.random.Generator

    def hull(self, scale: float) -> NDArray[np.float64]:
        """(M, 2) cm of the canvas: front and sides."""
        solid = (self.sprite[..., 3] > SOLID).astype(np.uint8)
        rings, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        corners = np.zeros((0, 2))
        if rings:
            corners = cv2.convexHull(np.concatenate(rings))[:, 0] + [self.left + 0.5, self.top + 0.5]
        return np.concatenate([corners / scale, *(side.points for side in self.sides)])


def _piece(
    placement: Placement, number: int, foot: float, centre: NDArray[np.float64], renderer: Renderer, scale: float,
    rng: np.random.Generator,
) -> _Piece:  # fmt: skip
    x, foot, shrunk = set_back(placement, foot, centre)
    sprite = renderer.sprite(replace(placement, scale=shrunk), scale, rng)
    left, top = round(x * scale - sprite.shape[1] / 2), round(foot * scale - sprite.shape[0])
    return _Piece(placement, number, x, sprite, left, top, sides_of(placement, x, foot, shrunk, centre), rng)


def _draw_sides(canvas: Image, ids: NDArray[np.uint16], piece: _Piece, scale: float, hidden: int) -> float:
    """Fill the sides; their area in pixels."""
    area = 0.0
    for side in piece.sides:
        points = side.points * scale - [0, hidden]
        area += float(cv2.contourArea(points.astype(np.float32)))
        fixed = np.round(points * 16 - 8).astype(np.int32)
        red, green, blue = (channel * piece.placement.shade for channel in side.colour)
        cv2.fillPoly(canvas, [fixed], (red, green, blue), cv2.LINE_AA, 4)
        cv2.fillPoly(ids, [fixed], piece.number, cv2.LINE_8, 4)
    return area


def _boards(painted: Painted, top: float, foot: float, centre: NDArray[np.float64], rail: tuple[int, ...]) -> None:
    """The board that goods stand on, seen from above, and the ceiling, seen from below."""
    ceiling, back = board_edges(top, foot, centre)
    wide = painted.canvas.shape[1] / painted.scale + 1
    light = tuple(int(0.2 * c + 0.8 * board) for c, board in zip(rail, BOARD, strict=True))
    dark = tuple(int(c * 0.3) for c in light)
    if ceiling > top:
        fill(painted.canvas, -1, top, wide, min(ceiling, foot), painted.scale, dark)
    if back < foot:
        fill(painted.canvas, -1, max(back, top), wide, foot, painted.scale, light)


def _density(view: View, x: float, y: float) -> float:
    """Pixels of the frame a cm of the wall at (x, y)."""
    points = view.pixels_of(np.array([[x, y, 0.0], [x + 1, y, 0.0], [x, y + 1, 0.0]]))
    return float(max(np.linalg.norm(points[1:] - points[0], axis=1)))


def _shifted(row: Row, left: float, top: float) -> Row:
    """The row in cm from (left, top)."""
    pieces = tuple(_moved(piece, left, top) for piece in row.placements)
    crates = tuple(
        Crate(c.left - left, c.right - left, c.top - top, c.board - top, c.foot - top, c.wood) for c in row.crates
    )
    tags, hooks = tuple(x - left for x in row.tags), tuple((x - left, y - top) for x, y in row.hooks)
    cards = tuple(replace(card, x=card.x - left, top=card.top - top) for card in row.cards)
    return Row(row.foot - top, pieces, crates, tags, hooks, cards, row.top - top)


def _moved(p: Placement, left: float, top: float) -> Placement:
    """Not by `replace`, which takes most of the time of a wall with hundreds of pieces."""
    return Placement(p.product, p.x - left, p.bottom - top, p.angle, p.shade, p.scale, p.behind, p.piece, p.ripeness)
