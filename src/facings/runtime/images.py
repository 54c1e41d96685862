"""Decoding pictures, with Pillow imported only when one is read. Knows nothing of models."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import DataError

# A picture of more pixels is refused before it is decoded: 200 megapixels are 600 MB as RGB.
MAX_PIXELS = 200_000_000


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) uint8 RGB, EXIF rotation applied; `.npy` files are read as they are.

    Grayscale, palette, 16-bit and CMYK pictures are converted; transparency is laid on white.

    Raises DataError for a missing, truncated, oversize or unknown file.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such picture")
    if path.suffix == ".npy":
        return _read_array(path)
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ModuleNotFoundError as fault:
        raise DataError(f"{path}: reading pictures needs Pillow: pip install 'facings[images]'") from fault
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(f"{path}: {image.width} x {image.height} pixels; at most {MAX_PIXELS} are read")
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as fault:
        raise DataError(f"{path}: not a picture that Pillow knows; use JPEG, PNG or WebP") from fault
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        raise DataError(f"{path}: cannot be decoded ({fault}); the file is damaged or truncated") from fault


def _read_array(path: Path) -> NDArray[np.uint8]:
    try:
        image: NDArray[np.uint8] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: not a readable array ({fault})") from fault
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DataError(f"{path}: array {image.dtype} {image.shape}; expected uint8 (H, W, 3)")
    return image


def _to_rgb(image: Any) -> NDArray[np.uint8]:
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image).astype(np.float64)
        # 16-bit data span 0–65535; 32-bit integer files of that kind hold the same range.
        scaled = np.clip(values / 257.0 if values.max(initial=0) > 255 else values, 0, 255)
        return np.repeat(np.round(scaled).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))
