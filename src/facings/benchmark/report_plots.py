"""Curves and marks of the page as geometry for SVG: numbers in, coordinates out. Knows nothing of what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facings.benchmark.accuracy import matched_boxes
from facings.benchmark.pictures import COLOURS, JudgedFrame

# Of the plot, in units of its own: the page scales it.
WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 14, 44
# Of a letter, as a share of the size of the font: wide enough for most.
LETTER = 0.56


@dataclass(frozen=True)
class Mark:
    """A box on a picture: x, y, width, height in the picture's pixels; `outline` of a mask, as SVG wants points; `text` stands in
    the box; `title` says all."""

    outcome: str
    colour: str
    box: tuple[float, float, float, float]
    outline: str
    text: str
    title: str


def plot_x(value: float) -> float:
    """Of a share 0–1."""
    return round(LEFT + value * (WIDTH - LEFT - RIGHT), 1)


def plot_y(value: float) -> float:
    """Of a share 0–1, upwards.

    >>> plot_x(0.0), plot_y(0.0) - plot_y(1.0) == HEIGHT - TOP - BOTTOM
    (44.0, True)
    """
    return round(HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM), 1)


def curve_line(curve: Mapping[str, Any]) -> str:
    """Points of a curve as steps, as average precision takes the area: from recall 0 on, down to 0 where recall ends."""
    if not curve["recall"]:
        return ""
    points, before = [], 0.0
    for recall, precision in zip(curve["recall"], curve["envelope"], strict=True):
        points += [(before, precision), (recall, precision)]
        before = recall
    points.append((before, 0.0))
    return " ".join(f"{plot_x(x)},{plot_y(y)}" for x, y in points)


def marks_of(frame: JudgedFrame, scale: float, names: Mapping[str, str]) -> list[Mark]:
    """What was decided, then what was missed. `scale`: of the picture that is shown; `names`: product id → what to call it."""

    def name(product: str | None) -> str:
        return "a product that nobody noted" if product is None else names.get(product, product)

    truth, matched = frame.answer.frame, matched_boxes(frame.answer).tolist()
    marks = []
    for item, outcome, index in zip(frame.answer.decision.items, frame.outcomes, matched, strict=True):
        said = name(item.product_id) if item.product_id is not None else ""
        if item.product_id is None and outcome not in ("found", "stray"):
            best = [name(candidate.product_id) for candidate in item.candidates[:2]]
            said = f"{item.status}: {' or '.join(best)}?" if item.status == "ambiguous" and best else item.status
        parts = [outcome]
        parts += [f"called {said}"] if said else []
        parts += [f"is {name(truth.products[index])}"] if index >= 0 and outcome not in ("right", "found") else []
        parts += [f"detection {item.detection_score:.2f}"]
        parts += [f"similarity {item.candidates[0].similarity:.2f}"] if item.candidates else []
        outline = " ".join(f"{x * scale:.1f},{y * scale:.1f}" for x, y in item.polygon)
        marks.append(_mark(outcome, item.box, scale, outline, said, "; ".join(parts)))
    for index in frame.missed:
        box = tuple(float(value) for value in truth.boxes[index])
        marks.append(_mark("missed", box, scale, "", "", f"missed; is {name(truth.products[index])}"))
    return marks


def letters(text: str, room: float, size: float) -> str:
    """As much of the text as has room.

    >>> letters("Gala apple", 30, 10), letters("Gala", 60, 10)
    ('Gala…', 'Gala')
    """
    most = max(1, int(room / (LETTER * size)))
    return text if len(text) <= most else text[: max(1, most - 1)] + "…"


def _mark(outcome: str, box: Sequence[float], scale: float, outline: str, text: str, title: str) -> Mark:
    x1, y1, x2, y2 = (round(value * scale, 1) for value in box)
    corner = (x1, y1, round(max(0.0, x2 - x1), 1), round(max(0.0, y2 - y1), 1))
    return Mark(outcome, COLOURS[outcome], corner, outline, text, title)
