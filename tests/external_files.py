"""ONNX files as other programs write them, made from standard operators: what they answer is known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
SIDE, CELLS = 96, 4
CELL = SIDE // CELLS


def save_graph(
    path: Path,
    nodes: list[Any],
    constants: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, int],
    *,
    size: tuple[int | str, int | str] = (64, 64),
    batch: int | str = "batch",
    opset: int = 20,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """`nodes` from the input `images` to `outputs` (name → rank)."""
    ports = [helper.make_tensor_value_info("images", FLOAT, [batch, 3, *size])]
    ends = [helper.make_tensor_value_info(name, FLOAT, [None] * rank) for name, rank in outputs.items()]
    kept = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "foreign", ports, ends, kept)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, str(path))
    return path


def save_answers(path: Path, answers: Mapping[str, NDArray[Any]], **options: Any) -> Path:
    """A network that says the same (`answers`, without batch) of every picture, and takes as many at once as one likes."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Slice", ["means", "first", "second", "second"], ["mean"]),
        helper.make_node("Mul", ["mean", "none"], ["nothing"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "none": np.array(0, np.float32),
    }
    for name, values in answers.items():
        constants |= {
            f"{name}_shape": np.array([-1, *[1] * values.ndim], np.int64),
            f"{name}_said": values[None].astype(np.float32),
        }
        nodes.append(helper.make_node("Reshape", ["nothing", f"{name}_shape"], [f"{name}_nothing"]))
        nodes.append(helper.make_node("Add", [f"{name}_nothing", f"{name}_said"], [name]))
    return save_graph(path, nodes, constants, {name: values.ndim + 1 for name, values in answers.items()}, **options)


def save_cells(path: Path, layout: str, **options: Any) -> Path:
    """Two anchors for each cell of a 4 × 4 grid over 96 × 96 pixels, the second a pixel to the right and a little less sure: a
    detector of two classes, vivid and dull. The probability of vivid is the range of a cell's colours, of dull a tenth of it."""
    node = helper.make_node
    corners = np.array([[CELL * (i % CELLS), CELL * (i // CELLS)] * 2 for i in range(CELLS**2)], np.float32)
    corners += np.array([0, 0, CELL, CELL], np.float32)
    corners = np.concatenate([corners, corners + np.array([1, 0, 1, 0], np.float32)])
    centred = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
    constants: dict[str, NDArray[Any]] = {
        "channel": np.array([1], np.int64),
        "flat": np.array([0, 1, CELLS**2], np.int64),
        "less": np.array(0.99, np.float32),
        "tenth": np.array(0.1, np.float32),
        "none": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "corners": corners[None],
        "centred": centred[None],
        "centred_rows": centred.T[None],
        "shares": centred[None] / SIDE,
    }
    nodes = [
        node("AveragePool", ["images"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        node("ReduceMax", ["cells", "channel"], ["most"], keepdims=1),
        node("ReduceMin", ["cells", "channel"], ["least"], keepdims=1),
        node("Sub", ["most", "least"], ["range"]),
        node("Reshape", ["range", "flat"], ["sure"]),
        node("Mul", ["sure", "less"], ["less_sure"]),
        node("Concat", ["sure", "less_sure"], ["vivid"], axis=2),
        node("Mul", ["vivid", "tenth"], ["dull"]),
        node("Concat", ["vivid", "dull"], ["classes"], axis=1),  # [B, 2, 32]
        node("Transpose", ["classes"], ["by_anchor"], perm=[0, 2, 1]),
        node("Transpose", ["vivid"], ["vivid_column"], perm=[0, 2, 1]),
        node("Mul", ["vivid_column", "none"], ["zeros"]),
    ]
    if layout == "yolo_dense":
        nodes += [
            node("Mul", ["vivid", "none"], ["zero_row"]),
            node("Add", ["zero_row", "centred_rows"], ["boxes"]),
            node("Concat", ["boxes", "classes"], ["output0"], axis=1),
        ]
        return save_graph(path, nodes, constants, {"output0": 3}, size=(SIDE, SIDE), **options)
    if layout == "yolo_end_to_end":
        nodes += [
            node("Add", ["zeros", "corners"], ["boxes"]),
            node("Concat", ["boxes", "vivid_column", "zeros"], ["output0"], axis=2),
        ]
        return save_graph(path, nodes, constants, {"output0": 3}, size=(SIDE, SIDE), **options)
    nodes += [
        node("Sub", ["one", "by_anchor"], ["unsure"]),
        node("Div", ["by_anchor", "unsure"], ["odds"]),
        node("Log", ["odds"], ["logits"]),
        node("Add", ["zeros", "shares"], ["pred_boxes"]),
    ]
    return save_graph(path, nodes, constants, {"logits": 3, "pred_boxes": 3}, size=(SIDE, SIDE), **options)


def save_mean_colour(path: Path, size: int, *, length: float = 3.0) -> Path:
    """An embedder: the mean colour, `length` times as long as one; 0 leaves it as it is."""
    nodes = [helper.make_node("ReduceMean", ["images", "sides"], ["features" if length == 0 else "mean"], keepdims=0)]
    if length:
        nodes.append(helper.make_node("LpNormalization", ["mean"], ["unit"], axis=1, p=2))
        nodes.append(helper.make_node("Mul", ["unit", "length"], ["features"]))
    constants = {"sides": np.array([2, 3], np.int64), "length": np.array(length, np.float32)}
    return save_graph(path, nodes, constants, {"features": 2}, size=(size, size))
