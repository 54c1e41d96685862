"""reid.csv in its exact format, with the traps in it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.data.adapters.snack_shelves import read_snack_shelves
from facings.errors import DataError


def write(folder: Path, *lines: str, header: str = "image,label,coarse_label,split") -> Path:
    for name in ("crops", "packshots"):
        (folder / name).mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / name / "a.jpg")
    path = folder / "reid.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_splits_roles_and_labels(tmp_path: Path) -> None:
    path = write(
        tmp_path, "crops/a.jpg,p1,Lays,train", "crops/a.jpg,p1,Lays,val", "packshots/a.jpg,p2,Lays,packshot",
        "crops/gone.jpg,p1,Lays,promo",
    )  # fmt: skip
    table = read_snack_shelves(path)
    assert [(r.split, r.role) for r in table.rows] == [("train", "train"), ("val", "query"), ("packshot", "gallery")]
    # The label counts, not the file's name.
    assert table.rows[2].product_id == "p2" and table.rows[2].category == ("Lays",)
    assert table.faults == ("line 5: crops/gone.jpg is missing",)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such table"):
        read_snack_shelves(tmp_path / "reid.csv")
    with pytest.raises(DataError, match="lacks the column 'label'"):
        read_snack_shelves(write(tmp_path, header="image,name,coarse_label,split"))
    with pytest.raises(DataError, match="line 2: split is 'summer'"):
        read_snack_shelves(write(tmp_path, "crops/a.jpg,p1,Lays,summer"))
    with pytest.raises(DataError, match="none of its 1 pictures"):
        read_snack_shelves(write(tmp_path, "crops/gone.jpg,p1,Lays,val"))
