"""Small galleries for the tests of this room."""

from pathlib import Path

import numpy as np

from facings.runtime.gallery import Gallery


def unit_rows(rng: np.random.Generator, count: int, dimension: int = 8) -> np.ndarray:
    vectors = rng.normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def small_gallery(folder: Path, rng: np.random.Generator) -> Gallery:
    """Products a, b, c with two views each, 40 calibration crops, half of them of `a`."""
    return Gallery.create(
        folder,
        embedder_sha256="a" * 64,
        vectors=unit_rows(rng, 6),
        item=np.array([0, 0, 1, 1, 2, 2]),
        items=["a", "b", "c"],
        calibration_vectors=unit_rows(rng, 40),
        calibration_items=["a", None] * 20,
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
