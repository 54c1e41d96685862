"""`facings train` on tiny real data: run folders, resuming, debugging, and what a user can do wrong."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Callback

from facings.commands.composition import compose_verb
from facings.commands.train import run
from facings.errors import CheckpointError, ConfigError, DataError
from facings.tasks.checkpoint import check_targets, load_model, read_checkpoint
from tests.conftest import TINY_DETECTOR, TINY_EMBEDDER, TinyShop


class BreakAfterTwoEpochs(Callback):
    """Ctrl-C, always at the same place."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt


def train(folder: Path, data: Path, *words: str, base: tuple[str, ...] = TINY_EMBEDDER) -> dict[str, float]:
    return run(compose_verb("train", [*base, f"paths.data_dir={data}", *words], output_dir=folder))


def weights(folder: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    state = read_checkpoint(folder / "checkpoints" / name)["state_dict"]
    return {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}


def test_run_folder_is_complete(tiny_shop: TinyShop) -> None:
    for checkpoint in (tiny_shop.detector, tiny_shop.embedder):
        folder = checkpoint.parent.parent
        environment = json.loads((folder / "environment.json").read_text())
        assert {"seed", "git", "data", "machine", "packages", "command"} <= set(environment)
        assert environment["seed"] == 0 and all(len(v) == 64 for v in environment["data"].values())
        assert OmegaConf.load(folder / "config.yaml").seed == 0
        with (folder / "metrics.csv").open() as file:
            assert [row for row in csv.DictReader(file) if row.get("val/ap50") or row.get("val/fine_top1")]
        assert (folder / "results.json").is_file()
        assert {p.name for p in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    predictions = json.loads((tiny_shop.detector.parent.parent / "predictions" / "test.json").read_text())
    assert not predictions or {"image_id", "category_id", "bbox", "score"} <= set(predictions[0])


@pytest.mark.parametrize("base", [TINY_EMBEDDER, TINY_DETECTOR], ids=["reid", "detection"])
def test_resumed_run_equals_an_unbroken_one(tiny_data: Path, tmp_path: Path, base: tuple[str, ...]) -> None:
    """The same four epochs, once in one go, once broken off after two and taken up from last.ckpt."""
    words = ["trainer.max_epochs=4", "trainer.limit_train_batches=2", "test=false"]
    train(tmp_path / "unbroken", tiny_data, *words, base=base)
    broken = "+callbacks.stop._target_=tests.commands.test_training.BreakAfterTwoEpochs"
    with pytest.raises(SystemExit) as stop:
        train(tmp_path / "first", tiny_data, *words, broken, base=base)
    assert stop.value.code == 130
    resume = f"resume={tmp_path / 'first' / 'checkpoints' / 'last.ckpt'}"
    train(tmp_path / "second", tiny_data, *words, resume, base=base)
    first = read_checkpoint(tmp_path / "first" / "checkpoints" / "last.ckpt")["facings"]["minutes"]
    whole = json.loads((tmp_path / "second" / "results.json").read_text())["minutes"]
    assert 0 < first < whole, "what was spent before the interruption counts"
    unbroken, resumed = weights(tmp_path / "unbroken"), weights(tmp_path / "second")
    assert unbroken.keys() == resumed.keys()
    for name, value in unbroken.items():
        torch.testing.assert_close(value, resumed[name], rtol=0, atol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_two_runs_with_one_seed_are_equal_and_other_seeds_differ(tiny_data: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, tiny_data, f"seed={seed}", "test=false")
    first, second, other = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_dry_run_trains_nothing(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, tiny_data, "dry_run=true") == {}
    printed = capsys.readouterr().out
    assert "(8, 3, 64, 64)" in printed and "Params" in printed and "nothing was trained" in printed
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("debug", ["fast", "overfit"])
@pytest.mark.parametrize("base", [TINY_EMBEDDER, TINY_DETECTOR], ids=["reid", "detection"])
def test_debug_modes_run(tiny_data: Path, tmp_path: Path, debug: str, base: tuple[str, ...]) -> None:
    words = ["debug=overfit", "trainer.max_epochs=1"] if debug == "overfit" else ["debug=fast"]
    train(tmp_path, tiny_data, *words, "callbacks.progress=null", base=base)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_checkpoint_of_another_model_is_refused(tiny_shop: TinyShop, tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a detection run; this experiment is reid"):
        train(tmp_path, tiny_data, f"resume={tiny_shop.detector}")
    with pytest.raises(CheckpointError, match=r"of another model: .* of another shape"):
        train(tmp_path, tiny_data, f"resume={tiny_shop.embedder}", "model.dimension=16")
    with pytest.raises(CheckpointError, match="expected a reid one"):
        load_model(tiny_shop.detector, "reid")
    with pytest.raises(ConfigError, match="both set"):
        train(tmp_path, tiny_data, f"resume={tiny_shop.embedder}", f"initial_weights={tiny_shop.embedder}")
    assert not (tmp_path / "checkpoints").exists()


def test_damaged_checkpoints_are_named(tiny_shop: TinyShop, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing\.ckpt: no such checkpoint"):
        read_checkpoint(tmp_path / "nothing.ckpt")
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(tiny_shop.embedder.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="damaged, truncated"):
        read_checkpoint(cut)
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match="lacks the entries"):
        read_checkpoint(tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match=r"wants to build 'os\.system'"):
        check_targets({"a": [{"_target_": "os.system"}]}, ("facings.models.",), source="x")


def test_missing_data_and_empty_split_say_what_to_do(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception) as fault:
        train(tmp_path / "a", tmp_path / "nowhere")
    assert "nowhere" in str(fault.value)
    with pytest.raises(Exception, match=r"no rows with split=summer.*train/train"):
        train(tmp_path / "b", tiny_data, "data.train=[{split: summer, role: train}]")
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}))
    with pytest.raises(Exception, match="'images' is empty"):
        train(tmp_path / "c", tiny_data, f"data.train.annotations={empty}", base=TINY_DETECTOR)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_too_crowded_for_the_detector_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"raise task\.module\.top_k"):
        train(tmp_path, tiny_data, "task.module.top_k=3", base=TINY_DETECTOR)


def test_annotations_that_would_spoil_the_training_are_refused(tiny_data: Path, tmp_path: Path) -> None:
    content = json.loads((tiny_data / "synthetic" / "quickstart" / "instances_train.json").read_text())
    again = [annotation | {"id": 10_000 + number} for number, annotation in enumerate(content["annotations"])]
    doubled = tmp_path / "doubled.json"
    doubled.write_text(json.dumps(content | {"annotations": content["annotations"] + again}))
    words = [f"data.train.annotations={doubled}", "dry_run=true"]
    with pytest.raises(DataError, match=r"doubled\.json: would spoil(.|\n)*lie on another box(.|\n)*check_data=false"):
        train(tmp_path / "run", tiny_data, *words, base=TINY_DETECTOR)
    assert train(tmp_path / "run", tiny_data, *words, "check_data=false", base=TINY_DETECTOR) == {}


def test_truncated_training_picture_is_named(tiny_data: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    source = tiny_data / "synthetic" / "quickstart" / "recognition.csv"
    lines = source.read_text().splitlines()
    rows = [lines[0], *(f"{source.parent}/{line}" for line in lines[1:])]
    cut = tmp_path / "cut.jpg"
    cut.write_bytes((source.parent / lines[1].split(",")[0]).read_bytes()[:700])
    rows[1] = ",".join([str(cut), *rows[1].split(",")[1:]])
    table.write_text("\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"cut\.jpg: cannot be decoded"):
        train(tmp_path / "run", tiny_data, f"data.table.path={table}")


def test_full_disk_leaves_no_half_checkpoint(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path, tiny_data)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".ckpt", ".part") and p.stat().st_size]


def test_labels_are_kept_with_the_model(tiny_shop: TinyShop) -> None:
    model, config = load_model(tiny_shop.detector, "detection")
    assert config["labels"] == ["packaged", "produce"]
    with torch.no_grad():
        found = model.predict(torch.zeros(1, 3, 128, 128))  # type: ignore[operator]
    boxes, scores, labels = found["boxes"], found["scores"], found["labels"]
    assert boxes.shape == (1, 336, 4) and set(np.unique(labels)) <= {0, 1}
    assert (scores.diff(dim=1) <= 0).all()
