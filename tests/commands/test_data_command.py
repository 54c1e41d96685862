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


def test_export_leaves_nothing_half_done(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(home / "sound", tmp_path / "set", ["image-missing", "crowd"])
    words = ["data", "export", "set", "--data-dir", str(tmp_path), "--format", "voc", "--output", str(tmp_path / "out")]
    assert main(words) == 2 and not (tmp_path / "out").exists()
    assert "is not there, as 1 of" in capsys.readouterr().err
    assert main([*words, "--pictures", "none"]) == 0
    assert "1 crowd regions were left out, which voc cannot say" in capsys.readouterr().out
    taken = tmp_path / "out" / "ImageSets" / "Main" / "train.txt"
    for output in (taken, taken.parent):
        assert main([*words[:-1], str(output)]) == 2
        assert "is there and not an empty folder" in capsys.readouterr().err


def test_names_are_not_read_as_markup(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shop [b]"
    folder.mkdir()
    content = json.loads((home / "sound" / "instances_val.json").read_text())
    content["categories"][0]["name"] = "tea\\[/bold]"
    (folder / "instances_[red].json").write_text(json.dumps(content))
    (folder / "images").symlink_to(home / "sound" / "images" / "val")
    words = ["data", "check", folder.name, "--data-dir", str(tmp_path), "--json", str(tmp_path / "[x].json")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "shop [b]: 0 errors" in said and "[red]" in said and "[x].json" in said


def test_figures_are_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "sound", "--data-dir", str(home)]) == 0
    said = capsys.readouterr().out
    for word in (
        "p99.9",
        "box width",
        "width : height",
        "gap to the",
        "outline's side",
        "frequent size",
        "rarest class",
    ):
        assert word in said, word


def test_what_the_adapter_met_is_told_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw" / "train" / "cola").mkdir(parents=True)
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "raw" / "train" / "cola" / "a.png")
    (tmp_path / "raw" / "train" / "cola" / "b.png").write_text("<html>")
    assert main(["prepare", "dataset=image_folder", f"source={tmp_path / 'raw'}", f"output={tmp_path / 'out'}"]) == 0
    page, record = tmp_path / "page.html", tmp_path / "check.json"
    words = ["data", "check", "out", "--data-dir", str(tmp_path), "--json", str(record), "--html", str(page)]
    capsys.readouterr()
    assert main(words) == 0
    assert "when it was prepared: 1 unreadable picture" in capsys.readouterr().out
    assert json.loads(record.read_text())["prepared"] == {"unreadable picture": 1}
    assert "1 unreadable picture" in page.read_text()


def test_reports_never_replace_annotations_and_disks_are_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "check", "sound", "--data-dir", str(home), "--no-pixels"]
    for option in ("--json", "--html"):
        assert main([*words, option, str(home / "sound" / "instances_val.json")]) == 2
        assert "instances_val.json: holds the set's annotations" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([*words, "--json", str(tmp_path / "file" / "check.json")]) == 2
    assert "file: " in capsys.readouterr().err
    assert main([*words[:-1], "--fix", str(tmp_path / "file")]) == 2
    assert "not there yet" in capsys.readouterr().err


def test_augment_takes_the_options_of_the_others(tiny_data: Path, tmp_path: Path) -> None:
    words = ["synthetic/quickstart", "image_size=96", "--data-dir", str(tiny_data), "--output", str(tmp_path / "a.jpg")]
    assert main(["data", "augment", *words]) == 0
    assert (tmp_path / "a.jpg").is_file()


@pytest.mark.parametrize(
    "words, expected",
    [
        (["augment", "one", "--data-dir"], "expected one argument"),
        (["augment", "one", "--what"], "name a dataset's folder, or an experiment"),
        (["augment", "one", "--data-dir", "no where"], "no where/one: no such dataset"),
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
