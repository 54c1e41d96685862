"""Which photos are fit, where the product is in them, and which differ most."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageFilter

from facings.runtime.photo_checks import PhotoLimits, central_box, diverse, outliers, photo_faults, sharpness

LIMITS = PhotoLimits()


def textured(rng: np.random.Generator, side: int = 200) -> np.ndarray:
    """Patches of all sizes, as on a label."""
    layers = [np.kron(rng.uniform(0, 255, (n, n, 3)), np.ones((side // n, side // n, 1))) for n in (4, 10, 50)]
    return (sum(layers) / 3).astype(np.uint8)


def test_a_fit_photo_has_no_fault(rng: np.random.Generator) -> None:
    assert photo_faults(textured(rng), LIMITS) == []


def test_each_fault_is_named(rng: np.random.Generator) -> None:
    photo = textured(rng)
    blurred = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(8)))
    for crop, words in [
        (photo[:20], "too small: 200 x 20 pixels"),
        (photo // 12, "too dark: mean grey level"),
        (255 - photo // 12, "too bright: mean grey level"),
        (blurred, "blurred: sharpness"),
    ]:
        (fault,) = photo_faults(crop, LIMITS)
        assert fault.startswith(words)


def test_sharpness_does_not_depend_on_light_or_pixels(rng: np.random.Generator) -> None:
    grey = textured(rng, 100)[..., 0].astype(np.float32)
    assert sharpness(grey) == pytest.approx(sharpness(grey * 0.5 + 40), rel=1e-3)
    assert sharpness(np.kron(grey, np.ones((4, 4), np.float32))) == pytest.approx(sharpness(grey), rel=1e-3)
    assert sharpness(np.full((50, 50), 90, np.float32)) == float("inf"), "a plain product cannot be judged"


def test_more_blur_is_less_sharp(rng: np.random.Generator) -> None:
    photo = Image.fromarray(textured(rng))
    found = [
        sharpness(np.asarray(photo.filter(ImageFilter.GaussianBlur(radius)).convert("L"), np.float32))
        for radius in (0, 1, 2, 4, 8)
    ]
    assert found == sorted(found, reverse=True) and len(set(found)) == 5


def test_the_large_central_box_is_the_product() -> None:
    boxes = np.array([[40, 40, 60, 60], [0, 0, 10, 10], [45, 45, 55, 55]], np.float32)
    assert central_box(boxes, np.array([0.9, 0.99, 0.9]), 100, 100) == (0, [])
    pair = np.array([[20, 40, 45, 60], [55, 40, 80, 60]], np.float32)
    assert central_box(pair, np.array([0.9, 0.85]), 100, 100) == (0, [1])
    # The same product twice is no rival of itself.
    assert central_box(pair[[0, 0]], np.array([0.9, 0.89]), 100, 100) == (0, [])


def test_diverse_views_cover_the_others(rng: np.random.Generator) -> None:
    """The farthest view is at most twice as far from a chosen one as with the best choice of all."""
    for _ in range(20):
        angles = rng.uniform(0, 1.5, 9)
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

        def radius(chosen: np.ndarray, angles: np.ndarray = angles) -> float:
            return float(np.abs(angles[:, None] - angles[list(chosen)]).min(axis=1).max())

        best = min(radius(np.array(c)) for c in itertools.combinations(range(9), 3))
        assert radius(diverse(vectors, 3)) <= 2 * best + 1e-6
    assert diverse(vectors, 20).tolist() == list(range(9)) and diverse(vectors[:1], 1).tolist() == [0]
    assert len(set(diverse(np.repeat(vectors[:1], 5, axis=0), 3).tolist())) == 3, "equal views are taken once each"


def test_an_outlier_among_its_own() -> None:
    near = np.array([[1, 0.0], [1, 0.1], [1, -0.1], [1, 0.05], [0, 1]], np.float32)
    vectors = near / np.linalg.norm(near, axis=1, keepdims=True)
    assert outliers(vectors).tolist() == [False] * 4 + [True]
    assert not outliers(vectors[[0, 1, 4]]).any(), "of three nobody can tell"
    assert not outliers(vectors[:4]).any() and not outliers(np.repeat(vectors[:1], 6, axis=0)).any()
