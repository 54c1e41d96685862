"""Sheets of pictures: marks where they belong, in their colours, and words that can be read."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageColor

from facings.analysis.batch_sheets import TrainingPicture, denormalise, draw_batches, object_masks
from facings.analysis.comparison import pair_pictures
from facings.analysis.contact_sheet import Mark, MarkedPicture, Plate, font, jpeg, lay_out, readable_on, shorten
from facings.analysis.detection_errors import judge
from facings.analysis.error_sheets import LEGEND, MARKS, draw_judged, draw_picture
from facings.data.transforms.letterbox import normalise
from facings.masks import CropMask
from tests.analysis.conftest import Shelf

GREY = np.full((200, 300, 3), 128, np.uint8)


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def count(picture: Image.Image, colour: str) -> int:
    """Pixels of exactly this colour."""
    return int((pixels(picture) == ImageColor.getrgb(colour)).all(axis=2).sum())


def test_a_mask_is_translucent_inside_firm_at_its_edge_and_nowhere_else() -> None:
    canvas = MarkedPicture(GREY, 400)
    bits = np.zeros((50, 60), bool)
    bits[10:40, 10:50] = True
    canvas.fill(CropMask(100, 40, bits), "#009e73")
    seen = pixels(canvas.picture)
    # Scaled by two: columns 220 to 300, rows 100 to 160.
    changed = np.argwhere((seen != 128).any(axis=2))
    assert changed.min(axis=0).tolist() == [100, 220] and changed.max(axis=0).tolist() == [159, 299]
    assert seen[100, 250].tolist() == list(ImageColor.getrgb("#009e73"))
    middle = 0.42 * np.array(ImageColor.getrgb("#009e73")) + 0.58 * 128
    assert np.abs(seen[130, 260] - middle).max() <= 2
    empty = MarkedPicture(GREY, 400)
    empty.fill(CropMask(0, 0, np.zeros((0, 0), bool)), "#009e73")
    assert (pixels(empty.picture) == 128).all()


@pytest.mark.parametrize("line", ["solid", "dashed", "thin"])
def test_boxes_are_drawn_on_their_edges(line: str) -> None:
    canvas = MarkedPicture(GREY, 400)
    canvas.box(np.array([50, 50, 100, 90]), Mark("#d55e00", line))  # type: ignore[arg-type]
    seen = pixels(canvas.picture)
    inner = seen[110:170, 110:190]
    assert (inner == 128).all() and (seen[:90] == 128).all() and (seen[:, 210:] == 128).all()
    share = (seen[100, 100:200] == ImageColor.getrgb("#d55e00")).all(axis=1).mean()
    assert share > (0.5 if line == "dashed" else 0.95) and (line != "dashed" or share < 0.9)


def test_labels_never_cover_each_other_and_stay_inside(rng: np.random.Generator) -> None:
    canvas = MarkedPicture(GREY, 400)
    for _ in range(120):
        corner = rng.uniform(-20, 250, 2)
        canvas.label(np.concatenate([corner, corner + rng.uniform(2, 80, 2)]), "Water with gas, is Äpfel", "#f0e442")
    assert len(canvas.labels) > 5
    for x1, y1, x2, y2 in canvas.labels:
        assert x1 >= 0 and y1 >= 0 and x2 <= canvas.picture.width and y2 <= canvas.picture.height
    for a, b in itertools.combinations(canvas.labels, 2):
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]


def test_label_in_full_where_there_is_room_and_only_within_its_box_if_asked() -> None:
    canvas = MarkedPicture(GREY, 400)
    box = np.array([100, 50, 110, 60])
    canvas.label(box, "pineapple juice", "#009e73", within=True)
    assert canvas.labels == []
    canvas.label(box, "pineapple juice", "#009e73")
    assert canvas.labels[0][2] - canvas.labels[0][0] == pytest.approx(font(16).getlength("pineapple juice") + 8)


def test_words() -> None:
    assert shorten("tea", 500, 16) == "tea"
    short = shorten("a very long name of a product", 80, 16)
    assert short.endswith("…") and font(16).getlength(short) <= 80
    assert readable_on("#f0e442") == "#000000" and readable_on("#0072b2") == "#ffffff"


def test_sheet_keeps_order_and_width() -> None:
    """Six wide plates do not fit one line: two lines of three, nothing beyond the sheet."""
    colours = ["#ff0000", "#00ff00", "#0000ff", "#ffff00", "#ff00ff", "#00ffff"]
    plates = [Plate(Image.new("RGB", (700, 100), c), ("name.jpg", "F1 0.50: long " + "words " * 40)) for c in colours]
    sheet = lay_out(plates, "Title", {"right": Mark("#009e73")})
    assert sheet.width <= 2400 + 2 * 28
    places = [np.argwhere((pixels(sheet) == ImageColor.getrgb(c)).all(axis=2)).min(axis=0).tolist() for c in colours]
    assert places == sorted(places)
    assert len({row for row, _ in places}) == 2 and all(count(sheet, c) == 70_000 for c in colours)


def test_long_file_names_are_broken_not_cut() -> None:
    name = "IMG_20191215_110847_shelf_0001_" * 2
    narrow = lay_out([Plate(Image.new("RGB", (120, 50)), (name,))], "T", {})
    wide = lay_out([Plate(Image.new("RGB", (900, 50)), (name,))], "T", {})
    assert narrow.height >= wide.height + 2 * 28


def test_a_caption_may_be_wider_than_a_narrow_picture() -> None:
    """Beside each other it takes its room, so that words stay whole."""
    sheet = lay_out(
        [Plate(Image.new("RGB", (40, 50), c), ("not labelled: 0.64",)) for c in ("#ff0000", "#00ff00")], "T", {}
    )
    left = [
        np.argwhere((pixels(sheet) == ImageColor.getrgb(c)).all(axis=2))[:, 1].min() for c in ("#ff0000", "#00ff00")
    ]
    assert left[1] - left[0] >= font(22).getlength("not labelled: 0.64")


def test_judged_picture_shows_each_outcome_in_its_colour(shelf: Shelf) -> None:
    truth, found = shelf(np.random.default_rng(3), pictures=8, objects=9, masks=True)
    names = ["tea", "pear"]
    image = np.full((120, 120, 3), 128, np.uint8)
    seen = set()
    for pair in pair_pictures(truth, found):
        judged = judge(pair, score=0.2)
        drawn = draw_picture(judged, image, names)
        present = {*judged.outcomes, *judged.fates} & set(MARKS)
        seen |= present
        for outcome, mark in MARKS.items():
            assert (count(drawn, mark.colour) > 20) == (outcome in present), outcome
    assert seen == set(MARKS)


def test_sheet_of_judged_pictures(shelf: Shelf, rng: np.random.Generator) -> None:
    truth, found = shelf(rng)
    judged = [judge(pair, score=0.2) for pair in pair_pictures(truth, found)]
    asked: list[str] = []

    def read(picture: object) -> np.ndarray:
        asked.append(picture.pair.name)  # type: ignore[attr-defined]
        return GREY

    sheet = draw_judged(judged, read, ["tea", "pear"], "Worst pictures")
    assert asked == [picture.pair.name for picture in judged]
    assert Image.open(io.BytesIO(jpeg(sheet))).size == sheet.size
    assert {text.split(":")[0] for text in LEGEND} >= set(MARKS)
    assert draw_judged([], read, ["tea"], "Worst pictures: there are none").height < 200


def test_denormalise_undoes_normalise(rng: np.random.Generator) -> None:
    square = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert (denormalise(normalise(square, mean, std), mean, std) == square).all()


def test_object_masks_give_the_map_again(rng: np.random.Generator) -> None:
    identities = rng.integers(0, 4, (20, 20)).astype(np.int16)
    identities[identities == 2] = 0
    again = np.zeros_like(identities)
    masks = object_masks(identities, 3)
    for number, mask in enumerate(masks, start=1):
        rows, columns = mask.bits.shape
        again[mask.top : mask.top + rows, mask.left : mask.left + columns][mask.bits] = number
    assert (again == identities).all() and not masks[1].bits.any()


def test_batches_are_drawn_with_and_without_masks_and_objects() -> None:
    blank = np.zeros((3, 64, 64), np.float32)
    boxes, labels = np.array([[8, 8, 40, 40], [40, 40, 60, 60]], np.float32), np.array([0, 1])
    identities = np.zeros((64, 64), np.int16)
    identities[8:40, 8:40] = 1
    pictures = [
        TrainingPicture(blank, boxes, labels, identities),
        TrainingPicture(blank, boxes, labels),
        TrainingPicture(blank, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros((64, 64), np.int16)),
    ]
    sheet = draw_batches(pictures, (0.5,) * 3, (0.5,) * 3, ["tea", "pear"])
    assert count(sheet, "#e69f00") > 1000 and count(sheet, "#56b4e9") > 500
    # The mask's translucent ground of the first picture alone.
    filled = (0.42 * np.array(ImageColor.getrgb("#e69f00")) + 0.58 * 128).round()
    near = (np.abs(pixels(sheet) - filled) <= 2).all(axis=2)
    assert near.any() and np.argwhere(near)[:, 1].max() < 28 + 540
