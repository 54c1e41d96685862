"""The study: variants that differ in what they say, the front against brute force, the figure's labels, the script, the page."""

import doctest
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation
from onnx import TensorProto, helper, numpy_helper

from facings.analysis.curve_figures import png
from facings.benchmark import detector_study
from facings.benchmark.claims import CLAIMS
from facings.benchmark.detector_study import (
    FIGURES,
    IDENTIFIER,
    METRICS,
    OTHER_SIZES,
    SCRATCH,
    TRAININGS,
    VARIANTS,
    Training,
    Variant,
    chosen,
    front_of,
    pareto_front,
    study_table,
)
from facings.benchmark.graph_latency import time_graphs
from facings.benchmark.study_figure import draw_study, text_box
from facings.benchmark.turns import median_of
from facings.commands.composition import compose_verb
from facings.errors import ConfigError
from tests.conftest import load_script

ROOT = Path(__file__).resolve().parents[2]
Metrics = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("detector_study")


def some_metrics(seed: int) -> Metrics:
    """A record's metrics by chance: times in clusters, as those of like networks are."""
    rng = np.random.default_rng(seed)
    metrics: Metrics = {name: {"value": 0.1} for name in METRICS}
    for name in VARIANTS:
        ap = float(rng.uniform(0.0, 0.5))
        metrics[f"{name}_ap"] = {"value": ap, "low": max(0.0, ap - 0.05), "high": ap + 0.04}
        metrics[f"{name}_ms"] = {"value": float(rng.choice([8.0, 40.0, 90.0]) * rng.uniform(1.0, 1.15))}
    return metrics


@pytest.mark.parametrize("training", TRAININGS.values(), ids=lambda one: one.name)
def test_a_training_composes_to_what_its_name_says(training: Training) -> None:
    cfg = compose_verb("train", training.overrides(), output_dir="run")
    assert cfg.data.samples_per_epoch * cfg.trainer.max_epochs == training.pictures
    assert cfg.data.samples_per_epoch % cfg.data.batch_size == 0
    assert cfg.transforms.size == training.size and cfg.image_size == 1.5 * training.size
    assert cfg.image_size % 32 == 0 and training.size % 32 == 0
    scratch = training.model in ("small", "nano") or "scratch" in training.name
    # Weights that nobody trained are not frozen.
    assert (cfg.model.pretrained == "none") == scratch == (cfg.callbacks.freeze is None)
    assert cfg.model.prototypes == 0
    if training.model == "lite0":
        assert cfg.model.channels == (64 if training.name == "lite0_channels64" else 96)
        assert cfg.model.head_depth == (1 if training.name == "lite0_head1" else 2)
        assert cfg.model.neck_depth == (2 if training.name == "lite0_neck2" else 1)
    assert cfg.model.backbone.startswith(
        "tf_efficientnet_lite" if training.model == "lite0" else "mobilenetv4_conv_small"
    )


def test_names_are_unique_and_the_claim_wants_all_of_them() -> None:
    more = sum(map(len, OTHER_SIZES.values()))
    assert len(VARIANTS) == len(TRAININGS) + more == len({one.label for one in VARIANTS.values()})
    assert all(one.size % 32 == 0 for one in VARIANTS.values())
    assert CLAIMS[IDENTIFIER][1] == METRICS and len(METRICS) == len(VARIANTS) * len(FIGURES) + 1
    assert [one.name for one in chosen(["lite0_head1"])] == ["lite0_head1"] and len(chosen([])) == len(VARIANTS)
    with pytest.raises(ConfigError, match="lite1: no variant of the study; there are lite0_320"):
        chosen(["lite1"])


def test_networks_that_differ_in_weights_alone_are_timed_once() -> None:
    assert VARIANTS["lite0_scratch"].graph == VARIANTS["lite0_320"].graph == "lite0_320"
    assert VARIANTS["nano_scratch_long"].graph == "nano_scratch"
    alike = {one.name for one in VARIANTS.values() if one.graph != one.name}
    assert alike == {"lite0_scratch", "nano_scratch_long"}


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    costs, worths = zip(*points, strict=True)
    front = pareto_front(costs, worths)
    beaten = {
        i
        for i, (cost, worth) in enumerate(points)
        if any(c <= cost and w >= worth and (c, w) != (cost, worth) for c, w in points)
    }
    assert {points[i] for i in front} == {point for i, point in enumerate(points) if i not in beaten}
    # Of equal points one stands for all.
    assert len({points[i] for i in front}) == len(front) and [costs[i] for i in front] == sorted(
        costs[i] for i in front
    )


def test_the_table_is_in_order_of_time_and_marks_the_front() -> None:
    metrics = some_metrics(0)
    rows = study_table(metrics).splitlines()[2:]
    times = [float(row.split("|")[4]) for row in rows]
    assert times == sorted(times) and len(rows) == len(VARIANTS)
    bold = [row.split("`")[1] for row in rows if row.startswith("| **")]
    assert sorted(bold) == sorted(front_of(metrics))


@pytest.mark.parametrize("seed", range(4))
def test_labels_of_the_figure_keep_clear_of_each_other(seed: int) -> None:
    figure = draw_study(some_metrics(seed))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    axis = figure.axes[0]
    notes = [child for child in axis.get_children() if isinstance(child, Annotation)]
    assert {note.get_text() for note in notes} == {one.label for one in VARIANTS.values()}
    boxes, inside = [text_box(note, renderer) for note in notes], axis.get_window_extent(renderer)
    for number, box in enumerate(boxes):
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_the_same_record_gives_the_same_picture() -> None:
    first, second = (png(draw_study(some_metrics(1))) for _ in range(2))
    assert first == second and first.startswith(b"\x89PNG")


def save_convolution(path: Path, size: int, channels: int) -> Path:
    """7×7 convolution of 3 channels, for pictures of one size."""
    weight = numpy_helper.from_array(np.ones((channels, 3, 7, 7), np.float32), "weight")
    values = [
        helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, size, size]),
        helper.make_tensor_value_info("out", TensorProto.FLOAT, None),
    ]
    node = helper.make_node("Conv", ["pixels", "weight"], ["out"])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def test_graphs_of_several_sizes_are_timed_side_by_side(tmp_path: Path) -> None:
    graphs = {
        "light": (save_convolution(tmp_path / "a.onnx", 32, 4), 32),
        "heavy": (save_convolution(tmp_path / "b.onnx", 128, 128), 128),
    }
    seen: list[int] = []
    times, others = time_graphs(graphs, rounds=7, warmup=1, advance=lambda: seen.append(1))
    assert len(seen) == 7 and 0 <= others <= 1 and list(times) == ["light", "heavy"]
    assert times["light"].gflop == pytest.approx(2 * 26 * 26 * 4 * 147 / 1e9)
    light, heavy = median_of(times["light"].ms), median_of(times["heavy"].ms)
    assert light["low"] <= light["value"] == np.median(times["light"].ms) <= light["high"]
    assert light["value"] < heavy["value"]


def finish(training: Training, sizes: list[int], logs: Path, code: str) -> None:
    """A run folder as the script leaves it behind."""
    folder = logs / training.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text('{"minutes": 2.0}')
    (folder / "study_settings.json").write_text(json.dumps({"overrides": training.overrides(), "code": code}))
    interval = {"value": 0.4, "low": 0.3, "high": 0.5}
    figures = {
        "ap": interval,
        "ap50": interval,
        "nms_ap": interval,
        "minutes": {"value": 2.0},
        "checksums": {},
        "seed": 0,
    }
    for size in sizes:
        (folder / f"judged_{size}_{code[:8]}.json").write_text(json.dumps(figures))
        save_convolution(folder / f"one_to_one_{size}_{code[:8]}.onnx", size, 2)


def test_what_is_finished_is_not_trained_again(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(TRAININGS["head depth 1"], [480], tmp_path, script.network_code())
    assert script.main(["--only", "lite0_head1", "--logs", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "trained already" in printed and "0.400" in printed
    (tmp_path / "lite0_head1" / "study_settings.json").write_text('{"overrides": ["model=detector/nano"]}')
    assert script.main(["--only", "lite0_head1", "--logs", str(tmp_path)]) == 2
    assert "lite0_head1: was trained with other settings; remove it" in capsys.readouterr().err


def test_the_record_the_figure_and_the_table_come_from_the_runs(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for training in TRAININGS.values():
        sizes = [one.size for one in VARIANTS.values() if one.training == training]
        finish(training, sizes, tmp_path / "logs", script.network_code())
    page = tmp_path / "docs" / "detector_study.md"
    page.parent.mkdir()
    page.write_text(f"# A\n<!-- study:{IDENTIFIER} -->\nold\n<!-- /study -->\nend\n")
    for name, value in {"ROOT": tmp_path, "PAGE": page, "FIGURE": page.with_suffix(".png")}.items():
        monkeypatch.setattr(script, name, value)
    words = ["--logs", str(tmp_path / "logs"), "--result", IDENTIFIER]
    # Without times there is no record.
    assert script.main(words) == 2
    assert script.main([*words, "--latency", "--rounds", "3"]) == 0
    metrics = json.loads((tmp_path / "results" / f"{IDENTIFIER}.json").read_text())["metrics"]
    assert list(metrics) == list(METRICS) and metrics["lite0_320_ms"]["unit"] == "ms"
    assert metrics["lite0_scratch_ms"] == metrics["lite0_320_ms"]
    text = page.read_text()
    assert (
        study_table(metrics) in text
        and "](detector_study.png)" in text
        and "old" not in text
        and text.endswith("<!-- /study -->\nend\n")
    )
    assert page.with_suffix(".png").read_bytes() == png(draw_study(metrics))


def test_runs_of_two_codes_make_no_study(script: ModuleType, tmp_path: Path) -> None:
    trainings = list(TRAININGS.values())[:3]
    for number, training in enumerate(trainings):
        finish(training, [], tmp_path, "old" if number < 2 else "other")
    script.check_code(trainings[:2], tmp_path)
    with pytest.raises(
        ConfigError, match=f"{trainings[2].name}: was trained by another network or loss than the others"
    ):
        script.check_code(trainings, tmp_path)
    with pytest.raises(ConfigError, match="lite0_320: was trained by another network or loss"):
        script.check_code(trainings[:2], tmp_path, now=script.network_code())


def test_the_page_of_this_repository_is_of_its_record(script: ModuleType) -> None:
    text = script.PAGE.read_text(encoding="utf-8")
    record = ROOT / "results" / f"{IDENTIFIER}.json"
    if not record.is_file():
        assert "not measured yet" in text
        return
    metrics = json.loads(record.read_text())["metrics"]
    assert script.with_table(text, metrics) == text, "run scripts/detector_study.py --latency --result det-study"
    assert script.FIGURE.is_file()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--only", "lite1"], "no variant of the study"),
        (["--only", "lite0_320", "--latency"], "leave out --only"),
        (["--latency"], "lite0_320 is not trained yet; run the script without --latency first"),
        (["--result", "no-such-id"], "unknown; known are"),
    ],
)
def test_the_script_says_what_to_mend(
    script: ModuleType, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([*words, "--logs", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_the_docstrings_examples_hold() -> None:
    assert doctest.testmod(detector_study).failed == 0


@pytest.mark.slow
def test_a_variant_is_trained_judged_and_exported(
    script: ModuleType, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training("moment", "a moment", "nano", size=64, pictures=40, settings=SCRATCH)
    monkeypatch.setattr(script, "chosen", lambda names: [Variant("moment", "moment", training, 96)])
    words = ["--logs", str(tmp_path), "--data-dir", str(shared_data)]
    # What an interrupted run left behind is in nobody's way.
    (tmp_path / "moment").mkdir()
    (tmp_path / "moment" / "metrics.csv").write_text("half")
    assert script.main(words) == 0
    code = script.network_code()[:8]
    figures = json.loads((tmp_path / "moment" / f"judged_96_{code}.json").read_text())
    assert 0 <= figures["ap"]["low"] <= figures["ap"]["high"] <= 1 and figures["seed"] == 0 and figures["checksums"]
    graph = onnx.load(str(tmp_path / "moment" / f"one_to_one_96_{code}.onnx"))
    assert [output.name for output in graph.graph.output] == ["boxes", "scores", "labels"]
    trained = (tmp_path / "moment" / "results.json").stat().st_mtime_ns
    assert script.main(words) == 0 and (tmp_path / "moment" / "results.json").stat().st_mtime_ns == trained
