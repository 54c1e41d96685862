"""Files of other hands: every set, spoiled in every way, is converted or refused in words, and never ends in a traceback."""

import importlib
import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facings.data.adapters import (
    coco,
    freiburg,
    labelme,
    recognition_csv,
    rpc,
    sku110k,
    unitail_det,
    voc,
    wgisd,
    yolo,
)
from facings.data.adapters.base import Report, adapters, prepare
from facings.data.adapters.layout import SUFFIXES
from facings.data.coco import read_coco
from facings.data.tables import read_recognition_table
from facings.errors import DataError, FacingsError
from tests.data.adapters.sets_in_small import CATEGORIES, IMAGES, OBJECTS, SETS, XML, picture, write

Spoil = Callable[[Path], object]
NAME = re.compile(rb"(\w+\.(?:jpg|png))", re.IGNORECASE)


def converted(name: str, source: Path, output: Path) -> Report:
    """Converted, and read again by the project's own readers."""
    module = importlib.import_module(f"facings.data.adapters.{name}")
    report = prepare(module.convert, module.CARD, source, output)
    for path in report.outputs:
        assert report.pictures is not None
        if path.suffix == ".csv":
            assert all(row.path.is_file() for row in read_recognition_table(path).rows)
        elif report.objects[path.stem.removeprefix("instances_")]:
            read_coco(path, report.pictures)
    return report


def texts(change: Callable[[bytes], bytes]) -> Spoil:
    """Change the bytes of every annotation text."""

    def spoil(source: Path) -> None:
        for path in [p for p in source.rglob("*") if p.is_file() and p.suffix.lower() not in (*SUFFIXES, ".npz")]:
            path.write_bytes(change(path.read_bytes()))

    return spoil


def pictures(change: Callable[[Path], object]) -> Spoil:
    def spoil(source: Path) -> None:
        for path in [p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES]:
            change(path)

    return spoil


def annotations(**fields: Any) -> Spoil:
    """Fields of every annotation or shape in JSON."""

    def spoil(source: Path) -> None:
        for path in source.rglob("*.json"):
            content = json.loads(path.read_text())
            for entry in content.get("annotations", content.get("shapes", [])):
                entry.update(fields)
            path.write_text(json.dumps(content))

    return spoil


def huge(path: Path) -> None:
    """A PNG whose header promises 900 million pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", 30_000, 30_000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(bytes(content))


SPOILED: dict[str, Spoil] = {
    "not utf-8": texts(lambda b: b + b"\xff\xfe\n"),
    "utf-16": texts(lambda b: b.decode().encode("utf-16")),
    "zero bytes": texts(lambda b: b + b"\0\n"),
    "empty": texts(lambda b: b""),
    "half": texts(lambda b: b[: len(b) // 2]),
    "first line": texts(lambda b: b.split(b"\n")[0] + b"\n"),
    "a list": texts(lambda b: b"[1, 2, 3]"),
    "pictures gone": pictures(Path.unlink),
    "pictures cut": pictures(lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2])),
    "web pages": pictures(lambda p: p.write_text("<html>404</html>")),
    "of one pixel": pictures(lambda p: Image.new("RGB", (1, 1)).save(p)),
    "of 900 million pixels": pictures(huge),
    "category in a list": annotations(category_id=[1], label=5, group_id=[1]),
    "category of 70 bits": annotations(category_id=2**70),
    "image in a list": annotations(image_id=[1]),
    "box in words": annotations(bbox="1 2 3 4", points=[["a", 1], [2, 3]], rbbox=["a", 1, 2, 3, "x"], quad="x"),
    "box without numbers": annotations(bbox=[float("nan")] * 4, points=[[float("nan"), 1]] * 2, rbbox=[float("nan")] * 5),
    "outline in words": annotations(segmentation="abc"),
    "outline cut off": annotations(segmentation={"size": [30, 40], "counts": "T[i8`<`"}),
    "numbers of 400 digits": annotations(
        bbox=[1.5, 10**400, 1, 1], points=[[10**400, 1], [2, 3]], rbbox=[1, 2, 3, 10**400, 0], quad=[10**400] * 8
    ),
    "nested too deep": texts(lambda b: b"[" * 100_000),
    "names of 600 letters": texts(lambda b: NAME.sub(b"x" * 600 + rb"/\1", b)),
    "names that climb": texts(lambda b: NAME.sub(rb"../../\1", b)),
    "absolute names": texts(lambda b: NAME.sub(rb"/etc/\1", b)),
    "outline below zero": annotations(segmentation={"size": [30, 40], "counts": [-5, 1205]}),
}  # fmt: skip
# What changes nothing of what the files say.
HARMLESS: dict[str, Spoil] = {
    "as it is": lambda _: None,
    "windows lines": texts(lambda b: b.replace(b"\n", b"\r\n")),
    "byte order mark": texts(lambda b: b"\xef\xbb\xbf" + b),
    "no last line end": texts(lambda b: b.rstrip(b"\n")),
    "capital endings": pictures(lambda p: p.rename(p.with_suffix(p.suffix.upper()))),
    "gray": pictures(lambda p: Image.new("L", (40, 30)).save(p)),
    "with transparency": pictures(lambda p: Image.new("RGBA", (40, 30)).save(p, "PNG")),
    "of 16 bits": pictures(lambda p: Image.fromarray(np.full((30, 40), 40_000, np.uint16)).save(p, "PNG")),
}
# MinneApple's masks are pictures too; three sets are looked up by the exact names that their lists hold.
EXCEPT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("gray", "with transparency", "of 16 bits"), ("minneapple",)),
    "capital endings": ("freiburg", "grocery_store", "snack_shelves"),
}


def test_every_adapter_is_among_them() -> None:
    assert set(SETS) == {name for name, _ in adapters()}


@pytest.mark.parametrize("name", SETS)
def test_spoiled_files_end_in_words(name: str, tmp_path: Path) -> None:
    for number, (what, spoil) in enumerate(SPOILED.items()):
        source = tmp_path / f"{number}" / "source"
        SETS[name](source)
        spoil(source)
        try:
            converted(name, source, source.parent / "out")
        except FacingsError as fault:
            assert str(source.parent) in str(fault), what


@pytest.mark.parametrize("name", SETS)
def test_files_that_say_the_same_give_the_same(name: str, tmp_path: Path) -> None:
    counts = {}
    for number, (what, spoil) in enumerate(HARMLESS.items()):
        source = tmp_path / f"{number}" / "source"
        SETS[name](source)
        if name in EXCEPT.get(what, ()):
            continue
        spoil(source)
        report = converted(name, source, source.parent / "out")
        assert set(report.fault_counts) <= {"missing split", "empty class", "misnamed picture"}, what
        counts[what] = (dict(report.images), dict(report.objects))
    assert len(set(map(str, counts.values()))) == 1, counts


def test_an_empty_folder_and_one_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other" / "notes" / "readme.md", "nothing")
    for name, card in adapters():
        for folder in ("empty", "other"):
            with pytest.raises(DataError, match=folder):
                converted(name, tmp_path / folder, tmp_path / f"{card.name}_{folder}")


def test_ids_of_other_types_are_never_taken_for_names(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    objects = [OBJECTS[0] | {"id": n, "category_id": c} for n, c in enumerate((3, 3.0, "3", None, True, 2**70))]
    odd = [7, {"id": "1", "file_name": "a.jpg"}, {"id": 5, "file_name": ""}]
    write(
        tmp_path / "all.json",
        json.dumps({"images": [IMAGES[0], *odd], "annotations": [*objects, 8], "categories": CATEGORIES}),
    )
    report = converted("coco", tmp_path, tmp_path / "out")
    made = json.loads((tmp_path / "out" / "instances_all.json").read_text())
    assert [c["name"] for c in made["categories"]] == ["tea", "cola"]
    assert [a["category_id"] for a in made["annotations"]] == [3, 3]
    counted = {"unknown category": 4, "malformed picture record": 3, "malformed annotation": 1, "empty class": 1}
    assert report.fault_counts == counted and any("category_id '3'" in line for line in report.faults)


def test_two_pictures_of_one_name_are_told_apart_or_named(tmp_path: Path) -> None:
    for folder in ("2019", "2020"):
        picture(tmp_path / folder / "a.jpg")
    content = {"images": IMAGES[:1], "annotations": OBJECTS[:1], "categories": CATEGORIES}
    write(tmp_path / "labels" / "shop.json", json.dumps(content))
    report = coco.convert(tmp_path, tmp_path / "out")
    assert report.fault_counts["two pictures of one name"] == 1


def test_voc_splits_that_number_their_pictures_alike(tmp_path: Path) -> None:
    sizes = {"train": (40, 30), "val": (20, 16)}
    for split, (width, height) in sizes.items():
        picture(tmp_path / split / "a.jpg", width, height)
        size = f"<width>{width}</width><height>{height}</height>"
        write(tmp_path / split / "a.xml", XML.replace("<width>40</width><height>30</height>", size))
    report = voc.convert(tmp_path, tmp_path / "out")
    assert report.images == {"train": 1, "val": 1} and not report.faults
    for split, size in sizes.items():
        (record,) = json.loads((tmp_path / "out" / f"instances_{split}.json").read_text())["images"]
        assert (record["file_name"], record["width"], record["height"]) == (f"{split}/a.jpg", *size)
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "a\n")
    report = voc.convert(tmp_path, tmp_path / "listed")
    assert report.fault_counts == {"two XML of one name": 1}


def test_yolo_settings_beside_the_data_and_labels_of_no_picture(tmp_path: Path) -> None:
    SETS["yolo"](tmp_path)
    (tmp_path / "data.yaml").rename(tmp_path / "shop.yaml")
    write(tmp_path / "args.yaml", "epochs: 3\n")
    write(tmp_path / "labels" / "train" / "gone.txt", "0 0.5 0.5 0.2 0.2\n")
    report = yolo.convert(tmp_path, tmp_path / "out")
    assert report.objects == {"train": 1} and report.fault_counts == {"labels without picture": 1}
    write(tmp_path / "shop.yaml", "train: images/train\nnames: {tea: 0}\n")
    with pytest.raises(DataError, match=r"'names' has the keys \['tea'\]; expected class numbers"):
        yolo.convert(tmp_path, tmp_path / "out")


def test_unitail_files_that_sound_alike_are_all_read(tmp_path: Path) -> None:
    SETS["unitail_det"](tmp_path)
    write(tmp_path / "unitail_train_more.json", (tmp_path / "unitail_train.json").read_text())
    write(tmp_path / "package.json", "{}")
    report = unitail_det.convert(tmp_path, tmp_path / "out")
    assert sorted(report.objects) == ["train", "unitail_train"] and set(report.objects.values()) == {2}
    assert report.fault_counts == {"two files of one split": 1, "no annotations": 1}


def test_freiburg_lists_in_a_repository_beside_the_pictures(tmp_path: Path) -> None:
    SETS["freiburg"](tmp_path / "made")
    home = tmp_path / "set"
    home.mkdir()
    (tmp_path / "made" / "images").rename(home / "images")
    (tmp_path / "made").rename(home / "freiburg_groceries_dataset-master")
    assert sum(freiburg.convert(home, tmp_path / "out").images.values()) == 2


def test_names_that_leave_the_set_are_not_opened(tmp_path: Path) -> None:
    secret = picture(tmp_path / "secret.jpg")
    SETS["sku110k"](tmp_path / "set")
    rows = f"../../secret.jpg,1,2,9,9,object,40,30\n{secret},1,2,9,9,object,40,30\ntrain_0.jpg,1,2,11,22,object,40,30\n"
    write(tmp_path / "set" / "annotations" / "annotations_train.csv", rows)
    report = sku110k.convert(tmp_path / "set", tmp_path / "out")
    assert report.images == {"train": 1} and report.fault_counts["picture elsewhere"] == 2


def test_names_from_windows_are_found(tmp_path: Path) -> None:
    for name in ("one", "two"):
        picture(tmp_path / name / "images" / "train" / "a.jpg")
    write(tmp_path / "one" / "list.csv", "path,product_id\nimages\\train\\a.jpg,cola\n")
    report = recognition_csv.convert(tmp_path / "one", tmp_path / "csv")
    assert report.images == {"train": 1} and report.fault_counts == {"misnamed picture": 1}
    write(tmp_path / "two" / "list.txt", ".\\images\\train\\a.jpg\n")
    write(tmp_path / "two" / "labels" / "train" / "a.txt", "0 0.5 0.5 0.2 0.2\n")
    write(tmp_path / "two" / "more" / "data.yaml", "path: ..\ntrain: list.txt\nnames: [tea]\n")
    report = yolo.convert(tmp_path / "two", tmp_path / "yolo")
    assert report.objects == {"train": 1} and not report.faults


def test_jpegs_that_pillow_lets_pass_are_looked_at_where_they_are_known(tmp_path: Path) -> None:
    """Half of the data gone, but the end mark there: of the pictures that are known to be broken all are decoded."""
    SETS["sku110k"](tmp_path)
    for name in ("train_882", "train_883"):
        whole = picture(tmp_path / "images" / f"{name}.jpg", 160, 120).read_bytes()
        (tmp_path / "images" / f"{name}.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    rows = "".join(f"train_{number}.jpg,1,2,11,22,object,160,120\n" for number in (882, 883))
    write(tmp_path / "annotations" / "annotations_train.csv", rows)
    report = sku110k.convert(tmp_path, tmp_path / "out")
    assert report.images == {"train": 1} and "train_882.jpg: unreadable picture (its data end" in report.faults[-1]
    report = sku110k.convert(tmp_path, tmp_path / "decoded", check="decode")
    assert report.images == {} and report.fault_counts["unreadable picture"] == 2
    for value in (90, 128):
        plain = np.full((120, 160, 3), value, np.uint8)
        plain[:, :60] = 10
        Image.fromarray(plain).save(tmp_path / "images" / "train_882.jpg")
        assert sku110k.convert(tmp_path, tmp_path / "gray").images == {"train": 2}


def test_a_split_that_is_gone_leaves_no_table_behind(tmp_path: Path) -> None:
    source, home = tmp_path / "s", tmp_path / "s"
    SETS["coco"](source)
    write(source / "val.json", (source / "instances_train.json").read_text())
    (source / "instances_train.json").rename(source / "train.json")
    prepare(coco.convert, coco.CARD, source, home)
    assert (home / "instances_val.json").is_file()
    # The source's own files lie beside the tables made of them: they are read again, the tables are not.
    (source / "val.json").unlink()
    report = prepare(coco.convert, coco.CARD, source, home)
    assert report.images == {"train": 2} and not (home / "instances_val.json").exists()
    (home / "instances_mine.json").write_text("{}")
    with pytest.raises(DataError, match=r"instances_mine.json is there and was not made"):
        prepare(coco.convert, coco.CARD, source, home)


def test_xml_in_an_encoding_that_is_not_read(tmp_path: Path) -> None:
    SETS["voc"](tmp_path)
    for number, name in enumerate(("gb2312", "nonsense")):
        head = f'<?xml version="1.0" encoding="{name}"?>'
        write(tmp_path / "Annotations" / f"{number}.xml", head + XML)
    (tmp_path / "ImageSets" / "Main" / "train.txt").unlink()
    (tmp_path / "Annotations" / "folder.xml").mkdir()
    report = voc.convert(tmp_path, tmp_path / "out")
    assert report.fault_counts == {"unreadable XML": 2} and report.images == {"all": 1}


def test_labelme_pictures_of_impossible_names(tmp_path: Path) -> None:
    SETS["labelme"](tmp_path)
    content = json.loads((tmp_path / "train" / "a.json").read_text())
    for name in ("x" * 5000, "a\0b", "../../../../etc/passwd", None, 7):
        write(tmp_path / "train" / "a.json", json.dumps(content | {"imagePath": name}))
        assert labelme.convert(tmp_path, tmp_path / "out").objects == {"train": 1}


def test_yaml_that_is_none(tmp_path: Path) -> None:
    SETS["yolo"](tmp_path)
    for text in ("names: 2020-99-99\n", "names: " + "[" * 3000, "names: !!python/object:os.system x\n", "a: b: c\n"):
        write(tmp_path / "data.yaml", text)
        with pytest.raises(DataError, match=r"data.yaml: (not YAML|lacks 'names')"):
            yolo.convert(tmp_path, tmp_path / "out")


def test_masks_that_are_no_numbers(tmp_path: Path) -> None:
    SETS["wgisd"](tmp_path)
    np.savez_compressed(tmp_path / "data" / "CDY_1.npz", np.full((30, 40, 1), "x"))
    assert wgisd.convert(tmp_path, tmp_path / "out").fault_counts["masks that do not fit"] == 1
    np.savez_compressed(tmp_path / "data" / "CDY_1.npz", np.zeros((30, 40, 1), bool))
    content = bytearray((tmp_path / "data" / "CDY_1.npz").read_bytes())
    content[60:80] = b"\xff" * 20
    (tmp_path / "data" / "CDY_1.npz").write_bytes(bytes(content))
    assert wgisd.convert(tmp_path, tmp_path / "out").fault_counts["unreadable masks"] == 1


def test_ids_below_zero_are_numbered_anew(tmp_path: Path) -> None:
    SETS["coco"](tmp_path)
    content = json.loads((tmp_path / "instances_train.json").read_text())
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = -3
    write(tmp_path / "instances_train.json", json.dumps(content))
    assert converted("coco", tmp_path, tmp_path / "out").objects == {"train": 2}
    content["categories"][0]["id"] = -3
    write(tmp_path / "instances_train.json", json.dumps(content))
    with pytest.raises(DataError, match=r"category 1 is .*; expected an object with a name and a whole id from 0"):
        coco.convert(tmp_path, tmp_path / "out")


def test_rpc_levels_and_ids_that_skip_come_through(tmp_path: Path) -> None:
    SETS["rpc"](tmp_path)
    path = tmp_path / "instances_train2019.json"
    content = json.loads(path.read_text()) | {"__raw_Chinese_name_df": []}
    for record, level in zip(content["images"], ("easy", "hard"), strict=True):
        record["level"] = level
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    rpc.convert(tmp_path, tmp_path / "out")
    made = json.loads((tmp_path / "out" / "instances_train.json").read_text())
    assert [(i["id"], i["level"]) for i in made["images"]] == [(1, "easy"), (7, "hard")]
