"""A bundle's networks at several numbers of threads and batches, beside a reference graph and the machine's own peak.

All graphs run in the same rounds, so that ratios hold where absolute times do not. Knows nothing of accuracy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facings.benchmark.graph_latency import PEAK_SIDE as SIDE
from facings.benchmark.graph_latency import GraphTimes, multiply_adds, product_run, ratio, share_of_peak
from facings.benchmark.steadiness import Steadiness, energy_meter, jitter, steadiness
from facings.benchmark.turns import time_in_turn
from facings.metrics.latency import percentiles
from facings.runtime.session import Session

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
    """One graph at one number of threads and one batch. `figures`: percentiles of a call in ms, `jitter`, `per_second`
    (pictures or crops). `over_reference`: time of one picture as a multiple of the reference's; `share_of_peak` (0–1): arithmetic
    a second over the matrix product's; each `value`, `low`, `high`."""

    name: str
    threads: int
    batch: int
    figures: dict[str, float]
    over_reference: dict[str, float]
    share_of_peak: dict[str, float]


@dataclass(frozen=True)
class Round:
    """All graphs at one number of threads. `joules`: energy of the processor a round, None where the machine does not tell."""

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
    warmup: int = 5,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Round:
    """`reference`: None for the graph made here. A graph that does not take a batch is left out and named.

    Raises ConfigError for a reference that is no graph of pictures, BundleError for a graph that cannot be loaded.
    """
    rng = np.random.default_rng(seed)
    runs: dict[str, Callable[[int], Any]] = {}
    kept: dict[str, tuple[Network, int]] = {}
    left_out = []
    with TemporaryDirectory() as folder:
        given = reference or Network(REFERENCE, _write_reference(Path(folder)), 640)
        gflop = {REFERENCE: 2 * multiply_adds(given.path, given.size) / 1e9, PRODUCT: 2 * SIDE**3 / 1e9}
        runs[REFERENCE] = _run(Session(given.path, threads=threads), given.size, 1, rng)
        runs[PRODUCT] = product_run(threads, rng)
        for network in networks:
            session = Session(network.path, threads=threads)
            gflop[network.name] = 2 * multiply_adds(network.path, network.size) / 1e9
            for batch in batches:
                name, run = f"{network.name} × {batch}", _run(session, network.size, batch, rng)
                if not _takes(run):
                    left_out.append(name)
                    continue
                runs[name], kept[name] = run, (network, batch)
        meter = energy_meter()
        before = meter() if meter else 0.0
        ms, others = time_in_turn(runs, rounds=rounds, warmup=warmup, seed=seed, advance=advance)
        # A counter that ran over tells nothing.
        joules = (meter() - before) / rounds if meter and meter() >= before else None
    base, product = (GraphTimes(name, threads, ms[name], gflop[name]) for name in (REFERENCE, PRODUCT))
    timed = [_timed(REFERENCE, 1, base, base, product, seed)]
    for name, (network, batch) in kept.items():
        own = GraphTimes(name, threads, ms[name], gflop[network.name] * batch)
        timed.append(_timed(network.name, batch, own, base, product, seed))
    return Round(timed, product.gflop_s, steadiness(ms[PRODUCT], others), joules, left_out)


def speedups(rounds: Mapping[int, Round]) -> dict[str, dict[int, float]]:
    """Graph → threads → pictures a second (batch of 1) as a multiple of those at the fewest threads."""
    found: dict[str, dict[int, float]] = {}
    for threads in sorted(rounds):
        for timed in rounds[threads].timed:
            if timed.batch == 1:
                found.setdefault(timed.name, {})[threads] = timed.figures["per_second"]
    return {name: {t: value / by[min(by)] for t, value in by.items()} for name, by in found.items()}


def _timed(name: str, batch: int, own: GraphTimes, base: GraphTimes, product: GraphTimes, seed: int) -> Timed:
    figures = percentiles(own.ms.tolist())
    figures["jitter"] = jitter(figures["p50"], figures["p95"])
    figures["per_second"] = batch * 1000 / figures["p50"]
    over, share = ratio(own, base, seed=seed), share_of_peak(own, product, seed=seed)
    # Of one picture, so that batches are comparable.
    over = {key: value / batch for key, value in over.items()}
    return Timed(name, own.threads, batch, figures, over, share)


def _run(session: Session, size: int, batch: int, rng: np.random.Generator) -> Callable[[int], Any]:
    inputs = {session.inputs[0]: rng.random((batch, 3, size, size), np.float32)}
    return lambda _: session(**inputs)


def _takes(run: Callable[[int], Any]) -> bool:
    """Whether the graph takes this batch; ONNX Runtime raises its own classes, which share no base but Exception."""
    try:
        run(0)
    except Exception:
        return False
    return True


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
