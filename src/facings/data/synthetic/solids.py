"""Depth of goods and boards: which sides a camera sees beside the front. Knows nothing of artwork.

Points are in centimetres of the wall's front (z = 0), where a camera at `centre` (3,) sees them: a point behind the front lies
there nearer to the camera's foot (similar triangles).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.planogram import Placement
from facings.data.synthetic.products import Colour

Points = NDArray[np.float64]
# Depth of a pack as a share of its width; what is not named is drawn flat: bags, fallen packs, produce.
DEPTHS = {"carton": 0.4, "gable": 0.9, "can": 0.95, "jar": 0.95, "bottle": 0.95}
BOARD = 34.0  # cm from a shelf's edge to the wall
LID = {"can": 0.95, "jar": 0.93, "bottle": 0.3}
METAL: Colour = (188, 190, 196)
UPRIGHT = 12.0  # degrees
ROOF = 0.2  # share of a gable's height that slopes


@dataclass(frozen=True)
class Side:
    """A visible side of a pack: a polygon (N, 2) and its colour."""

    points: Points
    colour: Colour


def receding(centre: Points, depth: float) -> float:
    """By how much a thing `depth` cm behind the front shrinks towards the camera's foot point, 0–1."""
    return float(-centre[2] / (depth - centre[2]))


def depth_of(placement: Placement) -> float:
    """cm from front to back; 0 for what is drawn flat."""
    upright = abs(placement.angle) <= UPRIGHT
    return DEPTHS.get(placement.product.kind, 0.0) * placement.product.size[0] if upright else 0.0


def set_back(placement: Placement, foot: float, centre: Points) -> tuple[float, float, float]:
    """Where on the front, and how much smaller, the camera sees a piece: x and foot (cm), scale."""
    if not placement.behind:
        return placement.x, placement.bottom, 1.0
    shrunk = receding(centre, placement.behind * (max(depth_of(placement), 0.4 * placement.product.size[0]) + 0.5))
    x = float(centre[0] + (placement.x - centre[0]) * shrunk)
    return x, float(centre[1] + (foot - centre[1]) * shrunk), shrunk


def sides_of(placement: Placement, x: float, foot: float, scale: float, centre: Points) -> list[Side]:
    """What is seen of a pack beside its front, whose foot's middle is at (x, foot): its top or lid, and one flank."""
    depth = depth_of(placement) * scale
    if not depth or placement.product.produce:
        return []
    product, shrunk = placement.product, receding(centre, depth)
    wide, tall = product.size[0] * scale, product.size[1] * scale
    left, right, top = x - wide / 2, x + wide / 2, foot - tall
    if product.kind in LID:
        # A narrow lid reaches less far back: it is drawn where the front has it.
        narrow = receding(centre, depth * LID[product.kind])
        return _lid(product.kind, x, top + 0.02 * tall, wide, narrow, centre, product.colours[1])
    found = []
    if product.kind == "gable":
        top += ROOF * tall
    elif centre[1] < top:
        found.append(
            Side(_receding_edge([left, top], [right, top], shrunk, centre), _tone(product.colours[0], 1.0, 26))
        )
    if centre[0] < left:
        found.append(
            Side(_receding_edge([left, top], [left, foot], shrunk, centre), _tone(product.colours[0], 0.72, 0))
        )
    elif centre[0] > right:
        found.append(
            Side(_receding_edge([right, top], [right, foot], shrunk, centre), _tone(product.colours[0], 0.66, 0))
        )
    return found


def board_edges(top: float, foot: float, centre: Points) -> tuple[float, float]:
    """Where the back edges of a shelf's ceiling (front edge at `top`) and of its board (at `foot`) are seen, cm."""
    shrunk = receding(centre, BOARD)
    return float(centre[1] + (top - centre[1]) * shrunk), float(centre[1] + (foot - centre[1]) * shrunk)


def _lid(kind: str, x: float, top: float, wide: float, shrunk: float, centre: Points, second: Colour) -> list[Side]:
    """The round top of a can, jar or bottle: an ellipse from the front's upper edge to the back's, and the wall below it, since the
    front is a flat picture and the lid is widest half way back."""
    if centre[1] >= top:
        return []
    back = centre[1] + (top - centre[1]) * shrunk
    middle, height = (x + centre[0] + (x - centre[0]) * shrunk) / 2, (top + back) / 2
    half = LID[kind] * wide / 2
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    round_ = np.stack([middle + half * np.cos(angle), height + (top - back) / 2 * np.sin(angle)], axis=1)
    wall = np.array([[x - half, top], [x + half, top], [middle + half, height], [middle - half, height]])
    colour = METAL if kind == "can" else _tone(second, 0.95, 8)
    return [Side(wall, _tone(colour, 0.8, 0)), Side(round_, colour)]


def _receding_edge(start: list[float], end: list[float], shrunk: float, centre: Points) -> Points:
    front = np.array([start, end])
    back = centre[:2] + (front[::-1] - centre[:2]) * shrunk
    return np.concatenate([front, back])


def _tone(colour: Colour, factor: float, lift: int) -> Colour:
    red, green, blue = (int(min(255, channel * factor + lift)) for channel in colour)
    return red, green, blue
