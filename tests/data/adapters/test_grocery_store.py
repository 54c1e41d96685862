from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.data.adapters.grocery_store import read_grocery_store
from facings.errors import DataError

CLASSES = (
    "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str),"
    "Product Description Path (str)\n"
    "Gala,0,Apple,0,/iconic/Fruit/Apple/Gala/Gala_Iconic.jpg,/x.txt\n"
    "Milk,1,Milk,1,/iconic/Packages/Milk/Milk_Iconic.jpg,/y\n"
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The original layout in small, with its traps: a space after the comma, a listed picture that is missing."""
    root = tmp_path / "grocery_store" / "dataset"
    root.mkdir(parents=True)
    (root / "classes.csv").write_text(CLASSES)
    lines = {"train": [], "val": [], "test": []}
    for split, listed in lines.items():
        for number, path in enumerate(("Fruit/Apple/Gala/Gala_1.jpg", "Packages/Milk/Milk, fresh_1.jpg")):
            file = root / split / path
            file.parent.mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file)
            listed.append(f"{split}/{path}, {number}, {number}")
    lines["test"].append("test/Fruit/Apple/Gala/Gala_2.jpg, 0, 0")
    for split, listed in lines.items():
        (root / f"{split}.txt").write_text("\n".join(listed) + "\n")
    return tmp_path / "grocery_store"


def test_the_original_layout_is_read(dataset: Path) -> None:
    table = read_grocery_store(dataset)
    assert [(r.product_id, r.split, r.role) for r in table.rows[:2]] == [
        ("Gala", "train", "train"),
        ("Milk", "train", "train"),
    ]
    assert table.categories() == {"Gala": ("Fruit", "Apple"), "Milk": ("Packages", "Milk")}
    assert "test.txt names test/Fruit/Apple/Gala/Gala_2.jpg, which is not there" in table.faults


def test_a_missing_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"classes.csv: not found; .*paths.data_dir"):
        read_grocery_store(tmp_path)


def test_a_class_id_out_of_range_is_refused(dataset: Path) -> None:
    (dataset / "dataset" / "val.txt").write_text("val/Fruit/Apple/Gala/Gala_1.jpg, 7, 0\n")
    with pytest.raises(DataError, match=r"val.txt, line 1: class id 7; classes.csv has 0 … 1"):
        read_grocery_store(dataset)


def test_an_empty_split_is_refused(dataset: Path) -> None:
    (dataset / "dataset" / "val.txt").write_text("")
    with pytest.raises(DataError, match=r"val.txt: none of its 0 pictures"):
        read_grocery_store(dataset)


def test_the_real_set_has_the_counts_of_its_files(shared_data: Path) -> None:
    table = read_grocery_store(shared_data / "grocery_store")
    counts = {split: len(table.select(split=split)) for split in ("train", "val", "test", "iconic")}
    assert counts == {"train": 2640, "val": 296, "test": 2485, "iconic": 81}
    assert len(set(table.categories().values())) == 43
