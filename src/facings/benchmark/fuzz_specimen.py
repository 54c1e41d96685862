"""A sound bundle of a few kilobytes, made of nothing but numpy: what the fuzzer spoils.

Knows nothing of spoiling. Its graphs have the ports of their roles and do nothing: they are looked at, never run.
"""

import json
from collections.abc import Sequence
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

import numpy as np

from facings.files import sha256
from facings.runtime.bundle import covered_files
from facings.runtime.gallery import Gallery
from facings.runtime.signature import PrivateKey, sign

SIDE, CROP, DIMENSION, FOUND = 32, 8, 4, 6
ELEMENTS = {"float": 1, "uint8": 2, "int64": 7}
OPSET, IR_VERSION = 20, 10
# Nobody's: it signs the specimen, and must not change from run to run.
KEY = PrivateKey(bytes(range(32)))
Ports = Sequence[tuple[str, str, Sequence[int | str]]]
GRAPHS: dict[str, tuple[Ports, Ports]] = {
    "preprocess": (
        [("image", "uint8", [1, "h", "w", 3])],
        [("pixels", "float", [1, 3, SIDE, SIDE]), ("transform", "float", [4])],
    ),
    "detector": (
        [("pixels", "float", ["b", 3, SIDE, SIDE])],
        [("boxes", "float", ["b", FOUND, 4]), ("scores", "float", ["b", FOUND]), ("labels", "int64", ["b", FOUND])],
    ),
    "crop": (
        [("image", "uint8", [1, "h", "w", 3])],
        [("pixels", "float", [1, 3, CROP, CROP]), ("transform", "float", [4])],
    ),
    "embedder": ([("crops", "float", ["b", 3, CROP, CROP])], [("embeddings", "float", ["b", DIMENSION])]),
    "match": (
        [("embeddings", "float", ["b", DIMENSION]), ("gallery", "float", ["m", DIMENSION]), ("item", "int64", ["m"])],
        [("items", "int64", ["b", "k"]), ("similarities", "float", ["b", "k"])],
    ),
}


def make_specimen(folder: Path, *, signed: bool = True) -> Path:
    """Write the bundle; the same bytes every time. `signed` needs the package cryptography."""
    folder.mkdir(parents=True)
    graphs = {}
    for role, (inputs, outputs) in GRAPHS.items():
        (folder / f"{role}.onnx").write_bytes(graph_bytes(inputs, outputs))
        graphs[role] = (
            _entry(folder, f"{role}.onnx") | {"opset": OPSET, "ir_version": IR_VERSION} | _told(inputs, outputs)
        )
    (folder / "detector.int8.onnx").write_bytes(graph_bytes(*GRAPHS["detector"]) + _field(2, b"int8"))
    small = _entry(folder, "detector.int8.onnx") | {"opset": OPSET, "ir_version": IR_VERSION}
    graphs["detector"] |= {"precisions": {"int8": small}, "auto": "int8"}
    np.save(folder / "calibration_mated.npy", np.array([[0.5, 0.75], [0.25, np.nan], [0.5, 0.5]], np.float32))
    _golden(folder / "golden")
    for name, content in _texts().items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    files = {"golden": "golden/index.json", "calibration": "calibration_mated.npy", "model_card": "MODEL_CARD.md"}
    files |= {name: f"{name}.json" for name in ("postprocess", "taxonomy")}
    manifest = {
        "schema": "facings.bundle/1.1", "name": "specimen", "version": "1", "created": "2026-01-01T00:00:00+00:00",
        "min_onnxruntime": "1.20", "opset": OPSET, "ir_version": IR_VERSION, "graphs": graphs,
        "detector": {"image_size": SIDE, "labels": ["product"], "masks": False, "prototypes": 0, "attributes": []},
        "embedder": {"image_size": CROP, "dimension": DIMENSION},
        "files": {role: _entry(folder, name) for role, name in files.items()},
    }  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")
    sums = [f"{sha256(folder / name)}  {name}\n" for name in covered_files(folder)]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    _gallery(folder)
    if signed:
        sign(folder, KEY)
    return folder


def graph_bytes(inputs: Ports, outputs: Ports) -> bytes:
    """An ONNX file of one operator and a branch inside it, with these ports (name, element, sides)."""
    tensor = _field(1, 2) + _field(2, 1) + _field(8, b"weight") + _field(9, np.ones(2, np.float32).tobytes())
    inner = _field(1, _field(2, b"y") + _field(4, b"Constant") + _field(5, _field(1, b"value") + _field(5, tensor)))
    branch = _field(1, b"then_branch") + _field(6, inner) + _field(20, 5)
    node = b"".join(_field(1, name.encode()) for name, _, _ in inputs)
    node += b"".join(_field(2, name.encode()) for name, _, _ in outputs)
    node += _field(4, b"If") + _field(5, branch)
    graph = _field(1, node) + _field(2, b"specimen") + _field(5, tensor)
    graph += b"".join(_field(11, _port(*port)) for port in inputs) + b"".join(
        _field(12, _port(*port)) for port in outputs
    )
    return _field(1, IR_VERSION) + _field(8, _field(1, b"") + _field(2, OPSET)) + _field(7, graph)


def _port(name: str, element: str, sides: Sequence[int | str]) -> bytes:
    shape = b"".join(
        _field(1, _field(1, side) if isinstance(side, int) else _field(2, side.encode())) for side in sides
    )
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, ELEMENTS[element]) + _field(2, shape)))


def _field(number: int, value: int | bytes) -> bytes:
    """A protobuf field: an integer, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _texts() -> dict[str, Any]:
    rates = {
        "false_accept": 0.05,
        "coverage": 0.95,
        "category_error": 0.03,
        "pick_list": 2,
        "unit": "estimated",
        "margin": 1.0,
    }
    apple = {"category": ["Fruit", "Apple"], "gtin": None, "sold_by": "weight"}
    return {
        "postprocess.json": {
            "schema": "facings.postprocess/1", "score_threshold": 0.3, "max_detections": 1000, "nms_iou": 0.6,
            "false_accept_rate": 0.05, "ambiguity_margin": 0.02, "top_k": 5, "crop_margin": 0.05, "standard": rates,
            "tiles": {"size": 640, "overlap": 160, "whole": False},
        },
        "taxonomy.json": {
            "schema": "facings.taxonomy/1",
            "products": {
                "gala": apple | {"name": "Gala", "plu": "4173"}, "fuji": apple | {"name": "Fuji", "plu": "4131"},
                "milk": {"name": "Milk", "category": ["Dairy"], "gtin": "4006381333931", "plu": None, "sold_by": "piece"},
            },
        },
        "MODEL_CARD.md": "A specimen for the fuzzer.\n",
    }  # fmt: skip


def _golden(folder: Path) -> None:
    folder.mkdir()
    np.save(folder / "000.image.npy", np.full((6, 8, 3), 128, np.uint8))
    np.save(folder / "000.embeddings.npy", np.eye(1, DIMENSION, dtype=np.float32))
    arrays = {stage: f"000.{stage}.npy" for stage in ("image", "embeddings")}
    decision = {"schema": "facings.decision/1", "gallery_version": "000001", "items": []}
    sample = {"name": "000", "arrays": arrays, "decision": decision}
    part = {"tolerances": {"embeddings": 0.001}, "samples": [sample]}
    index = {"schema": "facings.golden/1", "gallery_version": "000001", **part, "precisions": {"int8": part}}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _gallery(folder: Path) -> None:
    corners = np.eye(3, DIMENSION, dtype=np.float32)
    between = np.array([[0.6, 0.8, 0, 0], [0, 0.6, 0.8, 0], [0, 0, 0, 1]], np.float32)
    first = Gallery.create(
        folder / "gallery", embedder_sha256=sha256(folder / "embedder.onnx"), vectors=corners, item=np.arange(3),
        items=["gala", "fuji", "milk"], calibration_vectors=between, calibration_items=["gala", None, "figs"],
        author="specimen", created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    # Times of commits are not for the caller to choose: the second version is written by hand.
    home = first.folder / "000002"
    home.mkdir()
    details = {"name": "Gala", "category": ["Fruit", "Apple"], "gtin": None, "plu": "4173", "sold_by": "weight"}
    change = {"operation": "retire", "product_id": "milk"}
    manifest = json.loads((first.folder / "000001" / "manifest.json").read_text(encoding="utf-8")) | {
        "version": "000002", "parent": "000001", "parent_sha256": first.digest, "retired": ["milk"], "changes": [change],
        "products": {"gala": details}, "reason": "retire",
    }  # fmt: skip
    data = json.dumps(manifest).encode()
    (home / "manifest.json").write_bytes(data)
    (first.folder / "CURRENT").write_text(f"000002 {sha256_of(data).hexdigest()}\n", encoding="utf-8")


def _entry(folder: Path, name: str) -> dict[str, Any]:
    return {"file": name, "sha256": sha256(folder / name)}


def _told(inputs: Ports, outputs: Ports) -> dict[str, Any]:
    return {
        side: [{"name": name, "type": element, "shape": list(sides)} for name, element, sides in ports]
        for side, ports in (("inputs", inputs), ("outputs", outputs))
    }
