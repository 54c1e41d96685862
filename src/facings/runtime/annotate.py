"""A frame with its decision drawn on it. Knows nothing of the truth; Pillow is loaded only when this room is."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facings.files import atomic_write
from facings.structures import Decision

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008); the text on the box says it too.
STATUS_COLOURS = {"known": "#009e73", "unknown": "#0072b2", "ambiguous": "#e69f00"}
MARGIN = 3
# Below this many pixels on the longer side, a picture grows before it is drawn on.
LEGIBLE, MAX_ENLARGEMENT = 960, 4


def annotate(
    image: NDArray[np.uint8], decision: Decision, names: Mapping[str, str] | None = None, *, longest: int = 1600
) -> Image.Image:
    """The frame (H, W, 3), at most `longest` pixels on a side, each item's box and answer on it.

    `names`: product id → what to write (default: the id). An ambiguous item shows its best candidate with `?`.
    """
    picture, scale = fit(image, longest)
    pen, stroke, font = pen_for(picture)
    for item in decision.items:
        colour = STATUS_COLOURS[item.status]
        if item.polygon:
            pen.polygon([(x * scale, y * scale) for x, y in item.polygon], outline=colour, width=stroke)
        pen.rectangle(tuple(value * scale for value in item.box), outline=colour, width=stroke)
    for item in decision.items:
        product = item.candidates[0].product_id if item.candidates and item.status != "unknown" else None
        text = (names or {}).get(product, product) if product is not None else "unknown"
        text = f"{text}?" if item.status == "ambiguous" else text
        corner = (item.box[0] * scale, item.box[1] * scale)
        draw_label(pen, corner, (item.box[2] - item.box[0]) * scale, text, STATUS_COLOURS[item.status], font)
    return picture


def fit(image: NDArray[np.uint8], longest: int) -> tuple[Image.Image, float]:
    """The picture with at most `longest` pixels on a side, and the scale; small ones grow by a whole number, so that
    labels can be read."""
    picture = Image.fromarray(image)
    size = max(picture.size)
    scale = longest / size if size > longest else float(min(MAX_ENLARGEMENT, max(1, LEGIBLE // size)))
    new = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(new, Image.Resampling.LANCZOS), scale


def pen_for(picture: Image.Image) -> tuple[ImageDraw.ImageDraw, int, Any]:
    """A pen, a stroke width in pixels and a font that suit the picture's size."""
    longest = max(picture.size)
    font = ImageFont.load_default(max(11, round(longest / 85)))
    return ImageDraw.Draw(picture), max(2, round(longest / 450)), font


def draw_label(
    pen: ImageDraw.ImageDraw, corner: tuple[float, float], room: float, text: str, colour: str, font: Any
) -> None:
    """Text on a ground of the box's colour, shortened to the width of its box."""
    while len(text) > 1 and pen.textlength(text, font=font) + 2 * MARGIN > max(room, 24):
        text = text[:-2] + "…" if len(text) > 2 else text[:1]
    left, top, right, bottom = pen.textbbox((corner[0] + MARGIN, corner[1] + MARGIN), text, font=font)
    pen.rectangle((left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN), fill=colour)
    light = sum(int(colour[i : i + 2], 16) * w for i, w in ((1, 0.3), (3, 0.59), (5, 0.11))) > 140
    pen.text((corner[0] + MARGIN, corner[1] + MARGIN), text, fill="black" if light else "white", font=font)


def write_jpeg(picture: Image.Image, path: Path) -> None:
    """Write the picture beside, then rename; the folder is made if need be."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, optimize=True)
    atomic_write(path, buffer.getvalue())
