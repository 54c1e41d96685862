"""Frames out of frames: what is pasted, moved or shrunk takes its outline, label and attributes along."""

import albumentations as A
import numpy as np
import pytest
from numpy.typing import NDArray

from facings.data.detection import augmented
from facings.data.frames import Frame, copy_paste, extents, mosaic, renumbered
from facings.data.transforms.detection import training_transform


def frame(boxes: list[list[int]], *, size: tuple[int, int] = (60, 80), outlined: bool = True) -> Frame:
    """Rectangles of colour 100 + number on black, each its own class."""
    image = np.zeros((*size, 3), np.uint8)
    identities = np.zeros(size, np.int16)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        image[y1:y2, x1:x2] = 100 + number
        identities[y1:y2, x1:x2] = number + 1
    labels = np.arange(len(boxes), dtype=np.int64)
    attributes = np.array([[number % 2] for number in range(len(boxes))], np.float32).reshape(-1, 1)
    return Frame(
        image, np.array(boxes, np.float32).reshape(-1, 4), labels, attributes, identities if outlined else None
    )


def assert_consistent(found: Frame) -> None:
    """Every object's box is the extent of its pixels."""
    assert found.identities is not None
    assert set(np.unique(found.identities)) <= set(range(len(found) + 1))
    np.testing.assert_allclose(extents(found.identities, len(found)), found.boxes, atol=1)


def test_extents_by_hand() -> None:
    identities = np.zeros((5, 6), np.int16)
    identities[1:3, 2:5] = 2
    assert extents(identities, 2).tolist() == [[0, 0, 0, 0], [2, 1, 5, 3]]


def test_renumbering_drops_the_others() -> None:
    identities = np.array([[0, 1, 2, 3]], np.int16)
    assert renumbered(identities, np.array([2, 0]), 3).tolist() == [[0, 2, 0, 1]]


def test_mosaic_keeps_outlines_with_their_boxes() -> None:
    parts = [frame([[10, 10, 30, 40]]), frame([]), frame([[0, 0, 80, 60], [5, 5, 9, 9]]), frame([[40, 20, 70, 50]])]
    found = mosaic(parts, 80)
    assert found.image.shape == (160, 160, 3) and found.labels.tolist() == [0, 0, 1, 0]
    assert found.attributes.ravel().tolist() == [0, 0, 1, 0]
    # The second frame's first object has the smaller one on it, so its pixels are not its whole box.
    assert_consistent(found)


def test_mosaic_without_outlines_has_none() -> None:
    parts = [frame([[10, 10, 30, 40]]), *(frame([[1, 1, 9, 9]], outlined=False) for _ in range(3))]
    assert mosaic(parts, 40).identities is None


@pytest.mark.parametrize("seed", range(25))
def test_pasted_objects_bring_their_pixels_and_cut_what_they_cover(seed: int) -> None:
    target = frame([[10, 10, 40, 40], [50, 10, 75, 55]])
    source = frame([[0, 0, 30, 30], [40, 30, 70, 60]], size=(70, 90))
    source = Frame(source.image + 100, source.boxes, source.labels + 5, source.attributes, source.identities)
    found = copy_paste(target, source, np.random.default_rng(seed))
    assert_consistent(found)
    assert found.identities is not None
    for number, label in enumerate(found.labels):
        pixels = found.image[found.identities == number + 1]
        # At the rim a pasted object's colour mixes with its old ground.
        assert np.median(pixels) >= 200 if label >= 5 else (pixels < 200).all()
    kept = set(found.labels.tolist())
    lost = {0, 1} - kept
    for label in lost:
        x1, y1, x2, y2 = target.boxes[label].astype(int)
        assert (found.image[y1:y2, x1:x2] >= 130).mean() > 0.7


def test_pasted_objects_that_miss_the_frame_are_left_out() -> None:
    target = frame([[10, 10, 40, 40]])
    source = frame([[0, 0, 4, 4], [86, 66, 90, 70]], size=(70, 90))
    found = [copy_paste(target, source, np.random.default_rng(seed), scale=(2.0, 3.0)) for seed in range(40)]
    assert any(len(one) == 1 for one in found)
    for one in found:
        assert (one.boxes[:, 2:] > one.boxes[:, :2]).all()


def test_copy_paste_without_outlines_changes_nothing() -> None:
    target = frame([[10, 10, 40, 40]], outlined=False)
    assert copy_paste(target, frame([[0, 0, 9, 9]]), np.random.default_rng(0)) is target


def augment(found: Frame, seed: int, **changes: object) -> Frame:
    settings = {
        "size": 64,
        "blur": 0.0,
        "noise": 0.0,
        "compression": 0.0,
        "brightness": 0.0,
        "saturation": 0.0,
        "hue": 0.0,
    }
    return augmented(found, training_transform(**(settings | changes)), seed)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_augmentation_moves_pixels_outlines_and_boxes_alike(seed: int) -> None:
    original = frame([[10, 10, 34, 44], [40, 20, 76, 50]])
    found = augment(original, seed, rotate_degrees=20.0)
    assert_consistent(found)
    assert found.identities is not None and found.identities.dtype == np.int16
    for number, label in enumerate(found.labels):
        pixels: NDArray[np.uint8] = found.image[found.identities == number + 1]
        # Away from its rim an object still has its own colour.
        assert np.median(pixels) == pytest.approx(100 + label, abs=3)


def test_augmentation_repeats_with_its_seed() -> None:
    original = frame([[10, 10, 34, 44], [40, 20, 76, 50]])
    first, second, other = (augment(original, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.identities, second.identities)
    assert first.image.shape == other.image.shape and not np.array_equal(first.image, other.image)


def test_frames_without_objects_pass() -> None:
    assert len(augment(frame([]), 0)) == 0
    empty = A.Compose([A.NoOp()], bbox_params=A.BboxParams(format="pascal_voc", label_fields=["labels"]))
    assert len(augmented(frame([]), empty, 0)) == 0
