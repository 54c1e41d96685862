"""The wall's own furniture: what is behind the goods and before them, and its colours. Knows nothing of cameras."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from facings.data.synthetic.planogram import Crate, Row
from facings.data.synthetic.sprites import Ids, weigh

Image = NDArray[np.uint8]
GROUNDS = ((222, 220, 214), (150, 150, 152), (88, 86, 84), (186, 160, 128), (52, 54, 60))
PANEL, WIRE = (206, 206, 202), (150, 152, 158)
RAIL_HEIGHT = 3.0  # cm
CABINET = (236, 238, 240)  # rails of fridge cabinets
RAILS = ((228, 228, 226), (60, 62, 66), (196, 40, 44), (40, 92, 60))


def ground(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """The wall behind, (H, W, 3): plain or panelled, unevenly lit."""
    height, width = shape
    colour = np.array(GROUNDS[int(rng.integers(len(GROUNDS)))], np.float32)
    light = 1 + 0.08 * cv2.GaussianBlur(rng.normal(0, 1, (24, 24)).astype(np.float32), (0, 0), 2.0) * 3
    light = light * np.linspace(1.08, 0.82, 24, dtype=np.float32)[:, None]
    coarse = np.clip(light[..., None] * colour, 0, 255).astype(np.uint8)
    canvas = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    if float(rng.random()) < 0.5:
        seams = canvas[:, :: max(4, int(rng.integers(width // 14, width // 6)))]
        seams[:] = seams * 0.9
    return canvas  # type: ignore[return-value]


def draw_behind(canvas: Image, row: Row, scale: float, above: float = 0.0) -> None:
    """Backs of crates, or the shadow of the board above a shelf. `above`: cm of the wall that the canvas leaves out at its top."""
    for crate in row.crates:
        inside = (58, 60, 58) if not crate.wood else (112, 84, 56)
        fill(canvas, crate.left, crate.top - above, crate.right, crate.foot - above, scale, inside)
    if row.hooks:
        _board_of_holes(canvas[_span(row.top - above, row.foot - above, scale)], scale)
    elif not row.crates:
        top, foot = round((row.foot - above - 26) * scale), round((row.foot - above) * scale)
        part = canvas[max(0, top) : max(0, foot)]
        if len(part):
            dark = np.linspace(0.55, 0.85, len(part), dtype=np.float32)[:, None] * 255
            weigh(part, np.repeat(dark.astype(np.uint8), part.shape[1], axis=1))


def draw_before(
    canvas: Image, ids: Ids, row: Row, scale: float, rail: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Boards of crates, the shelf's edge and its price tags: they hide what is behind them."""
    for crate in row.crates:
        _front_board(canvas, ids, crate, scale, rng)
    if row.hooks:
        _hooks(canvas, ids, row, scale, rng)
        return
    y1, y2 = row.foot, row.foot + RAIL_HEIGHT
    fill(canvas, -1, y1, canvas.shape[1] / scale + 1, y2, scale, rail)
    clear(ids, -1, y1, canvas.shape[1] / scale + 1, y2, scale)
    _tags(canvas[_span(y1, y2, scale)], row.tags, scale, rng)


def _board_of_holes(part: Image, scale: float) -> None:
    """A perforated panel, a hole every 2.5 cm."""
    if not part.size:
        return
    step = max(4, round(2.5 * scale))
    tile = np.full((step, step, 3), PANEL, np.uint8)
    cv2.circle(tile, (step // 2, step // 2), max(1, round(0.3 * scale)), (96, 96, 98), cv2.FILLED, cv2.LINE_AA)
    repeats = (-(-part.shape[0] // step), -(-part.shape[1] // step), 1)
    part[:] = np.tile(tile, repeats)[: part.shape[0], : part.shape[1]]


def _hooks(canvas: Image, ids: Ids, row: Row, scale: float, rng: np.random.Generator) -> None:
    """Wires that goods hang on, and the price plates at their tips."""
    thick = max(1, round(0.45 * scale))
    for x, y in row.hooks:
        tip = (round(x * scale), round((y + 1.6) * scale))
        cv2.line(canvas, (round(x * scale), round((y - 0.8) * scale)), tip, WIRE, thick, cv2.LINE_AA)
        plate = (x - 2.0, y - 1.9, x + 2.0, y + 0.7)
        fill(canvas, *plate, scale, (250, 250, 246))
        clear(ids, *plate, scale)
        where = (_span(plate[1], plate[3], scale), _span(plate[0], plate[2], scale))
        if canvas[where].size:
            price = f"{int(rng.integers(0, 12))}.{int(rng.integers(0, 10))}9"
            canvas[where] = _priced(canvas[where], price, scale)


def _priced(part: Image, price: str, scale: float) -> Image:
    picture = PillowImage.fromarray(part)
    font = ImageFont.load_default(max(6, 1.4 * scale))
    middle = (part.shape[1] / 2, part.shape[0] / 2)
    ImageDraw.Draw(picture).text(middle, price, fill=(30, 30, 34), font=font, anchor="mm")
    return np.asarray(picture)


def _tags(rail: Image, places: tuple[float, ...], scale: float, rng: np.random.Generator) -> None:
    """Price tags on the rail alone: Pillow needs a copy of what it writes on."""
    if not rail.size:
        return
    picture = PillowImage.fromarray(rail)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(6, 1.5 * scale))
    for x in places:
        left, top, right, bottom = (value * scale for value in (x - 3.2, 0.25, x + 3.2, 2.8))
        paper = (255, 224, 60) if float(rng.random()) < 0.2 else (250, 250, 246)
        pen.rectangle((left, top, right, bottom), fill=paper)
        price = f"{int(rng.integers(0, 12))}.{int(rng.integers(0, 10))}9"
        pen.text((right - 0.3 * scale, (top + bottom) / 2), price, fill=(30, 30, 34), font=font, anchor="rm")
        for line in range(2):
            y = top + (0.6 + 0.7 * line) * scale
            pen.line((left + 0.4 * scale, y, left + 2.2 * scale, y), fill=(120, 120, 124))
    rail[:] = np.asarray(picture)


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
    if part.size:
        ends = np.clip(np.array(colour, np.float32) * np.array([[[1.06]], [[0.9]]], np.float32), 0, 255)
        column = cv2.resize(ends, (1, len(part)), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
        part[:] = cv2.repeat(column, 1, part.shape[1])


def clear(ids: Ids, x1: float, y1: float, x2: float, y2: float, scale: float) -> None:
    ids[_span(y1, y2, scale), _span(x1, x2, scale)] = 0


def _span(low: float, high: float, scale: float) -> slice:
    return slice(max(0, round(low * scale)), max(0, round(high * scale)))
