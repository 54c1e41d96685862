"""Crops that a bundle got wrong, beside photos of the product that it found and of the right one. Judges nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.benchmark.accuracy import query_pictures
from facings.benchmark.crop_breakdown import worst_row
from facings.benchmark.crops import CropAnswers
from facings.benchmark.frames import Query
from facings.errors import DataError
from facings.runtime.crops import cut_crop
from facings.runtime.gallery import Gallery
from facings.runtime.recognizer import Recognizer
from facings.spreading import evenly

# Pixels on the longer side of a crop that is shown.
SIDE = 260
# Photos of a product that are looked through for the one nearest to the query, spread over those that there are.
LOOKED_THROUGH = 6


@dataclass(frozen=True)
class CropPlate:
    """`facts`: see `worst_row`; the query's picture, and the nearest photo at hand of the other product and of the right one, None
    where there is none."""

    facts: Mapping[str, Any]
    asked: Image.Image
    other: Image.Image | None
    right: Image.Image | None


@dataclass(frozen=True)
class _Photos:
    """Of one product: `pictures`, and `vectors` (N, D) of them."""

    pictures: list[Image.Image]
    vectors: NDArray[np.float32]

    def nearest(self, vector: NDArray[np.float32]) -> Image.Image | None:
        return self.pictures[int((self.vectors @ vector).argmax())] if self.pictures else None


def photos_at_hand(gallery: Gallery, products: Sequence[str], photos: Sequence[Query]) -> dict[str, list[Query]]:
    """Photos of each product: what the gallery keeps of its views, else of `photos` those of the product."""
    found: dict[str, list[Query]] = {product: [] for product in products}
    for product in products:
        if product in gallery.items:
            found[product] = [Query(gallery.folder / c.file, product, c.box) for c in gallery.crops_of(product)]
    kept = {product for product, own in found.items() if own}
    for photo in photos:
        if photo.product_id in found and photo.product_id not in kept:
            found[photo.product_id].append(photo)
    return found


def crop_plates(
    recognizer: Recognizer, crops: CropAnswers, places: Sequence[int], photos: Sequence[Query]
) -> list[CropPlate]:
    """The queries at `places`, each with the photos; the recognizer has a gallery. Raises DataError for a damaged query."""
    assert recognizer.gallery is not None
    rows = [worst_row(crops, place) for place in places]
    products = sorted({row[key] for row in rows for key in ("product", "other") if row[key] is not None})
    at_hand = photos_at_hand(recognizer.gallery, products, photos)
    read = {product: _read(recognizer, own) for product, own in at_hand.items()}
    plates = []
    for row, (_, image, box) in zip(rows, query_pictures([crops.queries[place] for place in places]), strict=True):
        [vector] = recognizer.embed(image, box)
        other = read[row["other"]].nearest(vector) if row["other"] is not None else None
        plates.append(CropPlate(row, _shown(image, box[0]), other, read[row["product"]].nearest(vector)))
    return plates


def _read(recognizer: Recognizer, photos: Sequence[Query]) -> _Photos:
    """A photo that is gone or damaged is only an illustration less."""
    pictures, vectors = [], []
    for photo in evenly(photos, LOOKED_THROUGH):
        try:
            [(_, image, box)] = query_pictures([photo])
        except DataError:
            continue
        pictures.append(_shown(image, box[0]))
        vectors.append(recognizer.embed(image, box)[0])
    return _Photos(pictures, np.array(vectors, np.float32))


def _shown(image: NDArray[np.uint8], box: NDArray[np.float32]) -> Image.Image:
    picture = Image.fromarray(cut_crop(image, box, 0.0))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture
