"""Every picture file decoded once: whether it can be read, its size, its turn, and what it looks like in small.

Knows nothing of annotations.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.data.adapters.layout import FILLED, FILLED_UP, allowed, filled
from facings.data.doctor.sharpness import SIDE, sharpness
from facings.files import is_file

State = Literal["read", "missing", "unreadable", "truncated"]
THUMB = 32
ORIENTATION = 0x0112
# JPEG is decoded at the smallest of its eighths that is no smaller than this: all of the file is still read.
DRAFT = (SIDE, SIDE)
FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
}


@dataclass(frozen=True)
class Picture:
    """One file. `width`, `height`: as stored, before the EXIF turn; `orientation`: EXIF's, 1 for none.

    `thumb`: (32, 32) uint8 gray, turned as EXIF says; `sharpness`: of its edges, None where it cannot be told; `digest`: sha256 of
    the bytes.
    """

    path: Path
    state: State
    width: int = 0
    height: int = 0
    orientation: int = 1
    format: str = ""
    digest: str = ""
    fault: str = ""
    thumb: NDArray[np.uint8] | None = None
    sharpness: float | None = None

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height after the EXIF turn, as training sees the picture."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)

    @property
    def misnamed(self) -> bool:
        """Whether the file is of another format than its name says."""
        said = FORMATS.get(self.path.suffix.lower())
        return bool(said and self.format and said != self.format and {said, self.format} != {"JPEG", "MPO"})


def look_at(
    paths: Iterable[Path], *, workers: int = 1, advance: Callable[[], None] = lambda: None
) -> dict[Path, Picture]:
    """Decode every file once. `workers`: threads; Pillow decodes outside the interpreter's lock."""
    found: dict[Path, Picture] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for picture in pool.map(look, dict.fromkeys(paths)):
            found[picture.path] = picture
            advance()
    return found


def look(path: Path) -> Picture:
    """One file; what is wrong with it is its `state` and `fault`, nothing is raised."""
    if not is_file(path):
        fault = "no such file" if allowed(path) else "permission denied"
        return Picture(path, "missing" if allowed(path) else "unreadable", fault=fault)
    digest = ""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return _decode(path, image, digest)
    # Decoders meet damage with errors of many kinds; a file may also be another user's.
    except Exception as fault:
        said = str(fault) or type(fault).__name__
        return Picture(path, "unreadable", digest=digest, fault=said.replace(str(path), path.name))


def _decode(path: Path, image: Any, digest: str) -> Picture:
    width, height = image.size
    kind = str(image.format)
    orientation = int(image.getexif().get(ORIENTATION, 1) or 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    about = {"width": width, "height": height, "orientation": orientation, "format": kind, "digest": digest}
    try:
        image.draft("L", DRAFT)
        image.load()
    except Exception as fault:
        return Picture(path, "truncated", fault=str(fault) or type(fault).__name__, **about)
    sharp: float | None = None
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow would cut off all above 255; 16 bits hold 65535.
        image = image.convert("F").resize((THUMB, THUMB), Image.Resampling.BOX)
        values = np.asarray(image, np.float32)
        gray = np.clip(values / 257 if values.max() > 255 else values, 0, 255).astype(np.uint8)
    else:
        image = image.convert("L")
        if kind in FILLED and filled(np.asarray(image)):
            return Picture(path, "truncated", fault=FILLED_UP, **about)
        sharp = sharpness(np.asarray(image))
        gray = np.asarray(image.resize((THUMB, THUMB), Image.Resampling.BOX))
    return Picture(path, "read", thumb=turned(gray, orientation), sharpness=sharp, **about)


def turned(gray: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A square picture as EXIF says it is to be shown (EXIF 2.3, tag 0x0112)."""
    flips: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: a.T[:, ::-1],
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: a.T[::-1],
    }
    return np.ascontiguousarray(flips.get(orientation, lambda a: a)(gray))
