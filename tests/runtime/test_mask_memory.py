"""Masks on a frame of 12 megapixels: decoded one by one, so that memory does not grow with their number.

`scripts/mask_memory.py` measures the whole process at 500 masks; here numpy's own allocations are counted.
"""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from facings.boxes import letterbox_transform
from facings.runtime.recognizer import described
from facings.tiles import Found, detect

HEIGHT, WIDTH, SIZE = 3000, 4000, 640
MIB = 2**20


def found_of(boxes: np.ndarray, rng: np.random.Generator) -> Found:
    """As if a detector with 8 prototypes had found `boxes` of its input square."""
    grid = np.linspace(-4, 4, 160)
    prototypes = np.stack([np.cos(f * grid)[:, None] * np.sin(f * grid)[None] for f in np.linspace(0.5, 3, 8)])
    outputs = {
        "boxes": boxes.astype(np.float32), "scores": np.full(len(boxes), 0.9, np.float32),
        "labels": np.zeros(len(boxes), np.int64), "transform": letterbox_transform(HEIGHT, WIDTH, SIZE),
        "coefficients": rng.normal(size=(len(boxes), 8)).astype(np.float32), "prototypes": prototypes.astype(np.float32),
    }  # fmt: skip
    return detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8), lambda _: outputs, input_size=SIZE)


def peak(work: Callable[[], object]) -> float:
    """MiB."""
    tracemalloc.start()
    work()
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return highest / MIB


@pytest.mark.parametrize("count", [40, 160])
def test_outlines_keep_no_masks(rng: np.random.Generator, count: int) -> None:
    corners = rng.uniform([0, 80], [580, 500], (count, 2))
    found = found_of(np.concatenate([corners, corners + 48], axis=1), rng)
    # A mask of 300 × 300 pixels, its logits in float, and what tracing it takes.
    assert peak(lambda: described(found, outlines=True)) < 6


def test_a_mask_as_large_as_the_frame(rng: np.random.Generator) -> None:
    found = found_of(np.array([[0, 0, SIZE, SIZE]] * 2), rng)
    # Its bits are 11.4 MiB; in float alone it would be 46.
    assert peak(lambda: list(map(lambda mask: None, found.masks()))) < 40
    assert peak(lambda: described(found, outlines=True)) < 160
    assert len(described(found, outlines=True).polygons or ()) == 2
    assert described(found, outlines=False).polygons is None
