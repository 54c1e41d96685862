"""Each augmentation of a crop: it does something, stays in bounds, repeats by seed, and leaves varieties apart."""

from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from facings.data.transforms.bag import PlasticBag
from facings.data.transforms.box_jitter import BoxJitter, side_sigmas
from facings.data.transforms.colour_temperature import LINEAR, ColourTemperature, adaptation, black_body, lab, to_srgb
from facings.data.transforms.crop_compose import CropCompose
from facings.data.transforms.light import Glare, LowLight
from facings.data.transforms.occlusion import Neighbours
from facings.data.transforms.recognition import training_transform as plain_transform
from facings.data.transforms.shelf_crops import training_transform
from facings.errors import ConfigError

Picture = NDArray[np.uint8]
STEPS: dict[str, A.BasicTransform] = {
    "jitter": BoxJitter([0.05] * 4),
    "neighbours": Neighbours((0.06, 0.25), p=1.0),
    "bag": PlasticBag((0.1, 0.35), p=1.0),
    "temperature": ColourTemperature(60.0, 6.0, p=1.0),
    "glare": Glare((0.4, 0.95), p=1.0),
    "low_light": LowLight((0.1, 0.5), p=1.0),
}
OFF = dict.fromkeys(
    (
        "jitter",
        "neighbours",
        "bag",
        "temperature",
        "glare",
        "low_light",
        "motion_blur",
        "defocus",
        "compression",
        "flip",
    ),
    0.0,
)


def picture(height: int = 60, width: int = 48, seed: int = 0) -> Picture:
    """Smooth blobs of colour, neither black nor white."""
    small = np.random.default_rng(seed).integers(40, 200, (5, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def call(step: Any, image: Picture, seed: int = 0, box: Any = None, others: Any = ()) -> Picture:
    pipeline = step if isinstance(step, A.Compose) else CropCompose([step])
    pipeline.set_random_seed(seed)
    result: Picture = pipeline(image=image, box=box, others=others)["image"]
    return result


@pytest.mark.parametrize("name", sorted(STEPS))
def test_each_step_changes_the_crop_and_repeats_by_seed(name: str) -> None:
    image, others = picture(), [picture(seed=1), picture(30, 70, seed=2)]
    kept = image.copy()
    first = call(STEPS[name], image, 3, others=others)
    assert first.dtype == np.uint8 and first.ndim == 3 and (first.shape != image.shape or (first != image).any())
    assert np.array_equal(first, call(STEPS[name], image, 3, others=others))
    different = call(STEPS[name], image, 4, others=others)
    assert first.shape != different.shape or (first != different).any()
    assert np.array_equal(image, kept), "the cached crop was written to"


@pytest.mark.parametrize("name", sorted(STEPS))
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 2), (3, 3)])
def test_the_smallest_crops_pass(name: str, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    for seed in range(3):
        result = call(STEPS[name], image, seed, others=[picture(), image])
        assert result.size and (name == "jitter" or result.shape == image.shape)


@given(st.integers(0, 500))
@settings(max_examples=40, deadline=None)
def test_the_box_moves_within_three_sigmas_into_real_surroundings(seed: int) -> None:
    """Columns and rows are numbered, so that the cut can be read off the crop."""
    rows, columns = np.mgrid[:100, :120]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)
    box = np.array([30.0, 20.0, 90.0, 70.0])
    cut = call(BoxJitter([0.05] * 4), image, seed, box=box)
    found = np.array([cut[0, 0, 1], cut[0, 0, 0], cut[-1, -1, 1] + 1, cut[-1, -1, 0] + 1], float)
    assert np.abs((found - box) / [60, 50, 60, 50]).max() <= 0.15 + 0.5 / 50
    assert np.array_equal(cut, image[int(found[1]) : int(found[3]), int(found[0]) : int(found[2])])


def test_jitter_errs_as_asked_and_the_measure_gives_it_back() -> None:
    rows, columns = np.mgrid[:250, :250]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)
    true = np.tile(np.array([50, 50, 200, 200], np.float32), (600, 1))
    cuts = [call(BoxJitter([0.02, 0.04, 0.06, 0.08]), image, seed, box=true[0]) for seed in range(600)]
    detected = np.array(
        [[c[0, 0, 1], c[0, 0, 0], int(c[-1, -1, 1]) + 1, int(c[-1, -1, 0]) + 1] for c in cuts], np.float32
    )
    # Standard error of a standard deviation from 600 draws: 2.9 %. Cut at 3 sigmas, 1.3 % is lost.
    assert side_sigmas(detected, true) == pytest.approx((0.02, 0.04, 0.06, 0.08), rel=0.12)


def test_jitter_stops_at_the_edge_of_the_photo_and_mirrors_a_whole_picture() -> None:
    image = picture()
    for seed in range(20):
        at_edge = call(BoxJitter([0.1] * 4), image, seed, box=np.array([0.0, 0.0, 48.0, 60.0]))
        assert at_edge.shape[0] <= 60 and at_edge.shape[1] <= 48
    whole = [call(BoxJitter([0.1] * 4), image, seed).shape for seed in range(20)]
    assert max(s[0] for s in whole) > 60 and min(s[0] for s in whole) < 60
    still = call(BoxJitter([0.1] * 4, chance=0.0), image, 0, box=np.array([5.0, 6.0, 20.0, 30.0]))
    assert np.array_equal(still, image[6:30, 5:20])


@pytest.mark.parametrize("seed", range(12))
def test_neighbours_cover_the_border_and_leave_the_middle(seed: int) -> None:
    red, blue = np.full((60, 60, 3), (200, 0, 0), np.uint8), np.full((40, 50, 3), (0, 0, 200), np.uint8)
    result = call(Neighbours((0.1, 0.25), p=1.0), red, seed, others=[blue])
    covered = result[..., 2] > 100
    # Two at most, each 1.5 × 0.25 deep where its edge bends furthest, 0.25 in the mean of the bend's extremes.
    assert 0.05 < covered.mean() < 0.55 and not covered[25:35, 25:35].any()
    assert covered[[0, -1]].any() or covered[:, [0, -1]].any()
    assert np.array_equal(call(Neighbours((0.1, 0.25), p=1.0), red, seed, others=[]), red)


def test_a_neighbour_of_one_line_is_not_drawn_out_to_a_frame_of_gigabytes() -> None:
    """30,000 pixels wide and one high, beside a crop of 500 lines: 15 million wide at the crop's height."""
    line = np.full((1, 30000, 3), (30, 40, 200), np.uint8)
    red = np.full((500, 400, 3), (200, 30, 30), np.uint8)
    found = call(Neighbours((0.2, 0.25), p=1.0), red, 0, others=[line])
    assert found.shape == red.shape and (found[..., 2] > 150).mean() > 0.05


@pytest.mark.parametrize("seed", range(6))
def test_glare_only_adds_light(seed: int) -> None:
    image = picture()
    bright = call(STEPS["glare"], image, seed).astype(int) - image
    assert bright.min() >= -1 and bright.max() > 20 and np.median(bright) < bright.max() / 2


def test_a_bag_takes_colour_away_and_glosses() -> None:
    image = np.full((80, 80, 3), (190, 30, 30), np.uint8)
    spread = [np.ptp(call(STEPS["bag"], image, seed).astype(int), axis=2) for seed in range(6)]
    assert max(s.mean() for s in spread) < 160 and all(s.std() > 1 for s in spread)


def test_low_light_is_darker_and_noisier_and_the_noise_is_that_of_light() -> None:
    flat = np.full((120, 120, 3), 120, np.uint8)
    step = LowLight((0.2, 0.2), p=1.0)
    for seed in range(4):
        result = LINEAR[call(step, flat, seed)]
        gain = result.mean() / LINEAR[120]
        assert 0.2 < gain < 1.0
        # EMVA 1288: of n electrons the signal-to-noise ratio is n / sqrt(n + read²); the gain does not change it.
        electrons = LINEAR[120] * 0.2 * 1500
        assert result.mean() / result.std() == pytest.approx(electrons / np.sqrt(electrons + 16), rel=0.1)


def test_the_black_body_line_passes_known_lights() -> None:
    """CIE illuminant A is the black body of 2856 K: x 0.4476, y 0.4074 (CIE 15). Daylight's white lies beside the line, near it."""
    assert black_body(2856) == pytest.approx((0.4476, 0.4074), abs=1e-3)
    assert black_body(6504) == pytest.approx((0.3135, 0.3237), abs=1e-3)
    assert np.allclose(adaptation(0.0), np.eye(3))
    assert adaptation(50.0)[0, 0] > 1 > adaptation(50.0)[2, 2]


def test_lab_agrees_with_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    image = picture()
    theirs = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert np.abs(lab(LINEAR[image]) - theirs).max() < 0.5
    assert np.array_equal(to_srgb(LINEAR[image]), image)


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=2, max_size=6), st.integers(0, 10**6), st.floats(1, 12))
@settings(max_examples=60, deadline=None)
def test_no_colour_moves_further_than_the_limit(colours: list[tuple[int, int, int]], seed: int, limit: float) -> None:
    image = np.repeat(np.array([colours], np.uint8), 4, axis=0)
    moved = call(ColourTemperature(100.0, limit, p=1.0), image, seed)
    distance = np.linalg.norm(lab(LINEAR[moved]) - lab(LINEAR[image]), axis=-1)
    # 95 % of the pixels (with so few colours: all but at most the quantile's interpolation), and rounding to 8 bits.
    assert np.quantile(distance, 0.95) <= limit + 1.5


HUES = {
    "Granny Smith": (140, 175, 60),
    "Golden Delicious": (205, 195, 90),
    "Royal Gala": (200, 90, 60),
    "Red": (150, 30, 45),
}


def hue(image: Picture) -> float:
    """Lab hue of the mean colour in degrees: about 20 for red, 120 for green."""
    _, a, b = lab(LINEAR[image].reshape(-1, 3).mean(axis=0))
    return float(np.degrees(np.arctan2(b, a)))


def test_the_order_of_hues_from_red_to_green_is_kept() -> None:
    """Each apple under a light of its own, the worst case: the reddest still is redder than the next, and so on."""
    moved = {
        name: [hue(call(STEPS["temperature"], np.full((8, 8, 3), colour, np.uint8), seed)) for seed in range(40)]
        for name, colour in HUES.items()
    }
    for greener, redder in zip(list(HUES)[:-1], list(HUES)[1:], strict=True):
        assert min(moved[greener]) > max(moved[redder])


def test_real_green_apples_stay_greener_than_red_ones(shared_data: Path) -> None:
    folder = shared_data / "grocery_store" / "dataset" / "iconic-images-and-descriptions" / "Fruit" / "Apple"
    kinds = {}
    for kind in ("Granny-Smith", "Golden-Delicious", "Red-Delicious"):
        image = np.asarray(Image.open(folder / kind / f"{kind}_Iconic.jpg").convert("RGB").resize((64, 64)))
        fruit = image[24:40, 24:40]
        kinds[kind] = [hue(call(STEPS["temperature"], fruit, seed)) for seed in range(20)]
    assert min(kinds["Granny-Smith"]) > max(kinds["Golden-Delicious"]) > max(kinds["Red-Delicious"])
    assert min(kinds["Golden-Delicious"]) > max(kinds["Red-Delicious"])


class Coin(A.ImageOnlyTransform):
    """Marks a pixel when it comes."""

    def __init__(self, column: int) -> None:
        super().__init__(p=0.5)
        self.column = column

    def apply(self, img: Picture, **params: Any) -> Picture:
        img = img.copy()
        img[0, self.column] = 1
        return img


def test_steps_come_independently_of_one_another() -> None:
    """albumentations' own Compose seeds all steps alike: both come or neither. Nested ones too."""
    blank, pipeline = np.zeros((1, 3, 3), np.uint8), CropCompose([Coin(0), A.Sequential([Coin(1), Coin(2)], p=1.0)])
    came = np.array([call(pipeline, blank, seed)[0, :, 0] for seed in range(400)])
    assert np.abs(came.mean(axis=0) - 0.5).max() < 0.1
    assert np.abs(np.corrcoef(came.T) - np.eye(3)).max() < 0.2


@pytest.mark.parametrize("make", [training_transform, plain_transform])
@pytest.mark.parametrize("letterbox", [0.0, 0.5])
def test_the_whole_pipeline_gives_squares_and_repeats(make: Any, letterbox: float) -> None:
    pipeline, others = make(size=32, letterbox=letterbox), [picture(seed=9)]
    for seed in range(12):
        first = call(pipeline, picture(50, 90), seed, others=others)
        assert first.shape == (32, 32, 3) and first.dtype == np.uint8
        assert np.array_equal(first, call(pipeline, picture(50, 90), seed, others=others))


def test_each_probability_key_is_obeyed() -> None:
    """All off, the square is the crop; each key switched on alone changes it."""
    image, others = picture(32, 32), [picture(seed=4)]
    still = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "rotate_degrees": 0.0, "brightness": 0.0, "saturation": 0.0}
    assert np.array_equal(call(training_transform(size=32, **(still | OFF)), image, others=others), image)
    for key in OFF:
        pipeline = training_transform(size=32, **(still | OFF | {key: 1.0}))
        assert any((call(pipeline, image, seed, others=others) != image).any() for seed in range(4)), key
        assert pipeline.others == (key == "neighbours") and (pipeline.context > 0) == (key == "jitter")


@pytest.mark.parametrize(
    "key, value, words",
    [
        *((key, 1.5, f"transforms.{key}=1.5: a probability") for key in OFF),
        ("jitter_sigmas", (0.1, 0.1), "expected four numbers"),
        ("jitter_sigmas", (0.1, 0.1, 0.1, 0.9), "from 0 to 0.25"),
        ("neighbour_depth", (0.3, 0.1), "neighbour_depth=.*smallest <= largest"),
        ("bag_veil", (0.1, 1.2), "bag_veil"),
        ("glare_strength", (-0.1, 0.5), "glare_strength"),
        ("low_light_exposure", (0.0, 0.5), "low_light_exposure"),
        ("compression_quality", (0, 95), "compression_quality"),
        ("temperature_mired", 150.0, "temperature_mired=150.0: expected 0 to 100"),
        ("temperature_limit", 0.0, "temperature_limit=0.0"),
        ("hue", 0.7, "hue=0.7"),
        ("scale", (0.0, 1.0), "scale"),
    ],
)
def test_values_out_of_range_are_refused_by_name(key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        training_transform(size=32, **{key: value})
