"""From a planned wall to a picture and its exact truth. Knows nothing of files."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont
from scipy.ndimage import find_objects

from facings.data.synthetic.camera import CAMERAS, Camera, expose, to_jpeg, view
from facings.data.synthetic.packaging import draw_package
from facings.data.synthetic.planogram import Crate, Placement, Row, Wall
from facings.data.synthetic.produce import draw_produce
from facings.data.synthetic.products import Product

Image = NDArray[np.uint8]
# The wall is drawn larger than the frame, so that the camera's view is always sampled down.
WALL_SCALE = 1.6
PACK_PIXELS = 260
MIN_SIDE = 5


@dataclass(frozen=True)
class Seen:
    """One product in a frame: `box` xywh and `polygons` in pixels of the frame; `visibility` 0–1 of its whole outline."""

    product: Product
    box: tuple[float, float, float, float]
    polygons: tuple[tuple[float, ...], ...]
    area: int
    visibility: float


@dataclass(frozen=True)
class Scene:
    """A frame as JPEG bytes with everything in it that is visible enough to be labelled."""

    jpeg: bytes
    camera: Camera
    seen: tuple[Seen, ...]


class Renderer:
    """Draws walls. Artwork of packs is drawn once and kept."""

    def __init__(self, size: int) -> None:
        self.size, self.wall = size, round(size * WALL_SCALE)
        self._packs: dict[str, Image] = {}

    def scene(self, wall: Wall, camera: Camera, rng: np.random.Generator, *, min_visibility: float) -> Scene:
        """Draw, look, expose. Pieces seen to a share below `min_visibility` are in the picture but not labelled."""
        scale = self.wall / wall.width
        canvas = _ground(self.wall, rng)
        ids = np.zeros((self.wall, self.wall), np.int32)
        placed: list[Placement] = []
        wholes: list[int] = []
        rail = tuple(int(c) for c in rng.choice([(228, 228, 226), (60, 62, 66), (196, 40, 44), (40, 92, 60)]))
        for row in wall.rows:
            _behind(canvas, row, scale, rng)
            for placement in row.placements:
                sprite = self._sprite(placement, scale, rng)
                left = round(placement.x * scale - sprite.shape[1] / 2)
                top = round(placement.bottom * scale - sprite.shape[0])
                placed.append(placement)
                wholes.append(_paste(canvas, ids, sprite, left, top, len(placed), placement.shade, rng))
            _before(canvas, ids, row, scale, rail, rng)
        matrix = view(camera, self.wall, self.size, rng)
        frame = cv2.warpPerspective(
            _soften(canvas, self.wall / self.size), matrix, (self.size, self.size), borderMode=cv2.BORDER_REPLICATE
        )
        seen_ids = cv2.warpPerspective(
            ids.astype(np.float32), matrix, (self.size, self.size), flags=cv2.INTER_NEAREST
        ).astype(np.int32)
        shown = np.bincount(ids.ravel(), minlength=len(placed) + 1)
        inside = _inside(ids, len(placed), matrix, self.size)
        windows = find_objects(seen_ids, max_label=len(placed))
        seen = []
        for number, (placement, window) in enumerate(zip(placed, windows, strict=True), start=1):
            # What the neighbours leave, times what the frame's edge leaves of that.
            visibility = shown[number] / max(1, wholes[number - 1]) * inside[number]
            visible = window is not None and visibility >= min_visibility
            found = _outline(seen_ids[window] == number, window) if visible else None
            if found is not None:
                box, polygons, area = found
                seen.append(Seen(placement.product, box, polygons, area, round(float(visibility), 3)))
        return Scene(to_jpeg(expose(np.asarray(frame, np.uint8), camera, rng), rng), camera, tuple(seen))

    def packshot(self, product: Product, size: int) -> Image:
        """The product before white, filling most of a square."""
        rng = np.random.default_rng([product.seed, 11])
        canvas = np.full((size, size, 3), 255, np.uint8)
        self._centre(canvas, product, 0.84, 0.0, rng)
        return canvas

    def photo(self, product: Product, size: int, rng: np.random.Generator) -> bytes:
        """A photo as a shop's assistant takes one to enrol a product: any ground, any light, roughly centred."""
        canvas = _ground(size, rng)
        self._centre(canvas, product, float(rng.uniform(0.72, 0.95)), float(rng.normal()) * 5, rng)
        camera = CAMERAS[int(rng.integers(len(CAMERAS)))]
        corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
        askew = corners + rng.normal(0, 0.02 * size, (4, 2)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(askew.astype(np.float32), corners)
        frame = cv2.warpPerspective(canvas, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
        return to_jpeg(expose(np.asarray(frame, np.uint8), camera, rng), rng)

    def _centre(self, canvas: Image, product: Product, share: float, angle: float, rng: np.random.Generator) -> None:
        size = len(canvas)
        wide, tall = product.size
        scale = share * size / max(wide, tall)
        sprite = self._sprite(Placement(product, 0, 0, angle=angle), scale, rng)
        fits = min(1.0, size / max(sprite.shape[:2]))
        if fits < 1:
            sprite = _resized(sprite, fits)
        top, left = (size - sprite.shape[0]) // 2, (size - sprite.shape[1]) // 2
        _paste(canvas, np.zeros((size, size), np.int32), sprite, left, top, 1, 1.0, rng)

    def _sprite(self, placement: Placement, scale: float, rng: np.random.Generator) -> Image:
        product = placement.product
        height = max(8.0, product.size[1] * scale * placement.scale)
        if product.produce:
            return _turned(draw_produce(product, round(height), rng), placement.angle)
        if product.product_id not in self._packs:
            self._packs[product.product_id] = draw_package(product, PACK_PIXELS)
        return _turned(_resized(self._packs[product.product_id], height / PACK_PIXELS), placement.angle)


def _paste(
    canvas: Image, ids: NDArray[np.int32], sprite: Image, left: int, top: int, number: int, shade: float,
    rng: np.random.Generator,
) -> int:  # fmt: skip
    """Lay a sprite onto the wall with a soft shadow; returns how many pixels its whole outline has."""
    height, width = sprite.shape[:2]
    whole = int((sprite[..., 3] > 127).sum())
    y1, x1 = max(0, top), max(0, left)
    y2, x2 = min(canvas.shape[0], top + height), min(canvas.shape[1], left + width)
    if y2 <= y1 or x2 <= x1:
        return whole
    part = sprite[y1 - top : y2 - top, x1 - left : x2 - left]
    cover = part[..., 3:].astype(np.float32) / 255
    drop = max(1, round(height * 0.03))
    sy, sx = min(canvas.shape[0], y2 + drop), min(canvas.shape[1], x2 + drop)
    shadow = canvas[sy - (y2 - y1) : sy, sx - (x2 - x1) : sx]
    shadow[:] = (shadow * (1 - 0.3 * cover[-len(shadow) :, -shadow.shape[1] :])).astype(np.uint8)
    area = canvas[y1:y2, x1:x2]
    tone = shade * float(rng.uniform(0.95, 1.04))
    area[:] = (area * (1 - cover) + np.clip(part[..., :3] * tone, 0, 255) * cover).astype(np.uint8)
    ids[y1:y2, x1:x2][part[..., 3] > 127] = number
    return whole


def _outline(
    mask: NDArray[np.bool_], window: tuple[slice, slice]
) -> tuple[tuple[float, float, float, float], tuple[tuple[float, ...], ...], int] | None:
    """Box, polygons and pixel count, in the frame, of a mask that lies in its `window` (rows, columns); None where it is
    too small to be seen."""
    top, left = window[0].start, window[1].start
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # Crumbs of one or two pixels have no outline: they are left out of box and area too, so that all three agree.
    contours = [contour for contour in found if len(contour) >= 3]
    whole = cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED)
    mask = mask & (whole > 0)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows) or min(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 < MIN_SIDE:
        return None
    corner = np.array([left, top])
    polygons = tuple(tuple(float(c) for c in (contour + corner).reshape(-1)) for contour in contours)
    x, y = float(left + columns[0]), float(top + rows[0])
    box = (x, y, float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1))
    return box, polygons, int(mask.sum())


def _inside(ids: NDArray[np.int32], count: int, matrix: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(count + 1,) share of each piece's visible pixels that the camera's frame holds, 0 for one without any."""
    y, x = np.nonzero(ids)
    numbers = ids[y, x]
    mapped = matrix @ np.stack([x + 0.5, y + 0.5, np.ones(len(x))])
    u, v = mapped[0] / mapped[2], mapped[1] / mapped[2]
    held = (u >= 0) & (u < size) & (v >= 0) & (v < size)
    wholes = np.bincount(numbers, minlength=count + 1)
    return np.bincount(numbers[held], minlength=count + 1) / np.maximum(wholes, 1)  # type: ignore[no-any-return]


def _ground(size: int, rng: np.random.Generator) -> Image:
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


def _behind(canvas: Image, row: Row, scale: float, rng: np.random.Generator) -> None:
    """Backs of crates, or the shadow of the board above a shelf."""
    for crate in row.crates:
        inside = (58, 60, 58) if not crate.wood else (112, 84, 56)
        _fill(canvas, crate.left, crate.top, crate.right, crate.foot, scale, inside)
    if not row.crates:
        top, foot = round((row.foot - 26) * scale), round(row.foot * scale)
        part = canvas[max(0, top) : max(0, foot)]
        if len(part):
            dark = np.linspace(0.55, 0.85, len(part), dtype=np.float32)[:, None, None]
            part[:] = (part * dark).astype(np.uint8)


def _before(
    canvas: Image, ids: NDArray[np.int32], row: Row, scale: float, rail: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Boards of crates, the shelf's edge and its price tags: they hide what is behind them."""
    for crate in row.crates:
        _front_board(canvas, ids, crate, scale, rng)
    y1, y2 = row.foot, row.foot + 3.0
    _fill(canvas, -1, y1, canvas.shape[1] / scale + 1, y2, scale, rail)
    _clear(ids, -1, y1, canvas.shape[1] / scale + 1, y2, scale)
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


def _front_board(canvas: Image, ids: NDArray[np.int32], crate: Crate, scale: float, rng: np.random.Generator) -> None:
    colour = (172, 134, 88) if crate.wood else (44, 118, 70) if float(rng.random()) < 0.5 else (70, 72, 76)
    _fill(canvas, crate.left, crate.board, crate.right, crate.foot, scale, colour)
    _clear(ids, crate.left, crate.board, crate.right, crate.foot, scale)
    dark = (round(colour[0] * 0.7), round(colour[1] * 0.7), round(colour[2] * 0.7))
    middle = (crate.board + crate.foot) / 2
    _fill(canvas, crate.left, middle - 0.15, crate.right, middle + 0.15, scale, dark)
    for edge in (crate.left, crate.right - 0.6):
        _fill(canvas, edge, crate.top, edge + 0.6, crate.foot, scale, dark)
        _clear(ids, edge, crate.top, edge + 0.6, crate.foot, scale)


def _fill(canvas: Image, x1: float, y1: float, x2: float, y2: float, scale: float, colour: tuple[int, ...]) -> None:
    part = canvas[_span(y1, y2, scale), _span(x1, x2, scale)]
    fall = np.linspace(1.06, 0.9, max(1, len(part)), dtype=np.float32)[:, None, None]
    if part.size:
        part[:] = np.clip(np.array(colour, np.float32) * fall, 0, 255).astype(np.uint8)


def _clear(ids: NDArray[np.int32], x1: float, y1: float, x2: float, y2: float, scale: float) -> None:
    ids[_span(y1, y2, scale), _span(x1, x2, scale)] = 0


def _span(low: float, high: float, scale: float) -> slice:
    return slice(max(0, round(low * scale)), max(0, round(high * scale)))


def _soften(canvas: Image, shrink: float) -> Image:
    """Blur what the smaller frame cannot hold, against jagged edges."""
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.22 * shrink), np.uint8)


def _resized(sprite: Image, scale: float) -> Image:
    size = (max(4, round(sprite.shape[1] * scale)), max(4, round(sprite.shape[0] * scale)))
    return np.asarray(cv2.resize(sprite, size, interpolation=cv2.INTER_AREA), np.uint8)


def _turned(sprite: Image, angle: float) -> Image:
    """Rotated, the canvas growing with it."""
    if abs(angle) < 0.3:
        return sprite
    height, width = sprite.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    new = (int(height * sin + width * cos) + 1, int(height * cos + width * sin) + 1)
    matrix[:, 2] += (new[0] / 2 - width / 2, new[1] / 2 - height / 2)
    return np.asarray(
        cv2.warpAffine(sprite, matrix, new, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8
    )
