"""Every planted fault is found, alone and among the others; a sound set is not accused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from facings.benchmark.spoiled_set import COMPANIONS, PLANTS, spoil
from facings.data.coco import read_coco
from facings.data.doctor.examination import examine
from facings.data.doctor.faults import KINDS, Findings
from facings.data.doctor.licences import read_licence
from facings.data.doctor.pictures import look, turned
from facings.data.doctor.quick import cheap_checks, cheap_row_checks
from facings.data.doctor.repair import repair
from facings.data.doctor.sources import open_dataset
from facings.data.doctor.twins import near_pairs
from facings.data.tables import RecognitionRow
from facings.errors import DataError


@pytest.fixture(scope="module")
def sound(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny synthetic set, its frames and table only."""
    folder = tmp_path_factory.mktemp("sound") / "set"
    shutil.copytree(tiny_data / "synthetic" / "quickstart", folder)
    return folder


@pytest.fixture(scope="module")
def spoiled(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spoiled") / "set"
    spoil(sound, folder, PLANTS)
    return folder


def test_no_false_alarm_on_a_sound_set(sound: Path) -> None:
    found = examine(open_dataset(sound), use="commercial")
    assert [fault.record() for fault in found.findings] == []
    assert not found.findings.failed(strict=True)


@pytest.mark.parametrize("kind", PLANTS)
def test_a_single_fault_is_found_and_nothing_else(kind: str, sound: Path, tmp_path: Path) -> None:
    spoil(sound, tmp_path / "set", [kind])
    found = examine(open_dataset(tmp_path / "set"), use="commercial").findings
    assert kind in found.counts
    assert set(found.counts) <= {kind} | COMPANIONS.get(kind, set())
    assert found.failed(strict=True) == (found.count("note") < sum(found.counts.values()))


def test_all_faults_at_once_are_found(spoiled: Path) -> None:
    record = examine(open_dataset(spoiled), use="commercial").record()
    assert set(PLANTS) <= set(record["kinds"])
    assert json.loads(json.dumps(record))["counts"]["error"] > 12


def test_the_copy_is_mended_and_the_source_untouched(spoiled: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(spoiled.rglob("*")) if path.is_file()}
    found = examine(open_dataset(spoiled))
    log = repair(found, tmp_path / "mended")
    assert before == {path: path.read_bytes() for path in sorted(spoiled.rglob("*")) if path.is_file()}
    again = examine(open_dataset(tmp_path / "mended")).findings
    by_hand = set(json.loads((tmp_path / "mended" / "repair.json").read_text())["left_for_a_person"])
    errors = {kind for kind in again.kinds() if KINDS[kind].severity == "error"}
    assert errors <= by_hand and log.counts["box-duplicate"] == 1
    train = tmp_path / "mended" / "instances_train.json"
    assert not read_coco(train, spoiled / "images" / "train", check_files=True).faults[2:]
    with pytest.raises(DataError, match="not there yet"):
        repair(found, spoiled)


def test_turned_boxes_lie_where_the_eye_sees_them(sound: Path, tmp_path: Path) -> None:
    """Against Pillow: a marked corner of the stored picture, turned by EXIF, lies in the mended box."""
    for orientation in (5, 6, 7, 8):
        home = tmp_path / str(orientation)
        (home / "images").mkdir(parents=True)
        pixels = np.full((60, 100, 3), 90, np.uint8)
        pixels[5:25, 10:40] = 250
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(home / "images" / "a.png", exif=exif)
        content = {
            "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 60}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 30, 20]}],
            "categories": [{"id": 1, "name": "box"}],
        }
        (home / "instances_train.json").write_text(json.dumps(content))
        found = examine(open_dataset(home))
        assert found.findings.counts["exif-rotated"] == 1
        repair(found, home / "mended")
        mended = json.loads((home / "mended" / "instances_train.json").read_text())
        x, y, width, height = (round(value) for value in mended["annotations"][0]["bbox"])
        with Image.open(home / "images" / "a.png") as image:
            shown = np.asarray(ImageOps.exif_transpose(image))
        assert mended["images"][0]["width"] == shown.shape[1]
        bright = shown[..., 0] > 200
        assert bright[y : y + height, x : x + width].all() and bright.sum() == width * height


def test_thumbnails_are_turned_as_pillow_turns_pictures(rng: np.random.Generator) -> None:
    gray = rng.integers(0, 255, (4, 4), dtype=np.uint8)
    for orientation in range(1, 9):
        image = Image.fromarray(gray)
        image.getexif()[0x0112] = orientation
        np.testing.assert_array_equal(turned(gray, orientation), np.asarray(ImageOps.exif_transpose(image)))


def test_near_pairs_are_those_of_comparing_all_with_all(rng: np.random.Generator) -> None:
    base = rng.integers(0, 255, (60, 8, 8)).astype(np.float32)
    thumbs = [np.asarray(Image.fromarray(b).resize((32, 32), Image.Resampling.BICUBIC)).clip(0, 255) for b in base]
    thumbs = [thumb.astype(np.uint8) for thumb in thumbs]
    thumbs += [np.clip(thumb * 0.9 + rng.normal(0, 3, thumb.shape), 0, 255).astype(np.uint8) for thumb in thumbs[:20]]
    assert {(pair.first, pair.second, pair.mirrored) for pair in near_pairs(thumbs)} == {
        (i, 60 + i, False) for i in range(20)
    }
    turned = [*thumbs[:60], *(thumb[:, ::-1] for thumb in thumbs[:5])]
    assert {(pair.first, pair.second, pair.mirrored) for pair in near_pairs(turned)} == {
        (i, 60 + i, True) for i in range(5)
    }
    assert list(near_pairs([np.full((32, 32), 9, np.uint8)] * 3)) == []


def test_a_truncated_file_is_told_from_one_that_is_no_picture(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "c.jpg").write_text("no picture")
    states = [look(tmp_path / f"{name}.jpg").state for name in "abcd"]
    assert states == ["read", "truncated", "unreadable", "missing"]


@pytest.mark.parametrize(
    "text, allowed",
    [
        ("MIT License", "yes"),
        ("Attribution-NonCommercial-ShareAlike License http://creativecommons.org/licenses/by-nc-sa/2.0/", "no"),
        ("CC BY 4.0", "yes"),
        ("CC BY-NC 4.0", "no"),
        ("ask me", "ask"),
    ],
)
def test_licences_are_read(text: str, allowed: str) -> None:
    assert read_licence(text) == allowed


def test_findings_count_more_than_they_keep() -> None:
    findings = Findings()
    for number in range(1200):
        findings.add("box-leaves", str(number))
    assert findings.counts["box-leaves"] == 1200 and len(findings.of("box-leaves")) == 1000
    assert not findings.failed() and findings.failed(strict=True)


def test_training_is_refused_what_would_spoil_it(sound: Path, tmp_path: Path) -> None:
    train = read_coco(sound / "instances_train.json", sound / "images" / "train")
    val = read_coco(sound / "instances_val.json", sound / "images" / "val")
    assert cheap_checks(train, test=val) == []
    content = json.loads((sound / "instances_train.json").read_text())
    content["annotations"] += [{**a, "id": 10_000 + a["id"]} for a in content["annotations"]]
    (tmp_path / "doubled.json").write_text(json.dumps(content))
    assert "same class" in cheap_checks(read_coco(tmp_path / "doubled.json", sound / "images" / "train"))[0]
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] == 1 and a["id"] < 10_000]
    (tmp_path / "bare.json").write_text(json.dumps(content))
    (reason,) = cheap_checks(read_coco(tmp_path / "bare.json", sound / "images" / "train"), test=val)
    assert "no box of 'produce' in training" in reason
    content["annotations"] = [a | {"bbox": [1, 1, 9, 9]} for a in content["annotations"]]
    (tmp_path / "constant.json").write_text(json.dumps(content))
    assert any(
        "nothing can be learned" in r
        for r in cheap_checks(read_coco(tmp_path / "constant.json", sound / "images/train"))
    )


def test_an_embedder_s_training_is_refused_too(tmp_path: Path) -> None:
    rows = [RecognitionRow(tmp_path / f"{number}.jpg", "ab"[number % 2], "train", "train") for number in range(20)]
    asked = [
        RecognitionRow(tmp_path / "q.jpg", "a", "val", "query"),
        RecognitionRow(tmp_path / "q.jpg", "b", "val", "query"),
    ]
    assert cheap_row_checks(rows, judged=asked) == []
    (torn,) = cheap_row_checks([*rows, replace(rows[0], product_id="b")], judged=asked)
    assert "1 of 20 crops are listed as several products (first 0.jpg: a, b)" in torn
    (seen,) = cheap_row_checks(rows, judged=[*asked, replace(rows[3], split="test", role="query")])
    assert "1 of 3 queries are crops of the training too (first 3.jpg, split 'test')" in seen
    # Another box of the same picture is another crop.
    assert cheap_row_checks(rows, judged=[replace(rows[3], box=(0.0, 0.0, 5.0, 5.0))]) == []


def test_faults_of_the_real_sets(shared_data: Path) -> None:
    """What data/README.md says of them, where a program can see it."""
    grocery = examine(open_dataset(shared_data / "grocery_store"), pixels=False)
    (splits,) = grocery.statistics.values()
    assert splits["train"]["categories"][-1] == 43 and splits["val"]["images"] == 296
    assert any("60 of 81" in fault.detail for fault in grocery.findings.of("class-not-tested"))
    snacks = examine(open_dataset(shared_data / "snack_shelves"), use="commercial", pixels=False).findings
    assert "label-placeholder" in snacks.counts and "licence-unclear" in snacks.counts


@pytest.mark.slow
def test_leaks_of_the_real_sets(shared_data: Path) -> None:
    snacks = examine(open_dataset(shared_data / "snack_shelves")).findings
    assert any("IMG_1866" in fault.detail for fault in snacks.of("leak-sequence"))
    grocery = examine(open_dataset(shared_data / "grocery_store")).findings
    assert grocery.counts["image-near"] >= 2
