"""`facings analyze` on small runs made by hand: a detector's and a benchmark's."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.commands.cli import main
from facings.structures import Decision, Item

# Who took the picture, and when: slices of it.
SHOT = {"camera": "aisle-4", "time of day": "06 to 09 h"}
BOXES = [[10, 10, 30, 30], [60, 10, 30, 30], [110, 10, 30, 30]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """One picture of three apples, and the configuration of a run that was asked about it."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 160, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "shelf.png")
    names = ("fuji", "gala", "fuji")
    truth = {
        "images": [
            {
                "id": 1,
                "file_name": "shelf.png",
                "width": 160,
                "height": 60,
                "camera_id": "aisle-4",
                "captured_at": "2026-03-01T08:30:00",
            }
        ],
        "categories": [{"id": 1, "name": "product"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "bbox": box, "area": 900, "iscrowd": 0, "product_id": name}
            for n, (box, name) in enumerate(zip(BOXES, names, strict=True), start=1)
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"data:\n  annotations: {tmp_path}/truth.json\n  images: {tmp_path}/images\n")
    return folder


def test_a_detector(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9} for box in BOXES[:1]]
    found.append({"image_id": 1, "category_id": 1, "bbox": [72, 10, 30, 30], "score": 0.8})
    (run / "predictions").mkdir()
    (run / "predictions" / "test.json").write_text(json.dumps(found))
    assert main(["analyze", f"run={run}"]) == 0
    content = json.loads((run / "analysis" / "analysis.json").read_text())
    assert content["tide"]["boxes"]["counts"]["localisation"] == content["tide"]["boxes"]["counts"]["missed"] == 1
    assert {finding["name"] for finding in content["findings"]} == {"localisation", "missed"}
    for name, words in SHOT.items():
        assert [(row["slice"], row["objects"]) for row in content["slices"][name]] == [(words, 3)]
    page = (run / "analysis" / "analysis.md").read_text()
    for line in page.split("## Files")[1].splitlines():
        assert not line or (run / "analysis" / line.strip("- `")).is_file()
    for name in ("tide.png", "slices.png", "label_faults.jpg"):
        assert Image.open(run / "analysis" / name).width > 300
    assert "localisation, 1 times" in capsys.readouterr().out.replace("\n", " ")


def test_a_benchmark(run: Path) -> None:
    def item(box: list[int], product: str | None) -> Item:
        x, y, width, height = box
        status = "known" if product else "unknown"
        return Item((x, y, x + width, y + height), 0.9, status, product, ("Apple",), ())  # type: ignore[arg-type]

    decision = Decision("1", (item(BOXES[0], "gala"), item(BOXES[1], "gala"), item(BOXES[2], None)))
    line = json.dumps({"image": "shelf.png", **decision.to_dict()})
    (run / "decisions.jsonl").write_text(line + "\n")
    assert main(["analyze", f"run={run}", f"folder={run}/elsewhere"]) == 0
    content = json.loads((run / "elsewhere" / "analysis.json").read_text())
    assert content["stages"]["right"] == 1 and content["errors"] == 2 and content["bundle_read"] is False
    for name, words in SHOT.items():
        assert [(row["slice"], row["right"]) for row in content["slices"][name]] == [(words, 1)]
    assert [(pair["truth"], pair["answer"]) for pair in content["confusions"]] == [("fuji", "gala")]


@pytest.mark.parametrize("line", ["{", '{"image": "shelf.png"}', '{"image": "other.png"}'])
def test_decisions_that_are_none(run: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "decisions.jsonl").write_text(line + "\n")
    with pytest.raises(SystemExit):
        main(["analyze", f"run={run}"])
    assert "decisions.jsonl, line 1" in capsys.readouterr().err


def test_a_folder_that_is_no_run(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, message in ((tmp_path, "no config.yaml"), (run, "holds no decisions")):
        with pytest.raises(SystemExit):
            main(["analyze", f"run={folder}"])
        assert message in capsys.readouterr().err
