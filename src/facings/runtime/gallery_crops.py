"""Pictures of enrolled views, kept beside a gallery's vectors, so that another embedder can look at the same goods again.

A gallery holds them only where its operator asked for it: a photo may show more than the product. Knows nothing of versions.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import ConfigError, GalleryError
from facings.files import atomic_write, sha256
from facings.runtime.crops import crop_edges
from facings.runtime.images import read_image
from facings.runtime.product_table import is_id
from facings.strict_json import shown

FOLDER = "crops"
# Kept around the box, as a share of its size: a later embedder may look at more than the one at hand.
CONTEXT = 0.25
# Longer sides are reduced to so many pixels, several times what an embedder takes in.
LONGEST = 1024
DIGITS = frozenset("0123456789abcdef")
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class StoredCrop:
    """One view's picture: `sha256` of its PNG file, which has that name; `box`: the product in it, xyxy pixels; `data`: the file's
    bytes as long as it is not on disk."""

    sha256: str
    box: Box
    data: bytes | None = None

    @property
    def file(self) -> str:
        """Its path relative to the gallery's folder."""
        return f"{FOLDER}/{self.sha256}.png"

    def to_dict(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "box": list(self.box)}


Crops = Mapping[str, tuple[StoredCrop, ...]]


def keep_crop(image: NDArray[np.uint8], box: NDArray[np.float32], margin: float) -> StoredCrop:
    """The part of `image` (H, W, 3) RGB around `box` (xyxy pixels) that embedding with `margin` looks at, or more: cut anew at the
    same box, it gives the same pixels. Beyond `LONGEST` it is reduced, and they are nearly the same.

    Raises ConfigError without Pillow.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as fault:
        raise ConfigError("keeping crops needs Pillow: pip install 'facings[images]'") from fault
    left, top, right, bottom = crop_edges(box, max(margin, CONTEXT), *image.shape[:2])
    picture = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    size = picture.size
    if max(size) > LONGEST:
        scale = LONGEST / max(size)
        picture = picture.resize((max(1, round(size[0] * scale)), max(1, round(size[1] * scale))), Image.Resampling.BOX)
    across, down = picture.width / size[0], picture.height / size[1]
    x1, y1, x2, y2 = (float(value) for value in box)
    inside = ((x1 - left) * across, (y1 - top) * down, (x2 - left) * across, (y2 - top) * down)
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = file.getvalue()
    return StoredCrop(sha256_of(data).hexdigest(), inside, data)


def checked_crops(content: Any, items: Sequence[str]) -> dict[str, tuple[StoredCrop, ...]]:
    """What a manifest says of crops, by product. Raises ValueError for what is no such table."""
    if not isinstance(content, dict):
        raise ValueError(f"crops is {shown(content)}; expected an object by product id")
    enrolled = set(items)
    for name, entries in content.items():
        if not is_id(name) or name not in enrolled:
            raise ValueError(f"crops of {shown(name)}, which is not enrolled")
        if not isinstance(entries, list) or not all(map(_is_crop, entries)):
            raise ValueError(f"crops of {name!r}: {shown(entries)}; expected a list of sha256 and box")
    return {
        name: tuple(StoredCrop(entry["sha256"], _box(*entry["box"])) for entry in entries)
        for name, entries in content.items()
    }


def _box(x1: float, y1: float, x2: float, y2: float) -> Box:
    return float(x1), float(y1), float(x2), float(y2)


def _is_crop(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    digest, box = entry.get("sha256"), entry.get("box")
    if not isinstance(digest, str) or len(digest) != 64 or not DIGITS.issuperset(digest):
        return False
    if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) and math.isfinite(v) for v in box):
        return False
    return bool(box[0] < box[2] and box[1] < box[3])


def write_crops(folder: Path, crops: Crops) -> Crops:
    """Bring those to the disk that are not there yet; the same ones without their bytes.

    Before the version that names them: killed in between, a writer leaves files that no version names, and pruning takes them.
    """
    for crop in (crop for own in crops.values() for crop in own):
        # A file of that name with other bytes is damaged, and is replaced.
        path = folder / crop.file
        if crop.data is not None and (not path.is_file() or sha256(path) != crop.sha256):
            atomic_write(path, crop.data)
    return {name: tuple(replace(crop, data=None) for crop in own) for name, own in crops.items()}


def read_crop(folder: Path, crop: StoredCrop) -> NDArray[np.uint8]:
    """Its pixels (H, W, 3). Raises GalleryError for a file that is missing or changed, DataError for one that is no picture."""
    path = folder / crop.file
    if path.is_symlink() or not path.is_file() or sha256(path) != crop.sha256:
        raise GalleryError(f"{path}: missing, or its checksum is not the manifest's")
    return read_image(path)
