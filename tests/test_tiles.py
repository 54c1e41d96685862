"""Tiles on a 4K picture of known rectangles, looked at by a detector that finds all that its crop shows."""

import doctest
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facings.tiles
from facings.boxes import clip, iou, letterbox_transform, to_input
from facings.errors import ConfigError
from facings.masks import CropMask, joined, mask_iou, moved, trimmed
from facings.metrics.seams import seam_errors
from facings.tile_merging import merge
from facings.tiles import Tiling, detect, in_picture, tile_grid

HEIGHT, WIDTH, INPUT = 2160, 3840, 640
Detector = Callable[[np.ndarray], dict[str, Any]]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Every pixel says where it is, so that a detector knows which tile it was given."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x // 256 * 16 + y // 256, x % 256, y % 256], axis=-1).astype(np.uint8)


def shelf(seed: int, low: float = 60, high: float = 180) -> np.ndarray:
    """(M, 4) products that touch each other, in rows over the whole picture; sides in pixels."""
    random = np.random.default_rng(seed)
    boxes, y = [], 0.0
    while y < HEIGHT - high:
        tall, x = random.uniform(low, high), 0.0
        while x < WIDTH - high:
            wide = random.uniform(low, high)
            boxes.append([x, y + random.uniform(0, 0.2) * tall, x + wide, y + tall])
            x += wide
        y += tall
    return np.array(boxes, np.float32)


def perfect(truth: np.ndarray, *, jitter: float = 0.0) -> Detector:
    """Finds every product that the crop shows 4 pixels of, as far as it shows it. `jitter`: how far corners are off."""
    random = np.random.default_rng(0)

    def run(crop: np.ndarray) -> dict[str, Any]:
        (high, x, y), (height, width) = crop[0, 0].astype(int), crop.shape[:2]
        left, top = high // 16 * 256 + x, high % 16 * 256 + y
        tile = np.array([left, top, left + width, top + height])
        seen = np.concatenate([np.maximum(truth[:, :2], tile[:2]), np.minimum(truth[:, 2:], tile[2:])], axis=1)
        index = np.flatnonzero((seen[:, 2:] - seen[:, :2] >= 4).all(axis=1))
        boxes = seen[index] + random.uniform(-jitter, jitter, (len(index), 4)) - np.tile(tile[:2], 2)
        transform = letterbox_transform(height, width, INPUT)
        scores = random.uniform(0.5, 0.95, len(index)).astype(np.float32)
        boxes = to_input(boxes.astype(np.float32), transform)
        return {"boxes": boxes, "scores": scores, "labels": index % 3, "transform": transform}

    return run


def test_example_by_hand() -> None:
    assert doctest.testmod(facings.tiles).failed == 0


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(40, 300), st.floats(0.1, 0.5))
def test_grid_covers_the_picture(height: int, width: int, size: int, share: float) -> None:
    overlap = int(np.ceil(size * share))
    grid = tile_grid(height, width, size, overlap)
    covered = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in grid:
        covered[y1:y2, x1:x2] = True
        assert (x2 - x1, y2 - y1) == (min(size, width), min(size, height))
    assert covered.all()
    columns = sorted({int(x) for x in grid[:, 0]})
    assert all(before + size - after >= overlap for before, after in pairwise(columns))
    # One tile fewer would not do.
    assert len(columns) == 1 or (len(columns) - 1) * (size - overlap) + overlap < width


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jitter", [0.0, 3.0])
def test_nothing_is_split_or_doubled(picture: np.ndarray, seed: int, jitter: float) -> None:
    truth = shelf(seed)
    tiling = Tiling(640, 220)
    found = detect(picture, perfect(truth, jitter=jitter), input_size=INPUT, tiling=tiling)
    counts = seam_errors(truth, found.boxes, tiling.boxes(HEIGHT, WIDTH))
    assert counts["products"] > len(truth) / 2
    assert (counts["split"], counts["doubled"], counts["missed"]) == (0, 0, 0)
    assert len(found) == len(truth)
    best = iou(truth, found.boxes)
    assert best.max(axis=1).min() > (0.75 if jitter else 0.999)
    assert (np.diff(found.scores) <= 0).all()
    assert np.array_equal(found.labels, np.arange(len(truth))[best.argmax(axis=0)] % 3)


def test_without_merging_seams_show(picture: np.ndarray) -> None:
    """The measure itself: the same detections, simply put side by side."""
    truth, tiling = shelf(0), Tiling(640, 220)
    grid = tiling.boxes(HEIGHT, WIDTH)
    boxes = [
        in_picture(perfect(truth)(picture[y1:y2, x1:x2]), y2 - y1, x2 - x1)["boxes"] + np.array([x1, y1, x1, y1])
        for x1, y1, x2, y2 in grid.tolist()
    ]
    counts = seam_errors(truth, np.concatenate(boxes).astype(np.float32), grid)
    assert counts["doubled"] > 100


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("jitter", [0.0, 3.0])
def test_products_larger_than_the_overlap(picture: np.ndarray, whole: bool, jitter: float) -> None:
    """Put together from their parts, or seen in the whole picture: at a seam, a corner, and longer than a tile."""
    large = np.array(
        [
            [500, 100, 900, 400],
            [1500, 300, 1980, 780],
            [2300, 900, 3500, 1100],
            [60, 800, 400, 2100],
            [2400, 1300, 3700, 2150],
        ],
        np.float32,
    )
    small = shelf(1)
    truth = np.concatenate([large, small[(iou(small, large).max(axis=1) == 0)]])
    tiling = Tiling(640, 220, whole=whole)
    found = detect(picture, perfect(truth, jitter=jitter), input_size=INPUT, tiling=tiling)
    counts = seam_errors(truth, found.boxes, tile_grid(HEIGHT, WIDTH, 640, 220))
    assert (counts["split"], counts["doubled"], counts["missed"]) == (0, 0, 0)
    assert len(found) == len(truth)
    assert iou(truth, found.boxes).max(axis=1).min() > (0.75 if jitter else 0.98)
    if not whole:
        number = int(iou(large[4:5], found.boxes).argmax())
        assert len({view for view, _ in found.parts[number]}) >= 6


def test_unsure_boxes_swallow_nothing() -> None:
    """A box over everything that the detector hardly believes must not take the parts and neighbours that it is sure of."""
    grid = tile_grid(100, 180, 100, 20)
    boxes = np.array([[60, 10, 100, 40], [80, 0, 180, 100], [85, 12, 99, 38]], np.float32)
    scores = np.array([0.9, 0.1, 0.9], np.float32)
    kept, members = merge(boxes, scores, np.array([0, 1, 1]), grid)
    assert sorted(number for parts in members for number in parts) == [0, 1, 2]
    assert len(kept) == 3


def test_one_tiles_boxes_are_left_alone() -> None:
    grid = tile_grid(100, 180, 100, 20)
    boxes = np.array([[10, 10, 40, 40], [12, 10, 42, 40], [10, 10, 40, 41]], np.float32)
    scores = np.array([0.5, 0.9, 0.7], np.float32)
    kept, members = merge(boxes, scores, np.array([0, 0, 0]), grid)
    assert members == [(1,), (2,), (0,)] and np.array_equal(kept, boxes[[1, 2, 0]])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_merge_equals_its_own_words_for_whole_boxes(seed: int) -> None:
    """Far from all borders, merging is a greedy suppression between tiles: written here without windows or lists."""
    random = np.random.default_rng(seed)
    # The first tile is the whole picture: what another sees too is left to it.
    grid = np.array([[0, 0, 1000, 1000], [5, 5, 1000, 990], [0, 5, 990, 1000]])
    tile = random.integers(0, 3, 40)
    corners = random.uniform(100, 300, (40, 2))
    boxes = np.concatenate([corners, corners + random.uniform(50, 200, (40, 2))], axis=1).astype(np.float32)
    scores = random.uniform(size=40).astype(np.float32)
    _, members = merge(boxes, scores, tile, grid)
    waiting = [i for i in np.argsort(-scores) if tile[i] != 0]
    kept: list[int] = []
    for i in waiting:
        if all(tile[i] == tile[k] or iou(boxes[i][None], boxes[k][None])[0, 0] < 0.5 for k in kept):
            kept.append(int(i))
    assert [numbers[0] for numbers in members] == kept


def test_many_boxes_take_seconds(picture: np.ndarray) -> None:
    """As many unsure boxes as a detector without threshold gives."""
    random = np.random.default_rng(0)
    tiling = Tiling(640, 220)
    grid = tiling.boxes(HEIGHT, WIDTH)
    tile = np.repeat(np.arange(len(grid)), 300)
    corners = random.uniform(0, 560, (len(tile), 2)) + grid[tile, :2]
    sides = random.uniform(20, 200, (len(tile), 2))
    boxes = np.minimum(np.concatenate([corners, corners + sides], axis=1), np.tile(grid[tile, 2:], 2))
    kept, members = merge(boxes.astype(np.float32), random.uniform(size=len(tile)).astype(np.float32), tile, grid)
    assert 0 < len(kept) == len(members) < len(tile)


def test_masks_of_parts_are_joined(picture: np.ndarray) -> None:
    """An ellipse larger than the overlap: each tile draws its part, together they are the ellipse."""
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    shape = ((x - 900) / 400) ** 2 + ((y - 800) / 300) ** 2 <= 1
    truth = np.array([[500, 500, 1300, 1100], [3000, 100, 3100, 180]], np.float32)
    shape[100:180, 3000:3100] = True
    boxes_of = perfect(truth)

    def run(crop: np.ndarray) -> dict[str, Any]:
        (high, left, top), size = crop[0, 0].astype(int), crop.shape[0] // 4
        left, top = high // 16 * 256 + left, high % 16 * 256 + top
        part = shape[top : top + 4 * size, left : left + 4 * size].reshape(size, 4, size, 4).mean(axis=(1, 3))
        found = boxes_of(crop)
        return {**found, "coefficients": np.ones((len(found["boxes"]), 1), np.float32), "prototypes": part[None] - 0.5}

    found = detect(picture, run, input_size=INPUT, tiling=Tiling(640, 220))
    assert found.has_masks and len(found) == 2
    expected = [CropMask(500, 500, shape[500:1100, 500:1300]), CropMask(3000, 100, shape[100:180, 3000:3100])]
    assert mask_iou(list(found.masks()), expected).max(axis=1).min() > 0.97
    (alone,) = found.at(np.array([1])).masks()
    assert mask_iou([alone], [list(found.masks())[1]])[0, 0] == 1


def test_whole_picture_is_the_case_of_one_tile() -> None:
    image, random = np.zeros((90, 130, 3), np.uint8), np.random.default_rng(0)
    transform = letterbox_transform(90, 130, 64)
    outputs = {
        "boxes": np.sort(random.uniform(0, 64, (9, 2, 2)), axis=1).reshape(9, 4).astype(np.float32),
        "scores": np.linspace(0.9, 0, 9).astype(np.float32), "labels": np.arange(9), "transform": transform,
        "attributes": random.uniform(size=(9, 2)).astype(np.float32),
        "masks": random.uniform(size=(9, 4, 4)).astype(np.float32),
    }  # fmt: skip
    outputs["boxes"][2] = [0, 0, 64, 5]  # in the border alone
    found = detect(image, lambda crop: outputs, input_size=64, least=0.2)
    kept = [0, 1, 3, 4, 5, 6]
    assert found.labels.tolist() == kept and found.parts == tuple(((0, row),) for row in range(6))
    assert np.array_equal(found.attributes, outputs["attributes"][kept])
    expected = (outputs["boxes"][kept] - np.tile(transform[2:], 2)) / np.tile(transform[:2], 2)
    assert found.boxes == pytest.approx(clip(expected, 90, 130), abs=1e-4)
    assert len(list(found.at(np.array([0, 3])).masks())) == 2
    nothing = detect(image, lambda crop: outputs, input_size=64, least=0.99, tiling=Tiling(64, 16))
    assert len(nothing) == 0 and nothing.attributes.shape == (0, 2) and list(nothing.masks()) == []


def test_large_products_are_the_whole_pictures() -> None:
    """By hand: a picture of 600 × 1000, tiles of 600; what both show at 150, 300 and 500 pixels, with a limit of 300."""
    grid = Tiling(600, 100, whole=True).boxes(600, 1000)
    sides = (150.0, 300.0, 500.0)
    ours = np.array([[10, 10, 10 + side, 110] for side in sides], np.float32)
    theirs = ours + np.array([0, 0, 4, 0], np.float32)
    boxes, tile = np.concatenate([ours, theirs]), np.array([0, 0, 0, 2, 2, 2])
    for scores, expected in (
        # The tile is the surer: it still loses what is large, and keeps what is near the limit.
        ((0.9, 0.8, 0.7, 0.6, 0.5, 0.4), {150: 0, 300: 1, 500: 5}),
        # The whole picture is: it wins near the limit, and loses what is small.
        ((0.6, 0.5, 0.4, 0.9, 0.8, 0.7), {150: 0, 300: 4, 500: 5}),
    ):
        for number, side in enumerate(sides):
            pair = [number, number + 3]
            _, members = merge(boxes[pair], np.array(scores, np.float32)[pair], tile[pair], grid, large=300.0)
            assert [pair[i] for (i,) in members] == [expected[int(side)]]


def test_without_a_whole_picture_nothing_is_too_large() -> None:
    grid = Tiling(600, 100).boxes(600, 1000)
    boxes = np.array([[10, 10, 500, 110]], np.float32)
    kept, _ = merge(boxes, np.ones(1, np.float32), np.zeros(1, np.int64), grid, large=300.0)
    assert len(kept) == 1
    with pytest.raises(ConfigError, match="set whole: true"):
        Tiling(600, 100, large=0.5)


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ConfigError, match="size=16: expected 32"):
        Tiling(16, 4)
    for overlap in (0, 60, 400):
        with pytest.raises(ConfigError, match=f"overlap={overlap}: expected a tenth to a half of size=640"):
            Tiling(640, overlap)


def test_masks_moved_joined_trimmed() -> None:
    one, other = CropMask(2, 3, np.ones((2, 2), bool)), CropMask(5, 4, np.array([[False, True]]))
    both = joined([one, other])
    assert (both.left, both.top, both.bits.shape) == (2, 3, (2, 5)) and both.bits.sum() == 5
    small = trimmed(moved(other, 10, 20))
    assert (small.left, small.top, small.bits.tolist()) == (16, 24, [[True]])
    assert trimmed(CropMask(7, 7, np.zeros((3, 3), bool))).bits.shape == (0, 0)
