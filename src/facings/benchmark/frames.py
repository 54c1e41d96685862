"""What a bundle is asked: frames with their truth, and single crops whose product is known.

Knows nothing of where they come from, and nothing of models.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import DataError


@dataclass(frozen=True)
class Frame:
    """A picture and its truth: `boxes` (N, 4) float32 xyxy pixels; `labels` (N,) int64; `products`: id or None each; `camera`,
    `moment`: who took it, and when, None where that is not known; `crowds`: xyxy and label of each region of objects that nobody
    told apart: what is found there, and is none of the boxes, is neither right nor wrong."""

    image_id: int
    path: Path
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    products: tuple[str | None, ...]
    camera: str | None = None
    moment: datetime | None = None
    crowds: tuple[tuple[tuple[float, ...], int], ...] = ()


@dataclass(frozen=True)
class Query:
    """A crop of a known product. `box`: x1, y1, x2, y2 pixels of the picture, or None for the whole of it."""

    path: Path
    product_id: str
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Data:
    """All that one benchmark asks.

    `labels`: category names by label number; `checksums`: table → sha256; `faults`: what was left out or mended.
    """

    name: str
    frames: tuple[Frame, ...]
    labels: tuple[str, ...]
    checksums: dict[str, str]
    queries: tuple[Query, ...] = ()
    faults: tuple[str, ...] = field(default=())

    def ground_truth(self) -> dict[str, Any]:
        """The frames' boxes as a COCO dict: category id = label number + 1."""
        annotations: list[dict[str, Any]] = []
        for frame in self.frames:
            objects = [(*pair, 0) for pair in zip(frame.boxes.tolist(), frame.labels.tolist(), strict=True)]
            for (x1, y1, x2, y2), label, crowd in [*objects, *((box, label, 1) for box, label in frame.crowds)]:
                size = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": crowd}
                number = len(annotations) + 1
                annotations.append({"id": number, "image_id": frame.image_id, "category_id": label + 1, **size})
        images = [{"id": frame.image_id, "file_name": frame.path.name} for frame in self.frames]
        categories = [{"id": number + 1, "name": name} for number, name in enumerate(self.labels)]
        return {"images": images, "annotations": annotations, "categories": categories}


def label_numbers(detector: Sequence[str], data: Sequence[str]) -> tuple[int, ...]:
    """For each class of the detector, the label number of the data's category of that name.

    Where the data has one category every class is it. Raises DataError for a class that the data does not have.
    """
    if len(data) == 1:
        return (0,) * len(detector)
    strange = [name for name in detector if name not in data]
    if strange:
        raise DataError(
            f"the detector's class {strange[0]!r} is not among the data's categories {', '.join(data)}; "
            "data.class_agnostic=true compares boxes whatever their class"
        )
    return tuple(data.index(name) for name in detector)
