"""What each part of a network costs when it alone is computed in eight bits. Knows nothing of data sets or of accuracy.

The noise at the network's ends against their own variation tells which parts are delicate; it needs no truth and a handful of
pictures. Whether a network is still accurate enough is another question, asked of a whole file.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import TensorsData

from facings.export.calibration_data import Samples
from facings.export.network_part import NetworkPart, cut
from facings.export.quantize import Int8Settings, quantized, save
from facings.runtime.session import Session

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class LayerCost:
    """`group`: a part of the network; `nodes`: how many it has. `noise`: of all ends, the largest power of the error over the
    variance of the float values, 0 for none; `end`: where that is; `decibels`: -10 lg noise, the signal-to-noise ratio."""

    group: str
    nodes: int
    noise: float
    end: str

    @property
    def decibels(self) -> float:
        return float(-10 * np.log10(max(self.noise, 1e-12)))


def layer_costs(
    model: onnx.ModelProto,
    part: NetworkPart,
    ranges: TensorsData,
    samples: Samples,
    settings: Int8Settings,
    *,
    threads: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[LayerCost]:
    """One entry a group, the costliest first; ties in the network's order. `advance` is called after each."""
    network = cut(model, part.ends)
    inputs = list(samples)
    truth = _run(network, inputs, threads)
    costs = []
    for group, nodes in part.groups.items():
        found = _run(quantized(network, ranges, nodes, settings), inputs, threads)
        noises = {end: noise(truth[end], found[end]) for end in part.ends}
        worst = max(noises, key=noises.__getitem__)
        costs.append(LayerCost(group, len(nodes), noises[worst], worst))
        advance()
    return sorted(costs, key=lambda cost: -cost.noise)


def noise(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """Mean square of the difference over the variance of `truth`; against their mean square where all values are one.

    The variance and not the power: the logits of a detector lie far below zero nearly everywhere, and an error is small or
    large against what tells one place from another.

    By hand: values 9 and 11 (variance 1), each off by 0.1.

    >>> round(noise(np.array([9.0, 11.0]), np.array([9.1, 10.9])), 6)
    0.01

    What is not finite is infinitely far: `inf`.
    """
    first, second = truth.astype(np.float64), found.astype(np.float64)
    error = float(np.square(first - second).mean()) if first.size else 0.0
    if not np.isfinite(error):
        return float("inf")
    signal = float(first.var()) if first.size else 0.0
    signal = signal if signal > 0 else float(np.square(first).mean()) if first.size else 0.0
    if signal == 0:
        return 0.0 if error == 0 else float("inf")
    return error / signal


def cost_table(costs: Sequence[LayerCost], most: int | None = None) -> str:
    """Lines for a person, the costliest first."""
    width = max([len(cost.group) for cost in costs], default=0)
    lines = [f"{cost.group:<{width}}  {cost.nodes:>3} nodes  {cost.decibels:6.1f} dB" for cost in costs[:most]]
    return "\n".join(lines)


def as_rows(costs: Sequence[LayerCost]) -> list[dict[str, Any]]:
    """For report.json; a noise that is not finite is null."""
    return [
        asdict(cost) | {"noise": cost.noise if np.isfinite(cost.noise) else None, "decibels": round(cost.decibels, 2)}
        for cost in costs
    ]


def _run(model: onnx.ModelProto, inputs: Sequence[Arrays], threads: int | None) -> Arrays:
    with tempfile.TemporaryDirectory() as folder:
        session = Session(save(model, Path(folder) / "network.onnx"), threads=threads)
    found = [session(**sample) for sample in inputs]
    return {name: np.concatenate([outputs[name] for outputs in found]) for name in found[0]}
