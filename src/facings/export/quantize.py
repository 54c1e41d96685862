"""From a float graph to one of eight-bit integers: QuantizeLinear and DequantizeLinear around the network's nodes.

Knows nothing of accuracy: which nodes stay in float is decided by the caller.

Krishnamoorthi: "Quantizing deep convolutional networks for efficient inference", 2018, sec. 3: static ranges of activations,
one scale for each output channel of the weights. Activations are unsigned and weights signed bytes, because that is the
product that processors have instructions for; with both signed a detector was slower than in float.
"""

import contextlib
import io
import tempfile
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from facings.errors import ConfigError
from facings.export.calibration_data import Samples
from facings.export.network_part import cut
from facings.export.networks import without_traces

Method = Literal["minmax", "entropy", "percentile"]
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
# All kinds of nodes that ONNX Runtime can keep in eight bits: with some left out, maps change format between them, which cost
# a detector 30 % of its time.
OPERATORS = sorted({*QDQRegistry, *QLinearOpsRegistry})


@dataclass(frozen=True)
class Int8Settings:
    """`method`: how a map's range follows from what was seen; `percentile`: the share kept, for that method; `per_channel`: a
    scale for each output channel of the weights. `reduce_range`: seven bits for weights, for programs without ONNX Runtime's
    exact way on processors without VNNI. Raises ConfigError for values that are not of these."""

    method: Method = "minmax"
    percentile: float = 99.99
    per_channel: bool = True
    reduce_range: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"quantization.method={self.method!r}: expected one of {', '.join(get_args(Method))}")
        if not 50 < self.percentile <= 100:
            raise ConfigError(f"quantization.percentile={self.percentile}: expected more than 50, at most 100")


def load_float(path: Path) -> onnx.ModelProto:
    """An exported graph with the shapes of its tensors inferred."""
    model: onnx.ModelProto = load_model_with_shape_infer(path)
    return model


def measure_ranges(
    model: onnx.ModelProto,
    ends: Collection[str],
    samples: Samples,
    settings: Int8Settings,
    *,
    threads: int | None = None,
) -> TensorsData:
    """The range of every float tensor on the way to `ends`, over `samples`.

    Samples go one by one, so that memory does not grow with their number.
    """
    options: dict[str, Any] = {}
    if settings.method == "percentile":
        # One-sided maps (after a ReLU, mostly) would lose half their levels to a symmetric range.
        options = {"percentile": settings.percentile, "symmetric": False}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.save(cut(model, list(ends)), str(path))
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = create_calibrator(
            str(path), OPERATORS, augmented, calibrate_method=METHODS[settings.method], extra_options=options
        )
        session_options = ort.SessionOptions()
        # Fusions would remove tensors whose range is wanted. The calibrator's own session takes all cores.
        session_options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session_options.intra_op_num_threads = threads or 0
        session_options.log_severity_level = 3
        calibrator.infer_session = ort.InferenceSession(
            calibrator.augmented_model_path, session_options, providers=["CPUExecutionProvider"]
        )
        # The collectors of histograms print as they go.
        with contextlib.redirect_stdout(io.StringIO()):
            for sample in samples:
                calibrator.collect_data(_One(sample))
            ranges: TensorsData = calibrator.compute_data()
    return ranges


def quantized(
    model: onnx.ModelProto, ranges: TensorsData, nodes: Collection[str], settings: Int8Settings
) -> onnx.ModelProto:
    """`model` with `nodes` in eight bits, all else as it was; of standard operators, at its own opset.

    `model` and `ranges` stay as they are. No node: the model itself, without the notes of shape inference.
    """
    if not nodes:
        return without_traces(deepcopy(model))
    quantizer = QDQQuantizer(
        deepcopy(model),
        settings.per_channel,
        settings.reduce_range,
        QuantType.QInt8,
        QuantType.QUInt8,
        deepcopy(ranges),  # the quantizer narrows ranges before a Clip, which is right for this choice of nodes alone
        list(nodes),
        [],
        OPERATORS,
        {},
    )
    quantizer.quantize_model()
    smaller: onnx.ModelProto = quantizer.model.model
    smaller.producer_name, smaller.producer_version = model.producer_name, model.producer_version
    return without_traces(smaller)


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Check and write a graph as one file, without the shapes of its inner tensors."""
    bare = deepcopy(model)
    del bare.graph.value_info[:]
    # Converters add their nodes at the end of the list.
    ONNXModel(bare).topological_sort()
    onnx.checker.check_model(bare)
    onnx.save(bare, str(path))
    return path


class _One:
    """One sample as a calibrator wants it."""

    def __init__(self, sample: Any) -> None:
        self._left = [sample]

    def get_next(self) -> Any:
        return self._left.pop() if self._left else None
