"""The graphs around the networks, built node by node from standard operators: letterbox and gallery search.

Knows nothing of torch. What is computed here is what `facings.data.transforms.letterbox` computes in training.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facings.data.transforms.letterbox import PAD_VALUE

IR_VERSION = 10
FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64
UINT8, INT8 = TensorProto.UINT8, TensorProto.INT8


class GraphBuilder:
    """Collects nodes and constants; every call returns the name of what it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants[name] = numpy_helper.from_array(value, name)
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        opset: int,
    ) -> onnx.ModelProto:
        """The checked model."""
        graph = helper.make_graph(self.nodes, name, list(inputs), list(outputs), list(self.constants.values()))
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION, producer_name="facings"
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def letterbox_graph(name: str, size: int, mean: Sequence[float], std: Sequence[float], opset: int) -> onnx.ModelProto:
    """`image` uint8 [1, H, W, 3] RGB → `pixels` float32 [1, 3, size, size], `transform` float32 [4].

    `transform` = [scale_x, scale_y, pad_x, pad_y], x_square = x_image * scale_x + pad_x. Sizes are computed in double
    precision, as Python does, so that both round alike.
    """
    b = GraphBuilder()
    one, half = b.constant("one", np.array([1.0])), b.constant("half", np.array([0.5]))
    side, two = b.constant("side", np.array([float(size)])), b.constant("two", np.array([2], np.int64))
    side_int = b.constant("side_int", np.array([size], np.int64))
    b.node("Shape", ["image"], "shape")
    b.node("Slice", ["shape", b.constant("from1", np.array([1])), b.constant("to3", np.array([3]))], "extent_int")
    b.node("Cast", ["extent_int"], "extent", to=DOUBLE)  # [H, W]
    b.node("Div", [side, "extent"], "ratios")
    b.node("ReduceMin", ["ratios"], "scale", keepdims=1)
    b.node("Add", [b.node("Mul", ["extent", "scale"], "scaled"), half], "shifted")
    b.node("Min", [b.node("Max", [b.node("Floor", ["shifted"], "floored"), one], "least"), side], "new_extent")
    b.node("Cast", ["new_extent"], "new_int", to=INT64)  # [new_H, new_W]
    ends = b.constant("end_one", np.array([1], np.int64)), b.constant("end_three", np.array([3], np.int64))
    b.node("Concat", [ends[0], "new_int", ends[1]], "sizes", axis=0)
    b.node("Round", [b.node("Div", [one, "scale"], "shrinking")], "shrinking_whole")
    b.node("Cast", ["shrinking_whole"], "factor", to=INT64)
    b.node("Equal", [b.node("Mul", ["new_int", "factor"], "multiple"), "extent_int"], "fits")
    b.node("ReduceMin", [b.node("Cast", ["fits"], "fits_int", to=INT64)], "both_fit", keepdims=1)
    b.node("Greater", [b.node("Mul", ["both_fit", "factor"], "factor_or_none"), ends[0]], "whole")
    b.node("Greater", ["scale", half], "small")
    b.nodes.append(
        helper.make_node(
            "If", ["whole"], ["resized"], name="resize", then_branch=_block_means(size), else_branch=_interpolated()
        )
    )
    b.node("Sub", [side_int, "new_int"], "spare")
    b.node("Div", ["spare", two], "before")  # [top, left]
    b.node("Sub", ["spare", "before"], "after")
    zero = b.constant("zero_int", np.array([0], np.int64))
    b.node("Concat", [zero, "before", zero, zero, "after", zero], "pads", axis=0)
    b.node("Pad", ["resized", "pads", b.constant("grey", np.array(PAD_VALUE, np.uint8))], "square", mode="constant")
    # Channels first: ONNX Runtime is ten times as fast where a mean goes with a plane as where it goes with every third value.
    b.node("Transpose", ["square"], "planes", perm=[0, 3, 1, 2])
    b.node("Cast", ["planes"], "planes_float", to=FLOAT)
    b.node("Div", ["planes_float", b.constant("white", np.array(255.0, np.float32))], "unit")
    b.node("Sub", ["unit", b.constant("mean", np.array(mean, np.float32).reshape(3, 1, 1))], "centred")
    b.node("Div", ["centred", b.constant("std", np.array(std, np.float32).reshape(3, 1, 1))], "pixels")
    b.node("Div", ["new_extent", "extent"], "scales")
    reverse = b.constant("reverse", np.array([1, 0], np.int64))
    b.node("Gather", ["scales", reverse], "scales_xy", axis=0)
    b.node("Cast", ["scales_xy"], "scales_float", to=FLOAT)
    b.node("Gather", ["before", reverse], "pads_xy", axis=0)
    b.node("Cast", ["pads_xy"], "pads_float", to=FLOAT)
    b.node("Concat", ["scales_float", "pads_float"], "transform", axis=0)
    return b.model(
        name,
        [helper.make_tensor_value_info("image", UINT8, [1, "height", "width", 3])],
        [
            helper.make_tensor_value_info("pixels", FLOAT, [1, 3, size, size]),
            helper.make_tensor_value_info("transform", FLOAT, [4]),
        ],
        opset,
    )


def _resize(source: str, output: str) -> onnx.NodeProto:
    """Pillow's bilinear. exclude_outside: else ONNX repeats border pixels that Pillow leaves out, up to 14 levels apart."""
    return helper.make_node(
        "Resize", [source, "", "", "sizes"], [output], name=output, mode="linear", antialias=1, exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
    )  # fmt: skip


def _block_means(size: int) -> onnx.GraphProto:
    """Where a frame is a whole multiple: the mean of each block of pixels, halves upward, as OpenCV's area filter has it.

    A third of the time of `Resize`: sums along rows are a product of bytes with a matrix of ones and zeros, for which
    processors have an instruction. A row of the product is `group` blocks, as one alone is too narrow to be fast.
    """
    group = math.gcd(size, 8)
    b = GraphBuilder()

    def whole(name: str, *values: int) -> str:
        return b.constant(f"block_{name}", np.array(values, np.int64))

    three, nothing, any_size = whole("three", 3), b.constant("block_zero", np.array(0, np.int64)), whole("any", -1)
    b.node("Mul", ["factor", three], "block_bytes")  # of one block in one row of the picture
    b.node("Mul", ["block_bytes", whole("group", group)], "group_bytes")
    b.node("Squeeze", ["group_bytes"], "group_end")
    b.node("Range", [nothing, "group_end", b.constant("block_step", np.array(1, np.int64))], "byte")
    # Byte number r of a group belongs to block r // (3 factor) and channel r % 3.
    b.node("Mul", [b.node("Div", ["byte", "block_bytes"], "block"), three], "first_channel")
    b.node("Add", ["first_channel", b.node("Mod", ["byte", three], "channel")], "target")
    b.node("Unsqueeze", ["target", whole("last", 1)], "target_column")
    numbers = b.constant("block_targets", np.arange(3 * group, dtype=np.int64))
    b.node("Cast", [b.node("Equal", ["target_column", numbers], "belongs")], "ones", to=INT8)
    b.node("Concat", [any_size, "group_bytes"], "groups_shape", axis=0)
    b.node("MatMulInteger", [b.node("Reshape", ["image", "groups_shape"], "groups"), "ones"], "row_sums")
    b.node("Gather", ["new_int", whole("first", 0)], "new_height", axis=0)
    b.node("Concat", ["new_height", "factor", any_size], "rows_shape", axis=0)
    b.node("ReduceSum", [b.node("Reshape", ["row_sums", "rows_shape"], "rows"), whole("axis", 1)], "sums", keepdims=0)
    b.node("Cast", ["sums"], "sums_float", to=FLOAT)
    b.node("Cast", [b.node("Mul", ["factor", "factor"], "area_int")], "area", to=FLOAT)
    half = b.constant("block_half", np.array(0.5, np.float32))
    b.node("Floor", [b.node("Add", [b.node("Div", ["sums_float", "area"], "means"), half], "means_up")], "means_whole")
    b.node("Cast", [b.node("Reshape", ["means_whole", "sizes"], "means_square")], "block_means", to=UINT8)
    output = helper.make_tensor_value_info("block_means", UINT8, [1, None, None, 3])
    return helper.make_graph(b.nodes, "whole_multiple", [], [output], list(b.constants.values()))


def _interpolated() -> onnx.GraphProto:
    """Pillow's bilinear for all other frames."""
    node = helper.make_node(
        "If", ["small"], ["interpolated"], name="interpolate", then_branch=_resize_in_float(), else_branch=_resize_in_bytes()
    )  # fmt: skip
    output = helper.make_tensor_value_info("interpolated", UINT8, [1, None, None, 3])
    return helper.make_graph([node], "any_size", [], [output])


def _resize_in_bytes() -> onnx.GraphProto:
    """For frames, which shrink to half or less."""
    output = helper.make_tensor_value_info("smaller", UINT8, [1, None, None, 3])
    return helper.make_graph([_resize("image", "smaller")], "in_bytes", [], [output])


def _resize_in_float() -> onnx.GraphProto:
    """For small pictures: bytes are rounded after each axis. Rounding once, at the end, leaves next to no pixel that differs
    from training's."""
    nodes = [
        helper.make_node("Cast", ["image"], ["exact"], name="exact", to=FLOAT),
        _resize("exact", "larger_exact"),
        helper.make_node("Round", ["larger_exact"], ["rounded"], name="rounded"),
        helper.make_node("Cast", ["rounded"], ["larger"], name="larger", to=UINT8),
    ]
    output = helper.make_tensor_value_info("larger", UINT8, [1, None, None, 3])
    return helper.make_graph(nodes, "in_float", [], [output])


def match_graph(dimension: int, top_k: int, opset: int) -> onnx.ModelProto:
    """`embeddings` [B, D], `gallery` [M, D], `item` int64 [M] (0 … I-1) → `items` int64, `similarities` [B, k].

    k = min(top_k, I). An item is as similar as its most similar view.
    """
    b = GraphBuilder()
    one = b.constant("one", np.array([1], np.int64))
    b.node("Transpose", ["gallery"], "columns", perm=[1, 0])
    b.node("MatMul", ["embeddings", "columns"], "views")  # [B, M]
    b.node("Add", [b.node("ReduceMax", ["item"], "last", keepdims=1), one], "count")  # last: [1]
    b.node("Shape", ["embeddings"], "batch", start=0, end=1)
    b.node("Concat", ["batch", "count"], "by_item", axis=0)
    floor = helper.make_tensor("floor", FLOAT, [1], [-2.0])  # below every cosine
    b.node("ConstantOfShape", ["by_item"], "empty", value=floor)
    b.node("Shape", ["views"], "views_shape")
    b.node("Expand", ["item", "views_shape"], "targets")
    b.node("ScatterElements", ["empty", "targets", "views"], "best", axis=1, reduction="max")
    b.node("Min", [b.constant("top", np.array([top_k], np.int64)), "count"], "k")
    b.nodes.append(helper.make_node("TopK", ["best", "k"], ["similarities", "items"], name="topk", axis=1))
    return b.model(
        "match",
        [
            helper.make_tensor_value_info("embeddings", FLOAT, ["batch", dimension]),
            helper.make_tensor_value_info("gallery", FLOAT, ["views", dimension]),
            helper.make_tensor_value_info("item", INT64, ["views"]),
        ],
        [
            helper.make_tensor_value_info("items", INT64, ["batch", "k"]),
            helper.make_tensor_value_info("similarities", FLOAT, ["batch", "k"]),
        ],
        opset,
    )
