"""From a torch model to an ONNX file of standard operators. Knows nothing of bundles."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim

from facings.errors import ConfigError

Branch = Literal["one_to_one", "one_to_many"]
# ONNX Runtime 1.20, the oldest that a bundle promises, runs these; the exporter writes none below 18.
OPSETS = range(18, 22)
MAX_BATCH = 64


@dataclass(frozen=True)
class Network:
    """A trained model and how its input is made: square side in pixels, `(value / 255 - mean) / std`."""

    model: nn.Module
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class DetectorGraph(nn.Module):
    """A detector's inference as one call with tensors in and out. `outputs`: their names, in order.

    Raises ConfigError for a baseline, whose inference no exporter of standard operators can follow.
    """

    def __init__(self, model: nn.Module, *, branch: Branch, top_k: int, nms_iou: float) -> None:
        super().__init__()
        if hasattr(model, "losses"):
            raise ConfigError(
                f"{type(model).__name__} is a baseline to compare with and cannot be exported; "
                "export a DenseDetector (model=detector/nano, small, medium, lite0)"
            )
        self.model, self.branch, self.top_k, self.nms_iou = model, branch, top_k, nms_iou
        self.outputs = ["boxes", "scores", "labels"]
        if model.prototypes is not None:
            self.outputs.append("coefficients")
        if model.attributes:
            self.outputs.append("attributes")
        if model.prototypes is not None:
            self.outputs.append("prototypes")

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """`pixels` [B, 3, S, S] → boxes [B, N, 4] xyxy input pixels, scores [B, N] descending, labels [B, N]; with masks
        coefficients [B, N, K] and prototypes [B, K, h, w], with attributes [B, N, T] 0–1."""
        found: dict[str, Tensor] = self.model.predict(  # type: ignore[operator]
            pixels, branch=self.branch, top_k=self.top_k, nms_iou=self.nms_iou
        )
        return tuple(found[name] for name in self.outputs)


def export_detector(model: DetectorGraph, path: Path, *, image_size: int, opset: int) -> None:
    """`pixels` → `boxes`, `scores`, `labels`, and what else the detector tells."""
    _export(model, path, "pixels", image_size, model.outputs, opset)


def export_embedder(model: nn.Module, path: Path, *, image_size: int, opset: int) -> None:
    """`crops` → `embeddings`."""
    _export(model, path, "crops", image_size, ["embeddings"], opset)


def _export(model: nn.Module, path: Path, name: str, size: int, outputs: list[str], opset: int) -> None:
    """Batch is dynamic, the picture's side fixed: models with SAME padding never finish with both dynamic.

    Raises ConfigError for an opset that the exporter did not keep (it writes none below 18).
    """
    # Two examples, because a batch of one would be taken for a constant.
    example = torch.zeros(2, 3, size, size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (example,),
            str(path),
            input_names=[name],
            output_names=outputs,
            external_data=False,
            opset_version=opset,
            dynamic_shapes=({0: Dim("batch", min=1, max=MAX_BATCH)},),
            verbose=False,
        )
    exported = onnx.load(str(path))
    found = {entry.domain: entry.version for entry in exported.opset_import}
    if found.get("") != opset:
        raise ConfigError(f"opset={opset}: the exporter wrote opset {found.get('')}; choose that one")
    onnx.save(without_traces(exported), str(path))


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model without the exporter's notes, which name files of the machine it ran on."""
    model.doc_string = ""
    del model.metadata_props[:]
    for part in [model.graph, *model.functions]:
        part.doc_string = ""
        del part.metadata_props[:]
        for node in part.node:
            node.doc_string = ""
            del node.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    # Unused domains of the exporter's own function library.
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model
