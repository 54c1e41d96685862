"""Finished runs compared: the verdict of two real ones, and the refusal of what was asked something else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from facings.benchmark.rows import append_rows, read_rows, row, stamp
from facings.commands.benchmark import run
from facings.commands.cli import main
from facings.errors import DataError


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
        (lambda c: c.update(protocol_version=2), "protocol frames version 1 against 2"),
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
    assert first["protocol"] == "frames" and first["version"] == 1 and first["low"] <= first["value"] <= first["high"]
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
    assert content["protocol_version"] == 1 and content["bundle"]["sha256"] and content["data"]
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
