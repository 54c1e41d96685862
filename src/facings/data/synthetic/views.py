"""Packshots and enrolment photos of the assortment: the gallery of the recognition table. Knows nothing of frames."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from facings.data.synthetic.products import Product
from facings.data.synthetic.renderer import Renderer
from facings.data.tables import RecognitionRow

PACKSHOT_SIZE = 256
PHOTO_SIZE = 192


def write_views(
    home: Path, products: Sequence[Product], trained: set[str], renderer: Renderer, *, photos: int, seed: int
) -> list[RecognitionRow]:
    """A packshot and `photos` photos of every product under `home`; their rows, for products in `trained` also as training
    pictures."""
    rows = []
    for name in ("packshots", "enrol"):
        (home / name).mkdir()
    for number, product in enumerate(products):
        buffer = BytesIO()
        Image.fromarray(renderer.packshot(product, PACKSHOT_SIZE)).save(buffer, "JPEG", quality=92)
        pictures = {home / "packshots" / f"{product.product_id}.jpg": buffer.getvalue()}
        for photo in range(photos):
            rng = np.random.default_rng([seed, 5, number, photo])
            path = home / "enrol" / f"{product.product_id}_{photo}.jpg"
            pictures[path] = renderer.photo(product, PHOTO_SIZE, rng)
        for path, content in pictures.items():
            path.write_bytes(content)
            rows.append(RecognitionRow(path, product.product_id, "val", "gallery", product.category))
            if product.product_id in trained:
                rows.append(RecognitionRow(path, product.product_id, "train", "train", product.category))
    return rows
