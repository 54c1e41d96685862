"""Graphs beside each other: arithmetic against torch's own count, times, what is refused, and the script around it."""

import doctest
import json
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim
from torch.utils.flop_counter import FlopCounterMode

from facings.benchmark import graph_latency
from facings.benchmark.graph_latency import Comparison, GraphTimes, compare_graphs, multiply_adds, ratio
from facings.errors import ConfigError
from tests.conftest import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("graph_latency")


class Mixed(nn.Module):
    """One of each kind of arithmetic: full, grouped, strided and transposed convolution, linear layer, matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.depthwise = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.larger = nn.ConvTranspose2d(8, 6, 2, 2)
        self.grouped = nn.Conv2d(6, 4, 1, groups=2)
        self.linear = nn.Linear(4, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.grouped(self.larger(self.depthwise(self.stem(pixels)))).flatten(2)
        weights = (features @ features.transpose(1, 2)).softmax(dim=-1)
        return self.linear((weights @ features).mean(dim=-1))


def save_convolution(path: Path, dims: list[int | str], kind: int = TensorProto.FLOAT) -> Path:
    """3×3 convolution of 3 to 4 channels without padding."""
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "weight")
    values = [helper.make_tensor_value_info("pixels", kind, dims), helper.make_tensor_value_info("out", kind, None)]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["pixels", "weight"], ["out"])], "g", [values[0]], [values[1]], [weight]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def test_arithmetic_is_what_torch_counts(tmp_path: Path) -> None:
    model, pixels = Mixed().eval(), torch.zeros(2, 3, 32, 32)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        batch = ({0: Dim("batch", min=1, max=8)},)
        path = str(tmp_path / "m.onnx")
        torch.onnx.export(model, (pixels,), path, external_data=False, dynamic_shapes=batch, verbose=False)
        with FlopCounterMode(display=False) as counter:
            model(pixels[:1])
    assert 2 * multiply_adds(tmp_path / "m.onnx", 32) == counter.get_total_flops()


@pytest.mark.parametrize("dims", [[1, 3, 10, 10], ["batch", 3, "height", "width"], ["batch", 3, 10, 10]])
def test_arithmetic_by_hand_whatever_is_dynamic(tmp_path: Path, dims: list[int | str]) -> None:
    # 8 × 8 places, 4 channels out, each a sum of 3 × 3 × 3 products.
    assert multiply_adds(save_convolution(tmp_path / "c.onnx", dims), 10) == 8 * 8 * 4 * 27


def test_a_graph_beside_itself_and_beside_more_work(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((256, 3, 7, 7), np.float32), "weight")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("pixels", "out")]
    values[0] = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 64, 64])
    node = helper.make_node("Conv", ["pixels", "weight"], ["out"])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    heavy = tmp_path / "heavy.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(heavy))
    light = save_convolution(tmp_path / "light.onnx", [1, 3, 64, 64])
    seen: list[int] = []
    compared = compare_graphs(
        {"light": light, "heavy": heavy}, size=64, threads=1, rounds=7, warmup=1, advance=lambda: seen.append(1)
    )
    assert len(seen) == 7 and 0 <= compared.others <= 1
    assert list(compared.graphs) == ["light", "heavy"]
    times = compared.graphs["heavy"]
    assert times.ms.shape == (7,) and (times.ms > 0).all() and (compared.product.ms > 0).all()
    assert times.gflop == pytest.approx(2 * 58 * 58 * 256 * 147 / 1e9)
    over = ratio(times, compared.graphs["light"])
    assert over["low"] <= over["value"] <= over["high"] and over["value"] > 1
    assert ratio(times, times) == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_what_is_no_picture_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; give NAME=FILE"):
        multiply_adds(tmp_path / "none.onnx", 64)
    (tmp_path / "text.onnx").write_text("not a graph at all")
    with pytest.raises(ConfigError, match="not an ONNX file"):
        multiply_adds(tmp_path / "text.onnx", 64)
    with pytest.raises(ConfigError, match=r"input 'pixels' is FLOAT \[1, 3, 32, 32\]; expected FLOAT \[1, 3, 64, 64\]"):
        multiply_adds(save_convolution(tmp_path / "small.onnx", [1, 3, 32, 32]), 64)
    with pytest.raises(ConfigError, match="is UINT8"):
        multiply_adds(save_convolution(tmp_path / "bytes.onnx", [1, 3, 64, 64], TensorProto.UINT8), 64)
    two = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 64, 64]) for n in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "g", two[:2], two[2:])
    onnx.save(helper.make_model(graph), str(tmp_path / "two.onnx"))
    with pytest.raises(ConfigError, match="has 2 inputs; expected one"):
        multiply_adds(tmp_path / "two.onnx", 64)


def test_the_docstrings_examples_hold() -> None:
    assert doctest.testmod(graph_latency).failed == 0


def compared(threads: int, **ms: float) -> Comparison:
    """Each graph takes the same time in each of 9 rounds, for 1 GFLOP; the product 1 ms for 1 GFLOP."""
    times = {name.replace("_", "-"): GraphTimes(name, threads, np.full(9, value), 1.0) for name, value in ms.items()}
    return Comparison(times, GraphTimes("matrix product", threads, np.full(9, 1.0), 1.0), 0.0)


def test_a_record_holds_the_worst_of_all_threads(script: ModuleType) -> None:
    both = [
        compared(1, nano=2.0, small=3.0, small_masks=3.3, yolo26n=5.0),
        compared(2, nano=1.5, small=1.5, small_masks=1.8, yolo26n=3.0),
    ]
    figures = script.headline(both, "yolo26n")
    expected = {"nano_over_yolo26n": 0.5, "small_over_yolo26n": 0.6, "mask_overhead": 0.2, "share_of_peak": 1 / 3}
    assert {name: metric["value"] for name, metric in figures.items()} == pytest.approx(expected)
    assert {name: metric["high"] for name, metric in figures.items()} == pytest.approx(expected)
    # Without the reference there is no ratio to it.
    assert list(script.headline([compared(1, small=3.0)], "yolo26n")) == ["share_of_peak"]


def test_the_script_times_its_own_export_beside_a_file(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_convolution(tmp_path / "other.onnx", [1, 3, 64, 64])
    words = ["--config", "nano", "--prototypes", "0", "--onnx", f"yolo26n={other}", "--size", "64", "--threads", "1"]
    assert script.main([*words, "--rounds", "3", "--output", str(tmp_path / "all.json")]) == 0
    content = json.loads((tmp_path / "all.json").read_text())
    assert [record["graph"] for record in content["times"]] == ["nano", "yolo26n", "matrix product"]
    assert content["headline"]["nano_over_yolo26n"]["value"] > 1
    assert "nano_over_yolo26n" in capsys.readouterr().out
    options = script.parser().parse_args([*words, "--result", "det-latency"])
    assert str(tmp_path) not in script.command_again(options)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--onnx", "yolo"], "expected NAME=FILE.onnx"),
        (["--onnx", "a=none.onnx"], "no such file"),
        (["--config", "nano", "--result", "no-such-id"], "unknown; known are"),
    ],
)
def test_the_script_says_what_to_mend(
    script: ModuleType, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(words) == 2
    assert message in capsys.readouterr().err
