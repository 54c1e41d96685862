"""Produce that is sold in a net or in a bag of cloudy film: its pieces heaped in a bag's outline, and what lies over them.

Knows nothing of shelves. Every drawing is a sprite: (H, W, 4) uint8, RGB and coverage.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from facings.data.synthetic.artwork import contrast, written
from facings.data.synthetic.packaging import film
from facings.data.synthetic.produce import draw_produce
from facings.data.synthetic.products import Product
from facings.data.synthetic.sprites import laid, paste, premultiplied

Sprite = NDArray[np.uint8]
MESH = 1.3  # cm between the threads of a net
HAZE = 0.3  # share of light that cloudy film scatters
DRAWN = 5  # pieces that are drawn; turned, they fill the bag
# Half width of the bag, as a share, at heights from its top: gathered under a clip or a weld.
SHAPES = {
    "net": ((0, 0.05, 0.09, 0.22, 0.5, 0.9, 1), (0.3, 0.22, 0.1, 0.62, 0.95, 0.95, 0.7)),
    "film": ((0, 0.04, 0.2, 0.5, 0.93, 1), (0.82, 0.86, 0.92, 0.97, 0.95, 0.86)),
}


def draw_wrapped(product: Product, height: int, rng: np.random.Generator, ripeness: float = 0.5) -> Sprite:
    """The bag `height` pixels high, its width by its proportions, filled anew by `rng`. `ripeness` (0-1) is its content's."""
    assert product.content is not None
    tall = max(24, height)
    wide = max(24, round(tall * product.size[0] / product.size[1]))
    y, x = np.mgrid[0:tall, 0:wide].astype(np.float32)
    u, v = (x + 0.5) / wide * 2 - 1, (y + 0.5) / tall
    bulge = np.interp(v, *SHAPES[product.kind]) + 0.02 * np.sin(v * 21 + float(rng.uniform(0, 6)))
    mask = (np.abs(u + 0.03 * float(rng.normal()) * np.sin(np.pi * v)) < np.minimum(bulge, 0.99)).astype(np.float32)
    heaped = _heaped(product.content, wide, tall, tall / product.size[1], rng, ripeness)
    picture: Sprite | NDArray[np.float32] = heaped
    if product.kind == "net":
        _net(heaped, product, tall / product.size[1], rng)
    else:
        picture = _cloudy(heaped, product, u, v, rng)
    _tag(picture, product, rng)
    rim = cv2.GaussianBlur(mask, (0, 0), max(1.0, wide / 28))
    lit = picture * (0.45 + 0.55 * np.clip(rim * 1.5 - 0.5, 0, 1))[..., None]
    coverage = cv2.GaussianBlur(mask, (0, 0), 0.6) * 255
    return np.dstack([np.clip(lit, 0, 255), coverage]).astype(np.uint8)


def _heaped(content: Product, wide: int, tall: int, scale: float, rng: np.random.Generator, ripeness: float) -> Sprite:
    """(tall, wide, 3): pieces of `content`, drawn at `scale` pixels a cm, from the back to the front."""
    dark = [round(channel * 0.35) for channel in content.colours[0]]
    canvas = np.full((tall, wide, 3), dark, np.uint8)
    numbers = np.zeros((tall, wide), np.uint16)
    size = content.size[0] * scale, content.size[1] * scale
    kept = [premultiplied(draw_produce(content, max(12, round(size[1])), rng, ripeness)) for _ in range(DRAWN)]
    turn = 12.0 if size[0] > 2 * size[1] else 180.0
    step_x, step_y = size[0] * 0.8, size[1] * 0.72
    for row, down in enumerate(np.arange(0.2 * tall, tall, step_y).tolist()):
        for across in np.arange((0.25 + 0.5 * (row % 2)) * step_x, wide + step_x / 2, step_x).tolist():
            piece = kept[int(rng.integers(DRAWN))]
            piece = laid(piece, piece.shape[1], piece.shape[0], float(rng.uniform(-turn, turn)))
            left = round(across + float(rng.normal()) * step_x * 0.12 - piece.shape[1] / 2)
            top = round(down + float(rng.normal()) * step_y * 0.12 - piece.shape[0] / 2)
            paste(canvas, numbers, piece, left, top, 1, float(rng.uniform(0.82, 1.0)), rng)
    return canvas


def _net(picture: Sprite, product: Product, scale: float, rng: np.random.Generator) -> None:
    """Threads both ways aslant, and the net's gathered end."""
    tall, wide = picture.shape[:2]
    step, thick = max(4.0, MESH * scale), max(1, round(0.1 * scale))
    for slope in (1.0, -1.0):
        shift = float(rng.uniform(0, step))
        for start in np.arange(-tall + shift, wide + tall, step).tolist():
            first, last = (round(start), 0), (round(start + slope * tall * 0.62), tall)
            cv2.line(picture, first, last, product.colours[0], thick, cv2.LINE_AA)
    cv2.rectangle(picture, (0, 0), (wide, round(0.1 * tall)), product.colours[0], cv2.FILLED)


def _cloudy(
    picture: Sprite, product: Product, u: NDArray[np.float32], v: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Film over what is inside: haze, creases and their shine; a print along the upper end."""
    tall, wide = picture.shape[:2]
    shade, gloss = film(u[:1], v[:, :1], wide, tall, strength=0.9, rng=rng)
    hazy = picture * (1 - HAZE) + np.array(product.colours[0], np.float32) * HAZE
    printed = (v < 0.15) | (v > 0.95)
    hazy = np.where(printed[..., None], np.array(product.colours[1], np.float32), hazy)
    return (hazy * shade[..., None] + 45 * gloss[..., None]).astype(np.float32)  # type: ignore[no-any-return]


def _tag(picture: NDArray[np.uint8] | NDArray[np.float32], product: Product, rng: np.random.Generator) -> None:
    """The label that tells sort and weight, in place."""
    tall, wide = picture.shape[:2]
    colour, ground = product.colours[1], (250, 250, 246)
    paper = Image.new("RGB", (max(8, round(wide * 0.5)), max(6, round(tall * 0.2))), ground)
    pen = ImageDraw.Draw(paper)
    pen.rectangle((0, 0, paper.width, paper.height * 0.36), fill=colour)
    assert product.content is not None
    middle = paper.width / 2
    written(
        pen,
        product.content.name,
        middle,
        paper.height * 0.18,
        paper.width * 0.9,
        paper.height * 0.24,
        contrast(colour),
        None,
    )
    kilos = f"{int(np.random.default_rng(product.seed).integers(1, 5)) * 0.5:g} kg"
    written(pen, kilos, middle, paper.height * 0.68, paper.width * 0.8, paper.height * 0.3, (40, 40, 44), None)
    left = round(wide * (0.25 + 0.06 * float(rng.normal())))
    top = round(tall * (0.52 + 0.04 * float(rng.normal())))
    part = picture[max(0, top) : top + paper.height, max(0, left) : left + paper.width]
    part[:] = np.asarray(paper)[: part.shape[0], : part.shape[1]]
