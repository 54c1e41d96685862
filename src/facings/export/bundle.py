"""Writing a bundle's folder: graphs, tables, golden samples, checksums. Knows nothing of checkpoints or of the command.

The caller gives a folder that becomes the bundle only when everything in it was verified.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from facings.export.graphs import letterbox_graph, match_graph
from facings.export.networks import DetectorGraph, Network, export_detector, export_embedder
from facings.files import sha256
from facings.runtime.bundle import covered_files
from facings.runtime.onnx_file import read_facts
from facings.runtime.recognizer import Recognizer

MIN_ONNXRUNTIME = "1.20"
PROVIDERS_TESTED = ["CPUExecutionProvider"]
FILE_NAMES = {
    "postprocess": "postprocess.json",
    "taxonomy": "taxonomy.json",
    "golden": "golden/index.json",
    "report": "report.json",
    "model_card": "MODEL_CARD.md",
    "licences": "LICENCES.json",
    "train_config": "train_config.yaml",
    "calibration": "calibration_mated.npy",
}
# Every stage that a golden sample keeps, beside the picture itself.
GOLDEN_STAGES = (
    "pixels", "transform", "boxes", "scores", "labels", "coefficients", "attributes", "prototypes",
    "crop_boxes", "crops", "embeddings", "items", "similarities",
)  # fmt: skip

# Of these, what comes out of a network or behind one, and so depends on its precision.
NETWORK_STAGES = tuple(name for name in GOLDEN_STAGES if name not in ("pixels", "transform", "crop_boxes", "crops"))
# Bundles with files of several precisions; a reader of facings.bundle/1 runs their float32 files.
SCHEMA, SCHEMA_OF_SIBLINGS = "facings.bundle/1", "facings.bundle/1.1"


def write_graphs(
    folder: Path, *, detector: Network | None, embedder: Network | None, opset: int, candidates: int
) -> dict[str, dict[str, Any]]:
    """Write the graphs of what there is; returns bundle.json's `graphs`. `detector.model` is a `DetectorGraph`."""
    if detector is not None:
        assert isinstance(detector.model, DetectorGraph)
        graph = letterbox_graph("preprocess", detector.image_size, detector.mean, detector.std, opset)
        onnx.save(graph, str(folder / "preprocess.onnx"))
        export_detector(detector.model, folder / "detector.onnx", image_size=detector.image_size, opset=opset)
    if embedder is not None:
        graph = letterbox_graph("crop", embedder.image_size, embedder.mean, embedder.std, opset)
        onnx.save(graph, str(folder / "crop.onnx"))
        export_embedder(embedder.model, folder / "embedder.onnx", image_size=embedder.image_size, opset=opset)
        graph = match_graph(int(embedder.model.dimension), candidates, opset)  # type: ignore[arg-type]
        onnx.save(graph, str(folder / "match.onnx"))
    return {path.stem: graph_entry(path) for path in sorted(folder.glob("*.onnx"))}


def graph_entry(path: Path) -> dict[str, Any]:
    """File, checksum, versions, and the ports of a graph with their types and shapes (a name is a dynamic size)."""
    facts = read_facts(path)
    graph = onnx.load(str(path)).graph
    return {
        "file": path.name,
        "sha256": sha256(path),
        "opset": facts.opsets[""],
        "ir_version": facts.ir_version,
        "inputs": [_port(value) for value in graph.input],
        "outputs": [_port(value) for value in graph.output],
    }


def add_sibling(graphs: Mapping[str, dict[str, Any]], role: str, precision: str, path: Path, *, auto: bool) -> None:
    """Name the file `path`, which lies beside the graph of `role`, in bundle.json's `graphs`. `auto`: run it by default."""
    entry = graph_entry(path)
    graphs[role].setdefault("precisions", {})[precision] = {
        name: entry[name] for name in ("file", "sha256", "opset", "ir_version")
    }
    if auto:
        graphs[role]["auto"] = precision


def write_golden(
    folder: Path,
    recognizer: Recognizer,
    images: Sequence[NDArray[np.uint8]],
    *,
    limits: Mapping[str, float],
    siblings: Mapping[str, tuple[Recognizer, Mapping[str, float]]] | None = None,
) -> None:
    """Pictures without loss, the tensors at every stage, and the decisions, with the tolerances to compare by.

    `recognizer` runs the bundle in float32, which is the truth. `siblings`: precision → the same bundle at that precision,
    and the tolerances of its own tensors; what it has in common with float (pictures, pixels, crops) is not kept twice.
    """
    home = folder / "golden"
    home.mkdir(exist_ok=True)
    samples, others = [], {name: list[dict[str, Any]]() for name in siblings or {}}
    for number, image in enumerate(images):
        name = f"{number:03d}"
        stages = recognizer.stages(image)
        arrays = _save_stages(home, name, {s: stages[s] for s in ("image", *GOLDEN_STAGES) if s in stages})
        samples.append({"name": name, "arrays": arrays, "decision": recognizer.recognize(image).to_dict()})
        for precision, (other, _) in (siblings or {}).items():
            found = other.stages(image, crop_boxes=stages.get("crop_boxes"))
            own = _save_stages(home, f"{name}.{precision}", {s: found[s] for s in NETWORK_STAGES if s in found})
            decision = other.recognize(image).to_dict()
            others[precision].append({"name": name, "arrays": arrays | own, "decision": decision})
    index = {
        "schema": "facings.golden/1",
        "gallery_version": recognizer.gallery.version if recognizer.gallery is not None else None,
        "tolerances": dict(limits),
        "samples": samples,
        "precisions": {
            precision: {"tolerances": dict(own_limits), "samples": others[precision]}
            for precision, (_, own_limits) in (siblings or {}).items()
        },
        "files": {path.name: sha256(path) for path in sorted(home.glob("*.npy"))},
    }
    write_json(home / "index.json", index)


def seal(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write bundle.json with the checksums of what is there, then SHA256SUMS over everything but the gallery."""
    files = {
        role: {"file": name, "sha256": sha256(folder / name)}
        for role, name in FILE_NAMES.items()
        if (folder / name).is_file()
    }
    several = any("precisions" in graph for graph in manifest["graphs"].values())
    schema = SCHEMA_OF_SIBLINGS if several else SCHEMA
    write_json(folder / "bundle.json", {"schema": schema, **manifest, "files": files})
    lines = [f"{sha256(folder / name)}  {name}\n" for name in covered_files(folder)]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def manifest_of(
    name: str,
    version: str,
    graphs: Mapping[str, Any],
    *,
    detector: Mapping[str, Any] | None,
    embedder: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """bundle.json without its `files`."""
    return {
        "name": name,
        "version": version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "min_onnxruntime": MIN_ONNXRUNTIME,
        "opset": max(graph["opset"] for graph in graphs.values()),
        "ir_version": max(graph["ir_version"] for graph in graphs.values()),
        "providers_tested": PROVIDERS_TESTED,
        "graphs": dict(graphs),
        "detector": dict(detector) if detector is not None else None,
        "embedder": dict(embedder) if embedder is not None else None,
    }


def shrink(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """The picture with at most `longest` pixels on a side; golden samples are kept without compression."""
    if max(image.shape[:2]) <= longest:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((longest, longest), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(picture))


def write_json(path: Path, content: Any) -> None:
    """Readable JSON."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _save_stages(home: Path, name: str, stages: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Write `NAME.STAGE.npy` files; returns stage → file."""
    for stage, values in stages.items():
        np.save(home / f"{name}.{stage}.npy", values, allow_pickle=False)
    return {stage: f"{name}.{stage}.npy" for stage in stages}


def _port(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]
    return {"name": value.name, "type": onnx.TensorProto.DataType.Name(tensor.elem_type).lower(), "shape": shape}
