"""Which part of an exported graph is network, and which decodes its answers. Knows nothing of number formats.

Rounding weights and maps of a network to eight bits costs little. Rounding box corners, scores that are sorted, or indices
would cost much and gain nothing: everything behind the network's last products stays as it is.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx

WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")


@dataclass(frozen=True)
class NetworkPart:
    """The nodes of a graph that are products with trained weights, or lie between such.

    `nodes`: their names, in the graph's order; `groups`: name → its nodes, in order, every node in one group, named after the
    module that holds the weights; `ends`: the tensors that leave the part.
    """

    nodes: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    ends: tuple[str, ...]

    def without(self, kept: Collection[str]) -> tuple[str, ...]:
        """The nodes of all groups but `kept`. Raises ValueError for a group that there is not."""
        if strange := sorted(set(kept) - set(self.groups)):
            raise ValueError(f"no group {strange[0]!r}; there are {', '.join(self.groups)}")
        return tuple(name for group, names in self.groups.items() if group not in kept for name in names)


def network_part(model: onnx.ModelProto, *, most_groups: int = 40) -> NetworkPart:
    """Find the network of `model`, in at most `most_groups` groups (one where modules are too many even at the top).

    A node belongs to it when it multiplies with stored weights, or gets something from such a node and gives something to
    such a node. Raises ValueError for a graph without such a node, or with nodes that have no name of their own.
    """
    nodes = list(model.graph.node)
    names = [node.name for node in nodes]
    if "" in names or len(set(names)) != len(names):
        raise ValueError("every node of the graph needs a name of its own")
    weights = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) > 1}
    weight_of = {
        node.name: next((name for name in node.input[:2] if name in weights), None)
        for node in nodes
        if node.op_type in WEIGHTED
    }
    modules = {name: _module(weight) for name, weight in weight_of.items() if weight is not None}
    if not modules:
        raise ValueError(
            f"the graph has no {', '.join(WEIGHTED)} with stored weights; there is nothing to make smaller"
        )
    behind, before = _reached(nodes, set(modules)), _reaching(nodes, set(modules))
    inside = [node for node in nodes if node.name in modules or (node.name in behind and node.name in before)]
    kept = {node.name for node in inside}
    outside = {name for node in nodes if node.name not in kept for name in node.input}
    outside |= {output.name for output in model.graph.output}
    ends = tuple(name for node in inside for name in node.output if name in outside)
    return NetworkPart(tuple(node.name for node in inside), _groups(inside, modules, most_groups), ends)


def cut(model: onnx.ModelProto, ends: Sequence[str]) -> onnx.ModelProto:
    """The part of `model` (with inferred shapes) that computes `ends`, which become its outputs."""
    known = {value.name: value for value in [*model.graph.value_info, *model.graph.output]}
    wanted, nodes = set(ends), []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            nodes.append(node)
            wanted.update(node.input)
    part = onnx.ModelProto()
    part.CopyFrom(model)
    for field in ("node", "output", "initializer"):
        del getattr(part.graph, field)[:]
    part.graph.node.extend(reversed(nodes))
    part.graph.output.extend(known[name] for name in ends)
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in wanted)
    return part


def _module(weight: str) -> str:
    """`backbone.blocks.0.1.conv.weight` → `backbone.blocks.0.1.conv`; the wrapper's own `model.` is left out."""
    return weight.removeprefix("model.").removesuffix(".weight")


def _reached(nodes: Sequence[onnx.NodeProto], starts: set[str]) -> set[str]:
    """Names of nodes that get something, however indirectly, from one of `starts`. Graphs are in topological order."""
    tensors: set[str] = set()
    found = set()
    for node in nodes:
        if tensors.intersection(node.input):
            found.add(node.name)
        if node.name in starts or node.name in found:
            tensors.update(node.output)
    return found


def _reaching(nodes: Sequence[onnx.NodeProto], ends: set[str]) -> set[str]:
    """Names of nodes that give something, however indirectly, to one of `ends`."""
    tensors: set[str] = set()
    found = set()
    for node in reversed(nodes):
        if tensors.intersection(node.output):
            found.add(node.name)
        if node.name in ends or node.name in found:
            tensors.update(node.input)
    return found


def _groups(inside: Sequence[onnx.NodeProto], modules: dict[str, str], most: int) -> dict[str, tuple[str, ...]]:
    """Modules as deep as `most` groups allow. What has no weights goes with the last product before it."""
    deepest = max(module.count(".") for module in modules.values()) + 1
    parts = {name: module.split(".") for name, module in modules.items()}
    depth = next(
        (d for d in range(deepest, 0, -1) if len({".".join(p[:d]) for p in parts.values()}) <= most),
        0,
    )
    group_of = {name: ".".join(part[:depth]) or "network" for name, part in parts.items()}
    by_tensor: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for node in inside:
        sources = [by_tensor[name] for name in node.input if name in by_tensor]
        group = group_of[node.name] if node.name in group_of else sources[-1]
        by_tensor.update(dict.fromkeys(node.output, group))
        groups.setdefault(group, []).append(node.name)
    return {name: tuple(members) for name, members in groups.items()}
