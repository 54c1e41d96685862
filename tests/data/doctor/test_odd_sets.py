"""Annotation files of other hands: whatever lies in them, the four commands answer in words."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facings.benchmark.spoiled_set import noise
from facings.commands.cli import main
from facings.data.doctor.examination import examine
from facings.data.doctor.page import render
from facings.data.doctor.pictures import look
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
        {"annotations": [BOX | {"category_id": 10**30}], "categories": [TEA | {"id": 10**30}]}, set()
    ),
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
    "no size": ({"images": [{"id": 1, "file_name": "a.png"}]}, {"image-size-wrong"}),
    "an outline beyond all pictures": ({"annotations": [BOX | {"segmentation": [[1e30, 1, 2, 3, 4, 5]]}]}, {"mask-malformed"}),
    "an outline cut off": ({"annotations": [BOX | {"segmentation": {"size": [48, 64], "counts": "T[i8`<`"}}]}, {"mask-malformed"}),
    "names that look like markup": ({"categories": [TEA | {"name": "<script>[/red][bold]"}]}, set()),
}  # fmt: skip


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


@pytest.mark.parametrize("text, said", [("[1, 2]", "lacks the list"), ("", "not JSON"), ("{}", "lacks the list")])
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
    # Crops of frames are not the frames that the card counts.
    assert not examine(open_dataset(shared_data / "snack_shelves"), pixels=False).findings.counts["count-not-stated"]
