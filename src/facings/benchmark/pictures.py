"""Frames with what the bundle said of them, judged by colour. Knows nothing of how a page shows them."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from facings.benchmark.accuracy import Answer, matched_boxes
from facings.runtime.annotate import STATUS_COLOURS, draw_label, fit, pen_for
from facings.runtime.images import read_image

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008); the text on the box says it too.
COLOURS = {
    "right": "#009e73",
    "wrong": "#d55e00",
    "unknown": STATUS_COLOURS["unknown"],
    "ambiguous": STATUS_COLOURS["ambiguous"],
    "stray": "#cc79a7",
    "unjudged": "#8c8c8c",
    "found": "#009e73",
    "missed": "#f0e442",
}


@dataclass(frozen=True)
class JudgedFrame:
    """One frame ready to draw. `quality` 0–1: F1 of products, or of boxes where the bundle names none."""

    answer: Answer
    outcomes: tuple[str, ...]
    missed: tuple[int, ...]
    quality: float

    @property
    def counts(self) -> dict[str, int]:
        """How many boxes have each outcome, `missed` truth among them; those that occur."""
        names = [*self.outcomes, *["missed"] * len(self.missed)]
        return {name: names.count(name) for name in COLOURS if name in names}


def judge_frame(answer: Answer) -> JudgedFrame:
    """Outcomes of a frame's decisions; without a gallery only `found` and `stray`."""
    objects, matched = len(answer.frame.boxes), matched_boxes(answer)
    if answer.outcome is None:
        outcomes: tuple[str, ...] = tuple("found" if index >= 0 else "stray" for index in matched)
        right, whole = 2 * int((matched >= 0).sum()), len(matched) + objects
    else:
        outcomes, counts = answer.outcome.outcomes, answer.outcome.counts
        right, whole = 2 * counts["right"], counts["named"] + counts["enrolled"]
    missed = tuple(sorted(set(range(objects)) - set(matched.tolist())))
    return JudgedFrame(answer, outcomes, missed, right / whole if whole else 1.0)


def worst_and_typical(
    frames: Sequence[JudgedFrame], *, worst: int = 3, typical: int = 2
) -> list[tuple[str, JudgedFrame]]:
    """The frames of lowest quality, then those nearest the median, each once; named `worst` or `typical`."""
    ordered = sorted(frames, key=lambda frame: (frame.quality, frame.answer.frame.image_id))
    low = ordered[:worst]
    middle = float(np.median([frame.quality for frame in ordered])) if ordered else 0.0
    rest = sorted(ordered[worst:], key=lambda frame: (abs(frame.quality - middle), frame.answer.frame.image_id))
    return [("worst", frame) for frame in low] + [("typical", frame) for frame in rest[:typical]]


def draw_frame(frame: JudgedFrame, names: Mapping[str, str], *, longest: int = 1200) -> Image.Image:
    """The picture with each box, and the outline where there is one, in its outcome's colour, and the product it was given.

    `longest`: most pixels on a side (a small picture is enlarged); `names`: product id → what to write.
    Missed truth is drawn dashed.
    """
    picture, scale = fit(read_image(frame.answer.frame.path), longest)
    pen, stroke, font = pen_for(picture)
    for index in frame.missed:
        _dashed(pen, frame.answer.frame.boxes[index] * scale, COLOURS["missed"], stroke)
    boxes = [tuple(value * scale for value in item.box) for item in frame.answer.decision.items]
    for box, item, outcome in zip(boxes, frame.answer.decision.items, frame.outcomes, strict=True):
        if item.polygon:
            pen.polygon([(x * scale, y * scale) for x, y in item.polygon], outline=COLOURS[outcome], width=stroke)
        pen.rectangle(box, outline=COLOURS[outcome], width=stroke)
    for box, item, outcome in zip(boxes, frame.answer.decision.items, frame.outcomes, strict=True):
        if item.product_id is not None or outcome in ("unknown", "ambiguous"):
            text = names.get(item.product_id, item.product_id) if item.product_id is not None else f"{outcome}?"
            draw_label(pen, (box[0], box[1]), box[2] - box[0], text, COLOURS[outcome], font)
    return picture


def data_uri(picture: Image.Image, *, quality: int = 82) -> str:
    """The picture as text that stands in a page."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _dashed(pen: ImageDraw.ImageDraw, box: Any, colour: str, stroke: int) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    dash = 6 * stroke
    for (ax, ay), (bx, by) in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
        length = max(abs(bx - ax), abs(by - ay))
        for start in np.arange(0, length, 2 * dash):
            a, b = start / length, min(1.0, (start + dash) / length)
            pen.line((ax + (bx - ax) * a, ay + (by - ay) * a, ax + (bx - ax) * b, ay + (by - ay) * b), colour, stroke)
