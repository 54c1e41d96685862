from pathlib import Path

import pytest

from facings.data.tables import RecognitionRow, read_recognition_table, write_recognition_table
from facings.errors import DataError

HEADER = "path,product_id,split,role,category,box,camera_id\n"


def write(folder: Path, body: str) -> Path:
    path = folder / "recognition.csv"
    path.write_text(body)
    return path


def test_a_table_survives_writing_and_reading(tmp_path: Path) -> None:
    rows = [
        RecognitionRow(
            tmp_path / "a.jpg", "apple, red", "train", "train", ("Fruit", "Apple"), (1.0, 2.0, 3.5, 4.0), "c1"
        ),
        RecognitionRow(tmp_path / "sub" / "b.jpg", "milk", "val", "query"),
    ]
    write_recognition_table(rows, tmp_path / "recognition.csv")
    assert list(read_recognition_table(tmp_path / "recognition.csv").rows) == rows


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("path,product_id,split\na,b,c\n", "lacks the column 'role'"),
        (HEADER, "no rows"),
        (HEADER + "a.jpg,x,train,teach,,,\n", "line 2: role is 'teach'; expected one of train, gallery, query"),
        (HEADER + "a.jpg,x,train,train,,1 2 3,\n", "expected 'x y width height'"),
        (HEADER + "a.jpg,x,train,train,,1 2 0 3,\n", "has no area"),
        (HEADER + ",x,train,train,,,\n", "must not be empty"),
    ],
)
def test_a_faulty_table_is_refused_with_the_place(tmp_path: Path, body: str, words: str) -> None:
    path = write(tmp_path, body)
    with pytest.raises(DataError, match=words) as caught:
        read_recognition_table(path)
    assert str(path) in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such recognition table"):
        read_recognition_table(tmp_path / "nothing.csv")


def test_an_empty_selection_says_what_the_table_has(colour_table: Path) -> None:
    table = read_recognition_table(colour_table)
    with pytest.raises(DataError, match=r"split=test.*train/train \(24\).*val/query \(12\)"):
        table.select(split="test", role="query")


def test_a_product_has_one_category(tmp_path: Path) -> None:
    table = read_recognition_table(write(tmp_path, HEADER + "a.jpg,x,t,train,A,,\nb.jpg,x,t,train,B,,\n"))
    with pytest.raises(DataError, match="product 'x' has two categories"):
        table.categories()
