"""Masks as small arrays: each mask is kept without the empty picture around it. Knows nothing of labels, scores or networks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.boxes import Boxes

Floats = NDArray[np.float32]
# Pixels of one mask that are interpolated at once: bounds the memory of a mask as large as a 12-megapixel frame.
BLOCK = 1 << 20


@dataclass(frozen=True)
class CropMask:
    """The part of a picture's mask that may be set. `left`, `top`: its corner in pixels of the picture; `bits` (h, w)."""

    left: int
    top: int
    bits: NDArray[np.bool_]


def decode_prototypes(
    coefficients: Floats,
    prototypes: Floats,
    boxes: Boxes,
    transform: Floats,
    *,
    height: int,
    width: int,
    input_size: int,
) -> list[CropMask]:
    """Masks of N boxes, as `each_prototype_mask` gives them one by one."""
    frame = {"height": height, "width": width, "input_size": input_size}
    return list(each_prototype_mask(coefficients, prototypes, boxes, transform, **frame))


def each_prototype_mask(
    coefficients: Floats,
    prototypes: Floats,
    boxes: Boxes,
    transform: Floats,
    *,
    height: int,
    width: int,
    input_size: int,
) -> Iterator[CropMask]:
    """One mask a box: where the sum of prototypes, weighted by the box's coefficients, is above 0 inside the box (Bolya
    et al.: "YOLACT", ICCV 2019).

    `coefficients` (N, K); `prototypes` (K, h, w) over the whole square input of `input_size` pixels; `boxes` (N, 4) xyxy
    pixels of the picture of `height` × `width`; `transform` (4,) as `boxes.letterbox_transform` gives it. Logits are
    summed for the cells under the box alone and interpolated to its pixels: bilinear, half-pixel centres, edges clamped.
    """
    count, rows, columns = prototypes.shape
    scale_x, scale_y, pad_x, pad_y = (float(value) for value in transform)
    for weights, box in zip(coefficients, boxes, strict=True):
        left, top, right, bottom = pixels_of(box, height, width)
        x = ((np.arange(left, right) + 0.5) * scale_x + pad_x) * columns / input_size - 0.5
        y = ((np.arange(top, bottom) + 0.5) * scale_y + pad_y) * rows / input_size - 0.5
        across, down = _Steps.of(x, columns), _Steps.of(y, rows)
        window = prototypes[:, down.window, across.window]
        logits = (weights @ window.reshape(count, -1)).reshape(window.shape[1:])
        yield CropMask(left, top, _above(logits, down, across, 0.0))


def decode_box_masks(masks: Floats, boxes: Boxes, *, height: int, width: int) -> list[CropMask]:
    """Masks of N boxes, as `each_box_mask` gives them one by one."""
    return list(each_box_mask(masks, boxes, height=height, width=width))


def each_box_mask(masks: Floats, boxes: Boxes, *, height: int, width: int) -> Iterator[CropMask]:
    """One mask a box: where the probability that is drawn over the box is above 0.5 (He et al.: "Mask R-CNN", ICCV 2017).

    `masks` (N, m, m) 0–1, cell by cell of the box; `boxes` (N, 4) xyxy pixels of the picture of `height` × `width`.
    Bilinear, half-pixel centres, edges clamped.
    """
    for grid, box in zip(masks, boxes, strict=True):
        left, top, right, bottom = pixels_of(box, height, width)
        sides = np.maximum(box[2:] - box[:2], 1e-3)
        x = (np.arange(left, right) + 0.5 - box[0]) / sides[0] * grid.shape[1] - 0.5
        y = (np.arange(top, bottom) + 0.5 - box[1]) / sides[1] * grid.shape[0] - 0.5
        across, down = _Steps.of(x, grid.shape[1]), _Steps.of(y, grid.shape[0])
        yield CropMask(left, top, _above(grid[down.window, across.window], down, across, 0.5))


def pixels_of(box: NDArray[np.floating[Any]], height: int, width: int) -> tuple[int, int, int, int]:
    """left, top, right, bottom (the last two exclusive) of the pixels whose centres lie in a box; one pixel at least."""
    left, top = (int(np.clip(np.ceil(v - 0.5), 0, n - 1)) for v, n in zip(box[:2], (width, height), strict=True))
    right, bottom = (int(np.clip(np.ceil(v - 0.5), 0, n)) for v, n in zip(box[2:], (width, height), strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def area(mask: CropMask) -> int:
    """Pixels that are set."""
    return int(np.count_nonzero(mask.bits))


def bounds(mask: CropMask) -> Boxes:
    """(4,) xyxy pixels of the smallest box around what is set; zeros when nothing is."""
    rows, columns = np.flatnonzero(mask.bits.any(axis=1)), np.flatnonzero(mask.bits.any(axis=0))
    if not len(rows):
        return np.zeros(4, np.float32)
    corners = [columns[0] + mask.left, rows[0] + mask.top, columns[-1] + mask.left + 1, rows[-1] + mask.top + 1]
    return np.array(corners, np.float32)


def moved(mask: CropMask, x: int, y: int) -> CropMask:
    """The mask of a part of a picture that begins at (x, y), in pixels of the whole."""
    return CropMask(mask.left + x, mask.top + y, mask.bits)


def joined(masks: Sequence[CropMask]) -> CropMask:
    """One mask that is set wherever one of one or more masks is."""
    if len(masks) == 1:
        return masks[0]
    extents = _extents(masks)
    left, top = extents[:, :2].min(axis=0).tolist()
    right, bottom = extents[:, 2:].max(axis=0).tolist()
    bits = np.zeros((bottom - top, right - left), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, extents - [left, top, left, top], strict=True):
        bits[y1:y2, x1:x2] |= mask.bits
    return CropMask(left, top, bits)


def trimmed(mask: CropMask) -> CropMask:
    """The same mask in the smallest crop that holds what is set."""
    left, top, right, bottom = (int(side) for side in bounds(mask))
    bits = _cut(mask, slice(left, right), slice(top, bottom)) if right else np.zeros((0, 0), bool)
    return CropMask(left, top, np.ascontiguousarray(bits))


def mask_iou(first: Sequence[CropMask], second: Sequence[CropMask]) -> Floats:
    """N masks, M masks → (N, M) intersection over union, 0–1; 0 where both are empty. Only crops that meet are compared.

    >>> left, right = CropMask(0, 0, np.ones((2, 2), bool)), CropMask(1, 0, np.ones((2, 2), bool))
    >>> mask_iou([left], [right]).round(3).tolist()
    [[0.3330000042915344]]
    """
    sizes = [np.array([area(mask) for mask in masks], np.float64) for masks in (first, second)]
    shared = np.zeros((len(first), len(second)))
    ones, others = _extents(first), _extents(second)
    low = np.maximum(ones[:, None, :2], others[None, :, :2])
    high = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    for i, j in np.argwhere((high > low).all(axis=2)):
        x, y = (slice(a, b) for a, b in zip(low[i, j], high[i, j], strict=True))
        shared[i, j] = np.count_nonzero(_cut(first[i], x, y) & _cut(second[j], x, y))
    union = sizes[0][:, None] + sizes[1][None, :] - shared
    return np.where(union > 0, shared / np.maximum(union, 1), 0).astype(np.float32)


def to_rle(mask: CropMask, height: int, width: int) -> dict[str, Any]:
    """COCO's run lengths of a picture of `height` × `width`: column by column, unset first; made from the crop alone.

    >>> to_rle(CropMask(1, 0, np.array([[True], [False]])), 2, 3)
    {'size': [2, 3], 'counts': [2, 1, 3]}
    """
    # An unset row above and below closes every run inside its column.
    column = np.pad(mask.bits, ((1, 1), (0, 0))).T.astype(np.int8)
    change = np.diff(column, axis=1)
    places = (np.arange(len(column))[:, None] + mask.left) * height + mask.top + np.arange(change.shape[1])[None, :]
    starts, ends = places[change > 0], places[change < 0]
    # A run down to the picture's lower edge goes on at the top of the next column.
    joined = np.flatnonzero(starts[1:] == ends[:-1])
    turns = np.column_stack([np.delete(starts, joined + 1), np.delete(ends, joined)]).reshape(-1)
    counts = np.diff(np.concatenate([[0], turns, [height * width]])).tolist()
    if counts[-1] == 0:
        counts.pop()
    return {"size": [height, width], "counts": counts}


def from_rle(rle: dict[str, Any]) -> CropMask:
    """COCO run lengths, as a list or as COCO's compressed text, → the crop around what is set.

    Raises ValueError when the runs do not fill the picture.
    """
    height, width = (int(side) for side in rle["size"])
    counts = rle["counts"]
    runs = np.array(_decompress(counts) if isinstance(counts, str | bytes) else counts, np.int64)
    edges = np.cumsum(runs)
    if (runs < 0).any() or (edges[-1] if len(edges) else 0) != height * width:
        raise ValueError(f"the runs of a {height} × {width} mask sum to {runs.sum()}; expected {height * width}")
    starts, ends = edges[:-1:2], edges[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return CropMask(0, 0, np.zeros((0, 0), bool))
    left, right = int(starts[0] // height), int((ends[-1] - 1) // height) + 1
    change = np.zeros((right - left) * height + 1, np.int8)
    np.add.at(change, starts - left * height, 1)
    np.add.at(change, ends - left * height, -1)
    bits = np.cumsum(change[:-1], dtype=np.int8).astype(bool).reshape(right - left, height).T
    rows = np.flatnonzero(bits.any(axis=1))
    return CropMask(left, int(rows[0]), np.ascontiguousarray(bits[rows[0] : rows[-1] + 1]))


def outline(mask: CropMask, tolerance: float = 1.0) -> Floats:
    """(P, 2) float32 xy pixels of the picture: the outline of the largest connected part, closed, holes filled.

    It runs along pixel edges, then loses the corners that lie within `tolerance` pixels of the line without them (Douglas,
    Peucker: "Algorithms for the reduction of the number of points", 1973); 0 keeps all. (0, 2) when nothing is set.
    """
    rings = _rings(mask.bits)
    if not rings:
        return np.zeros((0, 2), np.float32)
    # A hole's ring is always smaller than the ring around it.
    ring = max(rings, key=polygon_area)
    simple = _simplified(ring, tolerance)
    # Of a part no wider than the tolerance only a line would be left.
    corners = (ring if len(simple) < 3 else simple) + np.array([mask.left, mask.top])
    return corners.astype(np.float32)


def polygon_area(corners: NDArray[Any]) -> float:
    """Square pixels inside a polygon (P, 2) that does not cross itself (the shoelace formula).

    >>> polygon_area(np.array([[0, 0], [2, 0], [2, 3], [0, 3]]))
    6.0
    """
    x, y = corners[:, 0].astype(np.float64), corners[:, 1].astype(np.float64)
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


@dataclass(frozen=True)
class _Steps:
    """Linear interpolation along one axis. `window`: cells of the grid that are used; `low`, `high`: for each pixel its two
    cells inside the window; `share`: weight of the second."""

    window: slice
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: Floats

    @classmethod
    def of(cls, places: NDArray[np.float64], cells: int) -> "_Steps":
        """`places`: for each pixel its coordinate in cells, 0 at the centre of the first."""
        places = np.clip(places, 0, cells - 1)
        low = np.floor(places).astype(np.int64)
        high = np.minimum(low + 1, cells - 1)
        return cls(
            slice(int(low[0]), int(high[-1]) + 1), low - low[0], high - low[0], (places - low).astype(np.float32)
        )


def _above(grid: Floats, down: _Steps, across: _Steps, threshold: float) -> NDArray[np.bool_]:
    """A window of cells → the pixels of its box that interpolate to more than `threshold`."""
    bits = np.empty((len(down.low), len(across.low)), bool)
    # Along the rows first: the window has fewer rows than the box has, as a rule.
    wide = grid[:, across.low] + (grid[:, across.high] - grid[:, across.low]) * across.share
    step = max(1, BLOCK // len(across.low))
    for start in range(0, len(bits), step):
        part = slice(start, start + step)
        low = wide[down.low[part]]
        bits[part] = low + (wide[down.high[part]] - low) * down.share[part, None] > threshold
    return bits


def _extents(masks: Sequence[CropMask]) -> NDArray[np.int64]:
    """(N, 4) xyxy of the crops."""
    corners = [(m.left, m.top, m.left + m.bits.shape[1], m.top + m.bits.shape[0]) for m in masks]
    return np.array(corners, np.int64).reshape(-1, 4)


def _cut(mask: CropMask, x: slice, y: slice) -> NDArray[np.bool_]:
    return mask.bits[y.start - mask.top : y.stop - mask.top, x.start - mask.left : x.stop - mask.left]


def _decompress(counts: str | bytes) -> list[int]:
    """COCO's text form of run lengths: 5 bits a character, lowest first, bit 6 set where more follow; from the fourth run
    on, the difference to the last but one."""
    data = counts.encode() if isinstance(counts, str) else counts
    runs: list[int] = []
    value = shift = 0
    for byte in data:
        digit = byte - 48
        value |= (digit & 0x1F) << shift
        shift += 5
        if not digit & 0x20:
            value -= (1 << shift) if digit & 0x10 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


# What the four pixels around a point make of it: which of them a corner of the outline goes round (0 north-west, 1
# north-east, 2 south-west, 3 south-east), because it is the only one set or the only one not; two where a diagonal is set.
# That pixel says where the corner's two edges run: to its side, and up or down to it.
_CORNERS = np.full((16, 2), -1, np.int64)
_CORNERS[[1, 2, 4, 8], 0] = _CORNERS[[14, 13, 11, 7], 0] = [0, 1, 2, 3]
_CORNERS[[9, 6]] = [[0, 3], [1, 2]]
_IS_CORNER = _CORNERS[:, 0] >= 0


def _rings(bits: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Closed outlines along pixel edges, each (P, 2) xy corners; parts that touch at a corner alone are apart.

    A grid point is a corner where its four pixels hold an odd number, or two on a diagonal: then two corners meet there.
    Along every row of points the corners join pairwise, and so they do along every column.
    """
    pixels = np.pad(bits, 1).view(np.uint8)
    # Bits 1, 2, 4, 8: the pixel north-west, north-east, south-west, south-east of the point.
    across = pixels[:, :-1] + 2 * pixels[:, 1:]
    around = across[:-1] + 4 * across[1:]
    y, x = np.nonzero(_IS_CORNER[around])
    kinds = _CORNERS[around[y, x]]
    two = np.flatnonzero(kinds[:, 1] >= 0)
    kind = np.concatenate([kinds[:, 0], kinds[two, 1]])
    y, x = np.concatenate([y, y[two]]), np.concatenate([x, x[two]])
    right, lower = kind % 2, kind // 2
    rows, columns = np.lexsort((right, x, y)), np.lexsort((lower, y, x))
    partner_in_row, partner_in_column = _pairs(rows), _pairs(columns)
    free = [True] * len(x)
    rings = []
    for first in range(len(x)):
        ring = []
        corner = first
        while free[corner]:
            other = partner_in_row[corner]
            free[corner] = free[other] = False
            ring += [corner, other]
            corner = partner_in_column[other]
        if ring:
            rings.append(np.column_stack([x[ring], y[ring]]))
    return rings


def _pairs(order: NDArray[np.int64]) -> list[int]:
    """For each index its neighbour when `order` is cut into pairs."""
    partner = np.empty(len(order), np.int64)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    listed: list[int] = partner.tolist()
    return listed


def _simplified(ring: NDArray[np.int64], tolerance: float) -> NDArray[np.int64]:
    """A ring (P, 2) with fewer corners; the two that lie farthest apart from the first on stay."""
    if tolerance <= 0:
        return ring
    start = int(np.argmax(((ring - ring.mean(axis=0)) ** 2).sum(axis=1)))
    ring = np.roll(ring, -start, axis=0)
    closed = np.concatenate([ring, ring[:1]]).astype(np.float64)
    far = int(np.argmax(((closed - closed[0]) ** 2).sum(axis=1)))
    kept = np.zeros(len(closed), bool)
    kept[[0, far, -1]] = True
    waiting = [(0, far), (far, len(closed) - 1)]
    while waiting:
        low, high = waiting.pop()
        if high - low < 2:
            continue
        apart = _distances(closed[low + 1 : high], closed[low], closed[high])
        farthest = int(np.argmax(apart))
        if apart[farthest] > tolerance:
            middle = low + 1 + farthest
            kept[middle] = True
            waiting += [(low, middle), (middle, high)]
    return ring[kept[:-1]]


def _distances(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of points (P, 2) from the line through two others, or from the point where the two are one."""
    along = end - start
    length = float(np.hypot(*along))
    away = points - start
    if length == 0:
        apart: NDArray[np.float64] = np.hypot(away[:, 0], away[:, 1])
        return apart
    across: NDArray[np.float64] = np.abs(away[:, 0] * along[1] - away[:, 1] * along[0]) / length
    return across
