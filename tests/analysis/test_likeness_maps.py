"""Maps of what made two crops alike, by embedders of which it is known what they look at; and drawn."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageColor

from facings.analysis.likeness_maps import (
    ALIKE,
    APART,
    draw_looked_at,
    edge_share,
    likeness_maps,
    looked_at,
    tinted,
)
from facings.analysis.nearest_failures import NearestFailure

Crop = NDArray[np.uint8]


def looking_at(rows: slice, columns: slice) -> object:
    """An embedder that sees the mean colour of one part, against grey, and nothing else."""

    def embed(crops: Sequence[Crop]) -> NDArray[np.float32]:
        means = np.stack([crop[rows, columns].reshape(-1, 3).mean(axis=0) for crop in crops]) / 127.5 - 1 + 1e-3
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)

    return embed


@pytest.fixture
def crop() -> Crop:
    """Blue, with a red square of 20 pixels in the third row and fifth column of seven."""
    picture = np.full((140, 140, 3), (20, 30, 220), np.uint8)
    picture[40:60, 80:100] = (230, 20, 10)
    return picture


def test_the_part_that_is_looked_at_is_found(crop: Crop) -> None:
    embed = looking_at(slice(40, 60), slice(80, 100))
    vectors = embed([crop])  # type: ignore[operator]
    [alone] = likeness_maps(crop, vectors, embed, cover=1)  # type: ignore[arg-type]
    assert np.argwhere(np.abs(alone) > 1e-6).tolist() == [[2, 4]] and alone[2, 4] > 0.5
    # Patches of four cells spread it over those around, evenly: each is the mean of those that lie on it.
    [spread] = likeness_maps(crop, vectors, embed)  # type: ignore[arg-type]
    assert np.unravel_index(spread.argmax(), spread.shape) == (2, 4) and spread[2, 4] == pytest.approx(
        alone[2, 4], rel=0.01
    )
    assert spread[1, 4] == pytest.approx(spread[2, 4] / 2) and spread[1, 3] == pytest.approx(spread[2, 4] / 4)
    assert np.abs(spread[[0, 4, 5, 6]]).max() < 1e-6


def test_what_tells_apart_is_below_zero(crop: Crop) -> None:
    """Asked about a blue vector, the red square is in the way; each vector has a map of its own."""
    embed = looking_at(slice(None), slice(None))
    blue = embed([np.full_like(crop, (20, 30, 220))])  # type: ignore[operator]
    red = embed([np.full_like(crop, (230, 20, 10))])  # type: ignore[operator]
    maps = likeness_maps(crop, np.concatenate([blue, red]), embed, cover=1)  # type: ignore[arg-type]
    assert maps.shape == (2, 7, 7) and maps[0, 2, 4] < 0 < maps[1, 2, 4]
    assert (np.delete(maps[1].ravel(), 2 * 7 + 4) < maps[1, 2, 4]).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (50, 4), (13, 17)])
def test_small_crops_are_covered_too(shape: tuple[int, int]) -> None:
    covered = []

    def embed(crops: Sequence[Crop]) -> NDArray[np.float32]:
        covered.extend(crops)
        return np.tile(np.eye(1, 3, dtype=np.float32), (len(crops), 1))

    crop = np.zeros((*shape, 3), np.uint8)
    crop[0, 0] = 255
    assert not likeness_maps(crop, np.eye(3, dtype=np.float32), embed).any() and len(covered) == 37
    assert covered[1][0, 0, 0] < 255 or crop.size == 3
    with pytest.raises(ValueError, match="cover is 8 of 7 cells"):
        likeness_maps(crop, np.eye(3, dtype=np.float32), embed, cover=8)


def test_the_outer_ring_has_a_share() -> None:
    ring = np.ones((7, 7))
    ring[1:-1, 1:-1] = 0
    assert edge_share(ring) == 1 and edge_share(1 - ring) == 0 and edge_share(np.ones((7, 7))) == pytest.approx(24 / 49)
    assert np.isnan(edge_share(-ring))


def test_tints_say_which_way(crop: Crop) -> None:
    found = np.zeros((7, 7))
    found[0, 0], found[6, 6] = 0.4, -0.4
    grey = np.full((140, 70, 3), 128, np.uint8)
    pixels = np.asarray(tinted(grey, found, 0.4)).astype(int)
    assert pixels.shape == (260, 130, 3)
    for corner, colour in (((0, 0), ALIKE), ((-1, -1), APART)):
        wanted = 0.25 * 128 + 0.75 * np.array(ImageColor.getrgb(colour))
        np.testing.assert_allclose(pixels[corner], wanted, atol=3)
    assert (np.asarray(tinted(grey, np.zeros((7, 7)), 0.0)) == 128).all()


def test_a_failure_is_drawn_with_both_likenesses(crop: Crop) -> None:
    """Two crops share the red square alone; the right view shares the blue ground."""
    embed = looking_at(slice(None), slice(None))
    views = [np.roll(crop, 20, axis=0), crop[:, ::-1].copy()]
    failure = NearestFailure(0, 0, 1, 0.9, 0.8)
    found = looked_at(failure, lambda _: crop, views.__getitem__, embed)  # type: ignore[arg-type]
    vectors = embed([crop, *views])  # type: ignore[operator]
    np.testing.assert_allclose(found.query_nearest, likeness_maps(crop, vectors[1:2], embed)[0])  # type: ignore[arg-type]
    assert found.right is not None
    np.testing.assert_allclose(found.right, likeness_maps(views[1], vectors[:1], embed)[0])  # type: ignore[arg-type]
    alone = looked_at(NearestFailure(0, 0, -1, 0.9, float("nan")), lambda _: crop, views.__getitem__, embed)  # type: ignore[arg-type]
    assert alone.right is None and alone.query_right is None
    sheets = [
        draw_looked_at(ones, lambda _: crop, views.__getitem__, ["tea"], ["pear", "tea"], title="t")
        for ones in ([found], [alone], [])
    ]
    assert sheets[0].height > sheets[1].height > 260 > sheets[2].height
