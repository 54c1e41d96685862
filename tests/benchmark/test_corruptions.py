"""Each corruption on a smooth made-up shelf: the same again, stronger with strength, boxes where their objects went."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from facings.benchmark.corruption_light import linear, srgb
from facings.benchmark.corruptions import CORRUPTIONS, STRENGTHS, spoil
from facings.errors import ConfigError, DataError

NO_BOXES = np.zeros((0, 4), np.float32)


@pytest.fixture(scope="module")
def shelf() -> NDArray[np.uint8]:
    """Packs of several colours with an edge and a gradient each, 300 × 400."""
    rng = np.random.default_rng(0)
    image = np.full((300, 400, 3), 60, np.float64)
    for row in range(4):
        for column in range(5):
            colour = rng.uniform(40, 220, 3)
            image[75 * row + 7 : 75 * row + 70, 80 * column + 7 : 80 * column + 73] = colour
    image += np.linspace(-25, 25, 400)[None, :, None]
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("index", [0, 5])
def test_stronger_is_further_from_the_original(shelf, name: str, index: int) -> None:
    before = shelf.copy()
    found = [spoil(shelf, NO_BOXES, name, strength, index=index).image for strength in STRENGTHS]
    apart = [float(np.abs(image.astype(int) - shelf).mean()) for image in found]
    assert (shelf == before).all()
    assert all(image.dtype == np.uint8 and image.shape == shelf.shape for image in found)
    assert apart[0] > 0 and all(b > a for a, b in pairwise(apart)), apart


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_again_and_another_for_another_picture(shelf, name: str) -> None:
    first, again = (spoil(shelf, NO_BOXES, name, 3, index=2).image for _ in range(2))
    assert (first == again).all()
    others = [spoil(shelf, NO_BOXES, name, 3, index=index).image for index in range(3, 9)]
    if name not in ("defocus", "jpeg", "resolution"):
        assert any((first != other).any() for other in others)
    if name in ("low_light", "noise"):
        assert (spoil(shelf, NO_BOXES, name, 3, index=2, seed=1).image != first).any()


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("index", range(4))
def test_boxes_follow_the_tilt(strength: int, index: int) -> None:
    """White rectangles on black: where they are after the tilt is measured in the picture itself."""
    boxes = np.array([[60, 40, 110, 90], [150, 120, 220, 170], [90, 180, 130, 230]], np.float32)
    for box in boxes:
        image = np.zeros((260, 300, 3), np.uint8)
        x1, y1, x2, y2 = box.astype(int)
        image[y1:y2, x1:x2] = 255
        found = spoil(image, box[None], "tilt", strength, index=index)
        # What lies beside the picture is grey; the object is white.
        rows, columns = np.nonzero(found.image[..., 0] > 160)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found.boxes[0] == pytest.approx(seen, abs=2.0)


def test_what_leaves_the_picture_or_is_hidden_no_longer_counts(shelf) -> None:
    boxes = np.array([[0, 0, 3, 3], [170, 130, 220, 170], [397, 297, 400, 300]], np.float32)
    kept = [spoil(shelf, boxes, "tilt", 5, index=index).kept.tolist() for index in range(6)]
    assert all(1 in row for row in kept) and any(row != [0, 1, 2] for row in kept)
    every = np.array([[x, y, x + 20, y + 20] for x in range(0, 380, 20) for y in range(0, 280, 20)], np.float32)
    found = spoil(shelf, every, "occlusion", 5, index=1)
    assert 0 < len(found.kept) < len(every)
    assert (found.boxes == every[found.kept]).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_pictures_of_any_size_and_without_boxes(name: str) -> None:
    for shape in ((1, 1, 3), (2, 400, 3), (33, 17, 3)):
        found = spoil(np.full(shape, 200, np.uint8), NO_BOXES, name, 5, index=0)
        assert found.image.shape == shape and found.boxes.shape == (0, 4) and len(found.kept) == 0


def test_light_goes_there_and_back() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert (srgb(linear(values)) == values).all()


def test_wrong_words_and_pictures_are_refused(shelf) -> None:
    with pytest.raises(ConfigError, match=r"corruption 'fog': unknown; known are low_light"):
        spoil(shelf, NO_BOXES, "fog", 1, index=0)
    with pytest.raises(ConfigError, match="strength 6 of jpeg"):
        spoil(shelf, NO_BOXES, "jpeg", 6, index=0)
    with pytest.raises(DataError, match="float64"):
        spoil(shelf.astype(float), NO_BOXES, "jpeg", 1, index=0)
