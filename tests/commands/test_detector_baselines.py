"""The table of baselines: the same terms for all, what is skipped and why, a short table of two models."""

import doctest
import importlib.util
import json
import re
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from facings.benchmark import detector_baselines as catalogue
from facings.benchmark.claims import CLAIMS
from facings.benchmark.detector_baselines import (
    CANDIDATES,
    DENSE,
    EXPERIMENT,
    IDENTIFIER,
    METRICS,
    SLIM,
    Candidate,
    chosen,
)
from facings.benchmark.turns import median_of, time_in_turn
from facings.commands import detector_baselines
from facings.commands.detector_baselines import Terms, first_difference, is_finished, obstacle, portable
from facings.config import config_dir
from facings.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
# Two models from nothing, small, for two steps.
SETTINGS = (
    "image_size=64", "data.batch_size=4", "model.backbone=mobilenetv4_conv_small_050", "model.pretrained=none",
    "model.channels=32", "trainer.enable_progress_bar=false", "callbacks.progress=null",
)  # fmt: skip
SHORT = ["--experiment", "detection/quickstart", "--models", DENSE, "faster_rcnn", "--epochs", "1", "--rounds", "3"]
LEARNING = {"task.module.learning_rate", "task.module.top_k", "task.module.nms_iou"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "detector_baselines.py"
    spec = importlib.util.spec_from_file_location("detector_baselines_script", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def terms(data: Path | str = "data", logs: Path = Path("logs"), **changes: Any) -> Terms:
    return Terms(**({"experiment": "detection/quickstart", "data_dir": str(data), "logs": logs} | changes))


def flat(of: Terms, candidate: Candidate) -> dict[str, Any]:
    """The configuration of a model's training, `dotted.key` → value."""
    config = OmegaConf.to_container(of.config(candidate, ["apple", "pear"]), resolve=True)
    assert isinstance(config, dict)
    return portable({str(key): value for key, value in config.items()})


@pytest.mark.parametrize("experiment", [EXPERIMENT, "detection/quickstart"])
@pytest.mark.parametrize("candidate", chosen([name for name in CANDIDATES if name != DENSE]), ids=lambda one: one.name)
def test_baselines_differ_in_the_model_and_how_it_learns_alone(candidate: Candidate, experiment: str) -> None:
    of = terms(experiment=experiment, epochs=2)
    own, dense = flat(of, candidate), flat(of, CANDIDATES[DENSE])
    differing = {key for key in {*own, *dense} if own.get(key, "") != dense.get(key, "")}
    others = {key for key in differing if not key.startswith(("model.", "loss.")) and key not in LEARNING}
    assert not others
    # The backbone is the dense one's, all else is what the model's own file says, or the catalogue.
    assert not differing & {"model.backbone", "model.pretrained", "model.drop_path_rate"}
    file = OmegaConf.to_container(OmegaConf.load(config_dir() / "model" / "detector" / f"{candidate.name}.yaml"))
    assert isinstance(file, dict)
    words = dict(word.split("=") for word in candidate.settings)
    for key, value in file.items():
        if not str(value).startswith("$"):
            assert str(own[f"model.{key}"]) == words.get(f"model.{key}", str(value))
    assert {key for key in own if key.startswith("model.")} == {f"model.{key}" for key in file}
    assert own["trainer.check_val_every_n_epoch"] == own["trainer.max_epochs"] == 2
    assert own["task.module.learning_rate"] == (0.0002 if candidate.name in ("rtdetr", "dfine") else 0.0005)


def test_the_dense_detector_is_as_the_experiment_has_it() -> None:
    config = flat(terms(experiment=EXPERIMENT), CANDIDATES[DENSE])
    assert config["model.prototypes"] == 32 and config["task.module.learning_rate"] == 0.002
    assert config["trainer.max_epochs"] == config["trainer.check_val_every_n_epoch"] == 15


def test_the_claim_wants_every_figure_of_every_model() -> None:
    assert CLAIMS[IDENTIFIER][1] == METRICS and set(METRICS) >= {"lite0_mask_ap", "mask_rcnn_mask_ap", "fcos_ms"}
    assert "lite0_ap_difference" not in METRICS and "fcos_mask_ap" not in METRICS
    assert [one.name for one in chosen(["fcos", "lite0"])] == ["lite0", "fcos"] and len(chosen([])) == len(CANDIDATES)
    assert doctest.testmod(catalogue).failed == doctest.testmod(detector_baselines).failed == 0


def test_models_are_timed_in_turn_on_the_same_pictures() -> None:
    calls: list[tuple[str, int]] = []

    def run(name: str, seconds: float) -> Any:
        return lambda number: (calls.append((name, number)), time.sleep(seconds))

    seen: list[int] = []
    runs = {"slow": run("slow", 0.008), "fast": run("fast", 0.001)}
    ms, others = time_in_turn(runs, rounds=6, warmup=1, advance=lambda: seen.append(1))
    timed = calls[2:]
    assert len(seen) == 6 and 0 <= others <= 1
    assert [number for _, number in timed] == [number for number in range(6) for _ in runs]
    assert all({name for name, _ in timed[2 * i : 2 * i + 2]} == set(runs) for i in range(6))
    slow, fast = (median_of(ms[name]) for name in runs)
    assert slow["low"] <= slow["value"] == np.median(ms["slow"]) <= slow["high"]
    assert slow["value"] >= 8 > fast["value"]


def test_what_cannot_be_trained_is_skipped_and_says_why(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = terms(tiny_data, tmp_path, words=SETTINGS)
    data = of.data()
    assert obstacle(CANDIDATES["faster_rcnn"], of, data) is None
    # Three hundred queries want a place each: 84 are there.
    assert "expected 1 to 84" in str(obstacle(CANDIDATES["rtdetr"], of, data))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transformers" else find(name))
    larger = terms(tiny_data, tmp_path, words=("image_size=320",))
    assert "pip install 'facings[transformers]'" in str(obstacle(CANDIDATES["dfine"], larger, data))
    monkeypatch.setattr(type(data), "crowding", lambda self: 101.0)
    assert "at most 100 boxes a frame" in str(obstacle(CANDIDATES["faster_rcnn"], larger, data))
    with pytest.raises(ConfigError, match="lite0: the detector reports at most 84 boxes"):
        obstacle(CANDIDATES[DENSE], of, data)
    monkeypatch.setattr(type(data.train_table), "outlined", False)
    assert "the data have none" in str(obstacle(CANDIDATES["mask_rcnn"], of, data))


def test_two_models_are_trained_once_judged_and_timed(
    script: ModuleType, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SHORT, "--data-dir", str(tiny_data), "--logs", str(tmp_path), "--set", *SETTINGS]
    assert script.main(words) == 0
    printed = capsys.readouterr().out
    assert "8 training pictures each, judged on 3 others" in printed and "model.roi_samples=64" in printed
    written = {name: tmp_path / name / "results.json" for name in (DENSE, "faster_rcnn")}
    times = {name: path.stat().st_mtime_ns for name, path in written.items()}
    # The table's figures are those of the runs' own tests, another evaluator's.
    ap = {name: json.loads(path.read_text())["ap"] for name, path in written.items()}
    cells = re.split(r"  +", next(line for line in printed.splitlines() if line.strip().startswith("Faster R-CNN ")))
    assert f"{ap['faster_rcnn']:.3f}" in cells and f"{ap['faster_rcnn'] - ap[DENSE]:+.3f}" in " ".join(cells)
    assert json.loads((tmp_path / DENSE / "environment.json").read_text())["command"].startswith("facings train exp")

    again = ["--models", DENSE, *words[5:]]
    assert script.main([*words[:2], *again]) == 0
    assert "trained already" in capsys.readouterr().out
    assert times == {name: path.stat().st_mtime_ns for name, path in written.items()}
    of = terms(tiny_data, tmp_path, epochs=1, words=SETTINGS)
    labels = of.data().labels
    assert all(is_finished(CANDIDATES[name], of, labels) for name in written)
    # Another number of epochs is another table, and what is broken off is not finished.
    with pytest.raises(ConfigError, match=r"lite0: was trained with other settings \(trainer\.\w+: 1, now 2\); remove"):
        is_finished(CANDIDATES[DENSE], terms(tiny_data, tmp_path, epochs=2, words=SETTINGS), labels)
    written["faster_rcnn"].unlink()
    assert not is_finished(CANDIDATES["faster_rcnn"], of, labels)


def test_a_table_in_another_place_is_the_same_training(tiny_data: Path, tmp_path: Path) -> None:
    here, there = (flat(terms(tiny_data, tmp_path / name), CANDIDATES[DENSE]) for name in ("here", "there"))
    assert here == there and here["data.train.annotations"] == "/synthetic/quickstart/instances_train.json"
    other = flat(terms(tiny_data, words=("seed=1",)), CANDIDATES[DENSE])
    found = first_difference(here, other)
    assert found == "callbacks.seed.seed: 0, now 1"
    assert first_difference(here, there) is None


def test_the_record_holds_what_the_table_shows(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = []
    for one in CANDIDATES.values():
        values = {name: float(rng.uniform()) for name in one.figures}
        rows.append(
            script.Row(one, None, {name: {"value": v, "low": v - 0.1, "high": v + 0.1} for name, v in values.items()})
        )

    class Run:
        checksums, seed = {"instances_test.json": "a" * 64}, 0

    options = script.parser().parse_args(
        ["--result", IDENTIFIER, "--data-dir", "/a/b", "--set", "seed=1", "a.b=[1, 2]"]
    )
    script.record(options, rows, 0.02, [Run()], "abc")
    content = json.loads((tmp_path / "results" / f"{IDENTIFIER}.json").read_text())
    assert list(content["metrics"]) == list(METRICS) and content["metrics"]["fcos_ms"]["unit"] == "ms"
    assert content["metrics"]["dfine_ap"]["value"] == rows[-1].metrics["ap"]["value"]
    assert content["command"] == (
        "python scripts/detector_baselines.py --data-dir DATA --set seed=1 'a.b=[1, 2]' --result det-baselines"
    )
    rows[-1] = script.Row(CANDIDATES["dfine"], "needs [extra]")
    console = Console(width=80, record=True)
    console.print(script.table(rows, "a table"))
    text = console.export_text()
    assert "D-FINE is skipped: needs [extra]" in text and " ".join(SLIM) in " ".join(text.split())
    for row in rows[:-1]:
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{row.candidate.label} "))
        shown = [f"{row.metrics['ap']['value']:.3f}", f"{row.metrics['ap50']['value']:.3f}"]
        assert all(cell in line.split() for cell in shown) and f"{row.metrics['ap50']['low']:.3f}–" in text
    with pytest.raises(ConfigError, match="wants 'dfine_ap'"):
        script.record(options, rows, 0.0, [Run()], "abc")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--models", "yolo"], "--models yolo: no model of the table; there are lite0, faster_rcnn"),
        (["--result", "no-such-id"], "unknown; known are"),
        (["--result", IDENTIFIER, "--models", "fcos"], "wants every model; leave out --models"),
        (["--epochs", "0"], "--epochs 0: expected 1 or more"),
        (["--experiment", "reid/quickstart"], "give one of the dense detector"),
        (["--experiment", "detection/ai231_mask_rcnn"], "trains MaskRCNN; give one of the dense detector"),
        (["--experiment", "detection/fruit"], "no option 'fruit'; valid: ai231_grocery_masks"),
        (["--set", "trainer.max_epoch=3"], "trainer.max_epochs"),
        ([], "fruits_nuts_masks/instances_train.json"),
    ],
)
def test_the_script_says_what_to_mend(
    script: ModuleType, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([*words, "--logs", str(tmp_path), "--data-dir", str(tmp_path)]) == 2
    fault = capsys.readouterr().err
    assert message in fault and "Traceback" not in fault
