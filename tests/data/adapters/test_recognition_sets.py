"""Recognition sets in exactly their authors' formats, in small, with the traps in them."""

import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.data.adapters import (
    freiburg,
    fruits360,
    grocery_store,
    image_folder,
    products10k,
    recognition_csv,
    rp2k,
    snack_shelves,
    stanford_online_products,
    vegfru,
)  # fmt: skip
from facings.data.adapters.base import prepare, read_record
from facings.data.tables import RecognitionRow, read_recognition_table
from facings.errors import ConfigError, DataError
from tests.data.adapters.sets_in_small import SETS


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)


def rows_of(folder: Path) -> list[RecognitionRow]:
    """The table's rows, of which every picture must be there."""
    rows = list(read_recognition_table(folder / "recognition.csv").rows)
    assert all(row.path.is_file() for row in rows)
    return rows


def told(rows: list[RecognitionRow]) -> list[tuple[str, str, str]]:
    return [(row.product_id, row.split, row.role) for row in rows]


def test_rp2k_folders_of_any_script_and_what_lies_among_them(tmp_path: Path) -> None:
    source = tmp_path / "RP2K" / "all"
    for name in ("train/可口可乐/a.jpg", "train/可口可乐/b.JPG", "train/tea, green/a.jpg", "test/可口可乐/c.jpg"):
        picture(source / name)
    (source / "train" / "可口可乐" / "notes.txt").write_text("x")
    (source / "train" / "可口可乐" / "Thumbs.db").write_text("x")
    (source / "train" / "可口可乐" / "zero.jpg").write_bytes(b"")
    (source / "train" / "empty").mkdir()
    report = prepare(rp2k.convert, rp2k.CARD, tmp_path / "RP2K", tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert Counter(told(rows)) == {
        ("可口可乐", "train", "train"): 2, ("tea, green", "train", "train"): 1, ("可口可乐", "test", "query"): 1
    }  # fmt: skip
    assert report.fault_counts == {"not a picture by its name": 1, "empty file": 1, "empty class": 1}
    record = read_record(tmp_path / "out")
    assert record["splits"]["train"] == {"images": 3, "objects": 3, "classes": 2}
    assert str(tmp_path) not in (tmp_path / "out" / "recognition.csv").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="no folder all/train"):
        rp2k.convert(tmp_path / "out", tmp_path / "other")


def test_a_data_folder_may_be_moved_with_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "data" / "raw" / "all" / "train" / "a" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    # Given relative to the working folder, where `data` could be taken for a part of the table's own way.
    rp2k.convert(Path("data/raw"), Path("data/out"))
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert len(rows_of(tmp_path / "moved" / "out")) == 1


def test_products10k_groups_of_test_come_from_train(tmp_path: Path) -> None:
    for name in ("train/0.jpg", "train/1.jpg", "test/0.jpg", "test/1.jpg"):
        picture(tmp_path / name)
    (tmp_path / "train.csv").write_text("name,class,group\n0.jpg,0,7\n1.jpg,12,3\n2.jpg,12,3\n0.jpg,0,7\n")
    (tmp_path / "test_kaggletest.csv").write_text("name,class,Usage\n0.jpg,12,Public\n1.jpg,99,Private\n")
    report = products10k.convert(tmp_path, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [(r.path.parent.name, r.product_id, r.role, r.category) for r in rows] == [
        ("train", "0", "train", ("group 7",)),
        ("train", "12", "train", ("group 3",)),
        ("test", "12", "query", ("group 3",)),
        ("test", "99", "query", ()),
    ]
    assert report.fault_counts == {"missing picture": 1, "row twice": 1, "class without training pictures": 1}
    assert any("train.csv, line 4: train/2.jpg is not there" in fault for fault in report.faults)
    (tmp_path / "train.csv").write_text("name,class\n0.jpg,0\n")
    with pytest.raises(DataError, match="lacks the column 'group'"):
        products10k.convert(tmp_path, tmp_path / "out")
    (tmp_path / "train.csv").write_text("name,class,group\n0.jpg,tea,0\n")
    with pytest.raises(DataError, match=r"line 2: .*expected a file name and a class number"):
        products10k.convert(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("listed", ["TUNA", "FISH"])
@pytest.mark.parametrize("stored", ["TUNA", "FISH"])
@pytest.mark.parametrize("numbered", ["TUNA", "FISH"])
def test_freiburg_class_24_under_either_name(tmp_path: Path, listed: str, stored: str, numbered: str) -> None:
    for name in ("BEANS/BEANS0008.png", f"{stored}/{stored}0000.png", f"{stored}/{stored}0001.png"):
        picture(tmp_path / "images" / name)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train1.txt").write_text(f"BEANS/BEANS0008.png 15\n{listed}/{listed}0000.png 24\n")
    (tmp_path / "splits" / "test1.txt").write_text(f"{listed}/{listed}0001.png 24\n")
    (tmp_path / "classid.txt").write_text(f"BEANS 15\n{numbered} 24\n")
    report = freiburg.convert(tmp_path, tmp_path / "out", fold=1)
    assert told(rows_of(tmp_path / "out")) == [
        ("BEANS", "train", "train"), ("TUNA", "train", "train"), ("TUNA", "test", "query")
    ]  # fmt: skip
    assert not report.faults


def test_freiburg_says_what_does_not_fit(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "BEANS" / "BEANS0008.png")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train0.txt").write_text("BEANS/BEANS0008.png 14\n")
    (tmp_path / "classid.txt").write_text("RICE 14\n")
    report = freiburg.convert(tmp_path, tmp_path / "out")
    assert report.fault_counts == {"label conflict": 1, "missing split": 1}
    with pytest.raises(ConfigError, match=r"fold=5: expected 0 … 4"):
        freiburg.convert(tmp_path, tmp_path / "out", fold=5)
    (tmp_path / "splits" / "train0.txt").write_text("BEANS0008.png\n")
    with pytest.raises(DataError, match=r"line 1: 'BEANS0008.png'; expected"):
        freiburg.convert(tmp_path, tmp_path / "out")


def test_fruits360_keeps_a_rotation_series_in_one_split(tmp_path: Path) -> None:
    """The authors' layout: every fourth frame of a series is in Test, the others in Training."""
    root = tmp_path / "fruits-360_100x100" / "fruits-360"
    turns = {
        "Apple Braeburn 1": ["", "r_"],
        "Banana 1": [""],
        "Pear 2": ["", "r_", "r2_", "r3_", "r4_", "r5_", "r6_", "r7_"],
    }
    for name, prefixes in turns.items():
        for prefix in prefixes:
            for index in range(8):
                picture(root / ("Test" if index % 4 == 3 else "Training") / name / f"{prefix}{index}_100.jpg")
    picture(root / "Training" / "Banana 1" / "banana.jpg")
    picture(root / "test-multiple_fruits" / "apple_banana.jpg")
    report = fruits360.convert(tmp_path, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 8 * 11
    splits = defaultdict(set)
    for row in rows:
        splits[row.product_id, row.path.stem.split("_")[0] if row.path.stem.startswith("r") else ""].add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert Counter(row.product_id for row in rows if row.split == "test") == {"Apple Braeburn 1": 8, "Pear 2": 16}
    assert {row.category for row in rows} == {("Apple",), ("Banana",), ("Pear",)}
    assert report.fault_counts == {"class with a single series": 1, "file name": 1}


def test_fruits360_in_original_size(tmp_path: Path) -> None:
    for folder in ("Training", "Validation", "Test"):
        for prefix in ("r0_", "r1_"):
            picture(tmp_path / folder / "apple_6" / f"{prefix}{len(folder)}.jpg")
    fruits360.convert(tmp_path, tmp_path / "out")
    assert Counter(row.split for row in rows_of(tmp_path / "out")) == {"train": 3, "test": 3}


def test_vegfru_numbers_start_anew_in_the_second_half(tmp_path: Path) -> None:
    for folder, half, names in (("veg200", "veg", ["tomato", "dandelion"]), ("fru92", "fru", ["tomato", "apple"])):
        for split in ("train", "val", "test"):
            lines = []
            for number, name in enumerate(names):
                picture(tmp_path / f"{folder}_images" / name / f"{split}.jpg")
                lines.append(f"{name}/{split}.jpg {number}")
            (tmp_path / f"{folder}_lists").mkdir(exist_ok=True)
            (tmp_path / f"{folder}_lists" / f"{half}_{split}.txt").write_text("\n".join(lines) + "\n")
    report = vegfru.convert(tmp_path, tmp_path / "out")
    table = read_recognition_table(tmp_path / "out" / "recognition.csv")
    assert table.categories() == {
        "tomato": ("Vegetable",), "dandelion": ("Vegetable",), "fruit tomato": ("Fruit",), "apple": ("Fruit",)
    }  # fmt: skip
    assert Counter(row.split for row in rows_of(tmp_path / "out")) == {"train": 4, "val": 4, "test": 4}
    assert not report.faults
    (tmp_path / "fru92_lists" / "fru_test.txt").write_text("apple/test.jpg\n")
    with pytest.raises(DataError, match=r"fru_test.txt, line 1"):
        vegfru.convert(tmp_path, tmp_path / "out")


def test_stanford_online_products_enrols_the_first_of_a_test_product(tmp_path: Path) -> None:
    root = tmp_path / "Stanford_Online_Products"
    for name in ("bicycle_final/1_0.JPG", "bicycle_final/1_1.JPG", "sofa_final/9_1.JPG", "sofa_final/9_2.JPG"):
        picture(root / name)
    header = "image_id class_id super_class_id path\n"
    (root / "Ebay_train.txt").write_text(header + "1 1 1 bicycle_final/1_0.JPG\n2 1 1 bicycle_final/1_1.JPG\n")
    # The first of product 9 is missing: the next one is enrolled in its place.
    lines = ("3 9 2 sofa_final/9_0.JPG", "4 9 2 sofa_final/9_1.JPG", "5 9 2 sofa_final/9_2.JPG")
    (root / "Ebay_test.txt").write_text(header + "\n".join(lines) + "\n")
    report = stanford_online_products.convert(tmp_path, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert told(rows) == [
        ("1", "train", "train"), ("1", "train", "train"), ("9", "test", "gallery"), ("9", "test", "query")
    ]  # fmt: skip
    assert rows[0].category == ("bicycle",) and report.fault_counts == {"missing picture": 1}
    (root / "Ebay_test.txt").write_text("3;9;2;sofa\n")
    with pytest.raises(DataError, match=r"Ebay_test.txt, line 1"):
        stanford_online_products.convert(tmp_path, tmp_path / "out")


def test_image_folder_with_and_without_splits(tmp_path: Path) -> None:
    plain, parted = tmp_path / "plain", tmp_path / "parted"
    for name in ("cola/a.jpg", "cola/old/b.jpg", "tea/a.png", ".hidden/a.jpg"):
        picture(plain / name)
    image_folder.convert(plain, plain)
    assert told(rows_of(plain)) == [("cola", "train", "train")] * 2 + [("tea", "train", "train")]
    for name in ("Train/cola/a.jpg", "gallery/tea/a.jpg", "query/tea/b.jpg", "val/cola/c.jpg", "val/lost.jpg"):
        picture(parted / name)
    report = image_folder.convert(parted, tmp_path / "out")
    assert told(rows_of(tmp_path / "out")) == [
        ("cola", "train", "train"), ("tea", "test", "gallery"), ("tea", "test", "query"), ("cola", "val", "query")
    ]  # fmt: skip
    assert report.fault_counts == {"picture outside a product folder": 1}
    picture(parted / "cola" / "d.jpg")
    with pytest.raises(DataError, match=r"has split folders .* beside others \(cola\)"):
        image_folder.convert(parted, tmp_path / "out")
    with pytest.raises(DataError, match="holds no folder"):
        image_folder.convert(plain / "cola" / "old", tmp_path / "out")


def test_recognition_csv_of_any_columns_and_separator(tmp_path: Path) -> None:
    source = tmp_path / "set"
    for name in "abcdefg":
        picture(source / "img" / f"{name}.jpg")
    lines = (
        "file;sku;part;kind;crop", "img/a.jpg;1;train;Fruit/Apple;", "img/b.jpg;1;valid;Fruit/Apple;1 1 2 2",
        "img/c.jpg;1;gallery;Fruit/Pear;", "img/d.jpg;;train;;", "img/e.jpg;2;train;;1 1 0 2", "img/a.jpg;2;test;;",
        "img/gone.jpg;2;train;;",
    )  # fmt: skip
    (source / "list.csv").write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    words = {"path": "file", "product": "sku", "split": "part", "category": "kind", "box": "crop"}
    report = recognition_csv.convert(source, tmp_path / "out", **words)
    rows = rows_of(tmp_path / "out")
    assert told(rows) == [
        ("1", "train", "train"), ("1", "val", "query"), ("1", "test", "gallery"), ("2", "test", "query")
    ]  # fmt: skip
    assert rows[1].box == (1, 1, 2, 2) and rows[2].category == ("Fruit", "Apple")
    assert report.fault_counts == {
        "two categories": 1, "empty entry": 1, "bad box": 1, "label conflict": 1, "picture in two splits": 1, "missing picture": 1
    }  # fmt: skip
    read_recognition_table(tmp_path / "out" / "recognition.csv").categories()
    with pytest.raises(DataError, match="lacks the column 'path'"):
        recognition_csv.convert(source, tmp_path / "out")
    with pytest.raises(ConfigError, match="would replace the one read"):
        recognition_csv.convert(tmp_path / "out", tmp_path / "out")
    with pytest.raises(DataError, match="expected one CSV, got none"):
        recognition_csv.convert(source / "img", tmp_path / "out")


def test_boxes_are_held_against_their_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    boxes = ("0 0 2 2", "-1.5 1 4 2", "9 9 2 2", "1e300 0 1e300 1", "0 0 4.5 4")
    lines = "".join(f"a.jpg,{number},{box}\n" for number, box in enumerate(boxes))
    (tmp_path / "list.csv").write_text(f"path,product_id,box\n{lines}")
    report = recognition_csv.convert(tmp_path, tmp_path / "out")
    assert report.fault_counts == {"box outside": 2, "box leaves its picture": 1}
    assert [row.box for row in rows_of(tmp_path / "out")] == [(0, 0, 2, 2), (0, 1, 2.5, 2), (0, 0, 4.5, 4)]


def test_properties_of_a_table_come_through(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.jpg")
    text = "path,product_id,bagged,shelf,organic\na.jpg,1,1,3,\nb.jpg,1,0,2,\n"
    (tmp_path / "list.csv").write_text(text)
    recognition_csv.convert(tmp_path, tmp_path / "out")
    table = read_recognition_table(tmp_path / "out" / "recognition.csv", ["bagged"])
    assert [row.attributes for row in table.rows] == [{"bagged": True}, {"bagged": False}]
    assert (tmp_path / "out" / "recognition.csv").read_text().splitlines()[0].endswith("camera_id,bagged")


def test_lists_that_contradict_or_leave_their_set(tmp_path: Path) -> None:
    SETS["grocery_store"](tmp_path / "g")
    (tmp_path / "g" / "dataset" / "val.txt").write_text("val/Fruit/Apple/a.jpg, 0, 7\n")
    (fault,) = grocery_store.read_grocery_store(tmp_path / "g").faults
    assert "val/Fruit/Apple/a.jpg: says coarse class 7 for fine class 0, classes.csv 0" in fault
    picture(tmp_path / "secret.jpg")
    SETS["snack_shelves"](tmp_path / "s")
    header = "split,image,label,coarse_label\n"
    for name in ("../secret.jpg", str(tmp_path / "secret.jpg")):
        (tmp_path / "s" / "reid.csv").write_text(f"{header}train,crops/a.jpg,x,y\ntrain,{name},x,y\n")
        report = snack_shelves.convert(tmp_path / "s", tmp_path / "out")
        assert report.images == {"train": 1} and report.fault_counts == {"picture elsewhere": 1}
    (tmp_path / "s" / "reid.csv").write_text(f"{header}train,crops/a.jpg\n")
    with pytest.raises(DataError, match=r"reid.csv, line 2: .*expected a picture and a label"):
        snack_shelves.convert(tmp_path / "s", tmp_path / "out")


def test_recognition_csv_gives_back_a_table_of_the_contract(tmp_path: Path, colour_table: Path) -> None:
    recognition_csv.convert(colour_table.parent, tmp_path / "out")
    first, second = read_recognition_table(colour_table), read_recognition_table(tmp_path / "out" / "recognition.csv")
    assert [(r.path.name, r.product_id, r.split, r.role, r.category) for r in first.rows] == [
        (r.path.name, r.product_id, r.split, r.role, r.category) for r in second.rows
    ]


def test_the_real_sets_convert_to_what_their_readers_read(shared_data: Path, tmp_path: Path) -> None:
    read = {
        "grocery_store": grocery_store.read_grocery_store(shared_data / "grocery_store"),
        "snack_shelves": snack_shelves.read_snack_shelves(shared_data / "snack_shelves" / "reid.csv"),
    }
    for module, name in ((grocery_store, "grocery_store"), (snack_shelves, "snack_shelves")):
        advanced: list[int] = []
        prepare(module.convert, module.CARD, shared_data / name, tmp_path / name, advance=advanced.append)
        made = read_recognition_table(tmp_path / name / "recognition.csv")
        assert sum(advanced) == len(made.rows) == len(read[name].rows)
        assert all(
            (a.product_id, a.split, a.role, a.category) == (b.product_id, b.split, b.role, b.category)
            and a.path.resolve() == b.path.resolve()
            for a, b in zip(made.rows, read[name].rows, strict=True)
        )
