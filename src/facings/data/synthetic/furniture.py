"""The wall's own furniture: what is behind the goods and before them, and its colours. Knows nothing of cameras."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from facings.data.synthetic.planogram import Crate, Row

Image = NDArray[np.uint8]
# The number of the piece that is seen at each pixel, 0 for none.
Ids = NDArray[np.int32] | NDArray[np.uint16]
RAILS = ((228, 228, 226), (60, 62, 66), (196, 40, 44), (40, 92, 60))


def ground(size: int, rng: np.random.Generator) -> Image:
    """The wall behind: plain, panelled or in shadow."""
    colour = np.array(
        rng.choice([(222, 220, 214), (150, 150, 152), (88, 86, 84), (186, 160, 128), (52, 54, 60)]), np.float32
    )
    fall = np.linspace(1.08, 0.82, size, dtype=np.float32)[:, None, None]
    canvas = np.clip(colour * fall + np.zeros((size, size, 1), np.float32), 0, 255)
    if float(rng.random()) < 0.5:
        period = int(rng.integers(size // 14, size // 6))
        canvas[:, :: max(4, period)] *= 0.9
    canvas += cv2.GaussianBlur(rng.normal(0, 1, (size, size, 1)).astype(np.float32), (0, 0), size / 20)[..., None] * 60
    return np.clip(canvas, 0, 255).astype(np.uint8)


def draw_behind(canvas: Image, row: Row, scale: float, rng: np.random.Generator) -> None:
    """Backs of crates, or the shadow of the board above a shelf."""
    for crate in row.crates:
        inside = (58, 60, 58) if not crate.wood else (112, 84, 56)
        fill(canvas, crate.left, crate.top, crate.right, crate.foot, scale, inside)
    if not row.crates:
        top, foot = round((row.foot - 26) * scale), round(row.foot * scale)
        part = canvas[max(0, top) : max(0, foot)]
        if len(part):
            dark = np.linspace(0.55, 0.85, len(part), dtype=np.float32)[:, None, None]
            part[:] = (part * dark).astype(np.uint8)


def draw_before(
    canvas: Image, ids: Ids, row: Row, scale: float, rail: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Boards of crates, the shelf's edge and its price tags: they hide what is behind them."""
    for crate in row.crates:
        _front_board(canvas, ids, crate, scale, rng)
    y1, y2 = row.foot, row.foot + 3.0
    fill(canvas, -1, y1, canvas.shape[1] / scale + 1, y2, scale, rail)
    clear(ids, -1, y1, canvas.shape[1] / scale + 1, y2, scale)
    picture = PillowImage.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(6, 1.5 * scale))
    for x in row.tags:
        left, top, right, bottom = (value * scale for value in (x - 3.2, y1 + 0.25, x + 3.2, y2 - 0.2))
        ground = (255, 224, 60) if float(rng.random()) < 0.2 else (250, 250, 246)
        pen.rectangle((left, top, right, bottom), fill=ground)
        price = f"{int(rng.integers(0, 12))}.{int(rng.integers(0, 10))}9"
        pen.text((right - 0.3 * scale, (top + bottom) / 2), price, fill=(30, 30, 34), font=font, anchor="rm")
        for line in range(2):
            y = top + (0.6 + 0.7 * line) * scale
            pen.line((left + 0.4 * scale, y, left + 2.2 * scale, y), fill=(120, 120, 124))
    canvas[:] = np.asarray(picture)


def _front_board(canvas: Image, ids: Ids, crate: Crate, scale: float, rng: np.random.Generator) -> None:
    colour = (172, 134, 88) if crate.wood else (44, 118, 70) if float(rng.random()) < 0.5 else (70, 72, 76)
    fill(canvas, crate.left, crate.board, crate.right, crate.foot, scale, colour)
    clear(ids, crate.left, crate.board, crate.right, crate.foot, scale)
    dark = (round(colour[0] * 0.7), round(colour[1] * 0.7), round(colour[2] * 0.7))
    middle = (crate.board + crate.foot) / 2
    fill(canvas, crate.left, middle - 0.15, crate.right, middle + 0.15, scale, dark)
    for edge in (crate.left, crate.right - 0.6):
        fill(canvas, edge, crate.top, edge + 0.6, crate.foot, scale, dark)
        clear(ids, edge, crate.top, edge + 0.6, crate.foot, scale)


def fill(canvas: Image, x1: float, y1: float, x2: float, y2: float, scale: float, colour: tuple[int, ...]) -> None:
    part = canvas[_span(y1, y2, scale), _span(x1, x2, scale)]
    fall = np.linspace(1.06, 0.9, max(1, len(part)), dtype=np.float32)[:, None, None]
    if part.size:
        part[:] = np.clip(np.array(colour, np.float32) * fall, 0, 255).astype(np.uint8)


def clear(ids: Ids, x1: float, y1: float, x2: float, y2: float, scale: float) -> None:
    ids[_span(y1, y2, scale), _span(x1, x2, scale)] = 0


def _span(low: float, high: float, scale: float) -> slice:
    return slice(max(0, round(low * scale)), max(0, round(high * scale)))
