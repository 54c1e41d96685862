"""What a bundle's graphs take and give, by role, and whether a file does. Knows nothing of sessions.

A graph whose file says something else is refused before it is run: the runtime would feed it what it was not made for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from facings.errors import BundleError
from facings.runtime.onnx_file import GraphFacts, Port

MAX_SIDE = 16_384
# A side: a number; a name that stands for one size wherever it occurs in the table; None for any.
Sides = tuple[int | str | None, ...]
Ports = Mapping[str, tuple[tuple[str, ...], Sides | None]]
FLOAT, WHOLE = ("float",), ("int64", "int32")

INPUTS: Mapping[str, Ports] = {
    "preprocess": {"image": (("uint8",), (1, None, None, 3))},
    "detector": {"pixels": (FLOAT, (None, 3, "detector side", "detector side"))},
    "crop": {"image": (("uint8",), (1, None, None, 3))},
    "embedder": {"crops": (FLOAT, (None, 3, "embedder side", "embedder side"))},
    "match": {
        "embeddings": (FLOAT, (None, "dimension")),
        "gallery": (FLOAT, (None, "dimension")),
        "item": (("int64",), (None,)),
    },
}
OUTPUTS: Mapping[str, Ports] = {
    "preprocess": {"pixels": (FLOAT, (None, 3, "detector side", "detector side")), "transform": (FLOAT, None)},
    "detector": {
        "boxes": (FLOAT, (None, "detections", 4)),
        "scores": (FLOAT, (None, "detections")),
        "labels": (WHOLE, (None, "detections")),
    },
    "crop": {"pixels": (FLOAT, (None, 3, "embedder side", "embedder side")), "transform": (FLOAT, None)},
    "embedder": {"embeddings": (FLOAT, (None, "dimension"))},
    "match": {"items": (WHOLE, (None, None)), "similarities": (FLOAT, (None, None))},
}
# What a detector with masks, or with properties, gives beside.
EXTRA: Mapping[str, Ports] = {
    "detector": {
        "coefficients": (FLOAT, (None, "detections", "prototypes")),
        "prototypes": (FLOAT, (None, "prototypes", None, None)),
        "attributes": (FLOAT, (None, "detections", "attributes")),
    }
}


def check_ports(role: str, file: str, facts: GraphFacts, sizes: dict[str, int]) -> None:
    """Raise BundleError for a graph whose ports are not those of its role. `sizes`: what the named sides are; sides that are met
    for the first time are added, so that graphs checked in turn must fit each other."""
    inputs = {port.name: port for port in facts.inputs}
    outputs = {port.name: port for port in facts.outputs}
    if sorted(port.name for port in facts.inputs) != sorted(INPUTS[role]):
        raise BundleError(
            f"{file}: its inputs are {_names(facts.inputs)}; a {role} graph takes {', '.join(INPUTS[role])}"
        )
    missing = [name for name in OUTPUTS[role] if name not in outputs]
    if missing or len(outputs) != len(facts.outputs):
        raise BundleError(
            f"{file}: its outputs are {_names(facts.outputs)}; a {role} graph gives {', '.join(OUTPUTS[role])}"
        )
    extra = {name: port for name, port in EXTRA.get(role, {}).items() if name in outputs}
    for found, table in ((inputs, INPUTS[role]), (outputs, {**OUTPUTS[role], **extra})):
        for name, (elements, sides) in table.items():
            _check_port(file, found[name], elements, sides, sizes)


def _check_port(file: str, port: Port, elements: Sequence[str], sides: Sides | None, sizes: dict[str, int]) -> None:
    if port.element not in elements:
        raise BundleError(f"{file}: {port.name} holds {port.element}; expected {' or '.join(elements)}")
    if sides is None or port.shape is None:
        return
    wanted: list[Any] = [sizes.get(side, side) if isinstance(side, str) else side for side in sides]
    fits = len(port.shape) == len(wanted) and all(
        found is None or not isinstance(side, int) or found == side
        for found, side in zip(port.shape, wanted, strict=True)
    )
    if not fits:
        told = ", ".join("any" if side is None else str(side) for side in wanted)
        raise BundleError(f"{file}: {port.name} is {list(port.shape)}; expected [{told}]")
    for found, side in zip(port.shape, sides, strict=True):
        if not isinstance(side, str) or found is None:
            continue
        if not 1 <= found <= (MAX_SIDE if "side" in side else 1_000_000):
            raise BundleError(f"{file}: {port.name} has a {side} of {found}; a runtime would not hold it")
        if sizes.setdefault(side, found) != found:
            raise BundleError(f"{file}: {port.name} is {list(port.shape)}; {side} is {sizes[side]} elsewhere")


def _names(ports: Sequence[Port]) -> str:
    return ", ".join(port.name for port in ports[:10]) or "none"
