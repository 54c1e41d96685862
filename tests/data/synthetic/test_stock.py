"""What makes drawing fast changes nothing: kept drawings, grain cut from a field, pixels counted by a histogram."""

import numpy as np
import pytest
from numpy.typing import NDArray

from facings.data.synthetic.scenes import Scenes, forget
from facings.data.synthetic.sensor import TILE, exposed, grain, linear
from facings.data.synthetic.sprites import laid, paste, premultiplied
from facings.data.synthetic.stock import Stock, step
from facings.data.synthetic.truth import shown_within, windows_of
from tests.conftest import tiny_parameters


@pytest.mark.parametrize("cameras", [None, ("oblique", "walk_by")])
def test_a_frame_is_the_same_whatever_was_drawn_before(cameras: tuple[str, ...] | None) -> None:
    source = Scenes(tiny_parameters(train_scenes=4, cameras=cameras), "train")
    forget()
    alone = source.frame(3)
    forget()
    after = [source.frame(index) for index in range(4)][3]
    assert after.jpeg == alone.jpeg and after.objects == alone.objects


def test_drawings_are_made_once_and_make_room() -> None:
    drawn: list[int] = []

    def draw(tall: int) -> NDArray[np.uint8]:
        drawn.append(tall)
        return np.full((tall, tall, 4), 200, np.uint8)

    stock = Stock(most=60_000)
    assert stock.drawn("a", 60, draw).shape == (68, 68, 4) and stock.drawn("a", 90, draw).shape == (96, 96, 4)
    assert drawn == [96]
    # The newest stays, however large; what came before is drawn anew.
    assert stock.drawn("b", 200, draw).shape[0] == step(200, 2**0.5)
    assert stock.drawn("a", 90, draw).shape[0] == 96 and drawn == [96, 384, 96]
    assert Stock().scaled("c", 500, lambda: draw(40)).shape[0] == 40


@pytest.mark.parametrize("angle", [0.0, 90.0, -90.0, 30.0])
def test_a_turned_sprite_keeps_its_area_and_has_no_dark_rim(angle: float) -> None:
    drawing = np.zeros((120, 80, 4), np.uint8)
    drawing[10:110, 10:70] = (200, 180, 160, 255)
    sprite = laid(premultiplied(drawing), 40, 60, angle)
    canvas, ids = np.full((100, 100, 3), 255, np.uint8), np.zeros((100, 100), np.uint16)
    rng = np.random.default_rng(0)
    whole = paste(canvas, ids, sprite, 5, 5, 7, 1.0, rng)
    assert whole == (ids == 7).sum() == pytest.approx(50 * 30, rel=0.08)
    # Every pixel lies between the pack and the wall before which its shadow falls.
    assert canvas.min() >= 160 * 0.95 * 0.7 - 2


def test_grain_is_normal_in_frames_of_any_size() -> None:
    rng = np.random.default_rng(1)
    for height, width in ((480, 640), (96, TILE + 300)):
        field = grain(height, width, rng)
        assert field.shape == (height, width, 3)
        assert abs(field.mean()) < 0.02 and field.std() == pytest.approx(1, abs=0.02)
    picture = np.full((64, 64, 3), 120, np.uint8)
    assert np.abs(exposed(linear(picture), 0.0, rng).astype(int) - 120).max() <= 1


def test_pixels_are_counted_within_the_edge() -> None:
    ids = np.random.default_rng(2).integers(0, 6, (40, 50)).astype(np.uint16)
    edge = np.array([[10, 5], [39, 5], [39, 24], [10, 24]], float)
    assert np.array_equal(shown_within(ids, edge, 7), np.bincount(ids[5:25, 10:40].ravel(), minlength=8))
    ids[ids == 3] = 0
    assert windows_of(ids, 6)[2] is None and windows_of(ids, 6)[5] is None and windows_of(ids, 6)[0] is not None
