"""The table of both networks in three precisions, on the tiny shop's checkpoints."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from rich.console import Console

from facings.benchmark.graph_latency import GraphTimes
from facings.commands.int8_table import METRICS, PrecisionTable, Row, measure
from facings.errors import ConfigError
from tests.conftest import TinyShop, export_words, load_script


@pytest.fixture
def script() -> ModuleType:
    return load_script("int8_table")


def words(shop: TinyShop, folder: Path) -> list[str]:
    """Overrides that judge the tiny shop's files leniently on a few pictures."""
    own = ("name=", "version=", "output=", "latency.images=")
    given = [word for word in export_words(shop.data, shop.detector, shop.embedder, folder) if not word.startswith(own)]
    pictures = shop.data / "images" / "val"
    return [
        *given, "threads=1", f"quantization.evaluation.annotations={shop.data / 'instances_val.json'}",
        f"quantization.evaluation.images={pictures}", "quantization.evaluation.limit=6", "quantization.calibration.count=3",
        "quantization.groups=3", "quantization.cost_samples=1", "quantization.ap_loss=100", "quantization.r1_loss=100",
    ]  # fmt: skip


def test_one_run_gives_size_time_and_accuracy_of_all_files(
    tiny_shop: TinyShop, script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "table.json"
    given = [*words(tiny_shop, tmp_path), "--threads", "1", "--rounds", "3", "--output", str(output)]
    assert script.main(given) == 0
    printed = capsys.readouterr().out
    assert "float16" in printed and "speedup_detector" in printed
    content = json.loads(output.read_text())
    rows = {(row["network"], row["precision"]): row for row in content["rows"]}
    assert list(rows) == [(n, p) for n in ("detector", "embedder") for p in ("float32", "float16", "int8")]
    for role in ("detector", "embedder"):
        plain, half, small = (rows[role, precision] for precision in ("float32", "float16", "int8"))
        assert small["bytes"] < half["bytes"] < plain["bytes"] and small["parts"] in (1, 2, 3)
        assert all(row["ms"]["1"] > 0 for row in (plain, half, small))
        speedup = content["headline"][f"speedup_{role}"]
        assert speedup["value"] == pytest.approx(plain["ms"]["1"] / small["ms"]["1"])
    assert content["headline"]["r1_loss"]["value"] == rows["embedder", "float32"]["r1"] - rows["embedder", "int8"]["r1"]
    assert {"detector checkpoint", "embedder checkpoint", "recognition.csv"} <= set(content["data"])
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


def table(**ms: tuple[float, float]) -> PrecisionTable:
    """`ROLE_PRECISION`: ms on one thread and two, the same in each of 9 rounds."""
    rows = {}
    for name, values in ms.items():
        role, precision = name.split("_")
        times = {n: GraphTimes(precision, n, np.full(9, value), 1.0) for n, value in zip((1, 2), values, strict=True)}
        metric = {"detector": "ap", "embedder": "r1"}[role]
        accuracy = 50.0 if precision == "float32" else 49.5
        rows[role, precision] = Row(role, precision, 1, metric, accuracy, 0, 1, times)
    return PrecisionTable(rows, 0.0, {})


def test_the_headline_is_the_worst_number_of_threads() -> None:
    found = table(detector_float32=(9, 6), detector_int8=(3, 3), embedder_float32=(2, 2), embedder_int8=(2, 1))
    figures = found.headline()
    assert tuple(figures) == METRICS
    expected = {"speedup_detector": 2, "speedup_embedder": 1, "ap_loss": 0.5, "r1_loss": 0.5}
    assert {name: figure["value"] for name, figure in figures.items()} == expected
    assert figures["speedup_detector"]["low"] == figures["speedup_detector"]["high"] == 2


@pytest.mark.parametrize(
    "given, message",
    [
        (["quantization=int8"], "quantization=int8: set by this command"),
        (["detector=a.ckpt", "output=x"], "output=x: set by this command"),
        (["detector=a.ckpt"], "embedder=CHECKPOINT is not given"),
        (["detector=a.ckpt", "embedder=b.ckpt"], "quantization.evaluation.annotations=FILE.json"),
        (["detektor=a.ckpt"], "nearest valid names: detector"),
    ],
)
def test_what_cannot_be_used_is_told_before_the_export(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        measure(given, Console(quiet=True))


def test_a_record_is_of_one_thread_and_two(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["detector=a.ckpt", "--result", "bundle-nothing"]) == 2
    assert "result='bundle-nothing': unknown" in capsys.readouterr().err
