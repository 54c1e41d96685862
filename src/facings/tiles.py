"""Large pictures in tiles: cut, looked at one by one, and put together (`facings.tile_merging`).

The same for torch and for the store runtime. Knows nothing of either: a detector is a function of one picture.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.boxes import Boxes, area, clip, to_image
from facings.errors import ConfigError
from facings.masks import CropMask, each_box_mask, each_prototype_mask, joined, moved
from facings.tile_merging import merge

Indices = NDArray[np.int64]
Outputs = Mapping[str, NDArray[Any]]
# What scores less is not looked at where tiles are put together: it is never reported, and there are thousands of it.
LEAST = 0.001
# Where nothing else is said, neighbours share this part (one in so many) of a tile's side.
DEFAULT_OVERLAP = 4


@dataclass(frozen=True)
class Tiling:
    """Square tiles of `size` pixels of the picture, neighbours sharing `overlap` pixels or more.

    Every product up to `overlap` less 2 × 2 % of `size` is seen whole by some tile. `whole`: the picture as one more
    tile, for products larger than that.

    `large`: a product whose longer side is this share of `size` or more is left to the whole picture, even where a tile sees
    all of it: so close it is larger than what the detector was trained on (Singh and Davis: "An Analysis of Scale Invariance
    in Object Detection – SNIP", CVPR 2018). 1: all that a tile sees whole is the tiles'.

    Raises ConfigError for sizes that do not fit.
    """

    size: int
    overlap: int
    whole: bool = False
    large: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ConfigError(f"tiles: size={self.size}: expected 32 pixels or more")
        if not self.size / 10 <= self.overlap <= self.size / 2:
            raise ConfigError(
                f"tiles: overlap={self.overlap}: expected a tenth to a half of size={self.size}, and more than a product"
            )
        if not 0 < self.large <= 1:
            raise ConfigError(f"tiles: large={self.large}: expected a share of size above 0, at most 1")
        if self.large < 1 and not self.whole:
            raise ConfigError(f"tiles: large={self.large}: leaves large products to the whole picture; set whole: true")

    @classmethod
    def of(cls, size: int, overlap: int | None = None, whole: bool = False, large: float = 1.0) -> "Tiling":
        """With a quarter of `size` as overlap where none is given."""
        return cls(size, size // DEFAULT_OVERLAP if overlap is None else overlap, whole, large)

    def boxes(self, height: int, width: int) -> Indices:
        """(T, 4) xyxy pixels of the tiles of a picture; with `whole` and more than one tile, the last is the picture."""
        grid = tile_grid(height, width, self.size, self.overlap)
        if self.whole and len(grid) > 1:
            grid = np.concatenate([grid, [[0, 0, width, height]]])
        return grid


def tile_grid(height: int, width: int, size: int, overlap: int) -> Indices:
    """(T, 4) int64 xyxy: as few squares of `size` as cover the picture, evenly spread, sharing `overlap` pixels or more.

    A side of the picture shorter than `size` has one tile, as long as it is.

    >>> tile_grid(600, 1000, 600, 100).tolist()
    [[0, 0, 600, 600], [400, 0, 1000, 600]]
    """
    rows, columns = _starts(height, size, overlap), _starts(width, size, overlap)
    corners = [(x, y, min(x + size, width), min(y + size, height)) for y in rows for x in columns]
    return np.array(corners, np.int64)


def _starts(length: int, size: int, overlap: int) -> list[int]:
    count = 1 if length <= size else -(-(length - overlap) // (size - overlap))
    starts: list[int] = np.linspace(0, max(0, length - size), count).round().astype(int).tolist()
    return starts


@dataclass(frozen=True)
class View:
    """A part of the picture that a detector looked at, and what it found there.

    `left`, `top`, `height`, `width`: the part, in pixels; `outputs`: `boxes` in its pixels, `scores`, `labels` and what else
    the detector says of each box, with `prototypes` and `transform` where masks are made of them.
    """

    left: int
    top: int
    height: int
    width: int
    input_size: int
    outputs: Outputs

    @property
    def has_masks(self) -> bool:
        return "coefficients" in self.outputs or "masks" in self.outputs

    def mask(self, row: int) -> CropMask:
        """The mask of box number `row`, in pixels of the whole picture."""
        found, rows = self.outputs, slice(row, row + 1)
        boxes, height, width = found["boxes"][rows], self.height, self.width
        if "masks" in found:
            (mask,) = each_box_mask(found["masks"][rows], boxes, height=height, width=width)
        else:
            weights, prototypes, transform = found["coefficients"][rows], found["prototypes"], found["transform"]
            (mask,) = each_prototype_mask(
                weights, prototypes, boxes, transform, height=height, width=width, input_size=self.input_size
            )
        return moved(mask, self.left, self.top)


@dataclass(frozen=True)
class Found:
    """What a detector found in a picture, in descending score.

    `boxes` (N, 4) float32 xyxy, pixels of the picture, cut at its edges; `scores` (N,) float32; `labels` (N,) int64;
    `attributes` (N, T) float32, 0–1, or None. `parts`: for each box the (view, row) pairs that it was made of, the surest
    first. Masks are decoded when they are asked for, one by one.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    labels: Indices
    attributes: NDArray[np.float32] | None
    views: tuple[View, ...]
    parts: tuple[tuple[tuple[int, int], ...], ...]

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def has_masks(self) -> bool:
        return any(view.has_masks for view in self.views)

    def masks(self) -> Iterator[CropMask]:
        """The mask of each box in turn; only one is held at a time."""
        for parts in self.parts:
            yield joined([self.views[view].mask(row) for view, row in parts])

    def at(self, index: Indices) -> "Found":
        """Those of the numbers `index`, in its order."""
        attributes = None if self.attributes is None else self.attributes[index]
        parts = tuple(self.parts[i] for i in index)
        return Found(self.boxes[index], self.scores[index], self.labels[index], attributes, self.views, parts)


def detect(
    image: NDArray[np.uint8],
    run: Callable[[NDArray[np.uint8]], Outputs],
    *,
    input_size: int,
    tiling: Tiling | None = None,
    least: float = 0.0,
) -> Found:
    """Everything with a score of `least` or more in a picture (H, W, 3): at once without `tiling`, else tile by tile.

    `run`: a picture or tile (h, w, 3) → `transform` (4,), that of the letterbox to the square of `input_size`, and what the
    detector says of the square, without batch: `boxes` (N, 4) xyxy pixels of the square, `scores`, `labels`, and where it
    has them `coefficients` (N, K), `prototypes` (K, h, w), `masks` (N, m, m), `attributes` (N, T).
    """
    height, width = image.shape[:2]
    grid = np.array([[0, 0, width, height]]) if tiling is None else tiling.boxes(height, width)
    views = []
    for x1, y1, x2, y2 in grid.tolist():
        outputs = run(image if len(grid) == 1 else np.ascontiguousarray(image[y1:y2, x1:x2]))
        views.append(View(x1, y1, y2 - y1, x2 - x1, input_size, in_picture(outputs, y2 - y1, x2 - x1, least)))
    counts = [len(view.outputs["scores"]) for view in views]
    tile, row = np.repeat(np.arange(len(views)), counts), np.concatenate([np.arange(count) for count in counts])
    boxes = np.concatenate([view.outputs["boxes"] for view in views]) + np.tile(grid[tile, :2], 2)
    scores, labels = (np.concatenate([view.outputs[name] for view in views]) for name in ("scores", "labels"))
    limit = np.inf if tiling is None else tiling.large * tiling.size
    boxes, members = merge(boxes.astype(np.float32), scores, tile, grid, large=limit)
    first = np.array([numbers[0] for numbers in members], np.int64)
    attributes = None
    if "attributes" in views[0].outputs:
        attributes = np.concatenate([view.outputs["attributes"] for view in views])[first].astype(np.float32)
    parts = tuple(tuple((int(tile[i]), int(row[i])) for i in numbers) for numbers in members)
    return Found(boxes, scores[first], labels[first].astype(np.int64), attributes, tuple(views), parts)


def in_picture(outputs: Outputs, height: int, width: int, least: float = 0.0) -> dict[str, NDArray[Any]]:
    """A detector's outputs of one square input, with boxes in pixels of its picture of `height` × `width`, cut at the edges.

    What scores below `least`, or lies in the grey border alone and so has no area once it is cut, is left out.
    """
    boxes = clip(to_image(outputs["boxes"], outputs["transform"]), height, width)
    kept = np.flatnonzero((area(boxes) > 0) & (outputs["scores"] > 0) & (outputs["scores"] >= least))
    shared = ("prototypes", "transform")
    of_boxes = {name: value[kept] for name, value in outputs.items() if name not in shared}
    # Prototypes are large: a tile where nothing was found keeps none.
    whole = {name: outputs[name] for name in shared if name in outputs and len(kept)}
    return {**of_boxes, **whole, "boxes": boxes[kept], "scores": of_boxes["scores"].astype(np.float32)}
