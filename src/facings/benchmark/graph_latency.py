"""How fast ONNX graphs are beside each other, and how near the machine's own peak. Knows nothing of what they compute.

Graphs of any origin: one picture goes in, whatever comes out is left alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facings.benchmark.turns import time_in_turn
from facings.errors import ConfigError
from facings.metrics.bootstrap import bootstrap_interval
from facings.runtime.session import Session

# Side of the square float matrices whose product is the machine's peak: large enough that the call itself costs nothing.
PEAK_SIDE = 1024
PEAK_OPSET, PEAK_IR = 18, 9


@dataclass(frozen=True)
class GraphTimes:
    """One graph at one number of threads. `ms` (R,): its time in each round; `gflop`: its arithmetic for one picture."""

    name: str
    threads: int
    ms: NDArray[np.float64]
    gflop: float

    @property
    def gflop_s(self) -> float:
        """Arithmetic a second at the median time."""
        return self.gflop / float(np.median(self.ms)) * 1000


@dataclass(frozen=True)
class Comparison:
    """Graphs timed in the same rounds, with a float matrix product as the peak. `others`: 0–1, what other programs took
    of the processor meanwhile."""

    graphs: dict[str, GraphTimes]
    product: GraphTimes
    others: float


def compare_graphs(
    graphs: Mapping[str, Path],
    *,
    size: int,
    threads: int,
    rounds: int = 60,
    warmup: int = 5,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Comparison:
    """Time every graph (name → file) on one picture of `size` × `size` pixels of noise.

    Each round runs all graphs and the matrix product in an order of its own, so that a machine that slows down, or does
    something else for a while, does so to all alike.

    Raises ConfigError for a graph that is not one of pictures, BundleError for one that cannot be loaded.
    """
    rng = np.random.default_rng(seed)
    product = "matrix product"
    gflops = {name: multiply_adds(path, size) * 2 / 1e9 for name, path in graphs.items()} | {
        product: 2 * PEAK_SIDE**3 / 1e9
    }
    runs = {name: _picture_run(path, size, threads, rng) for name, path in graphs.items()}
    runs[product] = product_run(threads, rng)
    ms, others = time_in_turn(runs, rounds=rounds, warmup=warmup, seed=seed, advance=advance)
    times = {name: GraphTimes(name, threads, ms[name], gflops[name]) for name in runs}
    return Comparison({name: times[name] for name in graphs}, times[product], others)


def time_graphs(
    graphs: Mapping[str, tuple[Path, int]],
    *,
    threads: int = 1,
    rounds: int = 60,
    warmup: int = 5,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[str, GraphTimes], float]:
    """As `compare_graphs`, for graphs (name → file, side of its picture in pixels) that take pictures of their own size.

    Times of each, and 0–1, what other programs took of the processor meanwhile.
    """
    rng = np.random.default_rng(seed)
    gflops = {name: multiply_adds(path, size) * 2 / 1e9 for name, (path, size) in graphs.items()}
    runs = {name: _picture_run(path, size, threads, rng) for name, (path, size) in graphs.items()}
    ms, others = time_in_turn(runs, rounds=rounds, warmup=warmup, seed=seed, advance=advance)
    return {name: GraphTimes(name, threads, ms[name], gflops[name]) for name in graphs}, others


def ratio(times: GraphTimes, reference: GraphTimes, *, seed: int = 0) -> dict[str, float]:
    """`value`: median time over the reference's median; `low`, `high`: 95 % bootstrap over the rounds, drawn in pairs.

    By hand: 2 ms in each round beside 4 ms in each round is 0.5 in every draw.

    >>> half, whole = (GraphTimes("graph", 1, np.full(3, ms), 1.0) for ms in (2.0, 4.0))
    >>> ratio(half, whole)
    {'value': 0.5, 'low': 0.5, 'high': 0.5}
    """

    def statistic(index: NDArray[np.int64]) -> float:
        return float(np.median(times.ms[index]) / np.median(reference.ms[index]))

    low, high = bootstrap_interval(statistic, len(times.ms), seed=seed)
    return {"value": statistic(np.arange(len(times.ms))), "low": low, "high": high}


def share_of_peak(times: GraphTimes, product: GraphTimes, *, seed: int = 0) -> dict[str, float]:
    """`value`, `low`, `high`: the graph's arithmetic a second over that of the matrix product in the same rounds, 0–1.

    By hand: 1 GFLOP in 4 ms is 250 GFLOP/s, 2 GFLOP in 4 ms are 500: a share of 0.5.

    >>> graph, product = (GraphTimes("graph", 1, np.full(3, 4.0), gflop) for gflop in (1.0, 2.0))
    >>> share_of_peak(graph, product)
    {'value': 0.5, 'low': 0.5, 'high': 0.5}
    """
    faster = ratio(product, times, seed=seed)
    return {name: value * times.gflop / product.gflop for name, value in faster.items()}


def multiply_adds(path: Path, size: int) -> int:
    """Multiply-adds of convolutions and matrix products for one picture of `size` × `size`.

    All else (activations, additions, top-k) is left out, as is usual: it is memory traffic rather than arithmetic.

    Raises ConfigError where a shape does not follow from the picture's.
    """
    model = _read(path)
    del model.graph.value_info[:]
    for value, dims in zip(_inputs(model), _input_shapes(model, path, size), strict=True):
        value.type.tensor_type.shape.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, dims).tensor_type.shape)
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(onnx.inliner.inline_local_functions(model), data_prop=True)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.graph.initializer}
    for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            shapes.setdefault(value.name, tuple(dim.dim_value for dim in dims))
    for node in inferred.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            shapes[node.output[0]] = tuple(node.attribute[0].t.dims)
    return sum(_of_node(node, shapes, path) for node in inferred.graph.node)


def _of_node(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]], path: Path) -> int:
    """Multiply-adds of one node: what an element of its output (of ConvTranspose: of its input) is summed from."""
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
        return 0
    wanted = (*node.input[:2], node.output[0])
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise ConfigError(f"{path}: the shape of {missing[0]!r} ({node.op_type}) does not follow from the picture's")
    first, second, out = (shapes[name] for name in wanted)
    if node.op_type == "ConvTranspose":
        return int(np.prod(first) * np.prod(second[1:]))
    if node.op_type == "Conv":
        return int(np.prod(out) * np.prod(second[1:]))
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return int(np.prod(out) * first[-2 if turned else -1])


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that a caller gives: files of old list their weights as well."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _input_shapes(model: onnx.ModelProto, path: Path, size: int) -> list[tuple[int, ...]]:
    """`[(1, 3, size, size)]`; ConfigError for a graph that wants anything else."""
    values = _inputs(model)
    wanted = (1, 3, size, size)
    for value in values:
        tensor = value.type.tensor_type
        dims = tuple(dim.dim_value for dim in tensor.shape.dim)
        # 0 stands for a side that may be any.
        fits = len(dims) == 4 and all(dim in (0, want) for dim, want in zip(dims, wanted, strict=True))
        if not fits or tensor.elem_type != TensorProto.FLOAT:
            kind = TensorProto.DataType.Name(tensor.elem_type)
            raise ConfigError(f"{path}: input {value.name!r} is {kind} {list(dims)}; expected FLOAT {list(wanted)}")
    if len(values) != 1:
        raise ConfigError(f"{path}: has {len(values)} inputs; expected one, the picture")
    return [wanted]


def _read(path: Path) -> onnx.ModelProto:
    """The file's content; ConfigError where there is none, or it is no ONNX."""
    try:
        return onnx.load(str(path))
    except FileNotFoundError as fault:
        raise ConfigError(f"{path}: no such file; give NAME=FILE.onnx") from fault
    except DecodeError as fault:
        raise ConfigError(f"{path}: not an ONNX file ({fault})") from fault


def _picture_run(path: Path, size: int, threads: int, rng: np.random.Generator) -> Callable[[int], Any]:
    shapes = _input_shapes(_read(path), path, size)
    session = Session(path, threads=threads)
    inputs = {session.inputs[0]: rng.random(shapes[0], np.float32)}
    return lambda _: session(**inputs)


def product_run(threads: int, rng: np.random.Generator) -> Callable[[int], Any]:
    """A float matrix product on ONNX Runtime, so that the peak is that of the same threads and the same library."""
    side = PEAK_SIDE
    weight = numpy_helper.from_array(rng.random((side, side), np.float32), "weight")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (side, side)) for name in ("rows", "product")]
    node = helper.make_node("MatMul", ["rows", "weight"], ["product"])
    graph = helper.make_graph([node], "peak", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", PEAK_OPSET)], ir_version=PEAK_IR)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "peak.onnx"
        onnx.save(model, str(path))
        session = Session(path, threads=threads)
    inputs = {"rows": rng.random((side, side), np.float32)}
    return lambda _: session(**inputs)
