"""Reading what an ONNX file contains without the onnx package: enough protobuf to refuse what must not be run.

Knows nothing of sessions. Field numbers are those of onnx.proto (IR version 10).
"""

from dataclasses import dataclass, field
from pathlib import Path

from facings.errors import BundleError
from facings.runtime.protobuf_fields import FieldReader

STANDARD_DOMAINS = ("", "ai.onnx")
MAX_BYTES = 2 << 30
MAX_DEPTH = 16
NAME_LENGTH = 1000
# TensorProto.DataType, those that a bundle's ports have.
ELEMENTS = {1: "float", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 11: "double"}
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Port:
    """An input or output. `element`: type of its numbers; `shape`: None for a side that is dynamic, None in all where it is not
    told."""

    name: str
    element: str
    shape: Shape | None


@dataclass
class GraphFacts:
    """What an ONNX file says of itself: versions, operators as (domain, name), whether tensors lie in other files, its ports."""

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    operators: set[tuple[str, str]] = field(default_factory=set)
    external_data: bool = False
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)


def read_facts(path: Path) -> GraphFacts:
    """Walk the file, subgraphs and functions included. Raises BundleError for a file that is not ONNX."""
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(f"{path.name}: {path.stat().st_size} bytes; an ONNX file holds at most {MAX_BYTES}")
    try:
        facts = _Walk(FieldReader()).model(memoryview(path.read_bytes()))
    except ValueError as fault:
        raise BundleError(f"{path.name}: not an ONNX file ({fault})") from fault
    if not facts.ir_version or not facts.opsets:
        raise BundleError(f"{path.name}: not an ONNX file (it lacks an IR version or an opset)")
    return facts


def check_portable(path: Path) -> GraphFacts:
    """Facts of a graph that uses standard operators only and lies in one file; else BundleError."""
    facts = read_facts(path)
    foreign = sorted(f"{domain}::{name}" for domain, name in facts.operators if domain not in STANDARD_DOMAINS)
    if foreign:
        raise BundleError(f"{path.name}: operator {foreign[0]} is outside the standard ONNX domain")
    if facts.external_data:
        raise BundleError(f"{path.name}: keeps tensors in another file; a bundle's graphs must be whole")
    return facts


class _Walk:
    """Collects the facts of one model. Raises ValueError for what is no message, or nested too deeply."""

    def __init__(self, reader: FieldReader) -> None:
        self.reader, self.facts = reader, GraphFacts()

    def model(self, message: memoryview) -> GraphFacts:
        facts = self.facts
        for number, value in self.reader.fields(message):
            if number == 1 and isinstance(value, int):
                facts.ir_version = value
            elif isinstance(value, int):
                continue
            elif number == 8:
                domain, version = self._opset(value)
                facts.opsets[domain] = version
            elif number == 7:
                self._graph(value, 0)
                self._ports(value)
            elif number == 20:  # training_info: two graphs
                for _, graph in self.reader.messages(value, 1, 2):
                    self._graph(graph, 0)
            elif number == 25:
                self._function(value)
        return facts

    def _graph(self, graph: memoryview, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ValueError("graphs nested too deeply")
        for number, value in self.reader.messages(graph, 1, 5, 15):
            if number == 1:
                self._node(value, depth)
            elif number == 5:
                self._tensor(value)
            else:
                self._sparse(value)

    def _function(self, function: memoryview) -> None:
        for number, value in self.reader.messages(function, 7, 11):
            if number == 7:
                self._node(value, 0)
            else:
                self._attribute(value, 0)

    def _node(self, node: memoryview, depth: int) -> None:
        name = domain = ""
        for number, value in self.reader.messages(node, 4, 5, 7):
            if number == 4:
                name = _text(value)
            elif number == 7:
                domain = _text(value)
            else:
                self._attribute(value, depth)
        self.facts.operators.add((domain, name))

    def _attribute(self, attribute: memoryview, depth: int) -> None:
        for number, value in self.reader.messages(attribute, 5, 6, 10, 11, 22, 23):
            if number in (6, 11):
                self._graph(value, depth + 1)
            elif number in (5, 10):
                self._tensor(value)
            else:
                self._sparse(value)

    def _sparse(self, tensor: memoryview) -> None:
        for _, part in self.reader.messages(tensor, 1, 2):
            self._tensor(part)

    def _tensor(self, tensor: memoryview) -> None:
        """External where data_location (14) is anything but DEFAULT (0), or external_data (13) is given."""
        for number, value in self.reader.fields(tensor):
            self.facts.external_data |= (number == 14 and value != 0) or number == 13

    def _ports(self, graph: memoryview) -> None:
        for number, value in self.reader.messages(graph, 11, 12):
            (self.facts.inputs if number == 11 else self.facts.outputs).append(self._port(value))

    def _port(self, value_info: memoryview) -> Port:
        name, element, shape = "", "no tensor", None
        for number, value in self.reader.messages(value_info, 1, 2):
            if number == 1:
                name = _text(value)
                continue
            for _, tensor in self.reader.messages(value, 1):
                element, shape = self._tensor_type(tensor)
        return Port(name, element, shape)

    def _tensor_type(self, message: memoryview) -> tuple[str, Shape | None]:
        element, shape = 0, None
        for number, value in self.reader.fields(message):
            if number == 1 and isinstance(value, int):
                element = value
            elif number == 2 and isinstance(value, memoryview):
                shape = tuple(self._side(side) for _, side in self.reader.messages(value, 1))
        return ELEMENTS.get(element, f"type {element}"), shape

    def _side(self, dimension: memoryview) -> int | None:
        sizes = [value for number, value in self.reader.fields(dimension) if number == 1 and isinstance(value, int)]
        return sizes[-1] if sizes else None

    def _opset(self, record: memoryview) -> tuple[str, int]:
        domain, version = "", 0
        for number, value in self.reader.fields(record):
            if number == 1 and isinstance(value, memoryview):
                domain = _text(value)
            elif number == 2 and isinstance(value, int):
                version = value
        return domain, version


def _text(value: memoryview) -> str:
    if len(value) > NAME_LENGTH:
        raise ValueError(f"a name of {len(value)} bytes")
    return bytes(value).decode()
