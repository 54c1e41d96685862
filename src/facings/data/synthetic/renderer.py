"""From a planned wall to a picture and its exact truth. Knows nothing of files."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from facings.data.synthetic.camera import CAMERAS, Camera, expose, to_jpeg, view
from facings.data.synthetic.furniture import RAILS, draw_before, draw_behind, ground
from facings.data.synthetic.packaging import SOFT, VARIANTS, draw_package
from facings.data.synthetic.planogram import Placement, Wall
from facings.data.synthetic.produce import draw_produce
from facings.data.synthetic.products import Product
from facings.data.synthetic.sprites import outline, paste, resized, turned

Image = NDArray[np.uint8]
# The wall is drawn larger than the frame, so that the camera's view is always sampled down.
WALL_SCALE = 1.6
PACK_PIXELS = 260


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
    """Draws walls. Artwork of packs is drawn once, `pack_pixels` high, and kept. `cutouts`: sprites of products that have one."""

    def __init__(
        self, size: int, *, pack_pixels: int = PACK_PIXELS, cutouts: Mapping[str, Image] | None = None
    ) -> None:
        self.size, self.wall, self.pack_pixels = size, round(size * WALL_SCALE), pack_pixels
        self._cutouts: Mapping[str, Image] = cutouts or {}
        self._packs: dict[tuple[str, int], Image] = {}

    def scene(self, wall: Wall, camera: Camera, rng: np.random.Generator, *, min_visibility: float) -> Scene:
        """Draw, look, expose. Pieces seen to a share below `min_visibility` are in the picture but not labelled."""
        scale = self.wall / wall.width
        canvas = ground(self.wall, rng)
        ids = np.zeros((self.wall, self.wall), np.int32)
        placed: list[Placement] = []
        wholes: list[int] = []
        rail = tuple(int(c) for c in rng.choice(RAILS))
        for row in wall.rows:
            draw_behind(canvas, row, scale, rng)
            for placement in row.placements:
                sprite = self.sprite(placement, scale, rng)
                left = round(placement.x * scale - sprite.shape[1] / 2)
                top = round(placement.bottom * scale - sprite.shape[0])
                placed.append(placement)
                wholes.append(paste(canvas, ids, sprite, left, top, len(placed), placement.shade, rng))
            draw_before(canvas, ids, row, scale, rail, rng)
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
            found = outline(seen_ids[window] == number, window) if visible else None
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
        canvas = ground(size, rng)
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
        sprite = self.sprite(Placement(product, 0, 0, angle=angle), scale, rng)
        fits = min(1.0, size / max(sprite.shape[:2]))
        if fits < 1:
            sprite = resized(sprite, fits)
        top, left = (size - sprite.shape[0]) // 2, (size - sprite.shape[1]) // 2
        paste(canvas, np.zeros((size, size), np.int32), sprite, left, top, 1, 1.0, rng)

    def sprite(self, placement: Placement, scale: float, rng: np.random.Generator) -> Image:
        """The piece at `scale` pixels a centimetre, turned as it lies."""
        product = placement.product
        height = max(8.0, product.size[1] * scale * placement.scale)
        if product.produce:
            return turned(draw_produce(product, round(height), rng), placement.angle)
        pack = self._pack(product, int(rng.integers(VARIANTS)) if product.kind in SOFT else 0)
        return turned(resized(pack, height / len(pack)), placement.angle)

    def _pack(self, product: Product, variant: int) -> Image:
        """Drawn at first sight; goods with a cut-out have that alone."""
        if product.product_id in self._cutouts:
            return self._cutouts[product.product_id]
        if (product.product_id, variant) not in self._packs:
            self._packs[product.product_id, variant] = draw_package(product, self.pack_pixels, variant)
        return self._packs[product.product_id, variant]


def _inside(ids: NDArray[np.int32], count: int, matrix: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(count + 1,) share of each piece's visible pixels that the camera's frame holds, 0 for one without any."""
    x, y = np.arange(ids.shape[1]) + 0.5, np.arange(ids.shape[0])[:, None] + 0.5
    u, v, w = ((row[0] * x + row[2]) + row[1] * y for row in matrix)
    # w is positive before the camera: u / w and v / w are compared without dividing.
    limit = size * w
    held = (u >= 0) & (u < limit) & (v >= 0) & (v < limit)
    wholes = np.bincount(ids.ravel(), minlength=count + 1)
    return np.bincount(ids[held], minlength=count + 1) / np.maximum(wholes, 1)  # type: ignore[no-any-return]


def _soften(canvas: Image, shrink: float) -> Image:
    """Blur what the smaller frame cannot hold, against jagged edges."""
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.22 * shrink), np.uint8)
