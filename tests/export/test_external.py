"""Other programs' ONNX files: what is read, refused and guessed, and that each layout says what it says by another formula."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torchvision.ops import batched_nms, box_convert

from facings.errors import ConfigError
from facings.export.external import (
    LAYOUTS,
    External,
    Layout,
    classes_of,
    guess_layout,
    labels_of,
    read_external,
    require_layout,
)
from facings.export.external_graphs import GraftSettings, graft, require_plausible
from tests.external_files import save_answers, save_cells, save_graph, save_mean_colour

SETTINGS = GraftSettings(top_k=50, nms_iou=0.5)


def answers_of(external: External, layout: Layout, folder: Path, batch: int = 1) -> dict[str, NDArray[Any]]:
    model = graft(external, layout, SETTINGS)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    onnx.save(model, str(folder / "graft.onnx"))
    session = ort.InferenceSession(str(folder / "graft.onnx"), providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    pixels = np.zeros((batch, 3, external.size, external.size), np.float32)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {port.name: pixels}), strict=True))


def random_boxes(rng: np.random.Generator, count: int, size: int = 64) -> NDArray[np.float32]:
    """(count, 4) centre and sides in pixels, many of them over each other."""
    return np.concatenate([rng.uniform(10, size - 10, (count, 2)), rng.uniform(8, 20, (count, 2))], axis=1).astype(
        np.float32
    )


@pytest.mark.parametrize("classes", [1, 3])
def test_dense_answers_are_those_of_torchvisions_nms(tmp_path: Path, rng: np.random.Generator, classes: int) -> None:
    boxes, scores = random_boxes(rng, 40), rng.uniform(0.01, 1, (40, classes)).astype(np.float32)
    path = save_answers(tmp_path / "dense.onnx", {"output0": np.concatenate([boxes, scores], axis=1).T})
    external = read_external(path)
    assert guess_layout(external) == "yolo_dense" and classes_of(external, "yolo_dense") == classes
    found = answers_of(external, "yolo_dense", tmp_path, batch=2)
    corners = box_convert(torch.from_numpy(boxes), "cxcywh", "xyxy")
    best, label = torch.from_numpy(scores).max(dim=1)
    kept = batched_nms(corners, best, label, SETTINGS.nms_iou)
    assert len(kept) < 40
    for row in range(2):
        np.testing.assert_allclose(found["scores"][row, : len(kept)], best[kept], atol=1e-6)
        np.testing.assert_allclose(found["boxes"][row, : len(kept)], corners[kept], atol=1e-4)
        assert found["labels"][row, : len(kept)].tolist() == label[kept].tolist()
        # What was dropped comes last, without a score.
        assert (found["scores"][row, len(kept) :] == 0).all() and found["labels"].dtype == np.int64


def test_detr_answers_are_the_best_pairs_of_query_and_class(tmp_path: Path, rng: np.random.Generator) -> None:
    boxes, logits = random_boxes(rng, 20) / 64, rng.normal(size=(20, 5)).astype(np.float32)
    external = read_external(save_answers(tmp_path / "detr.onnx", {"logits": logits, "pred_boxes": boxes}))
    assert guess_layout(external) == "detr" and classes_of(external, "detr") == 5
    found = answers_of(external, "detr", tmp_path, batch=3)
    scores, index = torch.from_numpy(logits).sigmoid().flatten().topk(20)
    corners = box_convert(torch.from_numpy(boxes), "cxcywh", "xyxy") * 64
    for row in range(3):
        np.testing.assert_allclose(found["scores"][row], scores, atol=1e-6)
        assert found["labels"][row].tolist() == (index % 5).tolist()
        np.testing.assert_allclose(found["boxes"][row], corners[index // 5], atol=1e-4)


def test_end_to_end_answers_are_sorted_and_cut(tmp_path: Path, rng: np.random.Generator) -> None:
    corners = rng.uniform(0, 64, (60, 4))
    scores, labels = rng.uniform(0.01, 1, (60, 1)), rng.integers(0, 7, (60, 1))
    said = np.concatenate([corners, scores, labels], axis=1).astype(np.float32)
    external = read_external(save_answers(tmp_path / "e2e.onnx", {"output0": said}))
    assert guess_layout(external) == "yolo_end_to_end" and classes_of(external, "yolo_end_to_end") is None
    found = answers_of(external, "yolo_end_to_end", tmp_path)
    order = np.argsort(-said[:, 4])[: SETTINGS.top_k]
    np.testing.assert_array_equal(found["scores"][0], said[order, 4])
    np.testing.assert_array_equal(found["boxes"][0], said[order, :4])
    np.testing.assert_array_equal(found["labels"][0], said[order, 5])


def test_own_ports_are_kept_and_sorted(tmp_path: Path, rng: np.random.Generator) -> None:
    said = {"boxes": rng.uniform(0, 64, (9, 4)), "scores": rng.uniform(0.1, 1, 9), "labels": np.arange(9) % 2}
    external = read_external(save_answers(tmp_path / "own.onnx", said))
    assert guess_layout(external) == "facings"
    found = answers_of(external, "facings", tmp_path)
    order = np.argsort(-said["scores"])
    np.testing.assert_allclose(found["boxes"][0], said["boxes"][order], rtol=1e-6)
    np.testing.assert_array_equal(found["labels"][0], said["labels"][order])


@pytest.mark.parametrize("length", [1.0, 3.0, 0.0])
def test_embeddings_leave_at_unit_length(tmp_path: Path, rng: np.random.Generator, length: float) -> None:
    external = read_external(save_mean_colour(tmp_path / "mean.onnx", 16, length=length))
    assert guess_layout(external) == "embedder"
    model = graft(external, "embedder", SETTINGS)
    # Who gives unit length already is left as it is.
    assert any(node.op_type == "ReduceL2" for node in model.graph.node) == (length != 1.0)
    onnx.save(model, str(tmp_path / "embedder.onnx"))
    crops = rng.uniform(0, 1, (5, 3, 16, 16)).astype(np.float32)
    (found,) = ort.InferenceSession(str(tmp_path / "embedder.onnx")).run(["embeddings"], {"crops": crops})
    mean = crops.mean(axis=(2, 3))
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)


class SmallYolo(torch.nn.Module):
    """The shape of a dense detector of two classes, from torch's own exporter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 6, 16, 16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.stem(images).flatten(2)
        return torch.cat([maps[:, :4].sigmoid() * images.shape[-1], maps[:, 4:].sigmoid()], dim=1)


def test_a_file_of_torchs_exporter_answers_as_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = SmallYolo().eval(), tmp_path / "small.onnx"
    torch.onnx.export(
        model, (torch.zeros(2, 3, 64, 64),), str(path), external_data=False, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=8)},),
    )  # fmt: skip
    external = read_external(path)
    assert guess_layout(external) == "yolo_dense" and external.any_batch and external.size == 64
    require_plausible(external, "yolo_dense", graft(external, "yolo_dense", SETTINGS), 2)
    found = answers_of(external, "yolo_dense", tmp_path)
    with torch.no_grad():
        scores, labels = model(torch.zeros(1, 3, 64, 64))[0, 4:].max(dim=0)
    assert found["scores"][0, 0] == pytest.approx(float(scores.max()), abs=1e-5)
    assert found["labels"][0, 0] == int(labels[scores.argmax()])


def test_branches_inside_a_network_see_its_tensors(tmp_path: Path) -> None:
    """Names in a subgraph are those of the graph around it, also where they are called like a port."""
    float_end = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([helper.make_node(operator, ["boxes"], ["chosen"])], operator, [], [float_end])
        for operator in ("Identity", "Neg")
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["boxes"]),
        helper.make_node("If", ["yes"], ["scores"], then_branch=branches[0], else_branch=branches[1]),
    ]
    path = save_graph(tmp_path / "if.onnx", nodes, {"yes": np.array(True)}, {"scores": 2})
    external = read_external(path)
    onnx.save(graft(external, "embedder", SETTINGS), str(tmp_path / "graft.onnx"))
    crops = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    (found,) = ort.InferenceSession(str(tmp_path / "graft.onnx")).run(None, {"crops": crops})
    means = crops.mean(axis=(2, 3))
    np.testing.assert_allclose(found, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_older_opsets_are_brought_to_18(tmp_path: Path, rng: np.random.Generator, opset: int) -> None:
    said = np.concatenate([rng.uniform(0, 64, (8, 4)), rng.uniform(0.1, 1, (8, 2))], axis=1)
    external = read_external(save_answers(tmp_path / "old.onnx", {"output0": said.T}, opset=opset))
    assert {entry.version for entry in external.model.opset_import} == {18}
    found = answers_of(external, "yolo_dense", tmp_path)
    assert found["scores"][0, 0] == pytest.approx(said[:, 4:].max(), abs=1e-6)


def test_a_fixed_batch_and_any_side(tmp_path: Path) -> None:
    said = {"output0": np.ones((7, 30), np.float32)}
    assert not read_external(save_answers(tmp_path / "one.onnx", said, batch=1)).any_batch
    free = save_answers(tmp_path / "free.onnx", said, size=("height", "width"))
    assert read_external(free, 32).size == 32
    for size, message in ((None, "give image_size: the side in pixels"), (0, "image_size is 0; expected 1 to")):
        with pytest.raises(ConfigError, match=message):
            read_external(free, size)
    with pytest.raises(ConfigError, match=r"image_size is 32; expected one side S"):
        read_external(save_answers(tmp_path / "fixed.onnx", said), 32)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    said = {"output0": np.ones((7, 30), np.float32)}
    (tmp_path / "text.onnx").write_text("not a graph")
    wide = save_answers(tmp_path / "wide.onnx", said, size=(64, 96))
    foreign = save_graph(
        tmp_path / "plugin.onnx",
        [helper.make_node("EfficientNMS_TRT", ["images"], ["out"], domain="TRT")],
        {},
        {"out": 3},
    )
    two = helper.make_graph(
        [helper.make_node("Add", ["images", "sizes"], ["out"])], "two",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 8, 8]) for n in ("images", "sizes")],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )  # fmt: skip
    onnx.save(helper.make_model(two), str(tmp_path / "two.onnx"))
    whole = onnx.load(str(save_answers(tmp_path / "whole.onnx", {"output0": np.ones((7, 3000), np.float32)})))
    onnx.save(whole, str(tmp_path / "parts.onnx"), save_as_external_data=True, location="parts.data")
    broken = save_graph(tmp_path / "broken.onnx", [helper.make_node("Reshape", ["images", "to"], ["out"])],
                        {"to": np.array([1, 7, 7], np.int64)}, {"out": 3})  # fmt: skip
    for path, message in (
        (tmp_path / "none.onnx", "none.onnx: no such file"),
        (tmp_path / "text.onnx", "text.onnx: not an ONNX file"),
        (wide, r"\[any, 3, 64, 96\]; expected one side S"),
        (foreign, "operator TRT::EfficientNMS_TRT is outside the standard"),
        (tmp_path / "two.onnx", "its inputs are images, sizes; expected one"),
        (tmp_path / "parts.onnx", "keeps its weights in another file; save it whole"),
        (broken, r"broken.onnx: does not run on images \[1, 3, 64, 64\]"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_external(path)


def test_layouts_that_cannot_be_told_are_not_guessed(tmp_path: Path) -> None:
    def external(**said: NDArray[Any]) -> External:
        return read_external(save_answers(tmp_path / "x.onnx", said))

    with pytest.raises(
        ConfigError, match=r"output0 \[1, 8400, 85\] are of no layout that is known here; give layout: one"
    ):
        guess_layout(external(output0=np.ones((8400, 85), np.float32)))
    # Six numbers of thousands of anchors may be those of a one-class YOLOv5, whose fifth is no score.
    with pytest.raises(ConfigError, match="are of no layout"):
        guess_layout(external(output0=np.ones((6300, 6), np.float32)))
    found = external(output0=np.ones((5, 6), np.float32))
    with pytest.raises(ConfigError, match="could be yolo_end_to_end or yolo_dense"):
        guess_layout(found)
    assert require_layout(found, "yolo_dense") == "yolo_dense"
    with pytest.raises(ConfigError, match="layout is 'yolo'; expected one of facings, yolo_end_to_end"):
        require_layout(found, "yolo")
    for layout, message in (
        ("detr", r"layout=detr wants two outputs, logits \[B, Q, C\] and boxes \[B, Q, 4\]"),
        ("facings", "wants the outputs boxes, scores and labels"),
        ("embedder", r"wants one output \[B, D\]"),
    ):
        with pytest.raises(ConfigError, match=message):
            require_layout(found, layout)
    assert set(LAYOUTS) == {"facings", "yolo_end_to_end", "yolo_dense", "detr", "embedder"}
    four = external(logits=np.ones((9, 4), np.float32), pred_boxes=np.ones((9, 4), np.float32))
    assert guess_layout(four) == "detr"


def test_answers_that_no_detector_gives_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    boxes = random_boxes(rng, 20)
    for name, boxes_said, scores, message in (
        ("logits", boxes, rng.normal(0, 5, (20, 1)), r"scores from .* expected 0 to 1"),
        ("shares", boxes / 64, rng.uniform(0.1, 1, (20, 1)), "corners up to .* expected pixels of a picture of 64"),
    ):
        said = np.concatenate([boxes_said, scores], axis=1).astype(np.float32).T
        external = read_external(save_answers(tmp_path / f"{name}.onnx", {"output0": said}))
        with pytest.raises(ConfigError, match=message):
            require_plausible(external, "yolo_dense", graft(external, "yolo_dense", SETTINGS), 1)
    said = np.concatenate([boxes, rng.uniform(0.1, 1, (20, 1)), np.full((20, 1), 7)], axis=1).astype(np.float32)
    external = read_external(save_answers(tmp_path / "labels.onnx", {"output0": said}))
    with pytest.raises(ConfigError, match="class numbers from 7 to 7; there are 2 labels"):
        require_plausible(external, "yolo_end_to_end", graft(external, "yolo_end_to_end", SETTINGS), 2)


def test_names_of_classes(tmp_path: Path) -> None:
    two = read_external(save_cells(tmp_path / "two.onnx", "yolo_dense"))
    with pytest.raises(ConfigError, match="does not name its 2 classes; give labels"):
        labels_of(two, "yolo_dense", None)
    with pytest.raises(ConfigError, match="has 2 classes; 1 labels are given: a"):
        labels_of(two, "yolo_dense", ["a"])
    assert labels_of(two, "yolo_dense", ["a", "b"]) == ["a", "b"]
    named = save_cells(tmp_path / "named.onnx", "yolo_dense", metadata={"names": "{0: 'vivid', 1: 'dull'}"})
    assert labels_of(read_external(named), "yolo_dense", None) == ["vivid", "dull"]
    one = read_external(save_answers(tmp_path / "one.onnx", {"output0": np.ones((5, 30), np.float32)}))
    assert labels_of(one, "yolo_dense", None) == ["product"]
