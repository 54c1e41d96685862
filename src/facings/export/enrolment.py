"""The first gallery of a bundle: views and calibration crops, embedded by the bundle's own graphs.

Knows nothing of training. What is embedded here is what `facings enroll` would embed later.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facings.data.coco import CocoTable
from facings.data.tables import RecognitionRow
from facings.errors import DataError
from facings.runtime.gallery import Gallery, gallery_folder
from facings.runtime.images import read_image
from facings.runtime.parsing import find_pictures
from facings.runtime.recognizer import Recognizer

Image = NDArray[np.uint8]
Box = tuple[float, float, float, float]
Advance = Callable[[], None]
# How far (0–255) a pixel may be from the corners' colour and still be a packshot's plain ground.
GROUND_TOLERANCE = 12


@dataclass(frozen=True)
class View:
    """One picture of a product. `box`: xyxy pixels, None for the whole; `trim`: cut a plain ground away first."""

    path: Path
    product_id: str | None
    box: Box | None = None
    trim: bool = False


def views_of_rows(rows: Sequence[RecognitionRow], *, trim: bool = False) -> list[View]:
    """Rows of a recognition table; `trim` is for those that are whole pictures."""
    return [View(row.path, row.product_id, row.corners, trim and row.box is None) for row in rows]


def views_of_packshots(folder: Path) -> list[View]:
    """Pictures named after their product, one each: `PRODUCT_ID.jpg`. Raises DataError for a folder without any."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of packshots; expected pictures named PRODUCT_ID.jpg")
    return [View(path, path.stem, trim=True) for path in find_pictures([folder])]


def views_of_boxes(table: CocoTable) -> list[View]:
    """The annotated boxes of a COCO file, with their products."""
    return [
        View(image.path, product, (float(b[0]), float(b[1]), float(b[2]), float(b[3])))
        for image in table.images
        for b, product in zip(image.boxes, image.product_ids, strict=True)
    ]


def limited(views: Sequence[View], limit: int, seed: int) -> list[View]:
    """At most `limit` views, drawn without replacement, in their old order."""
    if len(views) <= limit:
        return list(views)
    kept = np.sort(np.random.default_rng(seed).permutation(len(views))[:limit])
    return [views[index] for index in kept]


def embed_views(recognizer: Recognizer, views: Sequence[View], advance: Advance = lambda: None) -> NDArray[np.float32]:
    """(V, D) unit vectors; views of one picture, when they follow each other, are cut from one decoding."""
    vectors = []
    decoded: tuple[Path, Image] | None = None
    for view in views:
        if decoded is None or decoded[0] != view.path:
            decoded = (view.path, read_image(view.path))
        image, box = framed(decoded[1], view)
        vectors.append(recognizer.embed(image, box[None]))
        advance()
    return np.concatenate(vectors)


def framed(image: Image, view: View) -> tuple[Image, NDArray[np.float32]]:
    """The picture of a view, trimmed where it is to be, and (4,) its box in that, the whole where it has none."""
    image = trim_ground(image) if view.trim else image
    box = view.box or (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
    return image, np.array(box, np.float32)


def own_photos(crops: Sequence[View], photos: Sequence[View], count: int) -> NDArray[np.int64]:
    """(C, count) for each crop the first photos of its own product, in their order, that lie in other pictures than the crop: a
    product is never asked for with the very picture that it was enrolled from. Indices into `photos`; -1 where there are fewer.

    >>> crops = [View(Path("a.jpg"), "milk"), View(Path("b.jpg"), "milk"), View(Path("b.jpg"), None)]
    >>> own_photos(crops, [View(Path("a.jpg"), "milk"), View(Path("c.jpg"), "milk")], 2).tolist()
    [[1, -1], [0, 1], [-1, -1]]
    """
    by_product: dict[str, list[tuple[int, Path]]] = {}
    for number, photo in enumerate(photos):
        if photo.product_id is not None:
            by_product.setdefault(photo.product_id, []).append((number, photo.path.resolve()))
    chosen = np.full((len(crops), count), -1, np.int64)
    for row, crop in enumerate(crops):
        own = by_product.get(crop.product_id, []) if crop.product_id is not None else []
        if own:
            picture = crop.path.resolve()
            others = (number for number, path in own if path != picture)
            first = list(islice(others, count))
            chosen[row, : len(first)] = first
    return chosen


def mated_similarities(
    crops: NDArray[np.float32], photos: NDArray[np.float32], chosen: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(C, V) the similarity of each crop (C, D) to the best of its first 1, 2, … V photos, nan where there are fewer. `photos`
    (P, D), `chosen` (C, V) as `own_photos` makes it; vectors of unit length."""
    found = np.full(chosen.shape, np.nan, np.float32)
    for place in range(chosen.shape[1]):
        rows = np.flatnonzero(chosen[:, place] >= 0)
        found[rows, place] = np.einsum("cd,cd->c", crops[rows], photos[chosen[rows, place]])
    return np.maximum.accumulate(np.clip(found, -1, 1), axis=1)


def create_gallery(
    bundle: Path,
    *,
    embedder_sha256: str,
    views: Sequence[View],
    vectors: NDArray[np.float32],
    calibration: Sequence[View],
    calibration_vectors: NDArray[np.float32],
) -> Gallery:
    """Version 000001 of a bundle's gallery."""
    items = sorted({str(view.product_id) for view in views})
    index = {name: number for number, name in enumerate(items)}
    return Gallery.create(
        gallery_folder(bundle),
        embedder_sha256=embedder_sha256,
        vectors=vectors,
        item=np.array([index[str(view.product_id)] for view in views], np.int64),
        items=items,
        calibration_vectors=calibration_vectors,
        calibration_items=[view.product_id for view in calibration],
        author="facings export",
    )


def trim_ground(image: Image) -> Image:
    """`image` (H, W, 3) without the plain ground around a product; unchanged where the corners differ in colour.

    A packshot's wide white border would shrink the product within the embedder's square.
    """
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]].astype(np.int16)
    ground = np.median(corners, axis=0)
    if np.abs(corners - ground).max() > GROUND_TOLERANCE:
        return image
    product = (np.abs(image.astype(np.int16) - ground) > GROUND_TOLERANCE).any(axis=2)
    rows, columns = np.flatnonzero(product.any(axis=1)), np.flatnonzero(product.any(axis=0))
    if not len(rows):
        return image
    return np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
