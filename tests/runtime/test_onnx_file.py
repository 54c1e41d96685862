"""Reading ONNX without the onnx package, beside that package; and graphs that must not be run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facings.benchmark.fuzz_specimen import GRAPHS, graph_bytes
from facings.errors import BundleError
from facings.runtime.graph_ports import check_ports
from facings.runtime.onnx_file import GraphFacts, Port, check_portable, read_facts
from facings.runtime.protobuf_fields import FieldReader

FLOAT = TensorProto.FLOAT


def model(*nodes: Any, initializers: Any = (), outputs: Any = None) -> Any:
    ports = [helper.make_tensor_value_info("x", FLOAT, ["b", 3, 8, 8])]
    given = outputs or [helper.make_tensor_value_info("y", FLOAT, ["b", 4])]
    graph = helper.make_graph(list(nodes), "g", ports, given, list(initializers))
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


def saved(folder: Path, made: Any) -> Path:
    path = folder / "graph.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def test_facts_are_those_of_the_onnx_package(tmp_path: Path) -> None:
    path = saved(tmp_path, model(helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Add", ["y", "x"], ["z"])))
    facts, other = check_portable(path), onnx.load(str(path))
    assert (facts.ir_version, facts.opsets) == (other.ir_version, {o.domain: o.version for o in other.opset_import})
    assert facts.operators == {(node.domain, node.op_type) for node in other.graph.node}
    assert facts.inputs == [Port("x", "float", (None, 3, 8, 8))] and facts.outputs == [Port("y", "float", (None, 4))]


def test_the_specimens_graphs_are_onnx(tmp_path: Path) -> None:
    """The graphs that the fuzzer spoils are written by hand: the onnx package reads the same out of them."""
    for role, ports in GRAPHS.items():
        path = saved(tmp_path, graph_bytes(*ports))
        other = onnx.load(str(path))
        for found, theirs in (
            (read_facts(path).inputs, other.graph.input),
            (read_facts(path).outputs, other.graph.output),
        ):
            assert [port.name for port in found] == [port.name for port in theirs], role
            shapes = [[d.dim_value or None for d in port.type.tensor_type.shape.dim] for port in theirs]
            assert [list(port.shape or ()) for port in found] == shapes


def external(tensor: Any) -> Any:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def weight(name: str = "w") -> Any:
    return numpy_helper.from_array(np.ones(2, np.float32), name)


def in_branch() -> Any:
    inner = helper.make_graph([], "then", [], [], [external(weight())])
    return model(helper.make_node("If", ["x"], ["y"], then_branch=inner))


def in_sparse_attribute() -> Any:
    sparse = onnx.SparseTensorProto(values=external(weight()), dims=[2])
    return model(helper.make_node("Constant", [], ["y"], sparse_value=sparse))


def in_training() -> Any:
    made = model(helper.make_node("Relu", ["x"], ["y"]))
    made.training_info.add().algorithm.CopyFrom(helper.make_graph([], "train", [], [], [external(weight())]))
    return made


def in_function() -> Any:
    made = model(helper.make_node("Relu", ["x"], ["y"]))
    node = helper.make_node("Constant", [], ["c"], value=external(weight()))
    made.functions.append(helper.make_function("", "F", [], ["c"], [node], [helper.make_opsetid("", 20)]))
    return made


def told_by_a_long_number() -> bytes:
    """data_location as 2^32 + 1: readers of protobuf keep the lower 32 bits, which say EXTERNAL."""
    tensor = b"\x08\x02\x70\x81\x80\x80\x80\x10"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    return b"\x08\x0a\x42\x02\x10\x14\x3a" + bytes([len(graph)]) + graph


@pytest.mark.parametrize(
    "make",
    [
        lambda: model(initializers=[external(weight())]),
        in_branch,
        in_sparse_attribute,
        in_training,
        in_function,
        told_by_a_long_number,
    ],
    ids=["initializer", "branch", "sparse", "training", "function", "long number"],
)
def test_tensors_in_other_files_are_found_wherever_they_hide(tmp_path: Path, make: Callable[[], Any]) -> None:
    with pytest.raises(BundleError, match="another file"):
        check_portable(saved(tmp_path, make()))


def test_operators_of_other_domains_are_found_in_branches_and_functions(tmp_path: Path) -> None:
    foreign = helper.make_node("Shell", ["x"], ["y"], domain="com.evil")
    made = model(helper.make_node("Relu", ["x"], ["y"]))
    made.functions.append(helper.make_function("", "F", ["x"], ["y"], [foreign], [helper.make_opsetid("", 20)]))
    branch = model(helper.make_node("If", ["x"], ["y"], else_branch=helper.make_graph([foreign], "else", [], [])))
    for hostile in (made, branch, model(foreign)):
        with pytest.raises(BundleError, match=r"com\.evil::Shell is outside"):
            check_portable(saved(tmp_path, hostile))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "lacks an IR version"), (b"\x08", "runs past"), (b"\x08" + b"\xff" * 11, "more than ten bytes"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x00", "field number 0"), (b"\x3a\x05\x0a", "runs past"), (b"\x80\x80\x80\x80\x80\x01\x00", "field number"),
        (b"\x08\x0a\x3a" + b"\x00", "lacks an IR version or an opset"),
    ],
)  # fmt: skip
def test_what_is_no_onnx(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_facts(saved(tmp_path, data))


def test_graphs_nested_without_end(tmp_path: Path) -> None:
    def field(number: int, value: bytes) -> bytes:
        size, length = len(value), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([number << 3 | 2, *length, size]) + value

    graph = b""
    for _ in range(40):
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(BundleError, match="nested too deeply"):
        read_facts(saved(tmp_path, field(7, graph)))


def test_the_number_of_fields_is_bounded() -> None:
    with pytest.raises(ValueError, match="fields"):
        list(FieldReader(left=10).fields(memoryview(b"\x08\x01" * 11)))


def facts_of(role: str, tmp_path: Path, **changes: Any) -> GraphFacts:
    inputs, outputs = ({port[0]: port for port in ports} for ports in GRAPHS[role])
    for name, sides in changes.items():
        table = inputs if name in inputs else outputs
        table[name] = (name, table[name][1] if name in table else "float", sides)
    return read_facts(saved(tmp_path, graph_bytes(list(inputs.values()), list(outputs.values()))))


@pytest.mark.parametrize(
    ("role", "changes", "message"),
    [
        ("preprocess", {"image": [1, "h", "w", 4]}, r"image is \[1, None, None, 4\]; expected \[1, any, any, 3\]"),
        ("detector", {"pixels": ["b", 3, 64, 64]}, "pixels is"), ("detector", {"boxes": ["b", 6, 5]}, "boxes is"),
        ("detector", {"scores": ["b", 7]}, "detections is 6 elsewhere|scores is"),
        ("embedder", {"embeddings": ["b", 5]}, "embeddings is"),
        ("embedder", {"embeddings": [4]}, "embeddings is"), ("match", {"gallery": ["m", 3]}, "gallery is"),
    ],
)  # fmt: skip
def test_ports_that_do_not_fit(role: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    sizes = {"detector side": 32, "embedder side": 8, "dimension": 4}
    check_ports(role, "sound.onnx", facts_of(role, tmp_path), dict(sizes))
    with pytest.raises(BundleError, match=message):
        check_ports(role, "x.onnx", facts_of(role, tmp_path, **changes), sizes)


def test_ports_of_another_role_or_type(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="its inputs are crops; a detector graph takes pixels"):
        check_ports("detector", "x.onnx", facts_of("embedder", tmp_path), {})
    port = ("image", "float", [1, "h", "w", 3])
    facts = read_facts(saved(tmp_path, graph_bytes([port], GRAPHS["crop"][1])))
    with pytest.raises(BundleError, match="image holds float; expected uint8"):
        check_ports("crop", "x.onnx", facts, {})
