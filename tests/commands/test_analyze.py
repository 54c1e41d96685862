"""`facings analyze` on small runs made by hand: a detector's and a benchmark's."""

import json
from pathlib import Path
from typing import Any

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


def add_picture(run: Path, name: str, *, product: str = "fuji") -> None:
    """Another picture beside the first, with its first object alone."""
    path = run.parent / "images" / name
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((60, 160, 3), 90, np.uint8)).save(path)
    content = json.loads((run.parent / "truth.json").read_text())
    number = len(content["images"]) + 1
    content["images"].append({"id": number, "file_name": name, "width": 160, "height": 60})
    own = {"id": 10 + number, "image_id": number, "category_id": 1, "bbox": BOXES[0], "area": 900, "iscrowd": 0}
    content["annotations"].append({**own, "product_id": product})
    (run.parent / "truth.json").write_text(json.dumps(content))


def named(*products: str | None, version: str | None = "1") -> str:
    """A line of decisions on the first boxes, all known but None; without `version` as of a bundle without gallery."""
    items = tuple(
        Item((x, y, x + w, y + h), 0.9, "known" if product else "unknown", product, (), ())
        for (x, y, w, h), product in zip(BOXES, products, strict=False)
    )
    return json.dumps(Decision(version, items).to_dict())


def write_decisions(run: Path, *lines: tuple[str, str]) -> None:
    text = "".join(json.dumps({"image": name, **json.loads(line)}) + "\n" for name, line in lines)
    (run / "decisions.jsonl").write_text(text)


def write_predictions(run: Path, found: list[dict[str, object]], name: str = "detections.json") -> None:
    (run / "predictions").mkdir(exist_ok=True)
    (run / "predictions" / name).write_text(json.dumps(found))


def analysis(run: Path) -> dict[str, Any]:
    assert main(["analyze", f"run={run}"]) == 0
    content: dict[str, Any] = json.loads((run / "analysis" / "analysis.json").read_text())
    return content


def test_a_bundle_that_names_nothing_is_asked_about_its_boxes(run: Path) -> None:
    write_decisions(run, ("shelf.png", named(None, None, version=None)))
    write_predictions(run, [{"image_id": 1, "category_id": 1, "bbox": BOXES[0], "score": 0.9}])
    assert analysis(run)["kind"] == "a detector's boxes"


def test_boxes_of_a_chain_are_looked_at_when_asked(run: Path) -> None:
    write_decisions(run, ("shelf.png", named("fuji")))
    write_predictions(run, [{"image_id": 1, "category_id": 1, "bbox": BOXES[0], "score": 0.9}])
    assert analysis(run)["kind"] == "the whole chain"
    assert main(["analyze", f"run={run}", f"predictions={run}/predictions/detections.json"]) == 0
    assert json.loads((run / "analysis" / "analysis.json").read_text())["kind"] == "a detector's boxes"


def test_a_benchmark_of_crops_alone_has_no_chain(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "decisions.jsonl").write_text("")
    with pytest.raises(SystemExit):
        main(["analyze", f"run={run}"])
    assert "crops alone" in capsys.readouterr().err


def test_pictures_that_were_not_asked_about_are_not_missed(run: Path) -> None:
    """A benchmark of the first picture, and a test of one batch: the second picture's object is nobody's error."""
    add_picture(run, "second.png")
    write_predictions(run, [{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9} for box in BOXES])
    config = (run / "config.yaml").read_text()
    assert analysis(run)["tide"]["boxes"]["counts"]["missed"] == 1
    for limit in ("max_images: 1", "trainer: {limit_test_batches: 1}"):
        (run / "config.yaml").write_text(f"{config}{limit}\n")
        content = analysis(run)
        assert content["tide"]["boxes"] | {"counts": 0} == {
            "ap50": 1.0, "gains": dict.fromkeys(content["tide"]["boxes"]["gains"], 0.0), "counts": 0,
            "false_positives": 0.0, "false_negatives": 0.0,
        }  # fmt: skip


def test_a_part_in_which_nothing_was_found_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_predictions(run, [])
    (run / "config.yaml").write_text((run / "config.yaml").read_text() + "trainer: {limit_test_batches: 1}\n")
    with pytest.raises(SystemExit):
        main(["analyze", f"run={run}"])
    assert "tested on some batches alone" in capsys.readouterr().err


def test_nothing_found_at_all(run: Path) -> None:
    write_predictions(run, [])
    content = analysis(run)
    assert content["tide"]["boxes"]["counts"]["missed"] == 3
    assert [finding["name"] for finding in content["findings"]] == ["missed"]
    assert "not defined without them" in (run / "analysis" / "analysis.md").read_text()


def test_a_class_without_objects(run: Path) -> None:
    content = json.loads((run.parent / "truth.json").read_text())
    content["categories"].append({"id": 2, "name": "never seen"})
    (run.parent / "truth.json").write_text(json.dumps(content))
    found = [
        {"image_id": 1, "category_id": c, "bbox": box, "score": 0.9} for c, box in zip((1, 2), BOXES, strict=False)
    ]
    write_predictions(run, found)
    content = analysis(run)
    assert content["tide"]["boxes"]["counts"] | {"classification": 1, "missed": 1} == content["tide"]["boxes"]["counts"]
    assert {row["slice"] for row in content["slices"]["category"]} == {"product"}


def test_two_folders_with_a_picture_of_one_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is judged by its own truth, and stands in the exports under its own name; out of order nobody could tell."""
    add_picture(run, "left/a.png", product="fuji")
    add_picture(run, "right/a.png", product="gala")
    write_decisions(
        run, ("shelf.png", named("fuji", "gala", "fuji")), ("a.png", named("fuji")), ("a.png", named("gala"))
    )
    content = analysis(run)
    assert content["errors"] == 0 and content["stages"]["right"] == 5
    write_decisions(
        run, ("a.png", named("fuji")), ("shelf.png", named("fuji", "gala", "fuji")), ("a.png", named("gala"))
    )
    with pytest.raises(SystemExit):
        main(["analyze", f"run={run}"])
    assert "lists 2 times" in capsys.readouterr().err
    (run / "decisions.jsonl").unlink()
    stray = [60, 30, 25, 25]
    found = [{"image_id": i, "category_id": 1, "bbox": box, "score": 0.9} for i in (2, 3) for box in (BOXES[0], stray)]
    write_predictions(run, found)
    assert analysis(run)["label_faults"]["not labelled"] == 2
    places = json.loads((run / "analysis" / "label_faults_fiftyone.json").read_text())["labels"]
    assert {name: len(found) for name, found in places.items()} == {"shelf": 3, "left/a": 1, "right/a": 1}
    images = json.loads((run / "analysis" / "label_faults_coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["shelf.png", "left/a.png", "right/a.png"]


@pytest.mark.parametrize(
    ("line", "word", "message"),
    [
        ("protocol: robustness", "pictures=12", "a run of protocol=robustness, which leaves no answers by picture"),
        ("verb: train", "pictures=0", "pictures is 0; expected 1 or more"),
        ("verb: benchmark", "pictures=12", "holds no decisions, no predictions"),
    ],
)
def test_runs_that_hold_nothing_to_look_at(
    run: Path, line: str, word: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").write_text(f"{line}\n")
    with pytest.raises(SystemExit):
        main(["analyze", f"run={run}", word])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"detection": null}', "has no detector and takes each frame for one product"),
        ("{}", "lacks 'detection'"),
        ("{", "not JSON"),
    ],
)
def test_a_benchmark_without_a_detector(run: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_decisions(run, ("shelf.png", named("fuji")))
    (run / "benchmark.json").write_text(text)
    with pytest.raises(SystemExit):
        main(["analyze", f"run={run}"])
    assert message in capsys.readouterr().err
