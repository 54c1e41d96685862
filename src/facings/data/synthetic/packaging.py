"""How packaged goods look from the front: artwork on a shape, with the light of its material.

Knows nothing of shelves. Every drawing is a sprite: (H, W, 4) uint8, RGB and coverage.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facings.data.synthetic.products import Colour, Product

Sprite = NDArray[np.uint8]
# Drawn larger than it is kept, for smooth edges.
OVERSAMPLING = 2
GLOSS = {"carton": 0.05, "can": 0.45, "bottle": 0.5, "jar": 0.45, "pouch": 0.35, "gable": 0.08}


def draw_package(product: Product, height: int) -> Sprite:
    """The pack `height` pixels high, its width by its proportions. The same every time."""
    rng = np.random.default_rng([product.seed, 7])
    tall = height * OVERSAMPLING
    wide = max(8, round(tall * product.size[0] / product.size[1]))
    art = np.asarray(_artwork(product, wide, tall, rng)).astype(np.float32)
    mask = _silhouette(product.kind, wide, tall, rng)
    art = _parts(product, art, mask)
    lit = _light(product.kind, art, mask, rng)
    sprite = np.dstack([np.clip(lit, 0, 255), mask * 255]).astype(np.uint8)
    size = (max(4, wide // OVERSAMPLING), height)
    return cv2.resize(sprite, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _artwork(product: Product, wide: int, tall: int, rng: np.random.Generator) -> Image.Image:
    """Front label: ground, motif, brand, sort, flavour, weight, small print."""
    ground, second, flavour = product.colours
    brand, sort, word = product.words
    picture = Image.new("RGB", (wide, tall), ground)
    pen = ImageDraw.Draw(picture)
    layout = int(rng.integers(4))
    # Below the lid of a jar; a bottle's label is the whole artwork.
    brand_at = 0.36 if product.kind == "jar" else float(rng.uniform(0.16, 0.3))
    motif_at = float(rng.uniform(0.52, 0.62))
    if layout == 0:
        pen.rectangle((0, tall * 0.38, wide, tall), fill=flavour)
        pen.rectangle((0, tall * 0.38, wide, tall * 0.4), fill=second)
    elif layout == 1:
        pen.polygon([(0, tall * 0.5), (wide, tall * 0.3), (wide, tall * 0.75), (0, tall * 0.95)], fill=flavour)
    elif layout == 2:
        pen.rectangle((0, tall * 0.72, wide, tall), fill=flavour)
        pen.rectangle((0, 0, wide, tall * 0.08), fill=flavour)
        for stripe in range(0, wide, max(6, wide // 9)):
            pen.rectangle((stripe, tall * 0.08, stripe + wide // 26, tall * 0.72), fill=second)
    else:
        pen.ellipse((-wide * 0.3, tall * 0.33, wide * 1.3, tall * 1.2), fill=flavour)
    _motif(pen, wide, tall * motif_at, min(wide, tall) * 0.26, flavour, second, rng)
    _text(pen, brand, wide / 2, tall * brand_at, wide * 0.86, tall * 0.14, _contrast(ground), ground)
    _text(pen, sort, wide / 2, tall * (brand_at + 0.11), wide * 0.7, tall * 0.07, _contrast(ground), None)
    _text(pen, word, wide / 2, tall * 0.81, wide * 0.84, tall * 0.1, _contrast(flavour), flavour)
    weight = f"{int(rng.integers(1, 20)) * 50} g"
    _text(pen, weight, wide * 0.8, tall * 0.93, wide * 0.3, tall * 0.05, _contrast(flavour), None)
    for line in range(3):
        y = tall * (0.9 + 0.02 * line)
        pen.line(
            (wide * 0.1, y, wide * (0.35 + 0.08 * float(rng.random())), y),
            fill=_contrast(flavour),
            width=max(1, tall // 240),
        )
    return picture


def _motif(
    pen: ImageDraw.ImageDraw, wide: float, y: float, r: float, flavour: Colour, second: Colour, rng: np.random.Generator
) -> None:
    """The picture on the pack: a bowl, a heap of rounds, leaves or a sun, in colours of the flavour."""
    x, light = wide / 2, _mix(flavour, (255, 250, 235), 0.65)
    kind = int(rng.integers(4))
    if kind == 0:
        pen.pieslice((x - r, y - r, x + r, y + r), 0, 180, fill=second)
        pen.ellipse((x - r, y - r * 0.35, x + r, y + r * 0.35), fill=light)
    elif kind == 1:
        for dx, dy in ((-0.55, 0.3), (0.55, 0.3), (0, -0.35), (0, 0.5)):
            cx, cy = x + dx * r, y + dy * r
            pen.ellipse(
                (cx - r * 0.5, cy - r * 0.5, cx + r * 0.5, cy + r * 0.5),
                fill=light,
                outline=second,
                width=max(1, int(r / 12)),
            )
    elif kind == 2:
        for angle in np.linspace(0, np.pi * 2, 7)[:-1]:
            tip = (x + r * np.cos(angle), y + r * np.sin(angle))
            left = (x + r * 0.4 * np.cos(angle + 0.6), y + r * 0.4 * np.sin(angle + 0.6))
            right = (x + r * 0.4 * np.cos(angle - 0.6), y + r * 0.4 * np.sin(angle - 0.6))
            pen.polygon([(x, y), left, tip, right], fill=light, outline=second)
    else:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=light)
        pen.ellipse((x - r * 0.6, y - r * 0.6, x + r * 0.6, y + r * 0.6), fill=second)


def _text(
    pen: ImageDraw.ImageDraw,
    text: str,
    x: float,
    y: float,
    room: float,
    tall: float,
    colour: Colour,
    edge: Colour | None,
) -> None:
    """Text centred at (x, y), as large as `room` × `tall` pixels allow."""
    font = ImageFont.load_default(max(6, tall))
    width = pen.textlength(text, font=font)
    if width > room:
        font = ImageFont.load_default(max(6, tall * room / width))
    stroke = max(1, int(tall / 24)) if edge is not None else 0
    pen.text((x, y), text, fill=colour, font=font, anchor="mm", stroke_width=stroke, stroke_fill=colour)


def _silhouette(kind: str, wide: int, tall: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W) float32 coverage, 0 or 1 (smoothed by the later shrinking)."""
    y, x = np.mgrid[0:tall, 0:wide].astype(np.float32)
    u, v = (x + 0.5) / wide * 2 - 1, (y + 0.5) / tall  # u -1…1 across, v 0…1 down
    if kind == "bottle":
        half = np.interp(v, [0, 0.16, 0.2, 0.38, 1], [0.3, 0.3, 0.34, 1, 1])
        half *= np.where(v > 0.96, 1 - (v - 0.96) * 2.2, 1)
        return (np.abs(u) < half).astype(np.float32)
    if kind == "pouch":
        wave = 0.012 * np.sin(v * 21 + float(rng.uniform(0, 6))) + 0.008 * np.sin(v * 47 + float(rng.uniform(0, 6)))
        half = np.interp(v, [0, 0.07, 0.2, 0.8, 0.93, 1], [0.9, 0.9, 0.99, 0.99, 0.9, 0.9]) + wave - 0.03
        crimp = 0.012 * np.sign(np.sin(x / wide * 120))
        return ((np.abs(u) < half) & (v > 0.014 + crimp) & (v < 0.986 + crimp)).astype(np.float32)
    if kind == "gable":
        half = np.interp(v, [0, 0.05, 0.051, 0.2, 1], [0.92, 0.92, 0.72, 1, 1])
        return (np.abs(u) < half).astype(np.float32)
    if kind in ("can", "jar"):
        bow = 0.03 * np.sqrt(np.clip(1 - u**2, 0, 1))
        half = np.interp(v, [0, 0.04, 0.08, 0.94, 1], [0.93, 0.95, 1, 1, 0.95])
        return ((np.abs(u) < half) & (v > 0.03 - bow) & (v < 0.97 + bow)).astype(np.float32)
    return np.ones((tall, wide), np.float32)


def _parts(product: Product, art: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lids, caps, rims and contents, which no label covers."""
    tall, wide = mask.shape
    flavour, second = (np.array(product.colours[i], np.float32) for i in (2, 1))
    metal = np.array((196, 198, 204), np.float32)
    if product.kind == "can":
        art[: int(tall * 0.06)] = metal
        art[int(tall * 0.95) :] = metal * 0.9
    elif product.kind == "jar":
        art[: int(tall * 0.16)] = second * 0.9
        art[int(tall * 0.16) : int(tall * 0.27)] = flavour * 0.75 + 40
    elif product.kind == "bottle":
        label = cv2.resize(art, (wide, int(tall * 0.45)), interpolation=cv2.INTER_AREA)
        art[:] = flavour * 0.55 + 70
        art[int(tall * 0.45) : int(tall * 0.45) + len(label)] = label
        art[: int(tall * 0.12)] = second
    elif product.kind == "gable":
        art[: int(tall * 0.05)] = art[int(tall * 0.1)] * 0.85
    elif product.kind == "pouch":
        art[: int(tall * 0.06)] *= 0.85
        art[int(tall * 0.94) :] *= 0.85
    return art


def _light(
    kind: str, art: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Shade by the form: round packs darken towards their sides, foil creases, board is flat with a soft edge."""
    tall, wide = mask.shape
    u = np.linspace(-1, 1, wide, dtype=np.float32)[None, :]
    v = np.linspace(0, 1, tall, dtype=np.float32)[:, None]
    if kind in ("can", "bottle", "jar"):
        shade = 0.5 + 0.55 * np.sqrt(np.clip(1 - (u * 0.96) ** 2, 0, 1)) + 0 * v
        gloss = np.exp(-(((u + 0.42) / 0.1) ** 2)) + 0.4 * np.exp(-(((u - 0.6) / 0.07) ** 2)) + 0 * v
    elif kind == "pouch":
        creases: NDArray[Any] = cv2.GaussianBlur(rng.normal(size=(tall, wide)).astype(np.float32), (0, 0), wide / 14)
        creases /= np.abs(creases).max() + 1e-6
        shade = (
            0.78 + 0.3 * np.sqrt(np.clip(1 - u**2, 0, 1)) * np.sqrt(np.clip(np.sin(np.pi * v), 0, 1)) + 0.22 * creases
        )
        gloss = np.clip(creases - 0.35, 0, 1) * 1.6
    else:
        shade = 1.02 - 0.06 * np.abs(u) - 0.05 * v
        gloss = np.exp(-(((u + v - 0.2) / 0.5) ** 2))
    edge = cv2.GaussianBlur(mask, (0, 0), max(1.0, wide / 60))
    lit = art * (shade * (0.75 + 0.25 * edge))[..., None]
    return lit + 255 * GLOSS[kind] * gloss[..., None] * 0.6  # type: ignore[no-any-return]


def _contrast(colour: Colour) -> Colour:
    luminance = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    return (28, 26, 30) if luminance > 140 else (250, 248, 240)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    mixed = [round(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True)]
    return mixed[0], mixed[1], mixed[2]
