"""Other programs' networks onto a bundle's ports: what their answers mean, in standard operators behind the network.

Knows nothing of files' faults (`facings.export.external`) or of bundles' folders.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx.compose
from onnx import helper

from facings.errors import ConfigError
from facings.export.external import External, Layout, asked, detr_outputs
from facings.export.graphs import FLOAT, INT64, IR_VERSION, GraphBuilder

# Between the names of the network's tensors and those of the ports.
PREFIX = "network/"
# What scores less can be no detection; among thousands of anchors the suppression would only take longer.
LEAST_SCORE = 1e-3
UNIT_TOLERANCE = 1e-3
# The longest of its ends that a box may have, as a multiple of the picture's side, and the least that the longest must have.
FARTHEST, NEAREST_PIXELS = 8.0, 2.0
# Opsets up to this one run with the oldest ONNX Runtime that a bundle promises.
PROMISED_OPSET = 21


@dataclass(frozen=True)
class GraftSettings:
    """`top_k`: most detections; `nms_iou`: overlap (0–1) from which `yolo_dense` drops the lesser of two boxes of a class."""

    top_k: int
    nms_iou: float


def graft(external: External, layout: Layout, settings: GraftSettings) -> onnx.ModelProto:
    """The network with the ports of a bundle's `detector.onnx`, or `embedder.onnx`. Raises ConfigError where it is no valid
    graph."""
    network = onnx.compose.add_prefix(external.model, PREFIX)
    b = GraphBuilder()
    outputs = {name: PREFIX + name for name in external.answers}
    embedder = layout == "embedder"
    if embedder:
        _embeddings(b, external, outputs)
    else:
        BUILDERS[layout](b, external, outputs, settings)
    batch = "batch" if external.any_batch else 1
    port = "crops" if embedder else "pixels"
    first = helper.make_node("Identity", [port], [PREFIX + external.port], name=f"{PREFIX}{port}")
    info = helper.make_tensor_value_info
    if embedder:
        ends = [info("embeddings", FLOAT, [batch, next(iter(external.shapes.values()))[1]])]
    else:
        ends = [info("boxes", FLOAT, [batch, "detections", 4]), info("scores", FLOAT, [batch, "detections"])]
        ends.append(info("labels", INT64, [batch, "detections"]))
    graph = helper.make_graph(
        [first, *network.graph.node, *b.nodes], layout, [info(port, FLOAT, [batch, 3, external.size, external.size])], ends,
        [*network.graph.initializer, *b.constants.values()], sparse_initializer=list(network.graph.sparse_initializer),
    )  # fmt: skip
    opset = next(entry.version for entry in network.opset_import if entry.domain == "")
    version = IR_VERSION if opset <= PROMISED_OPSET else max(IR_VERSION, external.model.ir_version)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version, producer_name="facings"
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as fault:
        line = (str(fault).splitlines() or ["ValidationError"])[0]
        raise ConfigError(f"{external.path}: onnx.checker refuses it as {layout} ({line})") from fault
    return model


def require_plausible(external: External, layout: Layout, model: onnx.ModelProto, classes: int | None) -> None:
    """Run a graft on noise. Raises ConfigError where no detector (of so many classes), or embedder, could answer so: then the
    layout is another."""
    port = "crops" if layout == "embedder" else "pixels"
    pixels = np.random.default_rng(1).random((1, 3, external.size, external.size), np.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graft.onnx"
        onnx.save(model, str(path))
        found = asked(path, external.path, {port: pixels})
    if any(not np.isfinite(values).all() for values in found.values()):
        raise ConfigError(f"{external.path}: as {layout} it answers what is no number; is the layout right?")
    if layout == "embedder":
        return
    scores, labels, boxes = found["scores"], found["labels"], found["boxes"]
    wrong = None
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1 + 1e-5):
        wrong = f"scores from {scores.min():.3g} to {scores.max():.3g}; expected 0 to 1"
    elif classes is not None and labels.size and not (labels.min() >= 0 and labels.max() < classes):
        wrong = f"class numbers from {labels.min()} to {labels.max()}; there are {classes} labels"
    elif (scores > LEAST_SCORE).any():
        farthest = float(np.abs(boxes[scores > LEAST_SCORE]).max())
        if not NEAREST_PIXELS <= farthest <= FARTHEST * external.size:
            wrong = f"corners up to {farthest:.3g}; expected pixels of a picture of {external.size}"
    if wrong is not None:
        raise ConfigError(f"{external.path}: as {layout} it gives {wrong}; is the layout right?")


def _own(b: GraphBuilder, external: External, outputs: Mapping[str, str], settings: GraftSettings) -> None:
    """The ports of a facings detector; sorted, as nobody promises it of a stranger's file."""
    order = _best(b, outputs["scores"], outputs["scores"], settings.top_k)
    b.node("GatherElements", [_whole(b, outputs["labels"]), order], "labels", axis=1)
    _boxes_at(b, outputs["boxes"], order)


def _end_to_end(b: GraphBuilder, external: External, outputs: Mapping[str, str], settings: GraftSettings) -> None:
    """[B, N, 6]: corners in pixels, score, class number."""
    (found,) = outputs.values()
    b.node("Gather", [found, b.constant("fifth", np.array(4, np.int64))], "unsorted_scores", axis=2)
    b.node("Gather", [found, b.constant("sixth", np.array(5, np.int64))], "class_numbers", axis=2)
    order = _best(b, "unsorted_scores", found, settings.top_k)
    b.node("GatherElements", [_whole(b, "class_numbers"), order], "labels", axis=1)
    _boxes_at(b, _part(b, found, 0, 4, axis=2), order)


def _dense(b: GraphBuilder, external: External, outputs: Mapping[str, str], settings: GraftSettings) -> None:
    """[B, 4 + C, N]: centre and sides in pixels, the probability of each class. An anchor counts with its best class."""
    (found,) = outputs.values()
    b.node("Transpose", [_part(b, found, 0, 4, axis=1)], "centred", perm=[0, 2, 1])
    classes = _part(b, found, 4, 1 << 31, axis=1)  # [B, C, N]
    b.node("ReduceMax", [classes, _axes(b, 1)], "best_class", keepdims=1)
    zero = b.constant("zero", np.array(0, np.float32))
    b.node("Where", [b.node("Equal", [classes, "best_class"], "is_best"), classes, zero], "only_best")
    limits = [
        b.constant("most_boxes", np.array([settings.top_k], np.int64)),
        b.constant("nms_iou", np.array([settings.nms_iou], np.float32)),
        b.constant("least_score", np.array([LEAST_SCORE], np.float32)),
    ]
    b.node("NonMaxSuppression", ["centred", "only_best", *limits], "kept", center_point_box=1)  # (K, 3)
    b.node("GatherND", ["only_best", "kept"], "kept_scores")
    b.node("ConstantOfShape", [b.node("Shape", ["only_best"], "all_classes")], "nothing")
    b.node("ScatterND", ["nothing", "kept", "kept_scores"], "after_nms")
    b.node("ReduceMax", ["after_nms", _axes(b, 1)], "unsorted_scores", keepdims=0)  # [B, N]
    b.node("ArgMax", [classes], "class_numbers", axis=1, keepdims=0)
    order = _best(b, "unsorted_scores", "centred", settings.top_k)
    b.node("GatherElements", ["class_numbers", order], "labels", axis=1)
    _boxes_at(b, _corners(b, "centred"), order)


def _detr(b: GraphBuilder, external: External, outputs: Mapping[str, str], settings: GraftSettings) -> None:
    """Logits [B, Q, C] and boxes [B, Q, 4], centre and sides as shares of the picture: the Q best pairs of query and class, as
    RT-DETR (Zhao et al., CVPR 2024) is judged."""
    names = detr_outputs(external)
    assert names is not None
    logits, boxes = (outputs[name] for name in names)
    whole = b.constant("all_pairs", np.array([0, -1], np.int64))
    b.node("Reshape", [b.node("Sigmoid", [logits], "probabilities"), whole], "pairs")
    index = _best(b, "pairs", logits, settings.top_k)
    count = b.constant("classes", np.array(external.shapes[names[0]][2], np.int64))
    b.node("Mod", [index, count], "labels")
    side = b.constant("side", np.array(external.size, np.float32))
    b.node("Mul", [_corners(b, boxes), side], "pixel_corners")
    _boxes_at(b, "pixel_corners", b.node("Div", [index, count], "query"))


Builder = Callable[[GraphBuilder, External, Mapping[str, str], GraftSettings], None]
BUILDERS: Mapping[str, Builder] = {
    "facings": _own,
    "yolo_end_to_end": _end_to_end,
    "yolo_dense": _dense,
    "detr": _detr,
}


def _embeddings(b: GraphBuilder, external: External, outputs: Mapping[str, str]) -> None:
    """[B, D] at unit length; a network that gives it already stays as it is."""
    ((name, found),) = outputs.items()
    norms = np.linalg.norm(external.answers[name], axis=1)
    if np.abs(norms - 1).max() <= UNIT_TOLERANCE:
        b.node("Identity", [found], "embeddings")
        return
    b.node("ReduceL2", [found, _axes(b, 1)], "length", keepdims=1)
    b.node("Max", ["length", b.constant("least_length", np.array(1e-12, np.float32))], "length_or_more")
    b.node("Div", [found, "length_or_more"], "embeddings")


def _axes(b: GraphBuilder, axis: int) -> str:
    return b.constant(f"axis_{axis}", np.array([axis], np.int64))


def _whole(b: GraphBuilder, numbers: str) -> str:
    return b.node("Cast", [numbers], "whole_numbers", to=INT64)


def _part(b: GraphBuilder, tensor: str, start: int, end: int, *, axis: int) -> str:
    ends = [b.constant(f"place_{value}", np.array([value], np.int64)) for value in (start, end)]
    return b.node("Slice", [tensor, *ends, _axes(b, axis)], f"from_{start}")


def _best(b: GraphBuilder, scores: str, rows: str, top_k: int) -> str:
    """`scores` sorted, at most `top_k` and no more than `rows` has; returns the name of their order [B, k]."""
    b.node("Shape", [rows], "count", start=1, end=2)
    b.node("Min", ["count", b.constant("top_k", np.array([top_k], np.int64))], "k")
    b.nodes.append(helper.make_node("TopK", [scores, "k"], ["scores", "order"], name="order", axis=1))
    return "order"


def _boxes_at(b: GraphBuilder, boxes: str, order: str) -> None:
    """`boxes` [B, N, 4] in the order [B, k]."""
    b.node("Unsqueeze", [order, b.constant("last", np.array([-1], np.int64))], "order_of_boxes")
    four = b.constant("four", np.array([4], np.int64))
    b.node("Concat", [b.node("Shape", [order], "order_shape"), four], "boxes_shape", axis=0)
    b.node("Expand", ["order_of_boxes", "boxes_shape"], "order_of_corners")
    b.node("GatherElements", [boxes, "order_of_corners"], "boxes", axis=1)


def _corners(b: GraphBuilder, centred: str) -> str:
    """Centre and sides → corners, [B, N, 4]."""
    centre = b.node("Slice", [centred, *(b.constant(f"c{v}", np.array([v], np.int64)) for v in (0, 2, 2))], "centre")
    sides = b.node("Slice", [centred, *(b.constant(f"s{v}", np.array([v], np.int64)) for v in (2, 4, 2))], "sides")
    half = b.node("Mul", [sides, b.constant("half", np.array(0.5, np.float32))], "half_sides")
    ends = [b.node("Sub", [centre, half], "upper_left"), b.node("Add", [centre, half], "lower_right")]
    return b.node("Concat", ends, "corners", axis=2)
