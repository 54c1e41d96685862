"""Reading what an ONNX file contains without the onnx package: enough protobuf to refuse what must not be run.

Knows nothing of sessions. Field numbers are those of onnx.proto (IR version 10).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from facings.errors import BundleError

STANDARD_DOMAINS = ("", "ai.onnx")
MAX_BYTES = 2 << 30
MAX_DEPTH = 16
Field = tuple[int, int, int | memoryview]


@dataclass
class GraphFacts:
    """What an ONNX file says of itself: versions, operators as (domain, name), and whether tensors lie in other files."""

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    operators: set[tuple[str, str]] = field(default_factory=set)
    external_data: bool = False


def read_facts(path: Path) -> GraphFacts:
    """Walk the file, subgraphs and functions included. Raises BundleError for a file that is not ONNX."""
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(f"{path.name}: {path.stat().st_size} bytes; an ONNX file holds at most {MAX_BYTES}")
    facts = GraphFacts()
    try:
        for number, _, value in _fields(memoryview(path.read_bytes())):
            if number == 1 and isinstance(value, int):
                facts.ir_version = value
            elif number == 8 and isinstance(value, memoryview):
                domain, version = _opset(value)
                facts.opsets[domain] = version
            elif number == 7 and isinstance(value, memoryview):
                _walk_graph(value, facts, 0)
            elif number == 25 and isinstance(value, memoryview):
                _walk_function(value, facts)
    except (ValueError, IndexError, UnicodeDecodeError) as fault:
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


def _walk_graph(graph: memoryview, facts: GraphFacts, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("graphs nested too deeply")
    for number, _, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            _walk_node(value, facts, depth)
        elif number == 5:
            facts.external_data |= _is_external(value)
        elif number == 15:
            facts.external_data |= any(_is_external(v) for n, _, v in _fields(value) if n in (1, 2))


def _walk_node(node: memoryview, facts: GraphFacts, depth: int) -> None:
    name = domain = ""
    for number, _, value in _fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == 4:
            name = bytes(value).decode()
        elif number == 7:
            domain = bytes(value).decode()
        elif number == 5:
            _walk_attribute(value, facts, depth)
    facts.operators.add((domain, name))


def _walk_attribute(attribute: memoryview, facts: GraphFacts, depth: int) -> None:
    for number, _, value in _fields(attribute):
        if not isinstance(value, memoryview):
            continue
        if number in (6, 11):
            _walk_graph(value, facts, depth + 1)
        elif number in (5, 10):
            facts.external_data |= _is_external(value)


def _walk_function(function: memoryview, facts: GraphFacts) -> None:
    for number, _, value in _fields(function):
        if number == 7 and isinstance(value, memoryview):
            _walk_node(value, facts, 0)


def _is_external(tensor: int | memoryview) -> bool:
    """TensorProto: data_location (14) is EXTERNAL (1), or external_data (13) is given."""
    if not isinstance(tensor, memoryview):
        return False
    return any((number == 14 and value == 1) or number == 13 for number, _, value in _fields(tensor))


def _opset(record: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, _, value in _fields(record):
        if number == 1 and isinstance(value, memoryview):
            domain = bytes(value).decode()
        elif number == 2 and isinstance(value, int):
            version = value
    return domain, version


def _fields(message: memoryview) -> Iterator[Field]:
    """The fields of a protobuf message: number, wire type, and an integer or the bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == 0:
            value, position = _varint(message, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, position = message[position : position + size], position + size
        elif wire == 2:
            size, position = _varint(message, position)
            value, position = message[position : position + size], position + size
        else:
            raise ValueError(f"wire type {wire}")
        if position > len(message) or number == 0:
            raise ValueError("a field runs past its message")
        yield number, wire, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while shift < 70:
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
    raise ValueError("a number of more than ten bytes")
