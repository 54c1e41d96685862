"""Real goods as sprites: transparent PNGs, or catalogue packshots with COCO masks. Knows nothing of shelves.

Product ids come from the annotations' `product_id` or the files' names. A `products.csv` beside the pictures or the JSON may tell
`product_id`, `name`, `brand`, `category`, `width_cm`, `height_cm`.
"""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray
from PIL import Image

from facings.data.outlines import checked, to_rle
from facings.data.synthetic.products import Product
from facings.errors import ConfigError, DataError

Sprite = NDArray[np.uint8]
KIND = "cutout"
HEIGHT = 22.0  # cm, where nothing tells it
MOST_PIXELS = 640
SOLID = 127


@dataclass(frozen=True)
class Cutouts:
    """Goods with their sprites (H, W, 4), cropped to what is solid; `checksum` of all that was read."""

    products: tuple[Product, ...]
    sprites: Mapping[str, Sprite]
    checksum: str


def read_cutouts(source: Path, *, images: Path | None = None, height: float | None = None) -> Cutouts:
    """Read a folder of PNGs with transparency, or a COCO JSON whose packshots lie in `images` (default: `packshots` beside it,
    or its own folder). `height`: cm of goods whose table does not tell (default 22). Of several cut-outs of a product the first
    is taken.

    Raises ConfigError where `source` is neither, DataError for a picture without transparency, a mask that cannot be read, or no
    goods at all.
    """
    digest = hashlib.sha256()
    if source.is_dir():
        found = _from_folder(source, digest)
        table = source / "products.csv"
    elif source.suffix.lower() == ".json" and source.is_file():
        found = _from_json(source, images, digest)
        table = source.with_name("products.csv")
    else:
        raise ConfigError(
            f"cutouts={source}: expected a folder of transparent PNGs, or a COCO JSON of packshots with masks"
        )
    told = _table(table, digest)
    products: list[Product] = []
    sprites: dict[str, Sprite] = {}
    for identifier, sprite in found:
        if identifier in sprites:
            continue
        sprites[identifier] = sprite
        products.append(_product(identifier, sprite, told.get(identifier, {}), height or HEIGHT, table, len(products)))
    if not products:
        raise DataError(f"{source}: no cut-outs; expected PNGs with transparency, or annotations with a segmentation")
    return Cutouts(tuple(products), sprites, digest.hexdigest())


def _from_folder(source: Path, digest: Any) -> Iterator[tuple[str, Sprite]]:
    for path in sorted(source.glob("*.png")):
        content = path.read_bytes()
        digest.update(path.name.encode() + content)
        with Image.open(path) as picture:
            if picture.mode not in ("RGBA", "LA", "PA") and "transparency" not in picture.info:
                raise DataError(
                    f"{path}: has no transparency (mode {picture.mode}); expected RGBA, or a COCO JSON with masks"
                )
            yield path.stem, _cropped(np.asarray(picture.convert("RGBA")), path)


def _from_json(source: Path, images: Path | None, digest: Any) -> Iterator[tuple[str, Sprite]]:
    digest.update(source.read_bytes())
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        names = {record["id"]: str(record["file_name"]) for record in content["images"]}
        entries = list(content["annotations"])
    except (json.JSONDecodeError, KeyError, TypeError) as fault:
        raise DataError(f"{source}: no COCO instances ({fault!r}); expected 'images' and 'annotations'") from fault
    beside = source.with_name("packshots")
    folder = images or (beside if beside.is_dir() else source.parent)
    for entry in entries:
        name = names.get(entry.get("image_id"))
        if name is None or not (folder / name).is_file():
            raise DataError(
                f"{source}: annotation {entry.get('id')} is of {name!r}, which is not in {folder}; set cutout_images"
            )
        path = folder / name
        digest.update(path.read_bytes())
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        segmentation, wrong = checked(entry.get("segmentation"), *pixels.shape[:2])
        if segmentation is None:
            raise DataError(f"{source}: annotation {entry.get('id')} of {name} has no mask ({wrong or 'none given'})")
        # One pixel off the edge: a packshot's ground shines through there.
        mask = cv2.erode(coco_mask.decode(to_rle(segmentation, *pixels.shape[:2])), np.ones((3, 3), np.uint8))
        identifier = str(entry.get("product_id") or path.stem)
        yield identifier, _cropped(np.dstack([pixels, mask * 255]), path)


def _cropped(pixels: Sprite, path: Path) -> Sprite:
    """What is solid, at most `MOST_PIXELS` high or wide."""
    solid = pixels[..., 3] > SOLID
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not len(rows):
        raise DataError(f"{path}: nothing of it is solid; expected a cut-out of a product")
    part = Image.fromarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    part.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.LANCZOS)
    return np.asarray(part)


def _product(
    identifier: str, sprite: Sprite, told: Mapping[str, str], height: float, table: Path, number: int
) -> Product:
    width_cm, height_cm = (_centimetres(told.get(name), name, identifier, table) for name in ("width_cm", "height_cm"))
    aspect = sprite.shape[1] / sprite.shape[0]
    tall = height_cm or (width_cm / aspect if width_cm else height)
    brand = told.get("brand") or "unbranded"
    category = tuple(part for part in (told.get("category") or "").split("/") if part) or ("Packaged", brand)
    return Product(
        product_id=identifier,
        name=told.get("name") or identifier,
        category=category,
        produce=False,
        kind=KIND,
        size=(tall * aspect, tall),
        colours=(),
        words=(),
        seed=900_000 + number,
    )


def _centimetres(text: str | None, name: str, identifier: str, table: Path) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1000:
        raise DataError(f"{table}: {name} of {identifier!r} is {text!r}; expected centimetres above 0")
    return value


def _table(path: Path, digest: Any) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    content = path.read_bytes()
    digest.update(content)
    reader = csv.DictReader(content.decode("utf-8-sig").splitlines())
    if "product_id" not in (reader.fieldnames or ()):
        raise DataError(f"{path}: lacks the column 'product_id'; got {reader.fieldnames}")
    return {record["product_id"]: record for record in reader}
