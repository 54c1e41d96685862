import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from scipy import ndimage

from facings.boxes import clip, letterbox_transform, to_image
from facings.masks import (
    CropMask,
    area,
    bounds,
    decode_box_masks,
    decode_prototypes,
    from_rle,
    mask_iou,
    outline,
    pixels_of,
    polygon_area,
    to_rle,
)

SEED = np.random.default_rng
bitmaps = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def whole(mask: CropMask, height: int, width: int) -> np.ndarray:
    picture = np.zeros((height, width), bool)
    picture[mask.top : mask.top + mask.bits.shape[0], mask.left : mask.left + mask.bits.shape[1]] = mask.bits
    return picture


def blob(seed: int, size: int = 60) -> np.ndarray:
    """A smooth shape of several parts."""
    noise = ndimage.gaussian_filter(SEED(seed).normal(size=(size, size)), 5)
    return noise > np.quantile(noise, 0.6)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (75, 130), (333, 64)])
def test_prototypes_equal_the_whole_map_enlarged(height: int, width: int) -> None:
    """Against torch: all logits over the whole input, enlarged there, then looked up pixel by pixel."""
    random, size = SEED(height), 96
    prototypes = random.normal(size=(5, 24, 24)).astype(np.float32)
    coefficients = random.normal(size=(7, 5)).astype(np.float32)
    transform = letterbox_transform(height, width, size)
    corners = random.uniform(0, size, (7, 2, 2))
    boxes = clip(to_image(np.sort(corners, axis=1).reshape(7, 4).astype(np.float32), transform), height, width)
    # Eight points a pixel: as fine as the test can say where a boundary runs.
    fine = 8
    logits = torch.einsum("nk,khw->nhw", torch.from_numpy(coefficients), torch.from_numpy(prototypes))[None]
    logits = torch.nn.functional.interpolate(logits, size=(size * fine,) * 2, mode="bilinear", align_corners=False)[0]
    x = np.clip(((np.arange(width) + 0.5) * transform[0] + transform[2]) * fine, 0, size * fine - 1).astype(int)
    y = np.clip(((np.arange(height) + 0.5) * transform[1] + transform[3]) * fine, 0, size * fine - 1).astype(int)
    expected = logits.numpy()[:, y][:, :, x]
    found = decode_prototypes(coefficients, prototypes, boxes, transform, height=height, width=width, input_size=size)
    for mask, box, logit in zip(found, boxes, expected, strict=True):
        inside = np.zeros((height, width), bool)
        left, top, right, bottom = pixels_of(box, height, width)
        inside[top:bottom, left:right] = True
        differing = whole(mask, height, width) != ((logit > 0) & inside)
        assert mask.bits.shape == (bottom - top, right - left)
        assert not (differing & (np.abs(logit) > 0.2)).any()
        assert differing.mean() < 0.01


def test_prototypes_in_blocks_equal_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = SEED(0)
    arguments = (random.normal(size=(3, 4)), random.normal(size=(4, 16, 16)), np.array([[0, 0, 90, 70]] * 3))
    arguments = tuple(value.astype(np.float32) for value in arguments)
    frame = {"height": 70, "width": 90, "input_size": 64}
    once = decode_prototypes(*arguments, letterbox_transform(70, 90, 64), **frame)
    monkeypatch.setattr("facings.masks.BLOCK", 100)
    again = decode_prototypes(*arguments, letterbox_transform(70, 90, 64), **frame)
    assert all(np.array_equal(a.bits, b.bits) for a, b in zip(once, again, strict=True))


def test_box_masks_equal_torch_where_boxes_are_whole_pixels() -> None:
    masks = SEED(1).uniform(size=(2, 28, 28)).astype(np.float32)
    boxes = np.array([[10, 20, 94, 160], [0, 0, 28, 56]], np.float32)
    found = decode_box_masks(masks, boxes, height=200, width=120)
    for mask, grid, box in zip(found, masks, boxes, strict=True):
        size = (int(box[3] - box[1]), int(box[2] - box[0]))
        expected = torch.nn.functional.interpolate(torch.from_numpy(grid)[None, None], size=size, mode="bilinear")[0, 0]
        assert (mask.left, mask.top) == (box[0], box[1])
        sure = (expected - 0.5).abs() > 1e-5
        assert np.array_equal(mask.bits[sure], (expected > 0.5).numpy()[sure])


def test_box_masks_agree_with_torchvisions_pasting() -> None:
    """torchvision pads the grid with zeros and rounds the box outwards, so edges differ by a pixel."""
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    grid = np.clip(ndimage.gaussian_filter(SEED(2).normal(size=(28, 28)), 4) * 8 + 0.5, 0, 1).astype(np.float32)
    box = np.array([[12.3, 7.8, 171.2, 140.1]], np.float32)
    (mask,) = decode_box_masks(grid[None], box, height=150, width=190)
    pasted = paste_masks_in_image(torch.from_numpy(grid)[None, None], torch.from_numpy(box), (150, 190))[0, 0] > 0.5
    theirs = pasted.numpy()
    ours = whole(mask, 150, 190)
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.95


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0, 0, 4, 3], (0, 0, 4, 3)),
        ([0.6, 0.4, 3.6, 2.4], (1, 0, 4, 2)),
        ([2.1, 1.1, 2.2, 1.2], (2, 1, 3, 2)),
        ([4, 3, 4, 3], (3, 2, 4, 3)),
        ([-5, -5, 99, 99], (0, 0, 4, 3)),
    ],
)
def test_pixels_of_a_box(box: list[float], expected: tuple[int, ...]) -> None:
    assert pixels_of(np.array(box, np.float32), 3, 4) == expected


@settings(max_examples=200, deadline=None)
@given(bitmaps, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_rle_equals_pycocotools(bits: np.ndarray, left: int, top: int, right: int, bottom: int) -> None:
    mask = CropMask(left, top, bits)
    height, width = top + bits.shape[0] + bottom, left + bits.shape[1] + right
    picture = whole(mask, height, width)
    found = to_rle(mask, height, width)
    theirs = coco.encode(np.asfortranarray(picture.astype(np.uint8)))
    assert coco.frPyObjects(found, height, width)["counts"] == theirs["counts"]
    for form in (found, theirs, {**theirs, "counts": theirs["counts"].decode()}):
        assert np.array_equal(whole(from_rle(form), height, width), picture)
    assert area(mask) == coco.area(theirs)
    x, y, w, h = coco.toBbox(theirs)
    if area(mask):
        assert bounds(mask).tolist() == [x, y, x + w, y + h]


def test_rle_of_a_large_picture_in_text_form() -> None:
    picture = np.zeros((3000, 4000), np.uint8)
    picture[1000:2000, 2500:3900] = np.kron(blob(1, 10), np.ones((100, 140)))
    text = coco.encode(np.asfortranarray(picture))
    assert np.array_equal(whole(from_rle(text), 3000, 4000), picture > 0)
    assert coco.frPyObjects(to_rle(from_rle(text), 3000, 4000), 3000, 4000)["counts"] == text["counts"]


def test_rle_that_does_not_fill_its_picture() -> None:
    with pytest.raises(ValueError, match="the runs of a 2 × 3 mask sum to 5; expected 6"):
        from_rle({"size": [2, 3], "counts": [2, 3]})


def test_iou_equals_pycocotools() -> None:
    random = SEED(3)
    masks = [CropMask(*random.integers(0, 40, 2).tolist(), blob(i)[: random.integers(5, 60)]) for i in range(14)]
    encoded = [coco.frPyObjects(to_rle(mask, 110, 110), 110, 110) for mask in masks]
    expected = coco.iou(encoded[:6], encoded[6:], [False] * 8)
    assert mask_iou(masks[:6], masks[6:]) == pytest.approx(expected, abs=1e-6)
    assert mask_iou([], masks).shape == (0, 14)
    assert mask_iou([CropMask(0, 0, np.zeros((0, 0), bool))], masks[:1]).tolist() == [[0]]


@settings(max_examples=200, deadline=None)
@given(bitmaps)
def test_outline_encloses_the_largest_part(bits: np.ndarray) -> None:
    """With all corners kept, the polygon's area is that of the part and its holes, to the pixel; ground that reaches a hole
    through a corner alone makes it none."""
    parts, count = ndimage.label(bits)
    filled = [int(ndimage.binary_fill_holes(parts == part, np.ones((3, 3))).sum()) for part in range(1, count + 1)]
    assert polygon_area(outline(CropMask(3, 5, bits), 0.0)) == max(filled, default=0)


@pytest.mark.parametrize("seed", range(4))
def test_outline_drawn_again_gives_the_mask(seed: int) -> None:
    from PIL import Image, ImageDraw

    bits = ndimage.zoom(blob(seed).astype(np.float32), 5, order=1) > 0.5
    parts, _ = ndimage.label(bits)
    largest = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
    found = outline(CropMask(10, 20, largest))
    canvas = Image.new("1", (400, 400))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in (found - 0.5).tolist()], fill=1)
    drawn = np.asarray(canvas)
    picture = whole(CropMask(10, 20, ndimage.binary_fill_holes(largest)), 400, 400)
    assert (drawn & picture).sum() / (drawn | picture).sum() > 0.97
    assert len(found) < len(outline(CropMask(10, 20, largest), 0.0)) / 2


def test_outline_of_nothing_and_of_a_pixel() -> None:
    assert outline(CropMask(0, 0, np.zeros((3, 3), bool))).shape == (0, 2)
    single = outline(CropMask(4, 6, np.ones((1, 1), bool)))
    assert sorted(map(tuple, single.tolist())) == [(4, 6), (4, 7), (5, 6), (5, 7)]
