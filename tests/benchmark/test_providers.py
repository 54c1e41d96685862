"""The same networks by every provider that is here, beside the CPU provider; what is not here is named."""

import doctest
import importlib.util
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from facings.benchmark import provider_agreement
from facings.benchmark.provider_agreement import provider_agreements, twin_differences
from facings.benchmark.providers import CPU, NOT_INSTALLED, OPENVINO, chosen_providers, open_graph, share_taken
from facings.benchmark.throughput import Network, speedups, time_networks
from facings.commands.benchmark import run
from facings.errors import BundleError, ConfigError
from facings.runtime.bundle import Bundle
from tests.benchmark.conftest import CROP, SIDE, Shop
from tests.external_files import save_answers

HERE = onnxruntime.get_available_providers()
WITH_OPENVINO = importlib.util.find_spec("openvino") is not None
# In each build of ONNX Runtime for Python: it runs operators of a remote service alone, none of a network.
AZURE = "AzureExecutionProvider"
openvino_only = pytest.mark.skipif(not WITH_OPENVINO, reason=NOT_INSTALLED)
azure_only = pytest.mark.skipif(AZURE not in HERE, reason=f"this build of ONNX Runtime has no {AZURE}")


def test_providers_are_chosen_among_those_here() -> None:
    found, absent = chosen_providers(None)
    assert found[0] == CPU and set(HERE) <= set(found) and not absent
    assert (OPENVINO in found) == WITH_OPENVINO
    assert chosen_providers([CPU, CPU]) == ([CPU], {}) == chosen_providers(CPU)  # type: ignore[arg-type]
    away = next(name for name in onnxruntime.get_all_providers() if name not in HERE)
    found, absent = chosen_providers([away, CPU])
    assert found == [CPU] and absent[away].endswith(f"has no {away}")
    with pytest.raises(ConfigError, match=r"'CPU' is no provider.*; here are CPUExecutionProvider"):
        chosen_providers(["CPU"])
    with pytest.raises(
        ConfigError, match=r"latency\.providers is empty; expected null, or some of CPUExecutionProvider"
    ):
        chosen_providers([])


@pytest.mark.skipif(WITH_OPENVINO, reason="openvino is installed")
def test_openvino_that_is_not_installed_is_named(shop: Shop) -> None:
    assert chosen_providers([OPENVINO]) == ([], {OPENVINO: NOT_INSTALLED})
    with pytest.raises(BundleError, match="openvino is not installed"):
        open_graph(shop.bundle / "detector.onnx", OPENVINO, threads=1)


def test_a_provider_that_cannot_start_is_an_error(shop: Shop) -> None:
    away = next(name for name in onnxruntime.get_all_providers() if name not in HERE)
    with pytest.raises(BundleError, match=f"could not start {away}; it would run CPUExecutionProvider"):
        open_graph(shop.bundle / "detector.onnx", away, threads=1)


@azure_only
def test_a_provider_that_takes_nothing_is_left_out_with_why(shop: Shop) -> None:
    path = shop.bundle / "detector.onnx"
    pixels = {"pixels": np.zeros((1, 3, SIDE, SIDE), np.float32)}
    assert share_taken(path, AZURE, pixels) == 0 and share_taken(path, CPU, pixels) == 1
    networks = [Network("detector", path, SIDE)]
    found = time_networks(networks, None, threads=1, batches=[1], rounds=3, providers=[CPU, AZURE], warmup=0)
    assert [(timed.name, timed.provider) for timed in found.timed] == [("reference", CPU), ("detector", CPU)]
    assert found.left_out == [f"detector, {AZURE}: takes none of its operators; all would run on {CPU}"]
    told, _ = provider_agreements(Bundle.open(shop.bundle), [shop.images / "001.png"], [AZURE], threads=1)
    assert told.taken == 0 and told.differences["boxes"] == 0


def test_a_batch_that_is_not_taken_is_left_out_with_why(tmp_path: Path) -> None:
    path = save_answers(tmp_path / "one.onnx", {"scores": np.ones(3, np.float32)}, batch=1)
    found = time_networks([Network("one", path, 64)], None, threads=1, batches=[1, 2], rounds=3, warmup=0)
    assert [(timed.name, timed.batch) for timed in found.timed] == [("reference", 1), ("one", 1)]
    (left,) = found.left_out
    assert left.startswith("one × 2: ") and "2" in left
    assert list(speedups({1: found})) == ["reference", "one"]


@openvino_only
def test_openvino_answers_as_onnx_runtime(shop: Shop) -> None:
    bundle, picture = Bundle.open(shop.bundle), shop.images / "001.png"
    detector, embedder = provider_agreements(bundle, [picture], [CPU, OPENVINO], threads=1)
    assert (detector.network, detector.provider, detector.taken) == ("detector", OPENVINO, 1.0)
    assert detector.compared == 3 and detector.lost == 0 and detector.failed is None
    assert detector.differences["boxes"] < 0.01 and detector.differences["scores"] < 1e-3
    assert embedder.differences["embeddings"] < 1e-3
    networks = [Network("embedder", bundle.graph_path("embedder"), CROP)]
    found = time_networks(networks, None, threads=1, batches=[1, 2], rounds=3, providers=[CPU, OPENVINO], warmup=1)
    assert [(timed.provider, timed.batch) for timed in found.timed[1:]] == [
        (CPU, 1), (CPU, 2), (OPENVINO, 1), (OPENVINO, 2),
    ]  # fmt: skip
    assert set(speedups({1: found})) == {"reference", "embedder", f"embedder, {OPENVINO}"}


def test_twins_are_found_whatever_their_order() -> None:
    assert doctest.testmod(provider_agreement).failed == 0
    boxes = np.array([[[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9.0]]])
    ours = {"boxes": boxes, "scores": np.array([[0.9, 0.8, 0.1]]), "labels": np.array([[0, 1, 0]])}
    theirs = {"boxes": boxes, "scores": np.array([[0.9, 0.8, 0.1]]), "labels": np.array([[0, 0, 0]])}
    differences, compared, lost = twin_differences(ours, theirs, least=0.3)
    # The second has no twin of its class; the third is not seen by any decision.
    assert (compared, lost) == (2, 1) and differences == {"boxes": 0.0, "scores": 0.0}
    masked = ours | {"coefficients": np.ones((1, 3, 4)), "prototypes": np.ones((1, 4, 2, 2))}
    moved = masked | {"coefficients": np.full((1, 3, 4), 1.25), "prototypes": np.full((1, 4, 2, 2), 3.0)}
    assert twin_differences(masked, moved, least=0.3)[0] == {
        "boxes": 0.0, "scores": 0.0, "coefficients": 0.25, "prototypes": 2.0,
    }  # fmt: skip


def test_the_protocol_tells_providers_and_parts(benchmark_config, tmp_path: Path, capsys) -> None:
    away = next(name for name in onnxruntime.get_all_providers() if name not in HERE)
    words = ["protocol=latency", "latency.threads=[1]", "latency.batches=[1]", "latency.rounds=3", "max_images=1"]
    asked = [CPU, away, *([AZURE] if AZURE in HERE else []), *([OPENVINO] if WITH_OPENVINO else [])]
    run(benchmark_config(tmp_path, *words, f"latency.providers=[{','.join(asked)}]"))
    content = json.loads((tmp_path / "latency.json").read_text())
    found = {(entry["name"], entry["provider"]) for entry in content["networks"]}
    ran = [CPU, *([OPENVINO] if WITH_OPENVINO else [])]
    assert found == {("reference", CPU), *((name, p) for name in ("detector", "embedder") for p in ran)}
    assert away in content["providers"]["absent"] and away not in content["providers"]["asked"]
    told = {(entry["network"], entry["provider"]) for entry in content["providers"]["agreement"]}
    assert told == {(name, p) for name in ("detector", "embedder") for p in asked if p not in (CPU, away)}
    rows = [json.loads(line) for line in (tmp_path / "benchmark.jsonl").read_text().splitlines()]
    assert {r["slice"]["provider"] for r in rows if r["metric"] == "over_reference"} == set(ran)
    parts = {r["slice"]["part"] for r in rows if r["metric"] == "part_ms_p50"}
    assert parts == {"preprocess", "detector", "crop", "embedder", "match", "decide"}
    # Tables break words where the terminal is narrow.
    printed = "".join(capsys.readouterr().out.split())
    assert "partsofaframe" in printed and f"hasno{away}" in printed and f"beside{CPU}" in printed
