"""From checkpoints to a bundle: what is in it, what it refuses, and that it says what torch says."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import yaml

from facings.commands.composition import compose_verb
from facings.commands.export import run
from facings.errors import BundleError, CheckpointError, ConfigError, DataError, FacingsError
from facings.export.enrolment import trim_ground
from facings.export.networks import without_traces
from facings.export.parity import StageParity, require
from facings.files import sha256
from facings.runtime.bundle import FILES, ROLES, Bundle
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import verify
from facings.tasks.checkpoint import load_model
from tests.conftest import TinyShop, export_words


def export(folder: Path, words: list[str]) -> Path:
    return run(compose_verb("export", words, output_dir=folder / "log"))


def test_bundle_is_as_the_contract_says(tiny_shop: TinyShop) -> None:
    bundle = tiny_shop.bundle
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["schema"] == "facings.bundle/1" and bundle.name == "tiny-1"
    assert set(manifest["graphs"]) == set(ROLES) and set(manifest["files"]) == set(FILES)
    for entry in [*manifest["graphs"].values(), *manifest["files"].values()]:
        assert sha256(bundle / entry["file"]) == entry["sha256"]
    shapes = {role: {p["name"]: p["shape"] for p in g["outputs"]} for role, g in manifest["graphs"].items()}
    assert shapes["preprocess"] == {"pixels": [1, 3, 128, 128], "transform": [4]}
    assert set(shapes["detector"]) == {"boxes", "scores", "labels"}
    assert manifest["detector"]["labels"] == ["packaged", "produce"]
    report = json.loads((bundle / "report.json").read_text())
    assert set(report["parity"]) == {
        "pixels", "transform", "scores", "detections_without_twin", "batched_detections_without_twin", "crops", "embeddings",
        "batched_embeddings",
    }  # fmt: skip
    assert all(p["difference"] <= p["tolerance"] and p["count"] >= 0 for p in report["parity"].values())
    decided = report["decisions"]["float32"]
    assert decided["agreement"] >= 0.999 or decided["items"] - decided["agreeing"] <= 1
    assert {"picture 0", "square", "wide", "tall", "tiny", "4k"} <= set(decided["pictures"])
    assert report["quantization"] is None and report["siblings"] == {} and "openvino" in report
    assert report["latency"]["stages"]["total"]["p50"] > 0 and report["latency"]["peak_mib"] > 0
    assert not [p for p in bundle.rglob("*") if p.suffix in (".pkl", ".ckpt", ".pth")]
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "## Limits" in card and "synthetic scenes" in card and "Not for commercial use" not in card
    assert f"`facings verify {bundle.name}`" in card and re.search(r"\n\d+ threads?, on ", card)
    assert "| boxes: neighbour gap, in object sizes | " in card and "| level of the category tree | 1 of " in card
    slices = {role: part["slices"] for role, part in report["training"].items()}
    assert {row["by"] for row in slices["detector"]} >= {"boxes: objects a picture", "boxes: object size, pixels"}
    assert all(row["objects"] >= 0 and (row.get("r1") is None or 0 <= row["r1"] <= 1) for row in slices["embedder"])
    assert {"detector", "embedder"} == set(yaml.safe_load((bundle / "train_config.yaml").read_text()))
    assert json.loads((bundle / "LICENCES.json").read_text())["data"]


def test_bundle_names_no_folder_of_this_machine(tiny_shop: TinyShop) -> None:
    home = str(Path(torch.__file__).parents[1]).encode()
    for path in tiny_shop.bundle.rglob("*"):
        if path.is_file() and path.suffix != ".npy":
            content = path.read_bytes()
            assert home not in content and b"site-packages" not in content, path
    text = (tiny_shop.bundle / "train_config.yaml").read_text()
    assert "dirpath" not in text and "default_root_dir" not in text


def test_graphs_are_standard_and_take_any_batch(tiny_shop: TinyShop) -> None:
    for role in ROLES:
        model = onnx.load(str(tiny_shop.bundle / f"{role}.onnx"))
        onnx.checker.check_model(model, full_check=True)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)] and model.ir_version == 10
        assert not model.functions and {node.domain for node in model.graph.node} == {""}
    session = ort.InferenceSession(str(tiny_shop.bundle / "detector.onnx"))
    for batch in (1, 2, 5):
        outputs = session.run(None, {"pixels": np.zeros((batch, 3, 128, 128), np.float32)})
        assert [o.shape for o in outputs] == [(batch, 336, 4), (batch, 336), (batch, 336)]


def test_runtime_says_what_torch_says(tiny_shop: TinyShop, rng: np.random.Generator) -> None:
    """By another way than the exporter's own parity: random crops, batch of 7, straight from the checkpoint."""
    model, _ = load_model(tiny_shop.embedder, "reid")
    crops = rng.normal(size=(7, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        ours = model(torch.from_numpy(crops)).numpy()
    theirs = Recognizer(Bundle.open(tiny_shop.bundle)).embed_crops(crops)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(theirs, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("role", ["detector", "embedder"])
def test_one_network_alone_makes_a_bundle(tiny_shop: TinyShop, tmp_path: Path, role: str) -> None:
    parts = {"detector": tiny_shop.detector, "embedder": tiny_shop.embedder}
    only = {name: path if name == role else None for name, path in parts.items()}
    words = export_words(tiny_shop.data, only["detector"], only["embedder"], tmp_path)
    words += ["branch=one_to_many", "opset=18", "latency.images=0"]
    bundle = Bundle.open(export(tmp_path, words))
    assert all(check.passed for check in verify(bundle.path))
    decision = Recognizer(bundle).recognize(np.zeros((50, 70, 3), np.uint8))
    if role == "embedder":
        assert len(decision.items) == 1 and decision.items[0].box == (0.0, 0.0, 70.0, 50.0)
    else:
        assert decision.gallery_version is None and all(item.status == "unknown" for item in decision.items)


def test_averaged_views_are_in_the_graph(tiny_shop: TinyShop, tmp_path: Path, rng: np.random.Generator) -> None:
    words = [*export_words(tiny_shop.data, None, tiny_shop.embedder, tmp_path), "latency.images=0", "tta=flip"]
    bundle = Bundle.open(export(tmp_path, words))
    assert json.loads((bundle.path / "report.json").read_text())["tta"] == "flip"
    embedder = ort.InferenceSession(bundle.graph_path("embedder"))
    side = embedder.get_inputs()[0].shape[-1]
    crops = rng.normal(size=(2, 3, side, side)).astype(np.float32)
    seen, mirrored = (embedder.run(["embeddings"], {"crops": v})[0] for v in (crops, crops[..., ::-1].copy()))
    np.testing.assert_allclose(seen, mirrored, atol=1e-5)


def test_packshots_alone_are_a_gallery(tiny_shop: TinyShop, tmp_path: Path) -> None:
    words = export_words(tiny_shop.data, None, None, tmp_path)
    annotations = tiny_shop.data / "instances_val.json"
    words += [f"embedder={tiny_shop.embedder}", f"gallery.packshots={tiny_shop.data / 'packshots'}", "latency.images=0"]
    words += [f"calibration.annotations={annotations}", f"calibration.images={tiny_shop.data / 'images' / 'val'}"]
    words += ["calibration.limit=20"]
    gallery = Bundle.open(export(tmp_path, words)).gallery()
    assert len(gallery.items) == 8 and len(gallery.vectors) == 8 and len(gallery.calibration_scores) == 20


def test_export_refuses(tiny_shop: TinyShop, tmp_path: Path) -> None:
    both = export_words(tiny_shop.data, tiny_shop.detector, tiny_shop.embedder, tmp_path)
    swapped = export_words(tiny_shop.data, tiny_shop.embedder, None, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    cases: list[tuple[list[str], type[FacingsError], str]] = [
        (["parity.images=."], CheckpointError, "export needs trained weights"),
        (swapped, CheckpointError, "holds a reid model; expected a detection one"),
        ([*both, "gallery.table=null"], ConfigError, "an embedder needs a gallery"),
        ([*both, "parity.images=null"], ConfigError, "on a folder of real pictures"),
        ([*both, f"parity.images={empty}"], DataError, "holds no picture"),
        ([*both, "tta=ten"], ConfigError, "tta='ten': expected one of none, flip, multicrop, multicrop_flip"),
        ([*both, "opset=13"], ConfigError, "opset=13: expected one of 18"),
        ([*both, "score_threshold=3"], ConfigError, "score_threshold=3: expected a share"),
        ([*both, "version=../x"], ConfigError, "becomes a folder's name"),
        ([*both, "gallery.reader=facings.data.nothing"], ConfigError, "gallery.reader='facings.data.nothing': no such"),
        ([*both, 'licences=["no colon"]'], ConfigError, "not of the form 'NAME: LICENCE'"),
        ([*both, "gallery.split=summer"], DataError, "no rows with split=summer"),
    ]
    for words, kind, message in cases:
        with pytest.raises(kind, match=message):
            export(tmp_path / "out", words)
    assert not list(tmp_path.glob("*tiny*"))


def test_existing_bundle_is_kept_unless_told(tiny_shop: TinyShop) -> None:
    words = export_words(tiny_shop.data, tiny_shop.detector, None, tiny_shop.bundle.parent)
    with pytest.raises(ConfigError, match="choose another version, or --overwrite"):
        export(tiny_shop.bundle.parent, words)


def test_out_of_tolerance_writes_nothing(tiny_shop: TinyShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "facings.export.parity.TOLERANCES", {"transform": 1, "boxes": 1, "scores": 1, "embeddings": -1.0}
    )
    words = export_words(tiny_shop.data, None, tiny_shop.embedder, tmp_path)
    with pytest.raises(BundleError, match=r"differ: embeddings by .*; nothing was written"):
        export(tmp_path, words)
    assert not list(tmp_path.glob("*tiny*"))


def test_failed_stages_are_all_named() -> None:
    require([StageParity("pixels", 0.0, 0.1, 3)])
    with pytest.raises(BundleError, match=r"scores by 0\.2 \(tolerance 0\.1\), embeddings by nan"):
        require([StageParity("scores", 0.2, 0.1, 3), StageParity("embeddings", float("nan"), 0.1, 3)])


def test_plain_ground_is_trimmed() -> None:
    image = np.full((40, 50, 3), 250, np.uint8)
    image[10:30, 20:25] = (200, 20, 30)
    assert trim_ground(image).shape == (20, 5, 3)
    assert trim_ground(np.full((9, 9, 3), 250, np.uint8)).shape == (9, 9, 3)
    image[0, 0] = 0
    assert trim_ground(image).shape == image.shape


def test_traces_are_dropped(tiny_shop: TinyShop) -> None:
    model = onnx.load(str(tiny_shop.bundle / "detector.onnx"))
    assert without_traces(model).SerializeToString() == model.SerializeToString()
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
