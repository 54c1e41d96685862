"""Annotation files of other hands: whatever lies in them, the four commands answer in words."""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from facings.benchmark.spoiled_set import noise
from facings.commands.cli import main
from facings.data.doctor.examination import examine
from facings.data.doctor.page import render
from facings.data.doctor.pictures import look
from facings.data.doctor.repair import repair
from facings.data.doctor.sharpness import sharpness
from facings.data.doctor.sources import open_dataset
from facings.errors import DataError

IMAGE = {"id": 1, "file_name": "a.png", "width": 64, "height": 48}
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
TEA = {"id": 1, "name": "tea"}
NAN = float("nan")
# What is changed in the three lists, and the kinds of fault that must come of it.
ODD: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no pictures": ({"images": [], "annotations": []}, {"class-empty"}),
    "no boxes": ({"annotations": []}, {"class-empty", "no-objects"}),
    "no classes": ({"categories": []}, {"category-unknown"}),
    "not a number": ({"annotations": [BOX | {"bbox": [NAN] * 4, "area": NAN}]}, {"box-malformed"}),
    "a number of 400 digits": ({"annotations": [BOX | {"bbox": [10**400, 1, 1, 1]}]}, {"box-malformed"}),
    "a category of 30 digits": (
        {"annotations": [BOX | {"category_id": 10**30}], "categories": [TEA | {"id": 10**30}]}, {"id-not-whole"}
    ),
    "a file name that climbs": ({"images": [IMAGE | {"file_name": "../images/a.png"}]}, {"image-elsewhere"}),
    "ids in lists": (
        {"images": [IMAGE | {"id": [1]}], "annotations": [BOX | {"image_id": [1], "category_id": {"a": 1}}]},
        {"id-not-whole", "category-unknown", "class-empty"},
    ),
    "entries that are none": ({"images": [1, None, IMAGE], "annotations": [None, BOX]}, {"id-not-whole"}),
    "no file name": ({"images": [{"id": 1, "width": 64, "height": 48}]}, {"image-missing"}),
    "a file name of 500 letters": ({"images": [IMAGE | {"file_name": "a" * 500}]}, {"image-missing"}),
    "a file name that is not UTF-8": ({"images": [IMAGE | {"file_name": "\udcff.png"}]}, {"image-missing"}),
    "a picture as large as a country": (
        {"images": [IMAGE | {"width": 10**9, "height": 10**9}], "annotations": [BOX | {"segmentation": [[5, 5, 25, 5, 25, 25]]}]},
        {"image-size-wrong"},
    ),
    "a box drawn twice by hand": (
        {"annotations": [BOX | {"bbox": [5, 5, 40, 40]}, BOX | {"id": 2, "bbox": [6, 4, 40, 40]}]}, {"box-duplicate"}
    ),
    "no size": ({"images": [{"id": 1, "file_name": "a.png"}]}, {"image-size-wrong"}),
    "an outline beyond all pictures": ({"annotations": [BOX | {"segmentation": [[1e30, 1, 2, 3, 4, 5]]}]}, {"mask-malformed"}),
    "an outline cut off": ({"annotations": [BOX | {"segmentation": {"size": [48, 64], "counts": "T[i8`<`"}}]}, {"mask-malformed"}),
    "names that look like markup": ({"categories": [TEA | {"name": "<script>[/red][bold]"}]}, set()),
}  # fmt: skip


ODD_TEXTS = [
    ("[1, 2]", "lacks the list"), ("", "not JSON"), ("{}", "lacks the list"), ("[" * 100_000, "not JSON"),
    (f'{{"images": {"9" * 5000}}}', "not JSON"),
]  # fmt: skip


def make(home: Path, **changed: Any) -> Path:
    (home / "images").mkdir(parents=True)
    (home / "images" / "a.png").write_bytes(noise(1, 64, 48, format="PNG"))
    content = {"images": [IMAGE], "annotations": [BOX], "categories": [TEA], **changed}
    (home / "instances_train.json").write_text(json.dumps(content))
    return home


@pytest.mark.parametrize("what", ODD)
def test_every_command_answers(what: str, tmp_path: Path) -> None:
    changed, kinds = ODD[what]
    make(tmp_path / "set", **changed)
    shared = ["set", "--data-dir", str(tmp_path)]
    page, record = tmp_path / "page.html", tmp_path / "check.json"
    assert main(["data", "check", *shared, "--html", str(page), "--json", str(record)]) in (0, 1)
    assert set(json.loads(record.read_text())["kinds"]) == kinds and "<script" not in page.read_text()
    assert main(["data", "check", *shared, "--fix", str(tmp_path / "fixed")]) in (0, 1)
    assert json.loads((tmp_path / "fixed" / "repair.json").read_text())["schema"] == "facings.repair/1"
    assert main(["data", "browse", *shared, "--output", str(tmp_path / "sheet.jpg")]) in (0, 2)
    for form in ("coco", "datumaro", "yolo"):
        words = ["--format", form, "--output", str(tmp_path / form), *(["--polygons"] if form == "yolo" else [])]
        assert main(["data", "export", *shared, *words]) in (0, 2)


@pytest.mark.parametrize("text, said", ODD_TEXTS)
def test_files_that_are_no_sets_are_refused(text: str, said: str, tmp_path: Path) -> None:
    make(tmp_path / "set")
    (tmp_path / "set" / "instances_train.json").write_text(text)
    with pytest.raises(DataError, match=said):
        open_dataset(tmp_path / "set")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="holds neither"):
        open_dataset(tmp_path / "nothing")


def test_a_table_of_odd_rows_is_refused_in_words(tmp_path: Path) -> None:
    header = b"path,product_id,split,role,category,box,camera_id\n"
    for row, said in (
        (b"a.png,t,train,train,,nan nan nan nan,\n", "finite"),
        (b"\xff.png,t,train,train,,,\n", "not UTF-8"),
    ):
        (tmp_path / "recognition.csv").write_bytes(header + row)
        with pytest.raises(DataError, match=said):
            open_dataset(tmp_path)


@pytest.mark.parametrize(
    "row, kinds",
    [
        ("a.png,t,train,train,,1e300 0 1e300 5,", {"box-malformed"}),
        ("a.png,t,train,train,,-5 -5 3 3,", {"box-outside"}),
        ("../images/a\0.png,t,train,train,,,", {"image-missing"}),
        (f"{'a' * 5000}.png,t,[/red],query,,,", {"image-missing"}),
    ],
)
def test_odd_rows_are_told(row: str, kinds: set[str], tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(noise(1, 64, 48, format="PNG"))
    (tmp_path / "set" / "recognition.csv").write_text(f"path,product_id,split,role,category,box,camera_id\n{row}\n")
    words = ["set", "--data-dir", str(tmp_path), "--json", str(tmp_path / "a.json"), "--fix", str(tmp_path / "fixed")]
    assert main(["data", "check", *words]) == 1
    assert set(json.loads((tmp_path / "a.json").read_text())["kinds"]) == kinds


def test_pictures_of_every_mode_are_read(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(20_000, 60_000, 64, dtype=np.uint16), (48, 1))
    Image.fromarray(ramp).save(tmp_path / "sixteen.png")
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tif")
    for mode in ("L", "LA", "P", "RGBA", "1"):
        Image.fromarray((ramp // 257).astype(np.uint8)).convert(mode).save(tmp_path / f"{mode}.png")
    Image.fromarray((ramp // 257).astype(np.uint8)).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.new("RGB", (3840, 2160), "teal").save(tmp_path / "large.jpg")
    found = {path.stem: look(path) for path in tmp_path.iterdir()}
    assert {picture.state for picture in found.values()} == {"read"} and found["large"].shown == (3840, 2160)
    plain = found["L"].thumb
    assert plain is not None
    for name in ("sixteen", "float", "LA", "RGBA"):
        thumb = found[name].thumb
        assert thumb is not None and np.abs(thumb.astype(int) - plain).max() <= 2, name


def test_names_that_are_not_utf8_are_listed_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "raw" / "train" / "cola").mkdir(parents=True)
    fine = tmp_path / "raw" / "train" / "cola" / "a.png"
    fine.write_bytes(noise(1, 64, 48, format="PNG"))
    try:
        shutil.copyfile(fine, os.fsencode(fine.parent) + b"/\xff.png")
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")
    assert main(["prepare", "dataset=image_folder", f"source={tmp_path / 'raw'}", f"output={tmp_path / 'out'}"]) == 0
    record = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert record["fault_counts"] == {"name that is not UTF-8": 1} and record["splits"]["train"]["images"] == 1


def test_sizes_of_a_recognition_set_s_pictures_are_told(tmp_path: Path) -> None:
    for name, size in (("a", (64, 48)), ("b", (64, 48)), ("c", (30, 90))):
        (tmp_path / f"{name}.png").write_bytes(noise(ord(name), *size, format="PNG"))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "d.jpg").write_bytes(noise(9, 90, 30, exif=exif))
    header = "path,product_id,split,role,category,box,camera_id"
    rows = ["a.png,t,train,train,,1 2 20 10,", "a.png,u,train,train,,30 2 20 40,", "b.png,t,train,train,,,",
            "c.png,t,train,train,,,", "d.jpg,u,train,train,,,"]  # fmt: skip
    (tmp_path / "recognition.csv").write_text("\n".join([header, *rows]) + "\n")
    found = examine(open_dataset(tmp_path))
    figures = found.statistics["recognition.csv"]["train"]
    assert figures["image_sizes"] == {"64 x 48": 2, "30 x 90": 2} and figures["different_image_sizes"] == 2
    assert figures["image_height"]["max"] == 90 and figures["box_width"]["p50"] == 20 and figures["aspect"]["max"] == 2
    assert figures["crops_per_image"]["mean"] == 1.25
    assert "64 x 48: 2" in render(found.record(), [])
    unopened = examine(open_dataset(tmp_path), pixels=False)
    assert not unopened.statistics["recognition.csv"]["train"]["image_sizes"]
    assert "no picture was opened" in render(unopened.record(), [])


def test_a_jpeg_that_ends_too_soon_is_truncated_though_pillow_reads_it(tmp_path: Path) -> None:
    whole = noise(3, 320, 240)
    zeros = bytes(len(whole) // 2)
    for name, content in {"cut": whole[: len(whole) // 2], "zeros": whole[: len(whole) // 2] + zeros}.items():
        (tmp_path / f"{name}.jpg").write_bytes(content + b"\xff\xd9")
        assert look(tmp_path / f"{name}.jpg").state == "truncated", name
    (tmp_path / "whole.jpg").write_bytes(whole)
    gray = np.full((240, 320, 3), 128, np.uint8)
    gray[:100, :40] = 20
    Image.fromarray(gray).save(tmp_path / "drawing.jpg")
    gray[:] = 128
    Image.fromarray(gray).save(tmp_path / "gray.jpg")
    assert {look(tmp_path / f"{name}.jpg").state for name in ("whole", "drawing", "gray")} == {"read"}


def test_blurred_pictures_are_noted_and_sharp_ones_are_not(tmp_path: Path, rng: np.random.Generator) -> None:
    """Rectangles of any gray on a ground out of focus; smoothed all over, or along one direction as by motion."""
    sharp = np.asarray(
        Image.fromarray(rng.integers(60, 200, (3, 4), np.uint8)).resize((640, 480), Image.Resampling.BICUBIC)
    )
    sharp = sharp.copy()
    for x, y, width, height, gray in rng.integers((0, 0, 30, 30, 0), (560, 420, 90, 90, 255), (40, 5)).tolist():
        sharp[y : y + height, x : x + width] = gray
    for pixels in (2.5, 3.75):
        # Of a step that was smoothed, the slope as mathematics has it; the picture is shown at 512 of its 640 pixels.
        smooth = math.hypot(pixels * 512 / 640, 0.6)
        made = sharpness(cv2.GaussianBlur(sharp, (0, 0), pixels))
        assert made == pytest.approx(1 / (smooth * math.sqrt(2 * math.pi)), rel=0.12)
    found = {
        "sharp": sharp,
        "blurred": cv2.GaussianBlur(sharp, (0, 0), 3.5),
        "moved": cv2.blur(sharp, (15, 1)),
        "fallen": cv2.blur(sharp, (1, 15)),
        "plain": np.full_like(sharp, 90),
        "small": cv2.resize(cv2.GaussianBlur(sharp, (0, 0), 2.5), (200, 150)),
    }
    (tmp_path / "images").mkdir()
    images = []
    for number, (name, gray) in enumerate(found.items(), start=1):
        Image.fromarray(gray).convert("RGB").save(tmp_path / "images" / f"{name}.jpg", quality=92)
        size = {"width": gray.shape[1], "height": gray.shape[0]}
        images.append({"id": number, "file_name": f"{name}.jpg", **size})
    content = {"images": images, "annotations": [], "categories": [TEA]}
    (tmp_path / "instances_train.json").write_text(json.dumps(content))
    findings = examine(open_dataset(tmp_path)).findings
    told = {Path(fault.picture).stem for fault in findings.of("image-blurred")}
    assert told == {"blurred", "moved", "fallen"} and not findings.failed()


def test_a_set_made_here_states_no_counts(tiny_data: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data / "synthetic" / "quickstart", tmp_path / "synthetic")
    found = examine(open_dataset(tmp_path / "synthetic"), use="commercial", pixels=False)
    assert not found.findings.counts and found.dataset.card is not None


@pytest.mark.parametrize(
    "name, text, allowed",
    [("License", " \n", "ask"), ("LICENSE.TXT", "\n\nMIT License\n", "yes"), ("licence.md", "CC BY-NC 4.0", "no")],
)
def test_licence_files_of_any_spelling(name: str, text: str, allowed: str, tmp_path: Path) -> None:
    make(tmp_path / "set")
    (tmp_path / "set" / name).write_text(text)
    found = examine(open_dataset(tmp_path / "set"), pixels=False)
    assert found.licence.allowed == allowed
    assert set(found.findings.counts) == ({"licence-no-sale"} if allowed == "no" else set())
    assert not found.findings.failed(strict=True)


def test_records_that_lie_are_told_or_ignored(tmp_path: Path) -> None:
    make(tmp_path / "set")
    record = tmp_path / "set" / "prepare.json"
    for odd in ([], {"card": [1]}, {"card": {"name": [1]}}, {"fault_counts": [1], "images": 7}):
        record.write_text(json.dumps(odd))
        assert open_dataset(tmp_path / "set").prepared == {}
    record.write_text(json.dumps({"images": str(tmp_path / "moved")}))
    with pytest.raises(
        DataError, match=r"prepare.json: says that the pictures of train are in .*moved, which is no folder"
    ):
        open_dataset(tmp_path / "set")


def test_a_mended_copy_keeps_licence_card_and_properties(tmp_path: Path) -> None:
    (tmp_path / "rp2k").mkdir()
    (tmp_path / "rp2k" / "a.png").write_bytes(noise(1, 64, 48, format="PNG"))
    rows = "path,product_id,split,role,bagged\na.png,t,train,train,1\na.png,t,train,train,1\n"
    (tmp_path / "rp2k" / "recognition.csv").write_text(rows)
    (tmp_path / "rp2k" / "LICENSE").write_text("for friends\n")
    repair(examine(open_dataset(tmp_path / "rp2k")), tmp_path / "mended")
    copy = open_dataset(tmp_path / "mended")
    assert copy.card is not None and copy.card.name == "rp2k" and copy.licence == "for friends"
    assert [row.attributes for row in copy.tables[0].rows] == [{"bagged": True}]


def test_cards_of_sets_without_adapter_forbid_what_they_forbid(tmp_path: Path) -> None:
    make(tmp_path / "laboro_tomato_masks")
    found = examine(open_dataset(tmp_path / "laboro_tomato_masks"), use="commercial")
    assert found.findings.counts["licence-forbids"] == 1 and found.licence.allowed == "no"


def test_sizes_of_masks_are_told(tmp_path: Path) -> None:
    square = [[5, 5, 25, 5, 25, 25, 5, 25]]
    found = examine(open_dataset(make(tmp_path / "set", annotations=[BOX | {"segmentation": square}])))
    figures = found.statistics["objects"]["train"]
    assert figures["mask_size"]["p50"] == 20 and figures["mask_share_of_box"]["p50"] == 1
    assert "Outline's side" in render(found.record(), [])


def test_what_authors_state_is_held_against_the_files(shared_data: Path) -> None:
    grocery = examine(open_dataset(shared_data / "grocery_store"), pixels=False).findings
    said = {fault.detail for fault in grocery.of("count-not-stated")}
    assert said == {"val has 296 pictures; stated: 292", "43 coarse classes; stated: 42"}
    # Of these the authors tell the sum of all splits alone.
    assert not examine(open_dataset(shared_data / "grocery_store", "freiburg"), pixels=False).findings.counts[
        "count-not-stated"
    ]
    # Crops of frames are not the frames that the card counts.
    assert not examine(open_dataset(shared_data / "snack_shelves"), pixels=False).findings.counts["count-not-stated"]
