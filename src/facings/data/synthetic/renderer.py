"""From a planned wall to a picture and its exact truth. Knows nothing of files."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.camera import CAMERAS, Camera, expose, jpeg, view
from facings.data.synthetic.foreground import draw_cards, draw_doors, draw_passer
from facings.data.synthetic.furniture import CABINET, RAIL_HEIGHT, RAILS, draw_before, draw_behind, ground
from facings.data.synthetic.packaging import SOFT, VARIANTS, draw_package
from facings.data.synthetic.planogram import Placement, Wall
from facings.data.synthetic.produce import draw_produce
from facings.data.synthetic.products import Product
from facings.data.synthetic.sprites import laid, outline, paste, premultiplied
from facings.data.synthetic.stock import Stock
from facings.data.synthetic.truth import shown_within, windows_of
from facings.data.synthetic.wraps import draw_wrapped

Image = NDArray[np.uint8]
# The wall is drawn larger than the frame, so that the camera's view is always sampled down.
WALL_SCALE = 1.6
PACK_PIXELS = 260
# How many pieces of a kind of produce are drawn; size, proportions and turn make more of each.
LOOKS = 6
# Of what changes colour, in so many steps from unripe to past its best.
RIPENESS = 3


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
    """Draws walls. Goods are drawn once and kept, packs `pack_pixels` high. `cutouts`: sprites of products that have one."""

    def __init__(
        self, size: int, *, pack_pixels: int = PACK_PIXELS, cutouts: Mapping[str, Image] | None = None
    ) -> None:
        self.size, self.wall, self.pack_pixels = size, round(size * WALL_SCALE), pack_pixels
        self._cutouts: Mapping[str, Image] = cutouts or {}
        self._stock = Stock()

    def scene(
        self, wall: Wall, camera: Camera, rng: np.random.Generator, *, min_visibility: float, passed: bool = False
    ) -> Scene:
        """Draw, look, expose. Pieces seen to a share below `min_visibility` are in the picture but not labelled; `passed`: by
        somebody who hides some."""
        scale = self.wall / wall.width
        canvas = ground((self.wall, self.wall), rng)
        ids = np.zeros((self.wall, self.wall), np.uint16)
        placed: list[Placement] = []
        wholes: list[int] = []
        rail = CABINET if wall.doors else tuple(int(c) for c in rng.choice(RAILS))
        hidden = 0
        for row in wall.rows:
            # The shadow of a board falls on nothing above that board.
            draw_behind(canvas[hidden:], row, scale, hidden / scale)
            hidden = max(0, round((row.foot + (0.0 if row.hooks else RAIL_HEIGHT)) * scale))
            for placement in row.placements:
                sprite = self.sprite(placement, scale, rng)
                left = round(placement.x * scale - sprite.shape[1] / 2)
                top = round(placement.bottom * scale - sprite.shape[0])
                placed.append(placement)
                wholes.append(paste(canvas, ids, sprite, left, top, len(placed), placement.shade, rng))
            draw_before(canvas, ids, row, scale, rail, rng)
        for row in wall.rows:
            draw_cards(canvas, ids, row.cards, scale, rng)
        draw_doors(canvas, ids, wall.doors, scale)
        if passed:
            draw_passer(canvas, ids, scale, rng)
        matrix = view(camera, self.wall, self.size, rng)
        size = (self.size, self.size)
        frame = cv2.warpPerspective(
            _soften(canvas, self.wall / self.size), matrix, size, borderMode=cv2.BORDER_REPLICATE
        )
        seen_ids = np.asarray(cv2.warpPerspective(ids, matrix, size, flags=cv2.INTER_NEAREST), np.uint16)
        # What the neighbours and the frame's edge leave.
        corners = np.array([[[0, 0], [self.size, 0], [self.size, self.size], [0, self.size]]], np.float64) - 0.5
        edge = cv2.perspectiveTransform(corners, np.linalg.inv(matrix))[0]
        shown = shown_within(ids, edge, len(placed))
        seen = []
        for number, window in enumerate(windows_of(seen_ids, len(placed)), start=1):
            visibility = min(1.0, shown[number] / max(1, wholes[number - 1]))
            if window is None or visibility < min_visibility:
                continue
            found = outline(seen_ids[window] == number, window)
            if found is not None:
                box, polygons, area = found
                product = placed[number - 1].product
                seen.append(Seen(product, box, polygons, area, round(float(visibility), 3)))
        return Scene(jpeg(expose(np.asarray(frame, np.uint8), camera, rng), rng), camera, tuple(seen))

    def packshot(self, product: Product, size: int) -> Image:
        """The product before white, filling most of a square."""
        rng = np.random.default_rng([product.seed, 11])
        canvas = np.full((size, size, 3), 255, np.uint8)
        self._centre(canvas, product, 0.84, 0.0, rng)
        return canvas

    def photo(self, product: Product, size: int, rng: np.random.Generator) -> bytes:
        """A photo as a shop's assistant takes one to enrol a product: any ground, any light, roughly centred."""
        canvas = ground((size, size), rng)
        self._centre(canvas, product, float(rng.uniform(0.72, 0.95)), float(rng.normal()) * 5, rng)
        camera = CAMERAS[int(rng.integers(len(CAMERAS)))]
        corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
        askew = corners + rng.normal(0, 0.02 * size, (4, 2)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(askew.astype(np.float32), corners)
        frame = cv2.warpPerspective(canvas, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
        return jpeg(expose(np.asarray(frame, np.uint8), camera, rng), rng)

    def _centre(self, canvas: Image, product: Product, share: float, angle: float, rng: np.random.Generator) -> None:
        size = len(canvas)
        wide, tall = product.size
        scale = share * size / max(wide, tall)
        sprite = self.sprite(Placement(product, 0, 0, angle=angle), scale, rng)
        fits = min(1.0, size / max(sprite.shape[:2]))
        if fits < 1:
            sprite = laid(sprite, int(sprite.shape[1] * fits), int(sprite.shape[0] * fits), 0.0)
        top, left = (size - sprite.shape[0]) // 2, (size - sprite.shape[1]) // 2
        paste(canvas, np.zeros((size, size), np.uint16), sprite, left, top, 1, 1.0, rng)

    def sprite(self, placement: Placement, scale: float, rng: np.random.Generator) -> Image:
        """The piece at `scale` pixels a centimetre, turned as it lies."""
        product = placement.product
        height = max(8.0, product.size[1] * scale * placement.scale)
        wide = 1.0
        if product.produce:
            height, wide = height * float(rng.uniform(0.88, 1.1)), float(rng.uniform(0.94, 1.06))
        drawing = self._drawing(placement, height, rng)
        wide *= height * drawing.shape[1] / len(drawing)
        return laid(drawing, max(4, round(wide)), max(4, round(height)), placement.angle)

    def _drawing(self, placement: Placement, height: float, rng: np.random.Generator) -> Image:
        """`height` pixels high or more, drawn at first sight; goods with a cut-out have that alone."""
        product = placement.product
        name = product.product_id
        if product.produce:
            steps = _steps(product)
            look, step = int(rng.integers(LOOKS)), min(steps - 1, int(placement.ripeness * steps))
            return self._stock.drawn((name, look, step), height, lambda tall: _grown(product, tall, look, step))
        if name in self._cutouts:
            return self._stock.scaled(name, height, lambda: premultiplied(self._cutouts[name]))
        lies = int(rng.integers(VARIANTS)) if product.kind in SOFT else 0
        return self._stock.scaled(
            (name, lies), height, lambda: premultiplied(draw_package(product, self.pack_pixels, lies))
        )


def _steps(product: Product) -> int:
    """In how many steps of ripeness a kind of produce is drawn."""
    return RIPENESS if len((product.content or product).colours) > 2 else 1


def _grown(product: Product, tall: int, look: int, step: int) -> Image:
    """One of the kept looks of a kind of produce, at a step of its ripeness."""
    rng = np.random.default_rng([product.seed, 12, look, step])
    ripeness = (step + float(rng.random())) / _steps(product)
    draw = draw_wrapped if product.content else draw_produce
    return premultiplied(draw(product, tall, rng, ripeness))


def _soften(canvas: Image, shrink: float) -> Image:
    """Blur what the smaller frame cannot hold, against jagged edges."""
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.22 * shrink), np.uint8)
