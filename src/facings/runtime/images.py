"""Decoding pictures, with Pillow imported only when one is read. Knows nothing of models."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import DataError
from facings.runtime.array_file import read_array

# A picture of more pixels is refused before it is decoded: twice Pillow's own MAX_IMAGE_PIXELS, 537 MB as RGB.
MAX_PIXELS = 178_956_970
# Above so many, a picture that would be a few bytes in the file and hundreds of megabytes in memory is no photo.
PLENTY, PIXELS_A_BYTE = 50_000_000, 1000
# What Pillow may take a file for. Others are left out on purpose: reading some of them starts another program (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")


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
            with Image.open(path, formats=FORMATS) as image:
                # The header is read, the pixels are not.
                if not 1 <= image.width * image.height <= MAX_PIXELS:
                    raise DataError(f"{path}: {image.width} x {image.height} pixels; 1 to {MAX_PIXELS} are read")
                if image.width * image.height > max(PLENTY, path.stat().st_size * PIXELS_A_BYTE):
                    raise DataError(
                        f"{path}: {image.width} x {image.height} pixels out of {path.stat().st_size} bytes; no photo is so small"
                    )
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except UnidentifiedImageError as fault:
        raise DataError(f"{path}: not a picture that is read; use JPEG, PNG or WebP") from fault
    except Image.DecompressionBombError as fault:
        raise DataError(f"{path}: more pixels than are read ({fault})") from fault
    # Decoders meet damage with errors of many kinds: struct.error, KeyError, zlib.error, MemoryError.
    except Exception as fault:
        raise DataError(f"{path}: cannot be decoded ({fault}); the file is damaged or truncated") from fault


def _read_array(path: Path) -> NDArray[np.uint8]:
    try:
        image = read_array(path)
    except ValueError as fault:
        raise DataError(f"{path}: not a readable array ({fault})") from fault
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise DataError(f"{path}: array {image.dtype} {image.shape}; expected uint8 (H, W, 3)")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise DataError(f"{path}: {image.shape[1]} x {image.shape[0]} pixels; 1 to {MAX_PIXELS} are read")
    return np.ascontiguousarray(image)


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
