"""From a float graph to one of half precision: half the size, and faster where the processor computes in it (GPUs).

Knows nothing of accuracy. Inputs and outputs stay float32, so that a program need not know which file it runs.

ONNX Runtime's own converter is not used: it passes what it was told to leave in float32 through float16 between two such
nodes, which would put corners of boxes on half pixels and let cubes overflow.
"""

from copy import deepcopy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from facings.export.network_part import NetworkPart
from facings.export.networks import without_traces

# What keeps its meaning at a resolution of a thousandth and a largest value of 65,504. Powers (generalised mean) do not: the
# cube of 41 is too large.
HALF = (
    "Conv", "ConvTranspose", "MatMul", "Gemm", "Clip", "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Gelu",
    "Mul", "Add", "Concat", "Split", "Slice", "MaxPool", "AveragePool", "GlobalAveragePool", "Reshape", "Transpose", "Flatten",
)  # fmt: skip
LARGEST = float(np.finfo(np.float16).max)


def half_precision(model: onnx.ModelProto, part: NetworkPart) -> onnx.ModelProto:
    """`model` (with inferred shapes) with the nodes of its network in float16, weights too; all behind it in float32.

    Weights beyond the largest float16 are cut to it; the accuracy of the file tells whether that mattered.
    """
    smaller = deepcopy(model)
    graph = smaller.graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in [*graph.value_info, *graph.input, *graph.output]}
    weights = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    inside, outputs = set(part.nodes), {value.name for value in graph.output}
    nodes: list[onnx.NodeProto] = []
    halves: set[str] = set()  # tensors that are float16 now
    made: set[str] = set()

    def cast(name: str, to: int) -> str:
        target = f"{name}_{'half' if to == TensorProto.FLOAT16 else 'float'}"
        if target not in made:
            made.add(target)
            nodes.append(helper.make_node("Cast", [name], [target], name=target, to=to))
        return target

    def halved(name: str) -> str:
        if name in weights:
            target = f"{name}_half"
            if target not in made:
                made.add(target)
                value = np.clip(numpy_helper.to_array(weights[name]), -LARGEST, LARGEST).astype(np.float16)
                graph.initializer.append(numpy_helper.from_array(value, target))
            return target
        return name if name in halves or kinds.get(name) != TensorProto.FLOAT else cast(name, TensorProto.FLOAT16)

    for node in list(graph.node):
        half = node.name in inside and node.op_type in HALF
        inputs = [halved(n) if half else cast(n, TensorProto.FLOAT) if n in halves else n for n in node.input]
        del node.input[:]
        node.input.extend(inputs)
        nodes.append(node)
        for place, name in enumerate(node.output if half else ()):
            if name in outputs:
                # The graph's own output keeps its name and its type.
                node.output[place] = f"{name}_inner"
                nodes.append(
                    helper.make_node("Cast", [f"{name}_inner"], [name], name=f"{name}_cast", to=TensorProto.FLOAT)
                )
            else:
                halves.add(name)
    _replace(graph, nodes)
    return without_traces(smaller)


def _replace(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Put `nodes` in place of the graph's own; drop inferred types, which changed, and weights that nobody reads now."""
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.value_info[:]
    read = {name for node in kept for name in node.input} | {value.name for value in graph.output}
    weights = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(weights)
