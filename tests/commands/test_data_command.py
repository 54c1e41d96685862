"""`facings data` as a user types it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from facings.benchmark.spoiled_set import spoil
from facings.commands.cli import main
from facings.commands.composition import compose_verb
from facings.commands.data_augment import training_of
from facings.data.doctor.sources import open_dataset


@pytest.fixture(scope="module")
def home(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a sound set and one with four faults."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "sound").symlink_to(tiny_data / "synthetic" / "quickstart", target_is_directory=True)
    kinds = ["box-outside", "leak-identical", "image-truncated", "leak-sequence"]
    spoil(tiny_data / "synthetic" / "quickstart", folder / "spoiled", kinds)
    return folder


def test_ci_is_told_by_the_exit_code(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "sound", "--data-dir", str(home), "--strict", "--use", "commercial"]) == 0
    words = ["--json", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html"), "--fix", str(tmp_path / "mended")]
    assert main(["data", "check", "spoiled", "--data-dir", str(home), *words]) == 1
    assert "leak-identical" in capsys.readouterr().out
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["kinds"]["leak-identical"]["severity"] == "error" and record["kinds"]["box-outside"]["advice"]
    page = (tmp_path / "a.html").read_text()
    assert "data:image/jpeg;base64" in page and "<script" not in page and "http://" not in page
    assert all(code in page for code in record["kinds"])
    words = ["--annotations", *map(str, sorted((tmp_path / "mended").glob("instances_*.json")))]
    assert main(["data", "check", *words[:2], "--images", str(home / "spoiled" / "images" / "train")]) == 0


def test_warnings_stop_only_a_strict_check(tiny_data: Path, tmp_path: Path) -> None:
    spoil(tiny_data / "synthetic" / "quickstart", tmp_path / "set", ["leak-sequence"])
    words = ["data", "check", "set", "--data-dir", str(tmp_path), "--no-pixels"]
    assert main(words) == 0
    assert main([*words, "--strict"]) == 1


def test_a_table_is_checked(home: Path) -> None:
    assert main(["data", "check", "--table", str(home / "sound" / "recognition.csv")]) == 0


def test_browse_draws_a_sheet(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "sheet.jpg"
    assert main(["data", "browse", "sound", "--data-dir", str(home), "--count", "4", "--output", str(output)]) == 0
    with Image.open(output) as sheet:
        assert sheet.width > 900


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=detection/quickstart", "image_size=96", "data.batch_size=4"],
        ["experiment=reid/quickstart", "image_size=64", "data.products_per_batch=4"],
        ["synthetic/quickstart", "image_size=96"],
    ],
    ids=["detector", "embedder", "name"],
)
def test_augment_shows_what_training_sees(words: list[str], tiny_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "seen.jpg"
    assert main(["data", "augment", *words, f"paths.data_dir={tiny_data}", f"output={output}"]) == 0
    with Image.open(output) as sheet:
        assert sheet.width > 900


def test_augment_of_a_set_without_an_experiment(tiny_data: Path, tmp_path: Path) -> None:
    folder = tiny_data / "synthetic" / "quickstart"
    boxes = replace(open_dataset(folder), name="a set of boxes")
    (tmp_path / "a, [b]").symlink_to(folder)
    there = open_dataset(tmp_path / "a, [b]")
    assert compose_verb("train", training_of(there, folder)).data.train.images.endswith("a, [b]/images/train")
    assert compose_verb("train", training_of(boxes, folder)).data.train.images == str(folder / "images" / "train")
    crops = replace(boxes, name="a set of crops", splits=())
    assert compose_verb("train", training_of(crops, folder)).data.table.path == str(folder / "recognition.csv")


@pytest.mark.parametrize(
    "form, file",
    [
        ("yolo", "data.yaml"),
        ("voc", "ImageSets"),
        ("coco", "annotations/instances_val.json"),
        ("datumaro", "annotations/val.json"),
        ("fiftyone", "val/labels.json"),
    ],
)
def test_export_writes_a_format(form: str, file: str, home: Path, tmp_path: Path) -> None:
    # The synthetic splits number their frames alike: VOC, which has one folder for all, must tell them apart.
    words = ["data", "export", "sound", "--data-dir", str(home), "--format", form, "--pictures", "none"]
    assert main([*words, "--output", str(tmp_path / form)]) == 0
    assert (tmp_path / form / file).exists()


def test_export_refuses_what_cannot_be_said(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(tiny_data / "synthetic" / "quickstart", tmp_path / "set", ["box-malformed"])
    words = ["data", "export", "set", "--data-dir", str(tmp_path), "--format", "yolo"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    assert "box-malformed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, expected",
    [
        (["check"], "give a NAME"),
        (["check", "nothing", "--data-dir", "."], "no such dataset"),
        (["check", "x", "--fix", "y", "--no-pixels"], "--no-pixels"),
        (["check", "--annotations", "x.json"], "--images DIR"),
        (["augment"], "name a dataset's folder, or an experiment"),
        (["augment", "one", "two"], "name a dataset's folder, or an experiment"),
        (["augment", "one", "paths.data_dir=nowhere"], "nowhere/one: no such dataset"),
    ],
)
def test_wrong_use_is_explained(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words]) == 2
    assert expected in capsys.readouterr().err
