"""How fruit and vegetables look: no two alike. Outline, relief, skin, and the light on them.

Knows nothing of shelves. Every drawing is a sprite: (H, W, 4) uint8, RGB and coverage.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from facings.data.synthetic.artwork import written
from facings.data.synthetic.products import Product

Sprite = NDArray[np.uint8]
# float32, or float64 where a random number of numpy's came in.
Grid = NDArray[Any]
# Light from above left, towards the viewer.
LIGHT = np.array([-0.45, -0.6, 0.66], np.float32)
# How rough a skin is, and how it shines.
SKIN = {
    "round": (0.10, 0.5), "oval": (0.15, 0.35), "pear": (0.12, 0.35), "lobed": (0.06, 0.7), "lump": (0.35, 0.05),
    "bulb": (0.25, 0.3), "long": (0.25, 0.3), "taper": (0.25, 0.15), "curved": (0.15, 0.15), "florets": (0.6, 0.0),
    "leafy": (0.5, 0.05), "cluster": (0.12, 0.5), "vine": (0.06, 0.7), "bunch": (0.3, 0.1), "cap": (0.12, 0.1),
    "half_seeds": (0.12, 0.45), "half_hollow": (0.12, 0.4), "half_leaves": (0.2, 0.35),
}  # fmt: skip
STALK = (74, 84, 40)
# Fruit that carries its PLU on a sticker, and the share of it that does.
STICKERED, STICKERS = ("round", "pear", "oval", "lobed"), 0.4
STICKER_WIDTH = 2.2  # cm
LEAST_STICKER = 9  # pixels: smaller ones are not seen
BRUISE = (104, 70, 38)


def draw_produce(product: Product, height: int, rng: np.random.Generator, ripeness: float = 0.5) -> Sprite:
    """One piece `height` pixels high, its width by its proportions: outline, colour and blemishes drawn anew by `rng`.

    `ripeness`: 0 unripe to 1 past its best.
    """
    tall = max(12, height)
    wide = max(12, round(tall * product.size[0] / product.size[1]))
    y, x = np.mgrid[0:tall, 0:wide].astype(np.float32)
    u, v = (x + 0.5) / wide * 2 - 1, (y + 0.5) / tall * 2 - 1
    depth = OUTLINES[product.kind](u, v, rng)
    mask = depth > 0
    relief = np.sqrt(np.clip(depth, 0, 1)) * min(tall, wide) * 0.5
    skin = _skin(product, u, v, depth, ripeness, rng)
    rough, gloss = SKIN[product.kind]
    lit = _light(skin, relief, rough, gloss, rng)
    if product.kind in ("round", "pear", "lobed", "bulb"):
        _stalk(lit, mask, product, rng)
    if product.plu and product.kind in STICKERED and float(rng.random()) < STICKERS:
        _sticker(lit, product, rng)
    coverage = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.6) * 255
    return np.dstack([np.clip(lit, 0, 255), coverage]).astype(np.uint8)


def _wobble(angle: Grid, strength: float, rng: np.random.Generator, waves: tuple[int, ...] = (2, 3, 5)) -> Grid:
    """A radius near 1 that varies smoothly with the angle."""
    total = np.ones_like(angle)
    for wave in waves:
        total += strength / wave * float(rng.normal()) * np.cos(wave * angle + float(rng.uniform(0, 6.3)))
    return total


def _round(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    radius = 0.95 * _wobble(np.arctan2(v, u), 0.035, rng)
    dent = 0.1 * np.exp(-((u / 0.25) ** 2) - (((v + 1) / 0.25) ** 2))
    return 1 - (u**2 + v**2) / radius**2 - dent


def _oval(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    tip = 0.06 * np.exp(-(((np.abs(u) - 0.95) / 0.18) ** 2) - ((v / 0.3) ** 2))
    return 1 - (u**2 + v**2) / (0.94 * _wobble(np.arctan2(v, u), 0.03, rng)) ** 2 + tip


def _pear(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    half = np.interp(v, [-1, -0.9, -0.45, 0.3, 0.75, 1], [0.12, 0.3, 0.44, 0.93, 0.9, 0.35]) * (1 + 0.04 * rng.normal())
    lean = 0.08 * float(rng.normal()) * (v - 0.3) ** 2
    return np.where(np.abs(v) < 0.98, 1 - ((u - lean) / np.maximum(half, 1e-3)) ** 2, -1).astype(np.float32) * _ends(v)


def _lobed(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    half = np.interp(v, [-1, -0.8, -0.2, 0.6, 1], [0.5, 0.92, 0.96, 0.8, 0.35])
    lobes = 1 - 0.22 * np.cos(u * float(rng.uniform(6.5, 8.5)) + float(rng.uniform(0, 6.3)))
    return ((1 - (u / half) ** 2) * _ends(v) * lobes).astype(np.float32)


def _lump(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    return 1 - (u**2 + v**2) / (0.9 * _wobble(np.arctan2(v, u), 0.11, rng)) ** 2


def _bulb(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    neck = np.interp(v, [-1, -0.8, -0.5, 0, 1], [0.1, 0.16, 0.62, 1, 0.98])
    return 1 - ((u / np.maximum(neck, 0.05)) ** 2 + np.where(v > 0, v**2, 0.3 * v**2)) / 0.9 * _wobble(u, 0.02, rng)


def _long(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    bend = 0.25 * float(rng.normal()) * (u**2 - 0.4)
    return (1 - ((v - bend) / 0.72) ** 2) * _ends(u)


def _taper(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    half = np.interp(u, [-1, -0.85, 0.6, 1], [0.7, 0.88, 0.5, 0.1])
    bend = 0.15 * float(rng.normal()) * (u**2 - 0.4)
    return (1 - ((v - bend) / half) ** 2) * _ends(u)


def _curved(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """A hand of bananas: three to five crescents that share a stem."""
    best = np.full_like(u, -1.0)
    count = int(rng.integers(3, 6))
    for number in range(count):
        low = 0.62 - 1.0 * number / count
        middle = low - 0.75 * u**2 * float(rng.uniform(0.8, 1.1))
        thick = 0.24 * np.sqrt(np.clip(1.02 - np.abs(u) ** 3, 0, 1))
        best = np.maximum(best, 1 - ((v - middle) / np.maximum(thick, 0.02)) ** 2)
    return best * _ends(u)


def _florets(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    best = np.where((np.abs(u) < 0.22) & (v > 0), 0.4 * (1 - (u / 0.22) ** 2), -1).astype(np.float32) * _ends(v)
    for _ in range(26):
        angle, away, r = rng.uniform(0, 6.3), np.sqrt(rng.uniform(0, 1)) * 0.72, rng.uniform(0.2, 0.32)
        cx, cy = away * np.cos(angle), -0.15 + 0.72 * away * np.sin(angle)
        bump = 1 - ((u - cx) ** 2 + (v - cy) ** 2) / r**2
        best = np.maximum(best, bump * (1 - 0.5 * away) + np.where(bump > 0, 0.3 * (1 - away), 0))
    return best.astype(np.float32)


def _leafy(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    angle, away = np.arctan2(v, u), np.hypot(u, v)
    frill = _wobble(angle, 0.12, rng, waves=(3, 5, 9, 17, 23))
    leaves = 0.35 * np.abs(np.sin(away * 9 + 1.3 * np.sin(angle * 4 + float(rng.uniform(0, 6.3)))))
    return (1 - (away / (0.88 * frill)) ** 2) * (0.65 + leaves)  # type: ignore[no-any-return]


def _cluster(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """A bunch of grapes: berries packed in a triangle that points down."""
    u, v, best = u * 1.14, v * 1.08, np.full_like(u, -1.0)
    for row in range(7):
        cy, count = -0.8 + row * 0.26, max(1, 6 - row + int(rng.integers(-1, 2)))
        for place in range(count):
            cx = (place - (count - 1) / 2) * 0.29 + 0.05 * rng.normal()
            r = 0.215 * rng.uniform(0.9, 1.08)
            best = np.maximum(best, 1 - ((u - cx) ** 2 + (v - cy - 0.04 * rng.normal()) ** 2) / r**2)
    return best.astype(np.float32)


def _vine(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Five or six tomatoes on both sides of their stem."""
    u, v = u * 1.12, v * 1.14
    best = np.where(np.abs(v + 0.15 * u) < 0.07, 0.3 * (1 - np.abs(u)), -1.0).astype(np.float32)
    for place in range(int(rng.integers(5, 7))):
        cx, cy = -0.66 + 0.66 * (place // 2) + 0.05 * rng.normal(), (0.42 if place % 2 else -0.42) + 0.05 * rng.normal()
        bump = 1 - ((u - cx) / 0.34) ** 2 - ((v - cy) / 0.52) ** 2
        best = np.maximum(best, bump)
    return best.astype(np.float32)


def _bunch(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Carrots side by side, and their leaves above."""
    best = np.full_like(u, -1.0)
    for place in range(5):
        spread = (place - 2) * 0.34 + 0.04 * float(rng.normal())
        middle = spread * (0.55 + 0.45 * np.clip((v + 0.1) / 0.8, 0, 1))
        tip = 0.98 - 0.12 * float(rng.random())
        half = np.interp(v, [-0.16, -0.1, 0.6, tip, tip + 0.02], [0.02, 0.17, 0.13, 0.03, 1e-3])
        best = np.maximum(best, np.where((v > -0.16) & (v < tip), 1 - ((u - middle) / half) ** 2, -1))
    frills = 0.25 * np.sin(u * 23 + 9 * v + float(rng.uniform(0, 6))) * np.sin(v * 31 + float(rng.uniform(0, 6)))
    plume = 0.8 - ((u - 0.1 * float(rng.normal())) / np.interp(v, [-1, -0.7, -0.1], [0.6, 0.85, 0.2])) ** 2 + frills
    return np.maximum(best, np.where((v < -0.08) & (v > -0.97), plume, -1)).astype(np.float32)


def _cap(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """A mushroom from the side: its cap over a short stem."""
    low = 0.18 + 0.05 * float(rng.normal())
    dome = np.where(v < low, 1 - (u / 0.95) ** 2 - ((v - low) / (0.95 + low)) ** 2, -1)
    stem = np.where((v >= low - 0.1) & (v < 0.95), 0.35 * (1 - (u / (0.3 + 0.08 * v)) ** 2), -1)
    return np.maximum(dome, stem).astype(np.float32)


def _half(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """The cut face of a round fruit: flat up to its rind."""
    away = np.hypot(u, v) / (0.96 * _wobble(np.arctan2(v, u), 0.02, rng))
    return np.clip((1 - away) * 14, -1, 0.9).astype(np.float32)


def _ends(t: Grid) -> Grid:
    """1 in the middle, rounded off to 0 where |t| reaches 1."""
    return np.sqrt(np.clip((0.99 - np.abs(t)) / 0.16, 0, 1)).astype(np.float32)


OUTLINES: dict[str, Callable[[Grid, Grid, np.random.Generator], Grid]] = {
    "round": _round, "oval": _oval, "pear": _pear, "lobed": _lobed, "lump": _lump, "bulb": _bulb, "long": _long,
    "taper": _taper, "curved": _curved, "florets": _florets, "leafy": _leafy, "cluster": _cluster,
    "vine": _vine, "bunch": _bunch, "cap": _cap, "half_seeds": _half, "half_hollow": _half, "half_leaves": _half,
}  # fmt: skip


def _skin(product: Product, u: Grid, v: Grid, depth: Grid, ripeness: float, rng: np.random.Generator) -> Grid:
    """Colour of the skin before light: ground, blush on one side, markings of the kind, blemishes."""
    ground, blush = (np.array(colour, np.float32) for colour in product.colours[:2])
    if product.kind.startswith("half_"):
        return _cut_face(product.kind, ground, blush, u, v, rng)
    if len(product.colours) > 2:
        young, old = (np.array(colour, np.float32) for colour in product.colours[2:])
        ground = (
            ground
            + (young - ground) * 0.9 * max(0.0, 1 - ripeness / 0.4)
            + (old - ground) * 0.5 * max(0.0, ripeness - 0.6)
        )
        blush = blush + (ground - blush) * max(0.0, 1 - ripeness / 0.4)
    base = ground * rng.uniform(0.94, 1.05) + rng.normal(0, 3, 3)
    turn = float(rng.uniform(0, 6.3))
    side = np.clip(0.5 + 0.6 * (u * np.cos(turn) + v * np.sin(turn)) + 0.2 * _noise(u.shape, 0.16, rng), 0, 1)
    skin: Grid = base + (blush - base) * (side**1.5 * float(rng.uniform(0.5, 1.0)))[..., None]
    if product.kind == "round":
        streaks = _noise(u.shape, 0.03, rng)
        skin += (streaks * 12)[..., None]
    elif product.kind == "bulb":
        skin *= (1 + 0.12 * np.sin(u / np.maximum(1.2 - np.abs(v), 0.3) * 14 + turn))[..., None]
    elif product.kind == "taper":
        skin *= (1 - 0.15 * (np.sin(u * 40 + 2 * v + turn) > 0.86))[..., None]
    elif product.kind == "long":
        skin *= (1 + 0.14 * np.sin(v * 9 + 0.6 * np.sin(u * 5)))[..., None]
    elif product.kind == "curved":
        skin = np.where((np.abs(u) > 0.9)[..., None], np.array((96, 84, 40), np.float32), skin)
    elif product.kind == "florets":
        skin = np.where(((np.abs(u) < 0.24) & (v > 0.45))[..., None], np.array((150, 176, 104), np.float32), skin)
    elif product.kind == "leafy":
        skin += ((1 - np.clip(np.hypot(u, v), 0, 1)) * 50)[..., None]
    elif product.kind == "vine":
        stem = np.abs(v + 0.15 * u) < 0.07
        skin = np.where(stem[..., None], np.array((86, 120, 52), np.float32), skin)
    elif product.kind == "bunch":
        leaf = blush * (0.75 + 0.35 * _noise(u.shape, 0.02, rng)[..., None])
        skin = np.where((v < -0.1)[..., None], leaf, ground * (1 - 0.12 * (np.sin(v * 60) > 0.9))[..., None])
    elif product.kind == "cap":
        skin = np.where((v > 0.2)[..., None], ground * 0.94, skin)
    return _blemished(skin, u, v, ripeness, rng)


def _blemished(skin: Grid, u: Grid, v: Grid, ripeness: float, rng: np.random.Generator) -> Grid:
    """Specks, the more the riper; seldom a bruise or a scar."""
    if float(rng.random()) < 0.06 + 0.14 * max(0.0, ripeness - 0.6):
        cx, cy, r = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.14, 0.3)
        soft = np.clip(2 - ((u - cx) ** 2 + (v - cy) ** 2) / r**2, 0, 1)
        skin = skin + (np.array(BRUISE, np.float32) - skin) * (float(rng.uniform(0.35, 0.65)) * soft)[..., None]
    if float(rng.random()) < 0.06:
        bend, place, end = float(rng.normal()) * 0.4, float(rng.uniform(-0.4, 0.4)), float(rng.uniform(0.2, 0.5))
        scar = np.exp(-(((v - place - bend * u**2) / 0.035) ** 2)) * (np.abs(u) < end)
        skin = skin + (np.array((176, 148, 104), np.float32) - skin) * (0.7 * scar)[..., None]
    for _ in range(int(rng.integers(0, 4)) + round(14 * max(0.0, ripeness - 0.7))):
        cx, cy, r = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), rng.uniform(0.03, 0.09)
        spot = np.exp(-((u - cx) ** 2 + (v - cy) ** 2) / r**2)
        skin = skin + (np.array((92, 68, 40), np.float32) - skin) * (0.6 * spot)[..., None]
    return skin.astype(np.float32)  # type: ignore[no-any-return]


def _cut_face(kind: str, rind: Grid, flesh: Grid, u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Rind, its pale inner side, flesh, and what is in it: seeds, a hollow, or leaves."""
    away, angle = np.hypot(u, v), np.arctan2(v, u)
    face = flesh * (1 + 0.06 * _noise(u.shape, 0.03, rng))[..., None]
    if kind == "half_leaves":
        lines = np.sin(away * 38 + 2.2 * np.sin(angle * 3 + float(rng.uniform(0, 6))) + 1.4 * np.sin(angle * 7)) > 0.15
        core = (np.abs(u) < 0.16 * (1.1 - v)) & (v > 0.05)
        face = np.where((lines & ~core)[..., None], rind, face)
    elif kind == "half_hollow":
        hollow = np.clip((0.42 - np.hypot(u / 0.9, v)) * 9, 0, 1)
        seeds = np.array((224, 176, 96), np.float32) * (0.8 + 0.25 * _noise(u.shape, 0.02, rng))[..., None]
        face = face + (seeds - face) * hollow[..., None]
    else:
        for _ in range(int(rng.integers(18, 34))):
            turn, out = float(rng.uniform(0, 6.3)), float(rng.uniform(0.35, 0.68))
            along, across = (
                (u * np.cos(turn) + v * np.sin(turn) - out) / 0.05,
                (v * np.cos(turn) - u * np.sin(turn)) / 0.025,
            )
            face = np.where((along**2 + across**2 < 1)[..., None], np.array((44, 28, 24), np.float32), face)
    pale = flesh * 0.25 + np.array((220, 226, 190), np.float32) * 0.75
    if kind != "half_leaves":
        face = face + (pale - face) * np.clip((away - 0.78) * 14, 0, 1)[..., None]
    return np.where((away > 0.9)[..., None], rind, face).astype(np.float32)  # type: ignore[no-any-return]


def _sticker(lit: Grid, product: Product, rng: np.random.Generator) -> None:
    """A small oval with the product's PLU, the same for all of a product but for its place."""
    tall, wide = lit.shape[:2]
    across = round(STICKER_WIDTH / product.size[0] * wide)
    if across < LEAST_STICKER:
        return
    down = round(across * 0.72)
    hue = np.random.default_rng([product.seed, 14]).integers(20, 230, 3).tolist()
    oval = Image.new("RGBA", (across * 3, down * 3), (0, 0, 0, 0))
    pen = ImageDraw.Draw(oval)
    pen.ellipse((0, 0, oval.width - 1, oval.height - 1), fill=(248, 248, 244, 255))
    pen.chord((0, 0, oval.width - 1, oval.height - 1), 195, 345, fill=(hue[0], hue[1], hue[2], 255))
    written(
        pen,
        str(product.plu),
        oval.width / 2,
        oval.height * 0.62,
        oval.width * 0.62,
        oval.height * 0.36,
        (30, 30, 34),
        None,
    )
    oval = oval.rotate(float(rng.uniform(-40, 40)), Image.Resampling.BILINEAR).resize(
        (across, down), Image.Resampling.BOX
    )
    left = round(wide / 2 + float(rng.uniform(-0.22, 0.22)) * wide - across / 2)
    top = round(tall / 2 + float(rng.uniform(-0.2, 0.25)) * tall - down / 2)
    part = lit[max(0, top) : top + down, max(0, left) : left + across]
    patch = np.asarray(oval, np.float32)[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]]
    cover = patch[..., 3:] / 255
    part[:] = part * (1 - cover) + patch[..., :3] * 0.95 * cover


def _light(skin: Grid, relief: Grid, rough: float, gloss: float, rng: np.random.Generator) -> Grid:
    """Lambert and a highlight (Phong, CACM 1975) over the relief's normals, darker towards the rim."""
    bumps = _noise(relief.shape, 0.03, rng) * rough * 2.5
    smooth = cv2.GaussianBlur(relief + bumps, (0, 0), max(0.8, min(relief.shape) / 60))
    dy, dx = np.gradient(smooth)
    normal = np.dstack([-dx, -dy, np.ones_like(dx)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    light = LIGHT / np.linalg.norm(LIGHT)
    lambert = np.clip(normal @ light, 0, 1)
    half = light + np.array([0, 0, 1], np.float32)
    shine = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** 40
    return skin * (0.42 + 0.68 * lambert)[..., None] + 255 * gloss * 0.5 * shine[..., None]  # type: ignore[no-any-return]


def _stalk(lit: Grid, mask: NDArray[np.bool_], product: Product, rng: np.random.Generator) -> None:
    tall, wide = mask.shape
    column = mask[:, wide // 2]
    if not column.any():
        return
    top = int(np.argmax(column))
    x, length = wide / 2 + float(rng.normal()) * wide * 0.02, tall * (0.16 if product.kind != "lobed" else 0.22)
    thick = max(1, round(wide * (0.04 if product.kind != "lobed" else 0.09)))
    tip = (round(x + float(rng.normal()) * wide * 0.04), max(0, round(top - length * 0.2)))
    canvas = np.ascontiguousarray(lit)
    cv2.line(canvas, (round(x), round(top + length)), tip, STALK, thick, cv2.LINE_AA)
    lit[:] = canvas


def _noise(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Grid:
    """Smooth noise of about unit spread; `share`: size of its blobs in parts of the picture."""
    # Drawn coarse and drawn out: a blur this wide costs more than all the rest.
    step = max(1.0, 1.7 * share * min(shape))
    coarse = rng.normal(size=(3 + round(shape[0] / step), 3 + round(shape[1] / step))).astype(np.float32)
    field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return field / (float(field.std()) + 1e-6)  # type: ignore[return-value]
