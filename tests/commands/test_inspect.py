"""`facings inspect`: what a finished run leaves for the eye, and words for who points it at something else."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from facings.commands.cli import main
from facings.commands.composition import compose_verb
from facings.commands.evaluate import run as evaluate
from facings.commands.inspect import asked_table, find_source, run
from facings.commands.inspection import TrainingBatchesSheet, write_inspection, write_training_batches
from facings.data.coco import CocoTable, read_coco
from facings.errors import ConfigError, DataError
from facings.metrics.thresholds import threshold_metrics
from tests.conftest import TinyShop

WRITTEN = ("pr_curve.png", "f1_score.png", "calibration.png", "worst.jpg", "best.jpg", "pictures.csv")


def inspect(folder: Path, *words: str) -> dict[str, float]:
    return run(compose_verb("inspect", [f"run={folder}", *words], output_dir=folder.parent / "inspect"))


def to_json(mask: dict[str, Any]) -> dict[str, Any]:
    """COCO's compressed run lengths as text, as they stand in a file."""
    return {**mask, "counts": mask["counts"].decode()}


def imperfect(table: CocoTable, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Most of the table's objects, a little moved, and one stray a picture; masks where the truth has them."""
    truth = table.ground_truth()
    found = []
    for entry in truth["annotations"]:
        if rng.random() < 0.8:
            box = (np.array(entry["bbox"]) + rng.normal(0, 1.5, 4)).clip(1).tolist()
            kept = {name: entry[name] for name in ("image_id", "category_id", "segmentation") if name in entry}
            if "segmentation" in kept:
                kept["segmentation"] = to_json(kept["segmentation"])
            found.append(kept | {"bbox": box, "score": float(rng.uniform(0.3, 1))})
    for image in truth["images"]:
        stray = {"image_id": image["id"], "category_id": 1, "bbox": [1.0, 1.0, 9.0, 9.0], "score": 0.2}
        if "segmentation" in truth["annotations"][0]:
            stray["segmentation"] = {
                "size": [image["height"], image["width"]],
                "counts": [image["height"] * image["width"]],
            }
        found.append(stray)
    return found


@pytest.fixture
def made(tiny_data: Path) -> CocoTable:
    home = tiny_data / "synthetic" / "quickstart"
    return read_coco(home / "instances_val.json", home / "images" / "val")


@pytest.fixture
def finished(made: CocoTable, tmp_path: Path, rng: np.random.Generator) -> Path:
    """A run's folder as far as an inspection reads it."""
    folder = tmp_path / "run"
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions" / "test.json").write_text(json.dumps(imperfect(made, rng)))
    side = f"{{annotations: {made.source}, images: {made.images[0].path.parent}}}"
    (folder / "config.yaml").write_text(
        f"data:\n  class_agnostic: false\n  val: {side}\n  test: null\ntrainer:\n  limit_test_batches: 1.0\n"
    )
    return folder


def test_a_training_and_an_evaluation_are_inspected(tiny_shop: TinyShop, tmp_path: Path) -> None:
    """The figures printed are those of the metrics; bundle or checkpoint, own data or given."""
    trained = tiny_shop.detector.parent.parent
    evaluated = {"checkpoint": tmp_path / "checkpoint", "bundle": tmp_path / "bundle"}
    val = [f"annotations={tiny_shop.data / 'instances_val.json'}", f"images={tiny_shop.data / 'images' / 'val'}"]
    evaluate(compose_verb("evaluate", [f"checkpoint={tiny_shop.detector}"], output_dir=evaluated["checkpoint"]))
    evaluate(compose_verb("evaluate", [f"bundle={tiny_shop.bundle}", *val], output_dir=evaluated["bundle"]))
    table = read_coco(tiny_shop.data / "instances_val.json", tiny_shop.data / "images" / "val")
    for folder, name in ((trained, "test"), *((path, "detections") for path in evaluated.values())):
        found = inspect(folder)
        predictions = json.loads((folder / "predictions" / f"{name}.json").read_text())
        expected = threshold_metrics(table.ground_truth(), predictions, max_detections=1000)
        assert found["f1"] == pytest.approx(expected["f1"]) and found["recall"] == pytest.approx(expected["f1_recall"])
        for file in WRITTEN:
            assert (folder / "plots" / file).stat().st_size > 100, file


def test_through_the_command_line(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", f"run={finished}"]) == 0
    printed = capsys.readouterr().out
    for words in ("score threshold", "precision", "recall", "the worst pictures", "missed"):
        assert words in printed
    for name in WRITTEN:
        path = finished / "plots" / name
        assert f"written: {path}" in printed and path.is_file()
        if path.suffix in (".png", ".jpg"):
            image = np.asarray(Image.open(path).convert("RGB"))
            assert min(image.shape[:2]) > 300 and image.std() > 10


def test_pictures_are_listed_worst_first_and_sum_up(finished: Path, made: CocoTable) -> None:
    figures = inspect(finished)
    with (finished / "plots" / "pictures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["picture"] for row in rows} == {image.path.name for image in made.images}
    quality = [float(row["f1"]) for row in rows]
    assert quality == sorted(quality)
    total = {name: sum(int(row[name]) for row in rows) for name in rows[0] if name not in ("picture", "f1")}
    assert total["objects"] == sum(len(image.labels) for image in made.images)
    wrong = total["false"] + total["doubled"] + total["wrong class"]
    assert figures["recall"] == pytest.approx(total["right"] / total["objects"])
    assert figures["precision"] == pytest.approx(total["right"] / (total["right"] + wrong))


def test_no_more_pictures_than_a_run_was_asked_about(
    finished: Path, made: CocoTable, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a benchmark with max_images leaves it: the others' objects are not missed, and the command says so."""
    first = [entry for entry in json.loads((finished / "predictions" / "test.json").read_text())
             if entry["image_id"] in {image.image_id for image in made.images[:2]}]  # fmt: skip
    (finished / "predictions" / "test.json").write_text(json.dumps(first))
    (finished / "config.yaml").write_text((finished / "config.yaml").read_text() + "max_images: 2\n")
    found = inspect(finished)
    assert "of 2 pictures alone: the run was asked about its first (max_images)" in capsys.readouterr().out
    with (finished / "plots" / "pictures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["picture"] for row in rows) == sorted(image.path.name for image in made.images[:2])
    assert sum(int(row["objects"]) for row in rows) == sum(len(image.labels) for image in made.images[:2])
    assert found["recall"] > 0.5


def test_pictures_of_one_name_are_listed_apart(finished: Path, made: CocoTable, tmp_path: Path) -> None:
    truth = json.loads(Path(made.source).read_text())
    for number, image in enumerate(truth["images"]):
        (tmp_path / "all" / str(number)).mkdir(parents=True)
        (tmp_path / "all" / str(number) / "1.jpg").write_bytes(
            (made.images[0].path.parent / image["file_name"]).read_bytes()
        )
        image["file_name"] = f"{number}/1.jpg"
    (tmp_path / "twice.json").write_text(json.dumps(truth))
    inspect(finished, f"annotations={tmp_path / 'twice.json'}", f"images={tmp_path / 'all'}")
    with (finished / "plots" / "pictures.csv").open() as file:
        names = {row["picture"] for row in csv.DictReader(file)}
    assert names == {f"{number}/1.jpg" for number in range(len(truth["images"]))}


def test_masks_are_looked_at_where_they_are(made: CocoTable, tmp_path: Path, rng: np.random.Generator) -> None:
    assert made.outlined
    boxes = write_inspection(tmp_path / "a", made, imperfect(made, rng), made.labels)
    masks = write_inspection(tmp_path / "b", made, imperfect(made, rng), made.labels, judged_by="masks")
    assert 0 < boxes.best.f1 < 1 and 0 < masks.best.f1 < 1
    assert Image.open(tmp_path / "a" / "plots" / "pr_curve.png").height > 1000
    bare = [{**entry, "segmentation": None} for entry in imperfect(made, rng)]
    with pytest.raises(ConfigError, match="masks need one of every object and detection"):
        write_inspection(tmp_path / "c", made, bare, made.labels, judged_by="masks")


def test_class_agnostic_takes_any_box_for_a_product(finished: Path) -> None:
    named, agnostic = inspect(finished), inspect(finished, "class_agnostic=true")
    assert agnostic["f1"] >= named["f1"]


def test_a_part_of_a_split_is_judged_alone(finished: Path, made: CocoTable) -> None:
    """Under debug=fast the pictures that nobody looked at are not missed objects."""
    path = finished / "predictions" / "test.json"
    first = [entry for entry in json.loads(path.read_text()) if entry["image_id"] == made.images[0].image_id]
    path.write_text(json.dumps(first))
    whole = inspect(finished)["recall"]
    config = finished / "config.yaml"
    config.write_text(config.read_text().replace("limit_test_batches: 1.0", "limit_test_batches: 1"))
    assert inspect(finished)["recall"] > whole
    assert len((finished / "plots" / "pictures.csv").read_text().splitlines()) == 2


def test_no_detection_at_all(finished: Path) -> None:
    (finished / "predictions" / "test.json").write_text("[]")
    figures = inspect(finished)
    assert figures["f1"] == 0 and np.isnan(figures["threshold"])
    assert (finished / "plots" / "best.jpg").is_file()


def test_wrong_use(finished: Path, made: CocoTable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run is not given: facings inspect run=FOLDER"):
        run(compose_verb("inspect", output_dir=tmp_path))
    with pytest.raises(ConfigError, match=r"no config.yaml, .*; runs in it: .*run"):
        inspect(tmp_path)
    with pytest.raises(ConfigError, match="given together"):
        inspect(finished, "annotations=x.json")
    with pytest.raises(ConfigError, match=r"predictions=none.json: no such file"):
        inspect(finished, "predictions=none.json")
    with pytest.raises(ConfigError, match=r"judged_by=outlines: expected one of"):
        inspect(finished, "judged_by=outlines")
    path = finished / "predictions" / "test.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**entries[0], "image_id": 10**6}]))
    with pytest.raises(DataError, match=r"instances_val.json: predictions of image_id 1000000, .*another split"):
        inspect(finished)
    path.write_text('{"a": 1}')
    with pytest.raises(DataError, match="expected a list of COCO results"):
        inspect(finished)
    path.unlink()
    with pytest.raises(ConfigError, match="only detectors leave predictions"):
        inspect(finished)


def test_data_that_has_moved_is_asked_for(finished: Path) -> None:
    cfg = compose_verb("inspect", [f"run={finished}"], output_dir=finished)
    gone = {"data": {"val": {"annotations": "gone.json", "images": "gone"}, "test": None}}
    with pytest.raises(ConfigError, match=r"tested on gone.json, which is not there .* give annotations="):
        find_source(cfg, gone, finished)
    with pytest.raises(ConfigError, match="names no pictures"):
        find_source(cfg, {"data": {"table": {}}}, finished)
    cfg = compose_verb("inspect", [f"run={finished}", "annotations=a.json", "images=b"], output_dir=finished)
    assert find_source(cfg, gone, finished) == ("a.json", "b", False)


def test_a_run_that_was_tested_on_several_files_is_asked_about_all(finished: Path) -> None:
    """Numbered anew where two files use one image id, as the test of the run did."""
    part = dict(OmegaConf.to_container(OmegaConf.load(finished / "config.yaml"))["data"]["val"])  # type: ignore[index,call-overload]
    cfg = compose_verb("inspect", [f"run={finished}"], output_dir=finished)
    alone, _ = asked_table(cfg, {"data": {"test": [part]}}, finished)
    both, agnostic = asked_table(cfg, {"data": {"val": part, "test": [part, part], "class_agnostic": True}}, finished)
    assert agnostic and both.labels == ("product",) and len(both.images) == 2 * len(alone.images)
    assert [image.image_id for image in both.images] == list(range(1, len(both.images) + 1))
    assert find_source(cfg, {"data": {"test": [part, part]}}, finished) == (part["annotations"], part["images"], False)


def batches(count: int, size: int, masks: bool) -> list[dict[str, Any]]:
    """Training batches as `facings.data.detection.collate` makes them, one object a picture."""
    made = []
    for _ in range(count):
        batch: dict[str, Any] = {"pixels": torch.zeros(size, 3, 64, 64, dtype=torch.bfloat16)}
        batch |= {"boxes": [torch.tensor([[8.0, 8, 40, 40]])] * size, "labels": [torch.tensor([1])] * size}
        if masks:
            batch["masks"] = [torch.ones(64, 64, dtype=torch.int16)] * size
        made.append(batch)
    return made


@pytest.mark.parametrize("masks", [False, True])
def test_training_batches_of_a_loader(masks: bool, tmp_path: Path) -> None:
    path = write_training_batches(tmp_path, batches(5, 8, masks), (0.5,) * 3, (0.5,) * 3, ["tea", "pear"])
    assert path == tmp_path / "plots" / "train_batches.jpg"
    # Twelve pictures: four a line, three lines.
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert image.shape[1] > 4 * 540 and 3 * 540 < image.shape[0] < 4 * 540
    # Outside its box a mask of the whole picture tints the grey.
    assert (abs(image[28 + 54 + 500, 28 + 500] - 128).max() > 20) == masks


class Nothing(pl.LightningModule):
    """The least that Lightning trains."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return (self.weight * batch["pixels"].float().mean()).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("count", [1, 4])
def test_training_batches_as_they_are_trained_on(count: int, tmp_path: Path) -> None:
    """Also where an epoch has fewer pictures than the sheet."""
    sheet = TrainingBatchesSheet(tmp_path, (0.5,) * 3, (0.5,) * 3, ["tea", "pear"])
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, callbacks=[sheet], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(batches(count, 4, True), batch_size=None)  # type: ignore[arg-type]
    trainer.fit(Nothing(), loader)
    written = tmp_path / "plots" / "train_batches.jpg"
    assert Image.open(written).width > 4 * 540
