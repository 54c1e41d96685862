"""Finished runs compared: the verdict of two real ones, and the refusal of what was asked something else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from facings.benchmark.rows import append_rows, read_rows, row, stamp
from facings.commands.benchmark import run
from facings.commands.benchmark_runs import read_run
from facings.commands.cli import main
from facings.commands.compare import common_cost
from facings.errors import DataError
from facings.files import sha256


@pytest.fixture(scope="module")
def weaker(benchmark_config, detector_only: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of another bundle, without products, on the same pictures."""
    folder = tmp_path_factory.mktemp("weaker")
    run(benchmark_config(folder, f"bundle={detector_only}", "recognition.table=null"))
    return folder


@pytest.fixture
def spoiled(benchmark_run: Path, tmp_path: Path) -> Path:
    """The same run, with half of its detections and its names gone: what a worse bundle would have left."""
    folder = Path(shutil.copytree(benchmark_run, tmp_path / "spoiled"))
    path = folder / "predictions" / "detections.json"
    kept = [entry for entry in json.loads(path.read_text()) if entry["bbox"][1] < 24]
    path.write_text(json.dumps(kept))
    lines = [json.loads(line) for line in (folder / "decisions.jsonl").read_text().splitlines()]
    for line in lines:
        line["items"] = line["items"][:1]
    (folder / "decisions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_two_real_runs_of_two_bundles(
    benchmark_config, benchmark_run: Path, detector_only: Path, tmp_path: Path
) -> None:
    """The same detector with and without a recogniser: boxes alike, and nothing said of products that only one names."""
    run(benchmark_config(tmp_path / "boxes", f"bundle={detector_only}"))
    words = [str(benchmark_run), str(tmp_path / "boxes"), "--output", str(tmp_path / "out")]
    assert main(["compare", *words]) == 0
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [verdict["figure"] for verdict in content["verdicts"]] == ["ap", "ap50"]
    assert {verdict["winner"] for verdict in content["verdicts"]} == {"no difference shown"}
    assert [entry["name"].split(" ")[0] for entry in content["runs"]] == ["tiny-1", "boxes-1"]


def test_a_worse_run_loses_and_the_same_one_draws(benchmark_run: Path, spoiled: Path, tmp_path: Path, capsys) -> None:
    assert main(["compare", str(benchmark_run), str(spoiled), "--output", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    verdicts = {verdict["figure"]: verdict for verdict in content["verdicts"]}
    assert set(verdicts) == {"ap", "ap50", "f1", "cacc", "acd"}
    assert verdicts["ap50"]["winner"] == "worse" and verdicts["ap50"]["high"] < 0
    assert verdicts["f1"]["value"] < 0 < verdicts["acd"]["value"]
    assert "only 4 pictures" in content["notes"][0]
    assert (tmp_path / "out" / "pareto.png").read_bytes()[:4] == b"\x89PNG"
    assert "against" in capsys.readouterr().out
    same = ["compare", str(benchmark_run), str(benchmark_run), "--output", str(tmp_path / "same")]
    assert main(same) == 0
    alike = json.loads((tmp_path / "same" / "compare.json").read_text())["verdicts"]
    assert {(v["value"], v["winner"]) for v in alike} == {(0.0, "no difference shown")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.update(protocol_version=1), "protocol frames version 2 against 1"),
        (
            lambda c: c["data"]["checksums"].update({"instances_val.json": "0" * 64}),
            "data instances_val.json has checksum",
        ),
        (lambda c: c["data"].update(frames=3), "settings frames: 4 against 3"),
    ],
)
def test_other_data_or_another_version_is_refused(benchmark_run: Path, spoiled: Path, change, reason, capsys) -> None:
    content = json.loads((spoiled / "benchmark.json").read_text())
    change(content)
    (spoiled / "benchmark.json").write_text(json.dumps(content))
    assert main(["compare", str(benchmark_run), str(spoiled)]) == 2
    message = capsys.readouterr().err
    assert "cannot be compared with" in message and reason in message


def test_runs_asked_by_another_table_are_refused(benchmark_run: Path, weaker: Path, capsys) -> None:
    assert main(["compare", str(benchmark_run), str(weaker)]) == 2
    assert "data recognition.csv has checksum" in capsys.readouterr().err


def test_what_is_no_run_is_named(benchmark_run: Path, tmp_path: Path, capsys) -> None:
    assert main(["compare", str(benchmark_run), str(tmp_path)]) == 2
    assert "holds neither benchmark.json" in capsys.readouterr().err
    assert main(["compare", str(benchmark_run)]) == 2
    assert "one run alone" in capsys.readouterr().err


def test_rows_carry_where_they_come_from_and_append(benchmark_run: Path, tmp_path: Path) -> None:
    rows = read_rows(benchmark_run / "benchmark.jsonl")
    first = next(entry for entry in rows if entry["metric"] == "ap50")
    assert (first["protocol"], first["version"]) == ("frames", 2)
    assert first["low"] <= first["value"] <= first["high"]
    assert first["bundle"]["name"] == "tiny-1" and len(first["bundle"]["sha256"]) == 64 and first["seeds"] == [0]
    assert set(first["data"]) == {"instances_val.json", "recognition.csv"} and first["commit"] and first["run"] == "."
    assert {"cacc", "product_ap50", "mciou"} <= {entry["metric"] for entry in rows}
    made = stamp("scale", data={}, bundle={}, command="x", seeds=[1], commit="c")
    path = append_rows(tmp_path, tmp_path / "a", made, [row("ms", 1.0)])
    with path.open("a") as file:
        file.write('{"half')
    append_rows(tmp_path, tmp_path / "b", made, [row("ms", float("nan"))])
    lines = path.read_text().splitlines()
    assert [json.loads(lines[n])["run"] for n in (0, 2)] == ["a", "b"] and json.loads(lines[2])["value"] is None
    with pytest.raises(DataError, match="line 2: not JSON"):
        read_rows(path)


def test_robustness_of_the_shop(benchmark_config, tmp_path: Path) -> None:
    words = ["protocol=robustness", "robustness.corruptions=[tilt,colour_temperature]", "robustness.strengths=[1,5]"]
    figures = run(benchmark_config(tmp_path, *words))
    content = json.loads((tmp_path / "robustness.json").read_text())
    assert content["clean"]["ap50"]["value"] == pytest.approx(91 / 101)
    assert len(content["slices"]) == 2 * 2 * 3
    losses = [entry["loss"] for entry in content["slices"]]
    assert losses == sorted(losses, reverse=True)
    # The grid of this detector's cells cannot turn: boxes are lost.
    assert figures["ap50_loss_tilt"] > 0.2
    of = [entry["loss"] for entry in content["slices"] if entry["corruption"] == "tilt" and entry["metric"] == "ap50"]
    assert figures["ap50_loss_tilt"] == pytest.approx(np.mean(of))
    assert content["protocol_version"] == 2 and content["bundle"]["sha256"] and content["data"]
    assert len(read_rows(tmp_path / "benchmark.jsonl")) == 3 + 2 * 12 + 3 * 3


def test_cross_store_of_one_shop(benchmark_config, shop, detector_only: Path, tmp_path: Path) -> None:
    data = f"{{annotations: {shop.annotations}, images: {shop.images}, name: %s}}"
    words = ["protocol=cross_store", f"cross_store.bundles=[{shop.bundle},{detector_only}]"]
    words += [f"cross_store.datasets=[{data % 'a'},{data % 'b'}]"]
    figures = run(benchmark_config(tmp_path, *words))
    assert figures == pytest.approx({"tiny-1": 91 / 101, "boxes-1": 91 / 101})


@pytest.mark.slow
def test_latency_and_scale_of_the_shop(benchmark_config, tmp_path: Path) -> None:
    words = ["protocol=latency", "latency.threads=[1]", "latency.batches=[1,2]", "latency.rounds=3", "max_images=2"]
    figures = run(benchmark_config(tmp_path / "latency", *words))
    content = json.loads((tmp_path / "latency" / "latency.json").read_text())
    assert figures["frame_ms_p50_1"] > 0
    networks = [(entry["name"], entry["batch"]) for entry in content["networks"]]
    assert networks == [("reference", 1), ("detector", 1), ("detector", 2), ("embedder", 1), ("embedder", 2)]
    assert content["networks"][0]["over_reference"]["value"] == 1.0
    assert {"disturbed", "throttled", "slowdown", "joules_a_round"} <= set(content["machine_state"]["1"])
    words = ["protocol=scale", "scale.gallery=[100,1000,10000]", "scale.products=[10,30]", "scale.megapixels=[0.1,0.3]"]
    exponents = run(benchmark_config(tmp_path / "scale", *words, "scale.workers=[1,2]", "scale.repeats=2"))
    assert set(exponents) == {"products", "gallery", "pixels", "cameras"}
    assert (tmp_path / "scale" / "scale.png").read_bytes()[:4] == b"\x89PNG"


def evaluated(folder: Path, shop, *, files: int = 1, trained: str = "aa", found: float = 1.0) -> Path:
    """What `facings evaluate` leaves of a detector whose test split is the shop's file, `files` times; `found`: share of the
    objects that it finds; `trained`: checksum of what it was trained on."""
    truth = json.loads(shop.annotations.read_text())
    boxes = [
        {
            "image_id": entry["image_id"] + part * len(truth["images"]),
            "category_id": 1,
            "bbox": entry["bbox"],
            "score": 0.9,
        }
        for part in range(files)
        for number, entry in enumerate(truth["annotations"])
        if number < found * len(truth["annotations"])
    ]
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions" / "detections.json").write_text(json.dumps(boxes))
    part = {"annotations": str(shop.annotations), "images": str(shop.images)}
    (folder / "config.yaml").write_text(yaml.safe_dump({"verb": "evaluate", "data": {"test": [part] * files}}))
    data = {"instances_train.json": trained, shop.annotations.name: sha256(shop.annotations)}
    environment = {"data": data, "machine": "one", "git": "c"}
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "results.json").write_text(
        json.dumps({"protocol": "evaluate", "protocol_version": 2, "ap": 0.5, "ap50": 0.5})
    )
    return folder


def test_runs_on_several_files_are_compared_on_all_of_them(shop, tmp_path: Path, capsys) -> None:
    first = evaluated(tmp_path / "a", shop, files=2)
    second = evaluated(tmp_path / "b", shop, files=2, found=0.5)
    assert main(["compare", str(first), str(second), "--output", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert content["pictures"] == 8
    assert {v["figure"]: v["winner"] for v in content["verdicts"]} == {"ap": "worse", "ap50": "worse"}
    assert main(["compare", str(first), str(second), "--annotations", str(shop.annotations)]) == 2
    assert "one file, but" in capsys.readouterr().err


def test_what_a_detector_was_trained_on_does_not_forbid_a_comparison(shop, tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / name, shop, trained=name, found=share) for name, share in (("aa", 1.0), ("bb", 0.5))]
    assert main(["compare", *map(str, runs), "--output", str(tmp_path / "out")]) == 0
    asked = json.loads((tmp_path / "out" / "compare.json").read_text())["asked"]
    assert asked["data"] == {"instances_val.json": sha256(shop.annotations)}


def test_moved_annotations_of_an_evaluation(shop, tmp_path: Path, capsys) -> None:
    runs = [evaluated(tmp_path / name, shop) for name in ("a", "b")]
    moved = shutil.copy(shop.annotations, tmp_path / "moved.json")
    for run_ in runs:
        text = (run_ / "config.yaml").read_text()
        (run_ / "config.yaml").write_text(text.replace(str(shop.annotations), "gone/instances_val.json"))
    words = ["compare", *map(str, runs), "--output", str(tmp_path / "out")]
    assert main(words) == 2 and "give --annotations FILE" in capsys.readouterr().err
    assert main([*words, "--annotations", str(moved)]) == 0


def test_a_training_is_told_what_to_run_instead(shop, tmp_path: Path, capsys) -> None:
    run_ = evaluated(tmp_path / "a", shop)
    (run_ / "predictions" / "detections.json").rename(run_ / "predictions" / "test.json")
    assert main(["compare", str(run_), str(run_)]) == 2
    assert "facings evaluate checkpoint=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("benchmark.json", "{}", "schema is None"),
        ("benchmark.json", '{"schema": "facings.benchmark/2"}', "schema is 'facings.benchmark/2'"),
        ("benchmark.json", '{"schema": "facings.benchmark/1"}', "not what a finished run writes"),
        ("benchmark.json", "[1", "not JSON"),
        ("config.yaml", "data: 3", "not what a finished run writes"),
        ("predictions/detections.json", '[{"score": 1}]', "expected a list of COCO results"),
        (
            "predictions/detections.json",
            '[{"image_id": 99, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}]',
            "image_id 99",
        ),
        ("decisions.jsonl", "{", "decisions.jsonl, line 1"),
    ],
)
def test_a_damaged_run_is_named(benchmark_run: Path, spoiled: Path, file: str, text: str, message: str, capsys) -> None:
    (spoiled / file).write_text(text)
    assert main(["compare", str(benchmark_run), str(spoiled)]) == 2
    assert message in capsys.readouterr().err


def test_rows_of_runs_that_are_gone_are_left_out(
    benchmark_config, benchmark_run: Path, embedder_only: Path, tmp_path: Path, capsys
) -> None:
    """A ledger of two runs that may be compared, one that names crops alone, and one whose folder was removed."""
    for name in ("a", "b", "gone"):
        shutil.copytree(benchmark_run, tmp_path / name)
        rows = read_rows(benchmark_run / "benchmark.jsonl")
        with (tmp_path / "benchmark.jsonl").open("a") as file:
            file.writelines(json.dumps({**entry, "run": name}) + "\n" for entry in rows)
    shutil.rmtree(tmp_path / "gone")
    run(benchmark_config(tmp_path / "crops", f"bundle={embedder_only}", f"append_to={tmp_path}"))
    assert main(["compare", str(tmp_path / "benchmark.jsonl"), "--output", str(tmp_path / "out")]) == 0
    names = [entry["name"] for entry in json.loads((tmp_path / "out" / "compare.json").read_text())["runs"]]
    assert names == ["tiny-1 (a)", "tiny-1 (b)"]
    printed = capsys.readouterr().out
    assert printed.count("left out: ") == 1 and printed.count("was asked the same; left out") == 1


@pytest.mark.parametrize("disturbed", [True, False])
def test_disturbed_times_are_not_compared(benchmark_run: Path, tmp_path: Path, disturbed: bool, capsys) -> None:
    runs = [Path(shutil.copytree(benchmark_run, tmp_path / name)) for name in ("a", "b")]
    for number, folder in enumerate(runs):
        content = json.loads((folder / "benchmark.json").read_text())
        content["latency"]["disturbed"] = disturbed and number == 1
        (folder / "benchmark.json").write_text(json.dumps(content))
    assert main(["compare", *map(str, runs), "--output", str(tmp_path / "out")]) == 0
    notes = json.loads((tmp_path / "out" / "compare.json").read_text())["notes"]
    assert any("disturbed the times of tiny-1 (b)" in note for note in notes) == disturbed
    assert ("frame_ms_p50" in capsys.readouterr().out) != disturbed
    opened = [read_run(folder) for folder in runs]
    assert common_cost(opened) == ("bundle_mib" if disturbed else "frame_ms_p50")
