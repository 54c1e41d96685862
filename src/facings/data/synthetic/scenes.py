"""What frame k of a split is: goods, wall and camera from its number alone. Knows nothing of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facings.data.synthetic.camera import CAMERAS
from facings.data.synthetic.cutouts import Cutouts, read_cutouts
from facings.data.synthetic.foreground import draw_passer
from facings.data.synthetic.joining import CATEGORIES
from facings.data.synthetic.lens import View, hang, swayed
from facings.data.synthetic.optics import Light
from facings.data.synthetic.painter import paint
from facings.data.synthetic.parameters import Parameters
from facings.data.synthetic.photograph import Taken, photograph
from facings.data.synthetic.planogram import Fixtures, Wall, plan, plan_crowded, settled
from facings.data.synthetic.products import Product, assortment
from facings.data.synthetic.renderer import PACK_PIXELS, Renderer, Seen
from facings.data.synthetic.shards import Frame
from facings.data.synthetic.stations import STATIONS

SPLITS = ("train", "val")
# Height of a pack's artwork as a share of the frame's longer side: no pack is seen larger, but for the nearest.
PACK_SHARE = 0.3
# cm of wall before a calibrated camera: seen askew, less of it is in view than flat cameras see.
WIDTH = (110.0, 165.0)


@lru_cache(maxsize=2)
def cutouts_of(parameters: Parameters) -> Cutouts | None:
    """The real goods of a set, read once by each process; None where it has none."""
    if parameters.cutouts is None:
        return None
    images = Path(parameters.cutout_images) if parameters.cutout_images else None
    return read_cutouts(Path(parameters.cutouts), images=images, height=parameters.cutout_height)


@lru_cache(maxsize=4)
def goods_of(parameters: Parameters) -> tuple[Product, ...]:
    """All products of a set: those of cut-outs, then procedural ones as far as `products` are not reached."""
    cutouts = cutouts_of(parameters)
    real = cutouts.products if cutouts else ()
    left = parameters.products - len(real)
    made = assortment(left, produce_share=parameters.produce_share, seed=parameters.seed) if left > 0 else ()
    return (*real, *made)


@lru_cache(maxsize=2)
def renderer_of(parameters: Parameters) -> Renderer:
    """Artwork is the same for every frame: each process draws it once."""
    cutouts = cutouts_of(parameters)
    calibrated = parameters.cameras or parameters.sequence
    finest = max(PACK_PIXELS, round(PACK_SHARE * max(parameters.frame))) if calibrated else PACK_PIXELS
    return Renderer(parameters.image_size, pack_pixels=finest, cutouts=cutouts.sprites if cutouts else None)


def forget() -> None:
    """Read cut-outs anew: their files may have changed since a former call of the same process."""
    for kept in (cutouts_of, goods_of, renderer_of):
        kept.cache_clear()


def divide(products: Sequence[Product], parameters: Parameters) -> tuple[tuple[Product, ...], tuple[Product, ...]]:
    """The products that are trained, and the new ones that only validation shows; both keep two products or more."""
    rng = np.random.default_rng([parameters.seed, 2])
    count = min(round(len(products) * parameters.new_share), len(products) - 2)
    new = set(rng.permutation(len(products))[:count].tolist())
    trained = tuple(p for index, p in enumerate(products) if index not in new)
    return trained, tuple(p for index, p in enumerate(products) if index in new)


def fixtures_of(parameters: Parameters) -> Fixtures:
    """What walls are fitted with."""
    return Fixtures(cards=parameters.cards, cabinets=parameters.cabinets, pegs=parameters.pegs)


@dataclass(frozen=True)
class Scenes:
    """The frames of a split, each of a wall of its own."""

    parameters: Parameters
    split: str

    @property
    def count(self) -> int:
        """How many scenes the parameters ask for."""
        return self.parameters.train_scenes if self.split == "train" else self.parameters.val_scenes

    def name(self, index: int) -> str:
        """The picture's file name."""
        return f"{index:06d}.jpg"

    def frame(self, index: int) -> Frame:
        """Draw scene `index`."""
        cv2.setNumThreads(1)
        p = self.parameters
        rng = np.random.default_rng([p.seed, 3 + SPLITS.index(self.split), index])
        wall = self._wall(index, rng)
        if p.cameras is not None:
            return self._calibrated(index, wall, p.cameras[index % len(p.cameras)], rng)
        camera = CAMERAS[index % len(CAMERAS)]
        passed = float(rng.random()) < p.people
        scene = renderer_of(p).scene(wall, camera, rng, min_visibility=p.min_visibility, passed=passed)
        size = {"width": p.image_size, "height": p.image_size}
        image = {"file_name": self.name(index), **size, "camera_id": camera.camera_id}
        return Frame(scene.jpeg, image, [annotation(seen, camera.camera_id) for seen in scene.seen])

    def _calibrated(self, index: int, wall: Wall, camera: str, rng: np.random.Generator) -> Frame:
        p, wall = self.parameters, settled(wall)
        size = (wall.width, wall.height)
        view = swayed(hang(STATIONS[camera], size, p.frame, rng), size, rng)
        painted = paint(wall, view, renderer_of(p), [p.seed, 20 + SPLITS.index(self.split), index])
        if float(rng.random()) < p.people:
            draw_passer(painted.canvas, painted.ids, painted.scale, rng)
        jpeg, taken = photograph(painted, view, Light(), rng, rng, min_visibility=p.min_visibility)
        return Frame(jpeg, image_record(self.name(index), view), [full_annotation(piece, camera) for piece in taken])

    def _wall(self, index: int, rng: np.random.Generator) -> Wall:
        p = self.parameters
        products = goods_of(p)
        shown = divide(products, p)[0] if self.split == "train" else products
        # A camera sees a part of the shop: a third to all of the goods.
        share = float(rng.uniform(0.34, 1.0))
        chosen = rng.permutation(len(shown))[: max(4, round(len(shown) * share))]
        goods = [shown[i] for i in sorted(chosen.tolist())]
        fixtures = fixtures_of(p)
        if p.products_per_scene is None:
            width = None if p.cameras is None else float(rng.uniform(*WIDTH))
            return plan(goods, rng, misplaced=p.misplaced, gaps=p.gaps, width=width, fixtures=fixtures)
        count = p.products_per_scene[index % len(p.products_per_scene)]
        return plan_crowded(goods, rng, count=count, misplaced=p.misplaced, gaps=p.gaps, fixtures=fixtures)


def annotation(seen: Seen, camera_id: str) -> dict[str, Any]:
    """COCO's fields of an object, without its ids."""
    return {
        "category_id": CATEGORIES.index("produce" if seen.product.produce else "packaged") + 1,
        "bbox": list(seen.box),
        "area": seen.area,
        "iscrowd": 0,
        "segmentation": [list(polygon) for polygon in seen.polygons],
        "product_id": seen.product.product_id,
        "camera_id": camera_id,
        "visibility": seen.visibility,
    }


def full_annotation(taken: Taken, camera_id: str) -> dict[str, Any]:
    """The same of a piece before a calibrated camera, with its amodal box."""
    seen = Seen(taken.placement.product, taken.box, taken.polygons, taken.area, taken.visibility)
    return annotation(seen, camera_id) | {"amodal_bbox": list(taken.amodal)}


def image_record(name: str, view: View) -> dict[str, Any]:
    """COCO's fields of a calibrated camera's frame, without its id."""
    sides = {"width": view.width, "height": view.height, "camera_id": view.station.camera_id}
    return {"file_name": name, **sides, **view.pose()}


def cameras_of(parameters: Parameters, names: Sequence[str]) -> list[dict[str, Any]]:
    """K and distortion of cameras, for COCO."""
    some = np.random.default_rng(0)
    return [hang(STATIONS[name], (100.0, 100.0), parameters.frame, some).camera() for name in names]
