"""ONNX files that were not made here: whether a bundle can hold them, and which layout their answers have.

Knows nothing of bundles' folders. A file is read and run; no package of its makers is asked.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

import numpy as np
import onnx
import onnx.inliner
import onnx.version_converter
from numpy.typing import NDArray
from onnx import TensorProto

from facings.errors import BundleError, ConfigError
from facings.export.networks import without_traces
from facings.runtime.graph_ports import MAX_SIDE
from facings.runtime.onnx_file import STANDARD_DOMAINS, read_facts
from facings.runtime.session import Session
from facings.runtime.verify import largest_difference

Layout = Literal["facings", "yolo_end_to_end", "yolo_dense", "detr", "embedder"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
LEAST_OPSET = 18
OWN_PORTS = {"boxes", "scores", "labels"}
# A list of finished detections is shorter; a grid of anchors before any choice is longer.
MOST_QUERIES = 1000
# Of a file moved to a newer opset, relative to its largest answer.
CONVERTED_TOLERANCE = 1e-3


@dataclass(frozen=True)
class External:
    """A file that runs. `model`: standard operators, whole, opset 18 or more; `port`: its input, `size`: the side of the square in
    pixels; `any_batch`: whether it takes more than one picture; `answers`: output → what it says to one picture of noise; `labels`:
    names of its classes, where it tells them."""

    path: Path
    model: onnx.ModelProto
    port: str
    size: int
    any_batch: bool
    answers: Mapping[str, NDArray[Any]]
    labels: tuple[str, ...] | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: values.shape for name, values in self.answers.items()}

    @property
    def told(self) -> str:
        """Its outputs, for a person."""
        return ", ".join(f"{name} {list(shape)}" for name, shape in self.shapes.items())


def read_external(path: Path, image_size: int | None = None) -> External:
    """Read, check and run a file. `image_size`: side of its input in pixels, for a file that takes any.

    Raises ConfigError for a file that is missing, no ONNX, in several parts, of operators outside the standard, of other inputs
    than one picture (float, [B, 3, S, S]), or that does not run.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; give an ONNX file")
    try:
        facts = read_facts(path)
    except BundleError as fault:
        raise ConfigError(f"{path}: {str(fault).partition(': ')[2]}") from fault
    if facts.external_data:
        raise ConfigError(
            f"{path}: keeps its weights in another file; save it whole: onnx.save(onnx.load({path.name!r}), 'whole.onnx')"
        )
    model = onnx.inliner.inline_local_functions(onnx.load(str(path)))
    labels = _named_inside(model)
    if foreign := sorted(_foreign(model.graph.node)):
        raise ConfigError(
            f"{path}: operator {foreign[0]} is outside the standard ONNX domain; export it without plugins of a vendor"
        )
    port, size = _picture_port(path, model, image_size)
    pixels = np.random.default_rng(0).random((2, 3, size, size), np.float32)
    answers = asked(path, path, {port: pixels[:1]})
    model = _modern(path, model, port, pixels[:1], answers)
    side = next(value for value in _inputs(model) if value.name == port).type.tensor_type.shape.dim[0]
    any_batch = side.dim_value < 1 and _takes_two(path, port, pixels, answers)
    return External(path, without_traces(model), port, size, any_batch, answers, labels)


def guess_layout(external: External) -> Layout:
    """The layout that the outputs' names and shapes tell. Raises ConfigError where they tell none, or more than one."""
    found = [name for name in LAYOUTS if misfit(external, name) is None]
    if len(found) == 1:
        return found[0]
    known = f"layout: one of {', '.join(found or LAYOUTS)}"
    why = "could be " + " or ".join(found) if found else "are of no layout that is known here"
    raise ConfigError(f"{external.path}: its outputs {external.told} {why}; give {known}")


def require_layout(external: External, layout: str) -> Layout:
    """The layout that was given. Raises ConfigError for one that there is not, or that the outputs cannot have."""
    if layout not in LAYOUTS:
        raise ConfigError(f"{external.path}: layout is {layout!r}; expected one of {', '.join(LAYOUTS)}")
    if reason := misfit(external, layout, given=True):
        raise ConfigError(f"{external.path}: layout={layout} wants {reason}; its outputs are {external.told}")
    return layout  # type: ignore[return-value]


def misfit(external: External, layout: str, *, given: bool = False) -> str | None:
    """What a layout wants that the outputs are not; None where they fit. `given`: a person says so, and only what is impossible
    counts; else what is likely counts too."""
    shapes = external.shapes
    only = next(iter(shapes.values())) if len(shapes) == 1 else ()
    if layout == "facings":
        return None if set(shapes) >= OWN_PORTS else "the outputs boxes, scores and labels"
    if layout == "embedder":
        return None if len(only) == 2 and only[1] > 1 else "one output [B, D]"
    if layout == "yolo_end_to_end":
        fits = len(only) == 3 and only[2] == 6 and (given or only[1] <= MOST_QUERIES)
        return None if fits else f"one output [B, N, 6], N at most {MOST_QUERIES}"
    if layout == "yolo_dense":
        # A grid has more anchors than classes; with one or two anchors a picture there is nothing to tell by.
        fits = len(only) == 3 and only[1] >= 5 and (given or only[2] > only[1])
        return None if fits else "one output [B, 4 + C, N], more anchors N than classes C"
    return None if detr_outputs(external) else "two outputs, logits [B, Q, C] and boxes [B, Q, 4]"


def detr_outputs(external: External) -> tuple[str, str] | None:
    """Names of the logits and of the boxes; None where they cannot be told."""
    lists = {name: shape for name, shape in external.shapes.items() if len(shape) == 3}
    boxes = [name for name, shape in lists.items() if shape[2] == 4]
    if len(boxes) > 1:
        boxes = [name for name in boxes if "box" in name.lower()]
    if len(boxes) != 1:
        return None
    others = [name for name, shape in lists.items() if name != boxes[0] and shape[1] == lists[boxes[0]][1]]
    if len(others) > 1:
        others = [name for name in others if "logit" in name.lower() or "class" in name.lower()]
    return (others[0], boxes[0]) if len(others) == 1 else None


def classes_of(external: External, layout: Layout) -> int | None:
    """How many classes a detector tells apart; None where its outputs do not say."""
    if layout == "yolo_dense":
        return next(iter(external.shapes.values()))[1] - 4
    if layout == "detr" and (names := detr_outputs(external)) is not None:
        return external.shapes[names[0]][2]
    return None


def labels_of(external: External, layout: Layout, given: Sequence[str] | None) -> list[str]:
    """Names of a detector's classes: those given, else those that the file's metadata tell (`names`), else `product` for a single
    one. Raises ConfigError where their number is another, or nobody tells them."""
    count = classes_of(external, layout)
    labels = list(map(str, given)) if given is not None else list(external.labels or ())
    if not labels and count == 1:
        labels = ["product"]
    if not labels:
        many = "" if count is None else f" {count}"
        raise ConfigError(f"{external.path}: does not name its{many} classes; give labels: [NAME, …], in their order")
    if count is not None and len(labels) != count:
        raise ConfigError(
            f"{external.path}: has {count} classes; {len(labels)} labels are given: {', '.join(labels[:5])}"
        )
    return labels


def asked(path: Path, shown: Path, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the graph `path` answers; `shown`: the file that an error names. Raises ConfigError where it does not run."""
    try:
        return Session(path)(**inputs)
    except BundleError as fault:
        raise ConfigError(str(fault).replace(str(path), str(shown))) from fault
    except Exception as fault:  # ONNX Runtime raises its own classes, which share no base but Exception
        line = (str(fault).splitlines() or [type(fault).__name__])[0]
        sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
        raise ConfigError(f"{shown}: does not run on {sizes} ({line})") from fault


def _takes_two(path: Path, port: str, pixels: NDArray[np.float32], answers: Mapping[str, NDArray[Any]]) -> bool:
    """A batch that the file calls dynamic may be fixed inside."""
    try:
        found = asked(path, path, {port: pixels})
    except ConfigError:
        return False
    return all(found[name].shape == (2, *values.shape[1:]) for name, values in answers.items())


def _foreign(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """`domain::operator` of nodes, those of subgraphs too, that the standard does not have."""
    found = {f"{node.domain}::{node.op_type}" for node in nodes if node.domain not in STANDARD_DOMAINS}
    for node in nodes:
        for attribute in node.attribute:
            for graph in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                found |= _foreign(graph.node)
    return found


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Inputs that a caller gives: files of old list their weights as well."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _picture_port(path: Path, model: onnx.ModelProto, image_size: int | None) -> tuple[str, int]:
    """Name and side of the one input."""
    values = _inputs(model)
    if len(values) != 1:
        names = ", ".join(value.name for value in values) or "none"
        raise ConfigError(f"{path}: its inputs are {names}; expected one, the picture [B, 3, S, S]")
    tensor = values[0].type.tensor_type
    # Some exporters write -1 for a side that may be any.
    sides = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    kind = TensorProto.DataType.Name(tensor.elem_type)
    told = f"{path}: input {values[0].name!r} is {kind} [{', '.join('any' if s is None else str(s) for s in sides)}]"
    if (
        tensor.elem_type != TensorProto.FLOAT
        or len(sides) != 4
        or sides[1] not in (3, None)
        or sides[0] not in (1, None)
    ):
        raise ConfigError(f"{told}; expected FLOAT [B, 3, S, S], B being any or 1")
    if image_size is not None and not 1 <= image_size <= MAX_SIDE:
        raise ConfigError(f"{path}: image_size is {image_size}; expected 1 to {MAX_SIDE} pixels")
    wanted = {side for side in (*sides[2:], image_size) if side is not None}
    if not wanted:
        raise ConfigError(f"{told}; give image_size: the side in pixels that it is to be asked at")
    if len(wanted) > 1:
        also = "" if image_size is None else f"; image_size is {image_size}"
        raise ConfigError(f"{told}{also}; expected one side S, as pictures are letterboxed to a square")
    return values[0].name, wanted.pop()


def _modern(
    path: Path, model: onnx.ModelProto, port: str, pixels: NDArray[np.float32], answers: Mapping[str, NDArray[Any]]
) -> onnx.ModelProto:
    """The same in opset 18 or more. Raises ConfigError where the converter cannot, or changes what it answers."""
    opset = {entry.domain: entry.version for entry in model.opset_import}.get("", 0)
    if opset >= LEAST_OPSET:
        return model
    again = f"export it anew with opset {LEAST_OPSET} or more"
    try:
        made = onnx.version_converter.convert_version(model, LEAST_OPSET)
    except Exception as fault:  # the converter raises RuntimeError and classes of its own
        line = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise ConfigError(f"{path}: opset {opset} cannot be brought to {LEAST_OPSET} ({line}); {again}") from fault
    with TemporaryDirectory() as folder:
        converted = Path(folder) / path.name
        onnx.save(made, str(converted))
        found = asked(converted, path, {port: pixels})
    for name, values in answers.items():
        most = max(1.0, float(np.abs(values).max(initial=0.0)))
        if found[name].shape != values.shape or largest_difference(found[name], values) > CONVERTED_TOLERANCE * most:
            raise ConfigError(f"{path}: in opset {LEAST_OPSET} it answers something else than in {opset}; {again}")
    return made


def _named_inside(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """Class names by number in the metadata entry `names`, as several YOLO exporters write it; None where it holds none."""
    text = next((entry.value for entry in model.metadata_props if entry.key == "names"), "")
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if not isinstance(names, dict) or sorted(names) != list(range(len(names))):
        return None
    return tuple(str(names[number]) for number in range(len(names)))
