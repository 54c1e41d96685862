"""`facings prepare` from the command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.commands.cli import main
from facings.data.adapters.base import read_record
from facings.data.coco import read_coco


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sku" / "images").mkdir(parents=True)
    (tmp_path / "sku" / "annotations").mkdir()
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "sku" / "images" / "val_0.jpg")
    rows = "val_0.jpg,1,2,11,22,object,40,30\nval_1.jpg,1,2,11,22,object,40,30\n"
    (tmp_path / "sku" / "annotations" / "annotations_val.csv").write_text(rows)
    return tmp_path / "sku"


def test_tables_record_and_what_is_said(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "dataset=sku110k", f"source={source}", "output=out"]) == 0
    said = capsys.readouterr().out
    assert "non-commercial" in said and "1 missing picture" in said and "val_1.jpg" in said
    record = read_record(tmp_path / "out")
    assert record["splits"]["val"] == {"images": 1, "objects": 1, "classes": 1}
    assert record["card"]["commercial"] == "no" and set(record["inputs"]) == {"annotations/annotations_val.csv"}
    table = read_coco(tmp_path / "out" / "instances_val.json", record["images"])
    assert table.images[0].boxes.tolist() == [[1, 2, 11, 22]]
    # Again, over its own tables, and checked by name: pictures are found though the source was given from this folder.
    assert main(["prepare", "dataset=sku110k", "source=sku", "output=out"]) == 0
    assert main(["data", "check", "out", "--data-dir", "."]) == 0


def test_what_can_be_mended_is_said(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "dataset=sku110"]) == 2
    assert "sku110k" in capsys.readouterr().err
    for words, said in ((["dataset=rpc", f"source={source}"], "instances_"), ([], "dataset= is missing; one of")):
        with pytest.raises(SystemExit) as stopped:
            main(["prepare", *words])
        assert stopped.value.code == 2 and said in capsys.readouterr().err
