"""How packaged goods look from the front: their artwork on a shape, with the light of its material.

Knows nothing of shelves. Every drawing is a sprite: (H, W, 4) uint8, RGB and coverage.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.artwork import filled, label
from facings.data.synthetic.products import Product

Sprite = NDArray[np.uint8]
# Drawn larger than it is kept, for smooth edges.
OVERSAMPLING = 2
GLOSS = {
    "carton": 0.05, "can": 0.45, "bottle": 0.5, "jar": 0.45, "pouch": 0.35, "gable": 0.08, "bag": 0.6, "tray": 0.5,
    "multipack": 0.5,
}  # fmt: skip
# Packs of film, of which no two lie alike, and in how many ways.
SOFT = ("pouch", "bag", "multipack", "tray")
VARIANTS = 4


def draw_package(product: Product, height: int, variant: int = 0) -> Sprite:
    """The pack `height` pixels high, its width by its proportions. The same every time; of soft packs, `variant` tells how the
    film lies."""
    rng = np.random.default_rng([product.seed, 7])
    tall = height * OVERSAMPLING
    wide = max(8, round(tall * product.size[0] / product.size[1]))
    art = _printed(product, wide, tall, rng)
    lies = np.random.default_rng([product.seed, 8, variant])
    mask = _silhouette(product.kind, wide, tall, lies)
    art = _parts(product, art, mask)
    lit = _light(product.kind, art, mask, lies)
    sprite = np.dstack([np.clip(lit, 0, 255), mask * 255]).astype(np.uint8)
    size = (max(4, wide // OVERSAMPLING), height)
    return cv2.resize(sprite, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _printed(product: Product, wide: int, tall: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W, 3) float32: the label; on a multipack that of each of its packs, on a tray what the film shows and a sticker."""
    if product.kind == "multipack":
        part = np.asarray(label(product, max(8, wide // 3), max(8, tall // 2), rng), np.float32)
        return cv2.resize(np.tile(part, (2, 3, 1)), (wide, tall), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
    if product.kind == "tray":
        film = filled(wide, tall, (236, 234, 228), product.colours[2], rng)
        sticker = label(product, max(8, round(wide * 0.34)), max(8, round(tall * 0.62)), rng)
        film.paste(sticker, (round(wide * float(rng.uniform(0.08, 0.56))), round(tall * 0.2)))
        return np.asarray(film, np.float32)
    return np.asarray(label(product, wide, tall, rng), np.float32)


def _silhouette(kind: str, wide: int, tall: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W) float32 coverage, 0 or 1 (smoothed by the later shrinking)."""
    y, x = np.mgrid[0:tall, 0:wide].astype(np.float32)
    u, v = (x + 0.5) / wide * 2 - 1, (y + 0.5) / tall  # u -1…1 across, v 0…1 down
    if kind == "bottle":
        half = np.interp(v, [0, 0.16, 0.2, 0.38, 1], [0.3, 0.3, 0.34, 1, 1])
        half *= np.where(v > 0.96, 1 - (v - 0.96) * 2.2, 1)
        return (np.abs(u) < half).astype(np.float32)
    if kind in ("pouch", "bag"):
        # A bag of air bulges between its welded ends and is nowhere quite even.
        waist = 0.93 if kind == "bag" else 0.9
        wave = 0.014 * np.sin(v * 19 + float(rng.uniform(0, 6))) + 0.008 * np.sin(v * 43 + float(rng.uniform(0, 6)))
        bulge = np.interp(v, [0, 0.06, 0.25, 0.75, 0.94, 1], [waist, waist, 0.99, 0.99, waist, waist]) - 0.025
        lean = float(rng.normal()) * 0.02 * np.sin(np.pi * v)
        teeth = 0.004 * np.sign(np.sin(x / wide * 190)) + 0.008 * np.sin(u * 2.2 + float(rng.uniform(0, 6)))
        return ((np.abs(u - lean) < bulge + wave) & (v > 0.016 + teeth) & (v < 0.984 + teeth)).astype(np.float32)
    if kind in ("tray", "multipack"):
        # Rounded corners: a superellipse.
        return (np.abs(u) ** 9 + np.abs(v * 2 - 1) ** 9 < 0.96).astype(np.float32)
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
    elif product.kind in ("pouch", "bag"):
        ribs = 0.86 + 0.06 * np.sign(np.sin(np.arange(tall) * (130 / tall)))[:, None, None]
        for weld in (slice(0, int(tall * 0.055)), slice(int(tall * 0.945), tall)):
            art[weld] *= ribs[weld]
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
    elif kind in SOFT:
        shade, gloss = film(u, v, wide, tall, strength=1.0 if kind in ("pouch", "bag") else 0.4, rng=rng)
    else:
        shade = 1.02 - 0.06 * np.abs(u) - 0.05 * v
        gloss = np.exp(-(((u + v - 0.2) / 0.5) ** 2))
    edge = cv2.GaussianBlur(mask, (0, 0), max(1.0, wide / 60))
    lit = art * (shade * (0.75 + 0.25 * edge))[..., None]
    return lit + 255 * GLOSS[kind] * gloss[..., None] * 0.6  # type: ignore[no-any-return]


def film(
    u: NDArray[np.float32], v: NDArray[np.float32], wide: int, tall: int, *, strength: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(H, W) shade and gloss of crumpled film: the slopes of a random relief, lit from above, with folds at the welds."""
    relief = np.zeros((tall, wide), np.float32)
    for width, share in ((wide / 6, 1.0), (wide / 15, 0.5)):
        # Longer than wide: film creases from weld to weld. Drawn coarse, since a blur this wide costs more than all the rest.
        coarse = (2 + round(tall / width / 3.4), 2 + round(wide / width / 1.9))
        noise = cv2.resize(rng.normal(size=coarse).astype(np.float32), (wide, tall), interpolation=cv2.INTER_CUBIC)
        relief += share * width * 0.45 * noise
    ends = np.exp(-v * 9) + np.exp(-(1 - v) * 9)
    folds = float(rng.uniform(14, 24))
    relief += ends * np.sin(u * folds + float(rng.uniform(0, 6))) * wide / folds * 0.35
    slope = (0.6 * cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3) - cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3)) / 8
    slope *= strength
    body = np.sqrt(np.clip(1 - (u * 0.97) ** 2, 0, 1)) * np.sqrt(np.clip(np.sin(np.pi * (0.04 + 0.92 * v)), 0, 1))
    shade = 0.68 + 0.36 * body + 0.6 * np.clip(slope, -0.45, 0.45)
    gloss = np.clip((slope - 0.14) * 6, 0, 1) ** 1.5
    return shade.astype(np.float32), gloss.astype(np.float32)
