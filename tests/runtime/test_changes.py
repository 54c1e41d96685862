"""What counts as a change of the picture, and what the light and the sensor do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facings.errors import ConfigError
from facings.runtime.changes import ChangeDetector, Sensitivity, cell_means, fit_light, grown, touched


def scene(seed: int = 0, height: int = 20, width: int = 30) -> np.ndarray:
    """Means of cells, 30 to 190: darker and brighter parts."""
    return np.random.default_rng(seed).uniform(30, 190, (height, width, 3)).astype(np.float32)


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))), st.integers(2, 7))
def test_means_are_those_of_the_padded_picture(image: np.ndarray, cell: int) -> None:
    height, width = (-(-side // cell) * cell for side in image.shape[:2])
    padded = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="edge")
    expected = padded.astype(np.float64).reshape(height // cell, cell, width // cell, cell, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(cell_means(image, cell), expected, atol=1e-3)


def test_the_largest_cell_does_not_overflow() -> None:
    assert cell_means(np.full((300, 300, 3), 255, np.uint8), 256).tolist() == [[[255] * 3] * 2] * 2


@pytest.mark.parametrize("spoiled", [0.0, 0.1, 0.2])
def test_light_is_found_whatever_a_part_of_the_picture_does(spoiled: float) -> None:
    generator = np.random.default_rng(1)
    reference = scene()
    gain, offset = np.array([0.85, 0.9, 1.1], np.float32), np.array([6, -3, 0], np.float32)
    now = reference * gain + offset + generator.normal(0, 0.5, reference.shape).astype(np.float32)
    where = generator.random(reference.shape[:2]) < spoiled
    now[where] = generator.uniform(0, 255, (int(where.sum()), 3))
    light = fit_light(reference, now)
    np.testing.assert_allclose(light.gain, gain, atol=0.02)
    np.testing.assert_allclose(light.offset, offset, atol=2.0)
    np.testing.assert_allclose(light.undone(light.seen(reference)), reference, atol=1e-3)


def test_one_grey_has_no_gain() -> None:
    light = fit_light(np.full((1, 1, 3), 100, np.float32), np.full((1, 1, 3), 90, np.float32))
    assert (light.gain.tolist(), light.offset.tolist()) == ([1, 1, 1], [-10, -10, -10])
    assert light.within(1.3) and not fit_light(
        np.full((4, 4, 3), 200, np.float32), np.zeros((4, 4, 3), np.float32)
    ).within(1.3)


def test_noise_is_tolerated_and_a_single_cell_is_seen() -> None:
    detector, reference = ChangeDetector(), scene()
    detector.restart(reference)
    for seed, spread in enumerate((0.5, 1.0, 2.0)):
        noise = np.random.default_rng(seed).normal(0, spread, reference.shape).astype(np.float32)
        assert not detector.compare(reference + noise)[0].cells.any()
    now = reference.copy()
    now[7, 9] += 12
    change, light = detector.compare(now)
    assert np.argwhere(change.cells).tolist() == [[7, 9]] and change.share == pytest.approx(1 / 600)
    detector.accept(now, change.cells, light)
    assert not detector.compare(now)[0].cells.any()
    assert detector.compare(reference)[0].cells[7, 9]


def test_neighbours_of_a_change_belong_to_it() -> None:
    detector, reference = ChangeDetector(Sensitivity(level=6, settled=0.5)), scene()
    detector.restart(reference)
    now = reference.copy()
    now[5, 5] += 9
    now[5, 6] += 4  # enough beside a change
    now[12, 12] += 4  # not enough alone
    assert np.argwhere(detector.compare(now)[0].cells).tolist() == [[5, 5], [5, 6]]


def test_a_change_has_to_last() -> None:
    detector, reference = ChangeDetector(Sensitivity(frames=3)), scene()
    detector.restart(reference)
    now, nearly = reference.copy(), reference.copy()
    now[3, 3] += 20
    nearly[3, 3] += 5  # between the limits: it neither goes on nor begins anew
    found = [detector.compare(frame)[0].cells.any() for frame in (now, now, reference, now, nearly, now, now)]
    assert found == [False] * 6 + [True]


def test_light_beyond_the_limit_is_all_change() -> None:
    detector, reference = ChangeDetector(Sensitivity(light=1.2)), scene()
    detector.restart(reference)
    assert not detector.compare(reference * np.float32(0.9))[0].beyond
    change = detector.compare(reference * np.float32(0.7))[0]
    assert change.beyond and change.share == 1.0


def test_touched_is_what_a_loop_over_pixels_finds() -> None:
    generator = np.random.default_rng(0)
    cells = generator.random((5, 7)) < 0.15
    corners = np.sort(generator.integers(0, (36, 28, 36, 28), (200, 4)).reshape(200, 2, 2), axis=1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1] + 1], axis=1)
    boxes = np.minimum(boxes, (35, 25, 35, 25))
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
    pixels = np.kron(cells, np.ones((5, 5), bool))
    expected = [bool(pixels[y1:y2, x1:x2].any()) for x1, y1, x2, y2 in boxes]
    assert touched(cells, boxes, 5).tolist() == expected
    assert touched(cells, np.zeros((0, 4), np.int64), 5).shape == (0,)
    one = np.zeros((4, 4), bool)
    one[0, 3] = True
    assert np.argwhere(grown(one)).tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]


def test_wrong_settings_and_shapes() -> None:
    with pytest.raises(ValueError, match="the reference is None"):
        ChangeDetector().compare(scene())
    detector = ChangeDetector()
    detector.restart(scene())
    with pytest.raises(ValueError, match=r"the reference is \(20, 30, 3\)"):
        detector.compare(scene(0, 21))
    for words, message in (({"cell": 1}, "cell is 1"), ({"frames": 0}, "frames 0"), ({"light": 0.5}, "light 0.5")):
        with pytest.raises(ConfigError, match=message):
            Sensitivity(**words)
