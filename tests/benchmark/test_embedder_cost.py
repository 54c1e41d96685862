"""Embedder cost: the points, the table and the figure of a record, the script on a tiny run, what it refuses."""

import doctest
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from rich.console import Console

from facings.analysis.curve_figures import png
from facings.benchmark import embedder_cost
from facings.benchmark.claims import CLAIMS
from facings.benchmark.cost_figure import draw_cost
from facings.benchmark.embedder_cost import (
    IDENTIFIER,
    METRICS,
    MOST_LOSS,
    MOST_MS,
    POINTS,
    PRECISIONS,
    SMALL,
    chosen,
    cost_table,
    names_of,
    point_name,
)
from facings.commands import embedder_records
from facings.commands.composition import compose_verb
from facings.commands.embedder_cost import Comparison, Network, Terms, embed, headline, trained_network
from facings.commands.embedding import among_nearest
from facings.commands.train import run as train
from facings.errors import ConfigError, DataError
from facings.models.backbones import OFFLINE_WEIGHTS
from facings.runtime.session import Session
from tests.conftest import TINY_EMBEDDER, load_script

ROOT = Path(__file__).resolve().parents[2]
QUICK = "reid/quickstart"
Metrics = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("embedder_cost")


@pytest.fixture(scope="module")
def trained(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a tiny embedder."""
    folder = tmp_path_factory.mktemp("trained")
    train(compose_verb("train", [*TINY_EMBEDDER, f"paths.data_dir={tiny_data}"], output_dir=folder))
    return folder


@pytest.fixture(scope="module")
def compared(trained: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A tiny trained network at two sizes, exported; the one at its own size is the small one."""
    networks = [trained_network(trained, 96), trained_network(trained)]
    terms = Terms(str(tiny_data), QUICK, views=3, queries=3, calibration=8, threads=1)
    made = Comparison(networks, terms, tmp_path_factory.mktemp("graphs"), small=networks[1].name)
    for network in networks:
        made.export(network)
    return made


def some_metrics(seed: int) -> Metrics:
    """A record's metrics by chance, with a trained network."""
    rng = np.random.default_rng(seed)
    metrics: Metrics = {"other_cpu_share": {"value": 0.01}}
    for name in (*POINTS, "trained_lite0_160"):
        r1, ms = float(rng.uniform(0.3, 0.9)), float(rng.uniform(1, 12))
        for precision, share in zip(PRECISIONS, (1.0, 0.5), strict=True):
            metrics[f"{name}_{precision}_ms"] = {"value": ms * share}
            metrics[f"{name}_{precision}_r1"] = {"value": r1, "low": r1 - 0.05, "high": r1 + 0.04}
        metrics[f"{name}_loss"] = {"value": float(rng.uniform(-0.5, 2)), "low": -0.6, "high": 3.1}
        metrics[f"{name}_gflop"] = {"value": ms / 10}
    return metrics


def test_points_are_of_backbones_with_weights_and_the_claim_wants_the_small_one() -> None:
    assert len(POINTS) >= 6 and SMALL in POINTS
    assert all(point.backbone in OFFLINE_WEIGHTS for point in POINTS.values())
    assert CLAIMS[IDENTIFIER][1] == METRICS
    assert (
        doctest.testmod(embedder_cost).failed == 0
        and doctest.testmod(embedder_records, extraglobs={"np": np}).failed == 0
    )
    assert [point.name for point in chosen([SMALL])] == [SMALL] and len(chosen([])) == len(POINTS)
    with pytest.raises(ConfigError, match="--only lite9_1: unknown; there are lite0_96"):
        chosen(["lite9_1"])


def test_the_table_is_in_order_of_time_and_marks_what_reaches_the_aim() -> None:
    metrics = some_metrics(0)
    rows = cost_table(metrics).splitlines()[2:]
    times = [float(row.split("|")[5]) for row in rows]
    assert times == sorted(times) and len(rows) == len(POINTS) + 1
    good = [
        name
        for name in names_of(metrics)
        if metrics[f"{name}_int8_ms"]["value"] <= MOST_MS and metrics[f"{name}_loss"]["value"] <= MOST_LOSS
    ]
    assert sum(row.startswith("| **") for row in rows) == len(good) > 0


def test_the_figure_has_each_network_in_both_precisions_and_is_the_same_again() -> None:
    metrics = some_metrics(1)
    figure = draw_cost(metrics)
    drawn = {
        (round(float(x), 9), round(float(y), 9))
        for line in figure.axes[0].get_lines()
        for x, y in zip(*(np.asarray(values, float) for values in line.get_data()), strict=True)
    }
    for name in names_of(metrics):
        for precision in PRECISIONS:
            ms, r1 = (metrics[f"{name}_{precision}_{key}"]["value"] for key in ("ms", "r1"))
            assert (round(ms, 9), round(100 * r1, 9)) in drawn
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert {"lite0, int8", "trained lite0, float32"} <= {text.get_text() for text in legend.get_texts()}
    assert png(figure) == png(draw_cost(metrics))


def test_the_page_shows_the_record(script: ModuleType) -> None:
    page, path = script.PAGE.read_text(encoding="utf-8"), ROOT / "results" / f"{IDENTIFIER}.json"
    if path.is_file():
        assert script.with_table(page, script.page_body(json.loads(path.read_text())["metrics"])) == page
    assert "| a |" in script.with_table(page, "| a |\n")
    with pytest.raises(ConfigError, match="has no <!-- cost:emb-cost -->"):
        script.with_table("nothing", "")


def test_files_are_a_float_and_a_quantized_graph(compared: Comparison) -> None:
    for network in compared.networks:
        plain, smaller = (onnx.load(str(compared.files[network.name][precision])) for precision in PRECISIONS)
        kinds = {node.op_type for node in smaller.graph.node}
        assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
        assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in plain.graph.node}
        side = plain.graph.input[0].type.tensor_type.shape.dim[2].dim_value
        assert side == network.size == smaller.graph.input[0].type.tensor_type.shape.dim[3].dim_value
    # The second is the run's own size.
    assert [network.size for network in compared.networks] == [96, 64]


def test_the_float_file_answers_as_the_checkpoint_does(compared: Comparison, trained: Path) -> None:
    network = compared.networks[1]
    one = embedder_records.Embedding(trained)
    sessions = {"": Session(compared.files[network.name]["float32"], threads=1)}
    gallery, queries = (embed(sessions, compared.data(network), rows)[""] for rows in compared.rows)
    np.testing.assert_allclose(queries.vectors, one.crops(compared.rows[1]).vectors, atol=1e-4)
    found = compared.ask()
    assert found[f"{network.name}_float32_r1"]["value"] == among_nearest(queries, gallery, 1).mean()


def test_losses_are_points_between_the_two_files(compared: Comparison) -> None:
    done: list[int] = []
    found = compared.ask(done.append)
    assert sum(done) == compared.work()
    assert len(compared.rows[0]) <= 3 * len(compared.data(compared.networks[0]).products)
    for network in compared.networks:
        plain, smaller = (found[f"{network.name}_{precision}_r1"]["value"] for precision in PRECISIONS)
        lost = found[f"{network.name}_loss"]
        assert lost["value"] == pytest.approx(100 * (plain - smaller)) and lost["low"] <= lost["value"] <= lost["high"]
    times = compared.time(3)
    figures = headline(found | times, compared.small)
    assert set(figures) == set(METRICS) and figures["ms_per_crop"]["value"] > 0
    assert draw_cost(found | times).axes and len(cost_table(found | times).splitlines()) == 4


def test_the_script_measures_a_run(
    script: ModuleType, trained: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "Console", lambda: Console(quiet=True))
    words = [
        "--only",
        "--run",
        str(trained),
        "--experiment",
        QUICK,
        "--data-dir",
        str(tiny_data),
    ]
    words += ["--views", "2", "--queries", "2", "--calibration", "4", "--rounds", "2", "--threads", "1"]
    assert script.main([*words, "--output", str(tmp_path)]) == 0
    metrics = json.loads((tmp_path / "embedder_cost.json").read_text())
    name = point_name("mobilenetv4_conv_small_050", 64, trained=True)
    assert names_of(metrics) == [name] and metrics[f"{name}_int8_ms"]["value"] > 0
    assert "| 64 |" in (tmp_path / "embedder_cost.md").read_text()
    assert (tmp_path / "embedder_cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "lite9"], "--only lite9: unknown"),
        (["--only"], "nothing to measure"),
        (["--size", "128"], "--size: is the side of a trained network's input"),
        (["--views", "-1"], "--views -1: expected 0 or more"),
        (["--rounds", "1"], "--rounds 1: expected 2 or more"),
        (["--result", "emb-nothing"], "result='emb-nothing': unknown"),
        (["--result", IDENTIFIER, "--only", SMALL], "wants every network"),
        (["--result", IDENTIFIER, "--queries", "3"], "all test photos of reid/grocery_store"),
    ],
)
def test_what_cannot_be_is_told_first(
    script: ModuleType, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(words) == 2
    assert message in capsys.readouterr().err


def test_another_run_or_missing_data_is_named(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    content = {"state_dict": {}, "facings": {"task": "detection", "config": "{}"}}
    torch.save(content, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(ConfigError, match="is a run of a detection model"):
        trained_network(tmp_path)
    network = Network("x_64", "tf_efficientnet_lite0", 64)
    with pytest.raises(DataError, match="nowhere"):
        Comparison([network], Terms(str(tmp_path / "nowhere")), tmp_path).data(network)
    detection = Terms(str(tiny_data), "detection/quickstart")
    with pytest.raises(ConfigError, match="is not one of an embedder"):
        Comparison([network], detection, tmp_path).data(network)


@pytest.mark.slow
def test_frozen_networks_of_one_size_are_asked_on_real_photos(
    script: ModuleType, shared_data: Path, tmp_path: Path
) -> None:
    words = ["--data-dir", str(shared_data), "--only", "lite0_96", "--views", "2", "--queries", "1", "--rounds", "3"]
    assert script.main([*words, "--calibration", "16", "--output", str(tmp_path)]) == 0
    metrics = json.loads((tmp_path / "embedder_cost.json").read_text())
    # A guess among 81 products would be right once in 81.
    assert metrics["lite0_96_float32_r1"]["value"] > 0.1 and metrics["lite0_96_int8_r1"]["value"] > 0.1
