"""COCO out to another format and in again keeps every box to the rounding of that format."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facings.data.adapters import coco, voc, yolo
from facings.data.adapters.base import prepare
from facings.data.formats.coco import write_coco
from facings.data.formats.datumaro import write_datumaro
from facings.data.formats.fiftyone import write_fiftyone
from facings.data.formats.instances import Split
from facings.data.formats.voc import write_voc
from facings.data.formats.yolo import write_yolo
from facings.errors import DataError

NAMES = {3: "tea: green", 7: 'an "apple"', 9: "never seen"}


@pytest.fixture
def table(tmp_path: Path, rng: np.random.Generator) -> Split:
    """Three pictures of random boxes, one of them without any, and one object with an outline."""
    images, annotations = [], []
    for number, (width, height) in enumerate([(640, 480), (333, 777), (1921, 1081)]):
        path = tmp_path / "shop" / "images" / "train" / f"p {number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path)
        images.append({"id": 10 * number + 5, "file_name": f"train/p {number}.png", "width": width, "height": height})
        for _ in range(40 if number else 0):
            corner = rng.uniform(0, 0.8, 2) * (width, height)
            x, y = corner.round(2).tolist()
            w, h = (rng.uniform(0.01, 0.19, 2) * (width, height)).round(2).tolist()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": 10 * number + 5, "bbox": [x, y, w, h], "iscrowd": 0}
                | {"category_id": int(rng.choice([3, 7])), "area": w * h}
            )
    annotations[0] |= {"bbox": [10, 20, 50, 30], "segmentation": [[10, 20, 60, 25, 30, 50]]}
    categories = [{"id": number, "name": name} for number, name in NAMES.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = tmp_path / "shop" / "instances_train.json"
    path.write_text(json.dumps(content))
    return Split(path, tmp_path / "shop" / "images")


def objects(path: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """Names and boxes (xyxy) of each picture by its last name, in the file's order."""
    content = json.loads(path.read_text())
    names = {c["id"]: c["name"] for c in content["categories"]}
    stems = {i["id"]: Path(i["file_name"]).stem.removeprefix("train_") for i in content["images"]}
    found: dict[str, list[tuple[str, list[float]]]] = {stem: [] for stem in stems.values()}
    for entry in content["annotations"]:
        x, y, w, h = entry["bbox"]
        found[stems[entry["image_id"]]].append((names[entry["category_id"]], [x, y, x + w, y + h]))
    return found


@pytest.mark.parametrize(
    "write, adapter, tolerance", [(write_coco, coco, 0.0011), (write_yolo, yolo, 0.0021), (write_voc, voc, 0.5001)]
)
def test_every_box_comes_back(table: Split, tmp_path: Path, write: Any, adapter: Any, tolerance: float) -> None:
    write({"train": table}, tmp_path / "there")
    report = prepare(adapter.convert, adapter.CARD, tmp_path / "there", tmp_path / "back")
    before, after = objects(table.annotations), objects(tmp_path / "back" / "instances_train.json")
    assert before.keys() == after.keys()
    for stem, expected in before.items():
        assert [name for name, _ in after[stem]] == [name for name, _ in expected]
        if expected:
            assert np.abs(np.subtract([b for _, b in after[stem]], [b for _, b in expected])).max() <= tolerance
    assert set(report.fault_counts) <= {"empty class"}


def test_datumaro_and_fiftyone_hold_every_box(table: Split, tmp_path: Path) -> None:
    """As their documentation has it; boxes in pixels there, in shares of the sides here."""
    before = objects(table.annotations)
    (path,) = write_datumaro({"train": table}, tmp_path / "datumaro")
    content = json.loads(path.read_text())
    names = [label["name"] for label in content["categories"]["label"]["labels"]]
    assert names == list(NAMES.values())
    for item in content["items"]:
        assert (tmp_path / "datumaro" / "images" / "train" / item["image"]["path"]).is_file()
        found = [(names[a["label_id"]], a["bbox"]) for a in item["annotations"] if a["type"] == "bbox"]
        made = [(name, [x, y, x + w, y + h]) for name, (x, y, w, h) in found]
        assert made == before[item["id"].removeprefix("train_")]
    polygons = [a for item in content["items"] for a in item["annotations"] if a["type"] == "polygon"]
    assert [a["points"] for a in polygons] == [[10, 20, 60, 25, 30, 50]] and polygons[0]["group"] == 1

    (path,) = write_fiftyone({"train": table}, tmp_path / "fiftyone")
    content = json.loads(path.read_text())
    sizes = {
        Path(i["file_name"]).stem: (i["width"], i["height"])
        for i in json.loads(table.annotations.read_text())["images"]
    }
    assert content["classes"] == list(NAMES.values())
    for stem, labels in content["labels"].items():
        assert (tmp_path / "fiftyone" / "train" / "data" / f"{stem}.png").is_file()
        width, height = sizes[stem.removeprefix("train_")]
        boxes = np.array([entry["bounding_box"] for entry in labels]).reshape(-1, 4) * (width, height, width, height)
        boxes[:, 2:] += boxes[:, :2]
        expected = before[stem.removeprefix("train_")]
        assert [entry["label"] for entry in labels] == [name for name, _ in expected]
        assert np.allclose(boxes, np.reshape([box for _, box in expected], (-1, 4)), atol=1e-6)


@pytest.mark.parametrize("write, adapter", [(write_coco, coco), (write_yolo, yolo), (write_voc, voc)])
def test_pictures_of_one_name_keep_their_own_boxes(table: Split, tmp_path: Path, write: Any, adapter: Any) -> None:
    """Two splits with the same names, and two pictures that differ in their ending alone."""
    content = json.loads(table.annotations.read_text())
    folder = table.images / "train"
    Image.open(folder / "p 2.png").convert("RGB").save(folder / "p 1.jpg")
    content["images"][2]["file_name"] = "train/p 1.jpg"
    table.annotations.write_text(json.dumps(content))
    write({"train": table, "val": table}, tmp_path / "there")
    report = prepare(adapter.convert, adapter.CARD, tmp_path / "there", tmp_path / "back")
    assert report.images == {"train": 3, "val": 3} and report.objects == {"train": 80, "val": 80}
    for split in ("train", "val"):
        made = json.loads((tmp_path / "back" / f"instances_{split}.json").read_text())
        held = {i["id"]: (i["width"], i["height"]) for i in made["images"]}
        counts = Counter(held[a["image_id"]] for a in made["annotations"])
        assert counts == {(333, 777): 40, (1921, 1081): 40}


def test_polygons_through_yolo(table: Split, tmp_path: Path) -> None:
    write_yolo({"train": table}, tmp_path / "there", polygons=True, copy="link")
    prepare(yolo.convert, yolo.CARD, tmp_path / "there", tmp_path / "back")
    report = json.loads((tmp_path / "back" / "prepare.json").read_text())
    content = json.loads((tmp_path / "back" / "instances_train.json").read_text())
    outlined = [entry["segmentation"] for entry in content["annotations"] if "segmentation" in entry]
    assert np.allclose(outlined, [[[10, 20, 60, 25, 30, 50]]], atol=0.002) and report["splits"]["train"]["images"] == 3


def test_what_yolo_cannot_say_is_cut_or_left_out(table: Split, tmp_path: Path) -> None:
    """Readers of the format refuse shares above 1, and would take a crowd for one object."""
    content = json.loads(table.annotations.read_text())
    width, height = content["images"][1]["width"], content["images"][1]["height"]
    content["annotations"][0]["bbox"] = [width - 20, -15, 50, 30]
    content["annotations"][0]["segmentation"] = [[width - 20, -15, width + 30, 15, width - 20, 15]]
    content["annotations"][1]["iscrowd"] = 1
    table.annotations.write_text(json.dumps(content))
    for polygons in (False, True):
        write_yolo({"train": table}, tmp_path / f"{polygons}", polygons=polygons)
        lines = (tmp_path / f"{polygons}" / "labels" / "train" / "train_p 1.txt").read_text().splitlines()
        shares = np.array([float(word) for line in lines for word in line.split()[1:]])
        assert len(lines) == 39 and shares.min() >= 0 and shares.max() <= 1
        if not polygons:
            assert np.allclose(shares[:4], [1 - 10 / width, 7.5 / height, 20 / width, 15 / height], atol=1e-7)


def test_faults_of_yolo_labels(tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path)
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("tea\n")
    label = tmp_path / "labels" / "a.txt"
    label.write_text("0 0.5 0.5 0.5 0.5\n4 0.5 0.5 0.5 0.5\n0 1.4 0.5 0.2 0.2\n")
    report = prepare(yolo.convert, yolo.CARD, tmp_path, tmp_path / "out")
    assert report.objects == {"all": 1} and report.images == {"all": 2}
    assert report.fault_counts == {"unknown category": 1, "box outside": 1}
    label.write_text("0 0.5 0.5 0.5\n")
    with pytest.raises(DataError, match=r"a.txt, line 1: '0 0.5 0.5 0.5'; expected 'class cx cy w h'"):
        yolo.convert(tmp_path, tmp_path / "out")
