"""A shop in miniature: a bundle whose graphs really work, on scenes of coloured squares in a 4 × 4 grid.

The detector scores each cell by its colourfulness, the embedder is the mean colour. Small enough that every figure can
be worked out by hand.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from omegaconf import DictConfig
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from facings.commands.benchmark import run
from facings.commands.composition import compose_verb
from facings.runtime.bundle import covered_files
from facings.runtime.gallery import Gallery

SIDE, CELLS, CROP = 96, 4, 8
CELL = SIDE // CELLS
COLOURS = {"red": (210, 30, 30), "green": (30, 190, 40), "blue": (30, 40, 210)}
FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8


@dataclass(frozen=True)
class Shop:
    bundle: Path
    annotations: Path
    images: Path
    table: Path


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Four frames with 10 objects: one product mislabelled, one not identified, one object not painted."""
    folder = tmp_path_factory.mktemp("shop")
    scenes = [
        {0: ("red", "red"), 5: ("green", "green"), 10: ("blue", "blue")},
        {1: ("red", "red"), 6: ("green", "green"), 11: ("blue", "red")},
        {2: ("red", "red"), 7: ("green", "unknown"), 12: (None, "blue")},
        {3: ("red", "red")},
    ]
    return Shop(make_bundle(folder / "tiny-1"), *make_data(folder / "data", scenes))


@pytest.fixture(scope="session")
def detector_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("shop") / "boxes-1", roles=("preprocess", "detector"))


@pytest.fixture(scope="session")
def embedder_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("shop") / "names-1", roles=("crop", "embedder", "match"))


def make_data(folder: Path, scenes: list[dict[int, tuple[str | None, str]]]) -> tuple[Path, Path, Path]:
    """Pictures, COCO JSON and recognition table. A scene: cell → (colour painted or None, product annotated)."""
    images = folder / "images"
    images.mkdir(parents=True)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "product"}]}
    rows = ["path,product_id,split,role,category,box,camera_id"]
    for number, scene in enumerate(scenes, start=1):
        picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
        name = f"{number:03d}.png"
        for cell, (colour, product) in scene.items():
            x, y = CELL * (cell % CELLS), CELL * (cell // CELLS)
            if colour is not None:
                picture[y : y + CELL, x : x + CELL] = COLOURS[colour]
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [x, y, CELL, CELL],
                    "area": CELL * CELL,
                    "iscrowd": 0,
                    "product_id": product,
                }
            )
            rows.append(f"images/{name},{product},val,query,,{x} {y} {CELL} {CELL},")
        content["images"].append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        Image.fromarray(picture).save(images / name)
    (folder / "instances_val.json").write_text(json.dumps(content))
    (folder / "recognition.csv").write_text("\n".join(rows) + "\n")
    return folder / "instances_val.json", images, folder / "recognition.csv"


def make_bundle(folder: Path, roles: tuple[str, ...] = ("preprocess", "detector", "crop", "embedder", "match")) -> Path:
    """A bundle of the contract with these graphs; with an embedder also a gallery of the three colours."""
    folder.mkdir()
    built = {role: GRAPHS[role]() for role in roles}
    graphs = {}
    for role, model in built.items():
        onnx.checker.check_model(model)
        (folder / f"{role}.onnx").write_bytes(model.SerializeToString())
        digest = sha256((folder / f"{role}.onnx").read_bytes()).hexdigest()
        graphs[role] = {"file": f"{role}.onnx", "sha256": digest, "opset": 20, "ir_version": 10}
    products = {name: {"name": f"{name.title()} <tin>", "category": ["Tin"]} for name in COLOURS}
    contents = {
        "postprocess": {
            "schema": "facings.postprocess/1",
            "score_threshold": 0.3,
            "max_detections": 1000,
            "nms_iou": None,
            "false_accept_rate": 0.05,
            "ambiguity_margin": 0.02,
            "top_k": 5,
            "crop_margin": 0.0,
        },
        "taxonomy": {"schema": "facings.taxonomy/1", "products": products},
    }
    files = {}
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
        digest = sha256((folder / f"{name}.json").read_bytes()).hexdigest()
        files[name] = {"file": f"{name}.json", "sha256": digest}
    manifest = {
        "schema": "facings.bundle/1",
        "name": folder.name.split("-")[0],
        "version": "1",
        "graphs": graphs,
        "files": files,
        "detector": {"image_size": SIDE, "labels": ["product"], "top_k": 16} if "detector" in roles else None,
        "embedder": {"image_size": CROP, "dimension": 3} if "embedder" in roles else None,
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    sums = [f"{sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in covered_files(folder)]
    (folder / "SHA256SUMS").write_text("".join(sums))
    if "embedder" in roles:
        make_gallery(folder, graphs["embedder"]["sha256"])
    return folder


def make_gallery(folder: Path, digest: Any) -> None:
    colours = np.array(list(COLOURS.values()), np.float32) / 127.5 - 1
    owners = [name for name in COLOURS for _ in range(20)]
    noise = np.random.default_rng(0).normal(0, 0.05, (len(owners), 3))
    Gallery.create(
        folder / "gallery",
        embedder_sha256=str(digest),
        vectors=colours,
        item=np.arange(len(COLOURS)),
        items=list(COLOURS),
        calibration_vectors=(np.repeat(colours, 20, axis=0) + noise).astype(np.float32),
        calibration_items=owners,
        author="test",
    )


def constant(name: str, values: Any, kind: type = np.float32) -> Any:
    return numpy_helper.from_array(np.asarray(values, kind), name)


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> Any:
    values = [[helper.make_tensor_value_info(*entry) for entry in entries] for entries in (inputs, outputs)]
    built = helper.make_graph(nodes, "tiny", *values, constants)
    return helper.make_model(built, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


def resize_graph(size: int) -> Any:
    """uint8 (1, H, W, 3) → normalised (1, 3, size, size); the pictures here are square already."""
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["float"], to=FLOAT),
        node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        node("Resize", ["planes", "", "", "size"], ["resized"], mode="linear", antialias=1),
        node("Div", ["resized", "half"], ["scaled"]),
        node("Sub", ["scaled", "one"], ["pixels"]),
        node("Identity", ["still"], ["transform"]),
    ]
    constants = [
        constant("size", [1, 3, size, size], np.int64),
        constant("half", 127.5),
        constant("one", 1.0),
        constant("still", [1, 1, 0, 0]),
    ]
    inputs = [("image", UINT8, [1, "h", "w", 3])]
    return graph(nodes, inputs, [("pixels", FLOAT, [1, 3, size, size]), ("transform", FLOAT, [4])], constants)


def detector_graph() -> Any:
    """Score of a cell: half the range of its mean colour's channels."""
    node = helper.make_node
    nodes = [
        node("AveragePool", ["pixels"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        node("ReduceMax", ["cells", "channel"], ["most"], keepdims=0),
        node("ReduceMin", ["cells", "channel"], ["least"], keepdims=0),
        node("Sub", ["most", "least"], ["range"]),
        node("Mul", ["range", "half"], ["halved"]),
        node("Reshape", ["halved", "flat"], ["colourful"]),
        node("TopK", ["colourful", "count"], ["scores", "order"], axis=1),
        node("Gather", ["grid", "order"], ["boxes"], axis=0),
        node("Sub", ["order", "order"], ["labels"]),
    ]
    grid = [[CELL * (i % CELLS), CELL * (i // CELLS)] * 2 for i in range(CELLS**2)]
    corners: NDArray[np.int64] = np.array(grid) + np.array([0, 0, CELL, CELL])
    constants = [
        constant("channel", [1], np.int64),
        constant("half", 0.5),
        constant("flat", [-1, CELLS**2], np.int64),
        constant("count", [CELLS**2], np.int64),
        constant("grid", corners),
    ]
    count = CELLS**2
    outputs = [("boxes", FLOAT, ["b", count, 4]), ("scores", FLOAT, ["b", count]), ("labels", INT64, ["b", count])]
    return graph(nodes, [("pixels", FLOAT, ["b", 3, SIDE, SIDE])], outputs, constants)


def embedder_graph() -> Any:
    """The mean colour at unit length."""
    nodes = [
        helper.make_node("ReduceMean", ["crops", "sides"], ["mean"], keepdims=0),
        helper.make_node("LpNormalization", ["mean"], ["embeddings"], axis=1, p=2),
    ]
    inputs, outputs = [("crops", FLOAT, ["b", 3, CROP, CROP])], [("embeddings", FLOAT, ["b", 3])]
    return graph(nodes, inputs, outputs, [constant("sides", [2, 3], np.int64)])


def match_graph() -> Any:
    """Cosines to views, of which each item here has one."""
    nodes = [
        helper.make_node("Transpose", ["gallery"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["embeddings", "columns"], ["cosines"]),
        helper.make_node("TopK", ["cosines", "k"], ["similarities", "order"], axis=1),
        helper.make_node("Gather", ["item", "order"], ["items"]),
    ]
    inputs = [("embeddings", FLOAT, ["b", 3]), ("gallery", FLOAT, ["m", 3]), ("item", INT64, ["m"])]
    outputs = [("items", INT64, ["b", "k"]), ("similarities", FLOAT, ["b", "k"])]
    return graph(nodes, inputs, outputs, [constant("k", [len(COLOURS)], np.int64)])


GRAPHS = {
    "preprocess": lambda: resize_graph(SIDE),
    "detector": detector_graph,
    "crop": lambda: resize_graph(CROP),
    "embedder": embedder_graph,
    "match": match_graph,
}


@pytest.fixture(scope="session")
def benchmark_config(shop: Shop) -> Callable[..., DictConfig]:
    """A configuration of the verb for the shop, writing to a folder; overrides come last."""

    def make(folder: Path, *overrides: str) -> DictConfig:
        words = [
            f"bundle={shop.bundle}",
            "benchmark_data=coco",
            "data.name=shop",
            f"data.annotations={shop.annotations}",
        ]
        words += [f"data.images={shop.images}", f"recognition.table={shop.table}", "recognition.split=val"]
        words += ["threads=1", "warmup=0", "repeats=1"]
        return compose_verb("benchmark", [*words, *overrides], output_dir=folder)

    return make


@pytest.fixture(scope="session")
def benchmark_run(benchmark_config: Callable[..., DictConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished run."""
    folder = tmp_path_factory.mktemp("benchmark")
    run(benchmark_config(folder))
    return folder
