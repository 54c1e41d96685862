"""A bundle's networks by several providers, numbers of threads and batches, beside a reference graph and the machine's own peak.

All graphs run in the same rounds, so that ratios hold where absolute times do not. Knows nothing of accuracy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facings.benchmark.graph_latency import PEAK_SIDE as SIDE
from facings.benchmark.graph_latency import GraphTimes, multiply_adds, product_run, ratio, share_of_peak
from facings.benchmark.providers import CPU, Opened, open_graph, reason, share_taken
from facings.benchmark.steadiness import Steadiness, energy_meter, jitter, steadiness
from facings.benchmark.turns import time_in_turn
from facings.metrics.latency import percentiles

PRODUCT, REFERENCE = "matrix product", "reference"
# The reference made here: convolutions of a common kind, the same weights everywhere. Changing it raises the protocol's version.
CHANNELS, LAYERS, STRIDE = 32, 4, 4
OPSET, IR = 18, 9


@dataclass(frozen=True)
class Network:
    """A graph with one input (batch, 3, `size`, `size`)."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True)
class Timed:
    """One graph by one provider, at one number of threads and one batch. `figures`: percentiles of a call in ms, `jitter`,
    `per_second` (pictures or crops). `over_reference`: time of one picture as a multiple of the reference's; `share_of_peak` (0–1):
    arithmetic a second over the matrix product's; each `value`, `low`, `high`."""

    name: str
    threads: int
    batch: int
    figures: dict[str, float]
    over_reference: dict[str, float]
    share_of_peak: dict[str, float]
    provider: str = CPU


@dataclass(frozen=True)
class Round:
    """All graphs at one number of threads. `joules`: energy of the processor a round, None where the machine does not tell;
    `left_out`: what could not be timed, each with why."""

    timed: list[Timed]
    product_gflop_s: float
    steadiness: Steadiness
    joules: float | None
    left_out: list[str]


def time_networks(
    networks: Sequence[Network],
    reference: Network | None,
    *,
    threads: int,
    batches: Sequence[int],
    rounds: int,
    providers: Sequence[str] = (CPU,),
    warmup: int = 5,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Round:
    """`reference`: None for the graph made here; it and the matrix product run on the CPU provider, whatever the `providers`. A
    provider that does not take a graph, or a graph that does not take a batch, is left out and named.

    Raises ConfigError for a reference that is no graph of pictures, BundleError for a graph that the CPU provider cannot load.
    """
    rng = np.random.default_rng(seed)
    runs: dict[str, Callable[[int], Any]] = {}
    kept: dict[str, tuple[Network, str, int]] = {}
    left_out: list[str] = []
    with TemporaryDirectory() as folder:
        given = reference or Network(REFERENCE, _write_reference(Path(folder)), 640)
        gflop = {REFERENCE: 2 * multiply_adds(given.path, given.size) / 1e9, PRODUCT: 2 * SIDE**3 / 1e9}
        runs[REFERENCE] = _call(open_graph(given.path, CPU, threads=threads), given, 1, rng)
        runs[PRODUCT] = product_run(threads, rng)
        for network in networks:
            gflop[network.name] = 2 * multiply_adds(network.path, network.size) / 1e9
            for provider in providers:
                for batch, run in _batches(network, provider, threads, batches, rng, left_out).items():
                    name = f"{network.name} × {batch} {provider}"
                    runs[name], kept[name] = run, (network, provider, batch)
        meter = energy_meter()
        before = meter() if meter else 0.0
        ms, others = time_in_turn(runs, rounds=rounds, warmup=warmup, seed=seed, advance=advance)
        # A counter that ran over tells nothing.
        joules = (meter() - before) / rounds if meter and meter() >= before else None
    base, product = (GraphTimes(name, threads, ms[name], gflop[name]) for name in (REFERENCE, PRODUCT))
    timed = [_timed(REFERENCE, CPU, 1, base, base, product, seed)]
    for name, (network, provider, batch) in kept.items():
        own = GraphTimes(name, threads, ms[name], gflop[network.name] * batch)
        timed.append(_timed(network.name, provider, batch, own, base, product, seed))
    return Round(timed, product.gflop_s, steadiness(ms[PRODUCT], others), joules, left_out)


def speedups(rounds: Mapping[int, Round]) -> dict[str, dict[int, float]]:
    """Graph → threads → pictures a second (batch of 1) as a multiple of those at the fewest threads. Graphs of another provider
    than the CPU's are called `NETWORK, PROVIDER`."""
    found: dict[str, dict[int, float]] = {}
    for threads in sorted(rounds):
        for timed in rounds[threads].timed:
            if timed.batch == 1:
                name = timed.name if timed.provider == CPU else f"{timed.name}, {timed.provider}"
                found.setdefault(name, {})[threads] = timed.figures["per_second"]
    return {name: {t: value / by[min(by)] for t, value in by.items()} for name, by in found.items()}


def _timed(
    name: str, provider: str, batch: int, own: GraphTimes, base: GraphTimes, product: GraphTimes, seed: int
) -> Timed:
    figures = percentiles(own.ms.tolist())
    figures["jitter"] = jitter(figures["p50"], figures["p95"])
    figures["per_second"] = batch * 1000 / figures["p50"]
    over, share = ratio(own, base, seed=seed), share_of_peak(own, product, seed=seed)
    # Of one picture, so that batches are comparable.
    over = {key: value / batch for key, value in over.items()}
    return Timed(name, own.threads, batch, figures, over, share, provider)


def _batches(
    network: Network,
    provider: str,
    threads: int,
    batches: Sequence[int],
    rng: np.random.Generator,
    left_out: list[str],
) -> dict[int, Callable[[int], Any]]:
    """What a provider runs of a network, by batch; the rest is added to `left_out`."""
    where = network.name if provider == CPU else f"{network.name}, {provider}"
    try:
        graph = open_graph(network.path, provider, threads=threads)
        if not share_taken(network.path, provider, {graph.port: _noise(network, 1, rng)}):
            left_out.append(f"{where}: takes none of its operators; all would run on {CPU}")
            return {}
    except Exception as fault:  # each provider raises its own classes, which share no base but Exception
        if provider == CPU:
            raise
        left_out.append(f"{where}: {reason(fault)}")
        return {}
    found = {}
    for batch in batches:
        run = _call(graph, network, batch, rng)
        try:
            run(0)
        except Exception as fault:  # ONNX Runtime raises its own classes, which share no base but Exception
            left_out.append(f"{where} × {batch}: {reason(fault)}")
            continue
        found[batch] = run
    return found


def _call(graph: Opened, network: Network, batch: int, rng: np.random.Generator) -> Callable[[int], Any]:
    inputs = {graph.port: _noise(network, batch, rng)}
    return lambda _: graph.run(inputs)


def _noise(network: Network, batch: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.random((batch, 3, network.size, network.size), np.float32)


def _write_reference(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    nodes, weights, name, channels = [], [], "pixels", 3
    for layer in range(LAYERS):
        kernel = (rng.standard_normal((CHANNELS, channels, 3, 3)) / np.sqrt(9 * channels)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"kernel{layer}"))
        strides = [STRIDE, STRIDE] if layer == 0 else [1, 1]
        nodes.append(
            helper.make_node("Conv", [name, f"kernel{layer}"], [f"conv{layer}"], pads=[1, 1, 1, 1], strides=strides)
        )
        nodes.append(helper.make_node("Relu", [f"conv{layer}"], [f"layer{layer}"]))
        name, channels = f"layer{layer}", CHANNELS
    ends = [
        helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 640, 640]),
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None),
    ]
    graph = helper.make_graph(nodes, "reference", ends[:1], ends[1:], weights)
    path = folder / "reference.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR), str(path))
    return path
