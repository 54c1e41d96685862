"""A synthetic dataset on disk: frames, COCO truth, packshots, enrolment photos, recognition table, taxonomy.

Knows nothing of training. The same parameters give the same files: every frame has a seed of its own, so that the number
of workers changes nothing.
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from facings.data.synthetic.camera import CAMERAS
from facings.data.synthetic.planogram import plan, plan_crowded
from facings.data.synthetic.products import Product, assortment
from facings.data.synthetic.renderer import Renderer, Scene
from facings.data.tables import RecognitionRow, Role, write_recognition_table
from facings.data.taxonomy import taxonomy_content
from facings.errors import ConfigError, DataError
from facings.files import atomic_folder, sha256

SCHEMA = "facings.synthetic/1"
SPLITS = ("train", "val")
CATEGORIES = ("packaged", "produce")
PACKSHOT_SIZE = 256
PHOTO_SIZE = 192
# A crowded frame's products need so many pixels of its side each: smaller, they could not be outlined.
LEAST_PITCH = 14


@dataclass(frozen=True)
class Parameters:
    """What decides the content. Shares are 0–1.

    `new_share`: of the products are only in the validation frames: goods that came after training. `min_visibility`:
    pieces that show less are not labelled; `query_visibility`: those that show less are neither trained nor asked about
    by product. `products_per_scene`: null leaves it to chance how many products a frame holds, some 20 to 60; else about so
    many, from a wider wall; of several values each scene takes the next.
    """

    train_scenes: int
    val_scenes: int
    products: int
    produce_share: float
    new_share: float
    image_size: int
    misplaced: float
    gaps: float
    min_visibility: float
    query_visibility: float
    enrol_photos: int
    crops_per_product: int
    queries_per_product: int
    seed: int
    products_per_scene: tuple[int, ...] | None = None

    def record(self) -> dict[str, Any]:
        """For JSON; what is null is left out."""
        content = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}

    def check(self) -> None:
        """Raise ConfigError for a value out of its range."""
        least = {"train_scenes": 1, "val_scenes": 1, "products": 4, "image_size": 96, "enrol_photos": 0}
        least |= {"crops_per_product": 2, "queries_per_product": 1, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name}={getattr(self, name)}: expected {low} or more")
        for name in ("produce_share", "new_share", "misplaced", "gaps", "min_visibility", "query_visibility"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected a share from 0 to 1")
        most = (self.image_size // LEAST_PITCH) ** 2
        for count in self.products_per_scene or ():
            if not 1 <= count <= most:
                raise ConfigError(
                    f"products_per_scene={count}: expected 1 to {most} at image_size={self.image_size}; "
                    "more need larger frames"
                )


def synthesize(
    folder: Path,
    parameters: Parameters,
    *,
    overwrite: bool = False,
    workers: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> bool:
    """Write the dataset to `folder`, whole or not at all. Returns False where it is there already, unchanged.

    Raises ConfigError for parameters out of range, or where the folder holds something else and `overwrite` is false.
    """
    parameters.check()
    if not overwrite and folder.exists() and any(folder.iterdir()):
        _same_or_refuse(folder, parameters)
        return False
    products = assortment(parameters.products, produce_share=parameters.produce_share, seed=parameters.seed)
    trained, _ = divide(products, parameters)
    with atomic_folder(folder, replace=True) as beside:
        rows: list[RecognitionRow] = []
        for split in SPLITS:
            shown = trained if split == "train" else products
            scenes = _scenes(parameters, shown, split, workers)
            rows += _write_split(beside, split, scenes, parameters, advance)
        rows += _write_views(beside, products, {p.product_id for p in trained}, parameters)
        write_recognition_table(rows, beside / "recognition.csv")
        taxonomy = taxonomy_content({p.product_id: p.taxonomy() for p in products})
        _write_json(beside / "taxonomy.json", taxonomy)
        names = [f"instances_{split}.json" for split in SPLITS] + ["recognition.csv", "taxonomy.json"]
        record = {
            "schema": SCHEMA,
            "parameters": parameters.record(),
            "new_products": sorted({p.product_id for p in products} - {p.product_id for p in trained}),
            "cameras": [camera.camera_id for camera in CAMERAS],
            "files": {name: sha256(beside / name) for name in names},
        }
        _write_json(beside / "synthesize.json", record)
    return True


def divide(products: Sequence[Product], parameters: Parameters) -> tuple[tuple[Product, ...], tuple[Product, ...]]:
    """The products that are trained, and the new ones that only validation shows; both keep two products or more."""
    rng = np.random.default_rng([parameters.seed, 2])
    count = min(round(len(products) * parameters.new_share), len(products) - 2)
    new = set(rng.permutation(len(products))[:count].tolist())
    trained = tuple(p for index, p in enumerate(products) if index not in new)
    return trained, tuple(p for index, p in enumerate(products) if index in new)


def _same_or_refuse(folder: Path, parameters: Parameters) -> None:
    path = folder / "synthesize.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: exists and was not made by `facings synthesize`; choose another name")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["parameters"]
        changed = [name for name, digest in content["files"].items() if sha256(folder / name) != digest]
    except (json.JSONDecodeError, KeyError, OSError) as fault:
        raise DataError(f"{path}: damaged ({fault}); make the set anew with --overwrite") from fault
    if changed:
        raise DataError(f"{folder / changed[0]}: changed since it was made; make the set anew with --overwrite")
    wanted = parameters.record()
    for name in [field.name for field in fields(Parameters)]:
        if found.get(name) != wanted.get(name):
            raise ConfigError(
                f"{folder}: was made with {name}={found.get(name)}, asked is {name}={wanted.get(name)}; "
                "choose another name, or --overwrite"
            )


@dataclass(frozen=True)
class _Task:
    """What a worker needs for one frame."""

    parameters: Parameters
    products: tuple[Product, ...]
    split: str
    index: int


def _scenes(parameters: Parameters, products: Sequence[Product], split: str, workers: int) -> Iterator[Scene]:
    count = parameters.train_scenes if split == "train" else parameters.val_scenes
    tasks = [_Task(parameters, tuple(products), split, index) for index in range(count)]
    if workers <= 1:
        yield from map(_render, tasks)
        return
    # Spawned, not forked: a forked copy of a program with threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_render, tasks, chunksize=8)


_renderers: dict[int, Renderer] = {}


def _render(task: _Task) -> Scene:
    cv2.setNumThreads(1)
    p = task.parameters
    # Artwork is the same for every frame: each process draws it once.
    renderer = _renderers.setdefault(p.image_size, Renderer(p.image_size))
    rng = np.random.default_rng([p.seed, 3 + SPLITS.index(task.split), task.index])
    # A camera sees a part of the shop: a third to all of the goods.
    share = float(rng.uniform(0.34, 1.0))
    shown = rng.permutation(len(task.products))[: max(4, round(len(task.products) * share))]
    goods = [task.products[i] for i in sorted(shown.tolist())]
    if p.products_per_scene is None:
        wall = plan(goods, rng, misplaced=p.misplaced, gaps=p.gaps)
    else:
        count = p.products_per_scene[task.index % len(p.products_per_scene)]
        wall = plan_crowded(goods, rng, count=count, misplaced=p.misplaced, gaps=p.gaps)
    camera = CAMERAS[task.index % len(CAMERAS)]
    return renderer.scene(wall, camera, rng, min_visibility=p.min_visibility)


def _write_split(
    beside: Path, split: str, scenes: Iterator[Scene], parameters: Parameters, advance: Callable[[], None]
) -> list[RecognitionRow]:
    """Frames and COCO JSON; returns the recognition rows of the split, at most so many a product."""
    home = beside / "images" / split
    home.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    rows: list[RecognitionRow] = []
    role: Role = "train" if split == "train" else "query"
    size = parameters.image_size
    for number, scene in enumerate(scenes):
        path = home / f"{number:06d}.jpg"
        path.write_bytes(scene.jpeg)
        camera = scene.camera.camera_id
        images.append({"id": number + 1, "file_name": path.name, "width": size, "height": size, "camera_id": camera})
        for seen in scene.seen:
            product = seen.product
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": CATEGORIES.index("produce" if product.produce else "packaged") + 1,
                    "bbox": list(seen.box),
                    "area": seen.area,
                    "iscrowd": 0,
                    "segmentation": [list(polygon) for polygon in seen.polygons],
                    "product_id": product.product_id,
                    "camera_id": camera,
                    "visibility": seen.visibility,
                }
            )
            if seen.visibility >= parameters.query_visibility:
                rows.append(RecognitionRow(path, product.product_id, split, role, product.category, seen.box, camera))
        advance()
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(CATEGORIES)]
    content = {"info": {"description": f"synthetic shelves, {split}"}, "images": images}
    _write_json(beside / f"instances_{split}.json", content | {"annotations": annotations, "categories": categories})
    limit = parameters.crops_per_product if split == "train" else parameters.queries_per_product
    return _limited(rows, limit, parameters.seed)


def _limited(rows: Sequence[RecognitionRow], limit: int, seed: int) -> list[RecognitionRow]:
    """At most `limit` rows a product, drawn at random; frame by frame as before."""
    order = np.random.default_rng([seed, 6]).permutation(len(rows))
    taken: dict[str, int] = {}
    kept = []
    for index in order.tolist():
        product = rows[index].product_id
        if taken.get(product, 0) < limit:
            taken[product] = taken.get(product, 0) + 1
            kept.append(index)
    return [rows[index] for index in sorted(kept)]


def _write_views(
    beside: Path, products: Sequence[Product], trained: set[str], parameters: Parameters
) -> list[RecognitionRow]:
    """A packshot and some photos of every product: the gallery, and for trained products also training pictures."""
    renderer = Renderer(parameters.image_size)
    rows = []
    for name in ("packshots", "enrol"):
        (beside / name).mkdir()
    for number, product in enumerate(products):
        buffer = BytesIO()
        Image.fromarray(renderer.packshot(product, PACKSHOT_SIZE)).save(buffer, "JPEG", quality=92)
        pictures = {beside / "packshots" / f"{product.product_id}.jpg": buffer.getvalue()}
        for photo in range(parameters.enrol_photos):
            rng = np.random.default_rng([parameters.seed, 5, number, photo])
            path = beside / "enrol" / f"{product.product_id}_{photo}.jpg"
            pictures[path] = renderer.photo(product, PHOTO_SIZE, rng)
        for path, content in pictures.items():
            path.write_bytes(content)
            rows.append(RecognitionRow(path, product.product_id, "val", "gallery", product.category))
            if product.product_id in trained:
                rows.append(RecognitionRow(path, product.product_id, "train", "train", product.category))
    return rows


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
