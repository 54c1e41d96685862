"""The verb from configuration to files, on the shop in miniature."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from facings.commands.benchmark import run
from facings.commands.composition import compose_verb
from facings.errors import BundleError, ConfigError, DataError
from facings.structures import Decision


def test_writes_all_files_and_they_agree(benchmark_run: Path) -> None:
    content = json.loads((benchmark_run / "benchmark.json").read_text())
    assert content["schema"] == "facings.benchmark/1"
    assert content["headline"]["end_to_end_f1"] == pytest.approx(14 / 17)
    assert content["headline"]["end_to_end_accuracy"] == pytest.approx(7 / 9)
    assert content["headline"]["ap50"] == pytest.approx(91 / 101)
    assert content["headline"]["frame_ms_p50"] == content["latency"]["stages"]["total"]["p50"]
    assert set(content["headline_intervals"]) == {
        "ap", "ap50", "identification_r1", "recognition_r1", "end_to_end_f1", "end_to_end_accuracy",
    }  # fmt: skip
    lines = (benchmark_run / "decisions.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == ["001.png", "002.png", "003.png", "004.png"]
    assert len(Decision.from_json(lines[0]).items) == 3
    detections = json.loads((benchmark_run / "predictions" / "detections.json").read_text())
    assert {"image_id", "category_id", "bbox", "score"} == set(detections[0])
    pictures = sorted((benchmark_run / "annotated").glob("*.jpg"))
    assert [path.name for path in pictures] == ["001.jpg", "002.jpg", "003.jpg", "004.jpg"]
    assert Image.open(pictures[0]).size == (4 * 96, 4 * 96)
    assert {"config.yaml", "environment.json", "report.html"} <= {path.name for path in benchmark_run.iterdir()}
    assert json.loads((benchmark_run / "environment.json").read_text())["seed"] == 0


def test_a_record_is_written_with_the_figures_of_its_id(benchmark_config, tmp_path: Path) -> None:
    cfg = benchmark_config(tmp_path, "result=spine-snack-bundle", f"paths.result_dir={tmp_path / 'results'}")
    figures = run(cfg)
    record = json.loads((tmp_path / "results" / "spine-snack-bundle.json").read_text())
    assert list(record["metrics"]) == ["end_to_end_f1", "identification_r1", "frame_ms_p50"]
    assert record["metrics"]["end_to_end_f1"]["value"] == figures["end_to_end_f1"]
    assert record["metrics"]["end_to_end_f1"]["low"] <= figures["end_to_end_f1"]
    assert record["metrics"]["frame_ms_p50"] == {"value": figures["frame_ms_p50"], "unit": "ms"}
    assert set(record["data"]) == {"instances_val.json", "recognition.csv", "bundle tiny-1"}


def test_the_same_run_gives_the_same_accuracy(benchmark_run: Path, benchmark_config, tmp_path: Path) -> None:
    run(benchmark_config(tmp_path))
    first, again = (json.loads((f / "benchmark.json").read_text()) for f in (benchmark_run, tmp_path))
    for part in ("detection", "identification", "end_to_end", "recognition", "confusions", "bundle", "data"):
        assert first[part] == again[part]


def test_bundles_of_one_half(benchmark_config, detector_only: Path, embedder_only: Path, tmp_path: Path) -> None:
    boxes = run(benchmark_config(tmp_path / "boxes", f"bundle={detector_only}"))
    assert "identification_r1" not in boxes and boxes["ap50"] == pytest.approx(91 / 101)
    assert (tmp_path / "boxes" / "report.html").is_file()
    names = run(benchmark_config(tmp_path / "names", f"bundle={embedder_only}"))
    assert "ap50" not in names and "end_to_end_f1" not in names
    assert names["identification_r1"] == names["recognition_r1"] > 0.7


def test_crops_alone(benchmark_config, tmp_path: Path) -> None:
    figures = run(benchmark_config(tmp_path, "data.annotations=null", "max_images=2"))
    assert set(figures) == {"recognition_r1", "frame_ms_p50", "frame_ms_p95", "peak_mib", "bundle_mib"}


@pytest.mark.parametrize(
    ("overrides", "fault", "message"),
    [
        (("data.annotations=null", "recognition.table=null"), ConfigError, "nothing to ask: give data.annotations"),
        (("data.images=null",), ConfigError, "data.annotations is given without data.images"),
        (("bundle=nowhere",), BundleError, "nowhere: not a bundle"),
        (("data.annotations=nowhere.json",), DataError, "nowhere.json: no such annotation file"),
        (("recognition.split=train",), DataError, "no rows with split=train, role=query"),
        (("repeats=0",), ConfigError, "repeats is 0; expected 1 or more"),
        (("result=spine-snack",), ConfigError, "wants 'minutes', which this command does not measure"),
        (("result=spine-typo",), ConfigError, "'spine-typo': unknown"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    benchmark_config, tmp_path: Path, overrides: tuple[str, ...], fault: type[Exception], message: str
) -> None:
    with pytest.raises(fault, match=message):
        run(benchmark_config(tmp_path / "run", *overrides))
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bundle is not given: facings benchmark bundle=FOLDER"):
        run(compose_verb("benchmark", output_dir=tmp_path))


@pytest.mark.parametrize("group", ["synthetic", "snack_shelves", "coco"])
def test_every_data_option_composes(group: str, tmp_path: Path) -> None:
    cfg = compose_verb("benchmark", [f"benchmark_data={group}"], output_dir=tmp_path)
    assert set(cfg.data) == {"name", "annotations", "images", "class_agnostic", "unknown_products"}


def test_the_command_line_runs_it_without_torch(shop, tmp_path: Path) -> None:
    words = ["benchmark", f"bundle={shop.bundle}", "benchmark_data=coco", "data.name=shop", "repeats=1", "warmup=0"]
    words += [f"data.annotations={shop.annotations}", f"data.images={shop.images}", f"hydra.run.dir={tmp_path / 'run'}"]
    code = (
        "import sys; from facings.commands.cli import main\n"
        f"code = main({words!r})\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "End-to-end F1" in done.stdout and "0.824" in done.stdout
    assert json.loads((tmp_path / "run" / "benchmark.json").read_text())["command"].startswith(
        "facings benchmark bundle="
    )
