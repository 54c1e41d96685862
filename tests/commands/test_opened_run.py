"""Runs as notebooks open them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facings.benchmark.verdict import Side
from facings.commands.opened_run import folders_of, halves, newest, open_chain, open_data, open_detector, project_home
from facings.commands.opened_sides import open_sides, without_unsure
from facings.data.tables import RecognitionRow
from facings.errors import ConfigError
from facings.structures import Decision, Item


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two objects in one picture, one of them found, and a stray box."""
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "images" / "shelf.png")
    boxes = [[2, 2, 16, 16], [30, 4, 18, 20]]
    truth = {
        "images": [{"id": 7, "file_name": "shelf.png", "width": 60, "height": 40}],
        "categories": [{"id": 5, "name": "tea"}],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": 5, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for n, box in enumerate(boxes, start=1)
        ],
    }
    (tmp_path / "instances_val.json").write_text(json.dumps(truth))
    folder = tmp_path / "run"
    (folder / "predictions").mkdir(parents=True)
    found = [
        {"image_id": 7, "category_id": 1, "bbox": box, "score": s}
        for box, s in ((boxes[0], 0.9), ([50, 30, 5, 5], 0.2))
    ]
    (folder / "predictions" / "test.json").write_text(json.dumps(found))
    (folder / "config.yaml").write_text(
        f"data:\n  annotations: {tmp_path}/instances_val.json\n  images: {tmp_path}/images\n"
    )
    return folder


def test_the_newest_is_the_last_by_name(tmp_path: Path) -> None:
    for name in ("2026-01-02", "2026-01-10", "2025-12-31"):
        (tmp_path / name / "benchmark").mkdir(parents=True)
    (tmp_path / "2027-01-01").write_text("a file")
    assert newest(f"{tmp_path}/*/benchmark") == tmp_path / "2026-01-10" / "benchmark"
    assert [path.parent.name for path in folders_of(f"{tmp_path}/2026*/benchmark")] == ["2026-01-02", "2026-01-10"]


def test_a_folder_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "run[1]").mkdir()
    assert newest(str(tmp_path / "run[1]")) == tmp_path / "run[1]"


def test_no_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make quickstart"):
        newest(f"{tmp_path}/*/benchmark")


def test_home_is_where_the_project_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert project_home() == deep
    (tmp_path / "pyproject.toml").write_text("")
    assert project_home() == tmp_path


def test_a_detectors_run(run: Path) -> None:
    opened = open_detector(run)
    assert opened.kinds == ("boxes",) and len(opened.pairs) == 1 and opened.table.labels == ("tea",)
    assert (len(opened.pairs[0].truth), len(opened.pairs[0].found)) == (2, 2)
    assert opened.read(7).shape == opened.read("shelf.png").shape == (40, 60, 3)


def test_a_detectors_run_is_no_chain(run: Path) -> None:
    with pytest.raises(ConfigError, match="protocol=frames"):
        open_chain(run)


def test_the_data_of_a_run_and_of_a_folder(run: Path) -> None:
    assert [split.name for split in open_data(run).splits] == ["val"]
    assert [split.name for split in open_data(run.parent).splits] == ["val"]


def test_a_run_without_boxes_has_no_data_to_show(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("verb: train\ndata: {table: {path: x.csv}}\n")
    with pytest.raises(ConfigError, match="names no pictures with boxes"):
        open_data(tmp_path)


def test_a_run_that_cannot_be_compared_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"benchmark\.json"):
        open_sides([str(run)])


def test_unsure_answers_are_left_out() -> None:
    def item(score: float) -> Item:
        return Item((0, 0, 9, 9), score, "unknown", None, (), ())

    found: list[dict[str, Any]] = [{"score": score} for score in (0.2, 0.5, 0.9)]
    strict = without_unsure(Side("a", found, [Decision("1", (item(0.2), item(0.5)))]), 0.5)
    assert [entry["score"] for entry in strict.predictions] == [0.5, 0.9]
    assert strict.decisions is not None and [i.detection_score for i in strict.decisions[0].items] == [0.5]
    assert without_unsure(Side("a", found), 0.5).decisions is None


def test_halves_keep_the_crops_of_a_picture_together() -> None:
    rows = [RecognitionRow(Path(name), "tea", "val", "query") for name in ("b", "a", "c", "a", "d", "b")]
    before, after, picture = halves(rows)
    assert sorted([*before, *after]) == list(range(6))
    assert not set(picture[before]) & set(picture[after])
    assert {rows[place].path.name for place in before} == {"a", "b"}
