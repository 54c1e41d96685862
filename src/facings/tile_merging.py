"""What was found tile by tile, put together without doubles or halves at the seams. Knows nothing of how it was found."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facings.boxes import Boxes, area, intersection, iou

Indices = NDArray[np.int64]
# A box that ends within this share of the tile's side from an inner border may have been cut there.
EDGE = 0.02
# Share of a cut box that has to lie inside a whole one of another tile to be the same product.
INSIDE = 0.7
# IoU from which two boxes of two tiles are the same product; for two parts, IoU of what both tiles see of them.
SAME = 0.5
# A box counts against another only if its score is at least this share of the other's: the many unsure boxes that every
# detector gives must not swallow a sure one.
AS_SURE = 0.5
# Share of the limit for large products within which both the tile and the whole picture are asked.
NEARLY = 0.15
# Boxes that are compared with all others at once: bounds memory where a picture gives thousands.
BLOCK = 256


def merge(
    boxes: Boxes, scores: NDArray[np.float32], tile: Indices, grid: Indices, *, large: float = np.inf
) -> tuple[Boxes, list[tuple[int, ...]]]:
    """What was found tile by tile → boxes (M, 4) in descending score, and for each the numbers of the boxes that it was
    made of, the surest first: one, unless a product larger than the overlap was put together from parts.

    `boxes` (N, 4) xyxy pixels of the picture, cut at their tile; `tile` (N,) the tile of each in `grid` (T, 4). Labels
    count for nothing: half a product may well look like another class. Boxes of one tile are never compared with each other.
    `large`: longer side in pixels from which the whole picture, where it is in `grid`, is asked and not the tiles.

    1. What the whole picture shows is left out where some tile sees it whole too, unless it is large; what a tile shows is left
       out where it is large.
    2. A box that ends at an inner border goes when a whole one holds it (seen by the neighbour, or by the whole picture).
    3. Boxes cut on opposite sides of a seam become one when they agree in what both tiles see.
    4. Of two boxes from different tiles with an IoU of 0.5 or more, the surer stays.
    """
    order = np.argsort(-scores, kind="stable")
    if len(grid) == 1:
        return boxes[order], [(int(i),) for i in order]
    sides = cut_sides(boxes, grid[tile], grid)
    cut = np.any(sides, axis=1)
    margin = EDGE * float((grid[0, 2:] - grid[0, :2]).max())
    alive = ~_out_of_scale(boxes, tile, grid, large)
    alive &= ~_held(boxes, scores, tile, inner=alive & cut, outer=alive & ~cut, margin=margin)
    groups = _together(boxes, scores, tile, grid, sides, np.flatnonzero(alive & cut))
    parts = np.zeros(len(boxes), bool)
    parts[[i for group in groups for i in group]] = True
    members = [(int(i),) for i in np.flatnonzero(alive & ~parts)] + [tuple(group) for group in groups]
    first = np.array([numbers[0] for numbers in members], np.int64)
    made = np.array([_around(boxes, numbers) for numbers in members], np.float32).reshape(-1, 4)
    single: NDArray[np.bool_] = np.array([len(numbers) == 1 for numbers in members], bool)
    # Each product put together is a tile of its own: two tiles' rows may both have made it.
    origin = np.where(single, tile[first], -1 - np.arange(len(members)))
    kept = ~_held(made, scores[first], origin, inner=single & cut[first], outer=~single, margin=margin)
    left = np.flatnonzero(kept)
    left = left[_surest(made[left], scores[first[left]], origin[left])]
    return made[left], [members[i] for i in left]


def cut_sides(boxes: Boxes, tiles: Indices, grid: Indices) -> NDArray[np.bool_]:
    """(N, 4): whether each box ends at the left, upper, right, lower border of its tile, and the picture goes on there.

    `tiles` (N, 4): the tile of each box; `grid` (T, 4): all tiles, which cover the picture.
    """
    near = EDGE * np.tile(tiles[:, 2:] - tiles[:, :2], 2)
    inner = tiles != _extent(grid)
    found: NDArray[np.bool_] = inner & (np.abs(boxes - tiles) <= near)
    return found


def _extent(grid: Indices) -> Indices:
    """(4,) the picture that the tiles cover."""
    return np.concatenate([grid[:, :2].min(axis=0), grid[:, 2:].max(axis=0)])


def _out_of_scale(boxes: Boxes, tile: Indices, grid: Indices, large: float) -> NDArray[np.bool_]:
    """(N,): of a tile, but large; or of the whole picture, but neither large nor cut in every tile.

    Near `large` both are kept, so that a product is not lost whose box is just below it here and just above it there.
    """
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    of_whole: NDArray[np.bool_] = (grid == _extent(grid)).all(axis=1)
    if not of_whole.any():
        return np.zeros(len(boxes), bool)
    too_large = ~of_whole[tile] & (side > large * (1 + NEARLY))
    found: NDArray[np.bool_] = too_large | (_left_to_tiles(boxes, tile, grid, of_whole) & (side < large * (1 - NEARLY)))
    return found


def _left_to_tiles(boxes: Boxes, tile: Indices, grid: Indices, of_whole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,): seen in the whole picture, and whole in a tile as well, which sees it larger. `of_whole` (T,): which tile is it."""
    found = np.zeros(len(boxes), bool)
    index = np.flatnonzero(of_whole[tile])
    for number in np.flatnonzero(~of_whole).tolist():
        borders = np.broadcast_to(grid[number], (len(index), 4))
        inside = ((boxes[index, :2] >= borders[:, :2]) & (boxes[index, 2:] <= borders[:, 2:])).all(axis=1)
        found[index[inside & ~cut_sides(boxes[index], borders, grid).any(axis=1)]] = True
    return found


def _held(
    boxes: Boxes,
    scores: NDArray[np.float32],
    origin: Indices,
    *,
    inner: NDArray[np.bool_],
    outer: NDArray[np.bool_],
    margin: float,
) -> NDArray[np.bool_]:
    """(N,): of those `inner`, the ones that lie inside one of those `outer` of another origin, widened by `margin` pixels."""
    held = np.zeros(len(boxes), bool)
    small, large = np.flatnonzero(inner), np.flatnonzero(outer)
    wide = boxes[large] + np.array([-margin, -margin, margin, margin], np.float32)
    for start in range(0, len(small), BLOCK):
        some = small[start : start + BLOCK]
        share = intersection(boxes[some], wide) / np.maximum(area(boxes[some]), 1e-6)[:, None]
        # A box no larger than the part is not the whole of it.
        fits = (share >= INSIDE) & (area(boxes[large])[None] >= INSIDE * area(boxes[some])[:, None])
        fits &= (scores[large][None] >= AS_SURE * scores[some][:, None]) & (
            origin[large][None] != origin[some][:, None]
        )
        held[some] = fits.any(axis=1)
    return held


def _together(
    boxes: Boxes,
    scores: NDArray[np.float32],
    tile: Indices,
    grid: Indices,
    sides: NDArray[np.bool_],
    index: Indices,
) -> list[list[int]]:
    """Groups of two or more of the boxes `index` that are parts of one product, the surest first."""
    group = {int(i): [int(i)] for i in index}
    of_tile = {number: index[tile[index] == number] for number in set(tile[index].tolist())}
    for a in sorted(of_tile):
        for b in sorted(number for number in of_tile if number > a):
            both = np.concatenate([np.maximum(grid[a, :2], grid[b, :2]), np.minimum(grid[a, 2:], grid[b, 2:])])
            if (both[2:] <= both[:2]).any():
                continue
            agreed = _agreement(boxes, scores, sides, of_tile[a], of_tile[b], grid[a], grid[b], both.astype(np.float32))
            free = [np.ones(size, bool) for size in agreed.shape]
            for place in np.argsort(-agreed, axis=None, kind="stable")[: int((agreed >= SAME).sum())]:
                i, j = np.unravel_index(place, agreed.shape)
                if free[0][i] and free[1][j]:
                    free[0][i] = free[1][j] = False
                    _unite(group, int(of_tile[a][i]), int(of_tile[b][j]))
    groups = {id(members): members for members in group.values() if len(members) > 1}
    return [sorted(members, key=lambda i: (-scores[i], i)) for members in groups.values()]


def _agreement(
    boxes: Boxes,
    scores: NDArray[np.float32],
    sides: NDArray[np.bool_],
    first: Indices,
    second: Indices,
    tile: Indices,
    other: Indices,
    both: NDArray[np.float32],
) -> NDArray[np.float32]:
    """IoU, inside the part `both` that two tiles share, of boxes that each tile's border cuts where the other goes on."""
    # The border of one tile lies inside the other: left and upper when it begins later, right and lower when it ends sooner.
    begins = np.array([1, 1, -1, -1])
    open_first = np.any(sides[first] & (begins * tile > begins * other), axis=1)
    open_second = np.any(sides[second] & (begins * other > begins * tile), axis=1)
    seen = [_within(boxes[numbers], both) for numbers in (first, second)]
    least = np.minimum(scores[first][:, None], scores[second][None])
    most = np.maximum(scores[first][:, None], scores[second][None])
    fits = open_first[:, None] & open_second[None] & (least >= AS_SURE * most)
    return np.where(fits, iou(*seen), 0).astype(np.float32)


def _within(boxes: Boxes, part: NDArray[np.float32]) -> Boxes:
    low, high = np.maximum(boxes[:, :2], part[:2]), np.minimum(boxes[:, 2:], part[2:])
    return np.concatenate([low, np.maximum(high, low)], axis=1)


def _unite(group: dict[int, list[int]], first: int, second: int) -> None:
    """Put the groups of two boxes together."""
    if group[first] is not group[second]:
        group[first].extend(group[second])
        for member in group[second]:
            group[member] = group[first]


def _around(boxes: Boxes, numbers: Sequence[int]) -> Boxes:
    some = boxes[list(numbers)]
    return np.concatenate([some[:, :2].min(axis=0), some[:, 2:].max(axis=0)])


def _surest(boxes: Boxes, scores: NDArray[np.float32], origin: Indices) -> Indices:
    """Non-maximum suppression between origins, never within one: what stays, best first."""
    rivals: dict[int, list[int]] = {}
    by_left = np.argsort(boxes[:, 0], kind="stable")
    left = boxes[by_left, 0]
    for place, i in enumerate(by_left):
        # Two boxes whose IoU is `SAME` share that much of their widths: what begins further right cannot.
        end = np.searchsorted(left, boxes[i, 0] + (1 - SAME) * (boxes[i, 2] - boxes[i, 0]), side="right")
        others = by_left[place + 1 : end]
        others = others[origin[others] != origin[i]]
        for j in others[iou(boxes[i][None], boxes[others])[0] >= SAME].tolist():
            rivals.setdefault(int(i), []).append(j)
            rivals.setdefault(j, []).append(int(i))
    order = np.argsort(-scores, kind="stable")
    dropped: set[int] = set()
    kept = []
    for i in order.tolist():
        if i not in dropped:
            kept.append(i)
            dropped.update(rivals.get(i, ()))
    return np.array(kept, np.int64)
