"""From shards to the files of a set: COCO JSON and the rows of the recognition table, frame by frame.

Memory does not grow with the number of frames. Knows nothing of drawing.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Stored = Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]
CATEGORIES = ("packaged", "produce")
_BLOCK = 1 << 16


def write_coco(path: Path, frames: Callable[[], Stored], *, description: str, more: Mapping[str, Any]) -> None:
    """COCO instances of what `frames` gives, each time from the start; `more`: further fields of the file."""
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(CATEGORIES)]
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": ' + json.dumps({"description": description}) + ', "images": [')
        for number, (image, _) in enumerate(frames(), start=1):
            file.write(", " * (number > 1) + json.dumps({"id": number, **image}))
        file.write('], "annotations": [')
        total = 0
        for number, (_, objects) in enumerate(frames(), start=1):
            for entry in objects:
                total += 1
                file.write(", " * (total > 1) + json.dumps({"id": total, "image_id": number, **entry}))
        file.write('], "categories": ' + json.dumps(categories))
        for name, value in more.items():
            file.write(f", {json.dumps(name)}: {json.dumps(value)}")
        file.write("}\n")


def drawn_crops(
    frames: Callable[[], Stored], *, visibility: float, limit: int, seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and annotation of at most `limit` objects a product, drawn at random from those of `visibility` or more; in
    the frames' order. Order and choice lie in files meanwhile, not in memory."""
    with tempfile.TemporaryDirectory(prefix="facings-") as scratch:
        numbers: dict[str, int] = {}
        listed = Path(scratch) / "products"
        with listed.open("wb") as file:
            for _, entry in _eligible(frames(), visibility):
                number = numbers.setdefault(entry["product_id"], len(numbers))
                file.write(np.int32(number).tobytes())
        count = listed.stat().st_size // 4
        kept = set(_chosen(listed, count, len(numbers), limit, seed)) if count else set()
        for place, found in enumerate(_eligible(frames(), visibility)):
            if place in kept:
                yield found


def _eligible(frames: Stored, visibility: float) -> Iterator[tuple[str, dict[str, Any]]]:
    for image, objects in frames:
        for entry in objects:
            if entry["visibility"] >= visibility:
                yield image["file_name"], entry


def _chosen(listed: Path, count: int, products: int, limit: int, seed: int) -> Iterator[int]:
    """Places of the first `limit` of each product in a random order."""
    of = np.memmap(listed, np.int32, mode="r")
    order = permutation(count, np.random.default_rng([seed, 6]), listed.with_name("order"))
    room = [limit] * products
    for first in range(0, count, _BLOCK):
        block = order[first : first + _BLOCK]
        for place, product in zip(block.tolist(), of[block].tolist(), strict=True):
            if room[product] > 0:
                room[product] -= 1
                yield place


def permutation(count: int, rng: np.random.Generator, path: Path) -> NDArray[np.int64]:
    """`rng.permutation(count)`, kept in the file `path`."""
    kept = np.memmap(path, np.int64, mode="w+", shape=(count,))
    for first in range(0, count, _BLOCK):
        kept[first : first + _BLOCK] = np.arange(first, min(first + _BLOCK, count))
    # As a plain array of the same memory: numpy's shuffle has another way for its subclasses.
    plain: NDArray[np.int64] = np.asarray(kept)
    rng.shuffle(plain)
    return plain
