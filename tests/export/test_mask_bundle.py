"""A detector with masks and attributes, exported and run by the store: what torch says, tile by tile too."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from facings.boxes import iou
from facings.commands.composition import compose_verb
from facings.commands.export import run
from facings.data.transforms.letterbox import letterbox, normalise
from facings.errors import BundleError, ConfigError
from facings.export.decision_parity import SHAPES
from facings.export.networks import DetectorGraph
from facings.masks import mask_iou, polygon_area
from facings.models.detectors.dense import DenseDetector
from facings.models.detectors.torchvision_one_stage import FCOS
from facings.runtime.bundle import Bundle
from facings.runtime.cli import main
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import verify
from facings.structures import Decision
from facings.tiles import Found, Tiling, detect
from tests.conftest import export_words
from tests.runtime.test_verify import reseal

SIZE, MEAN, STD = 128, (0.5, 0.4, 0.3), (0.5, 0.6, 0.7)
ATTRIBUTES = ("packaged", "bagged")
MODEL = {
    "_target_": "facings.models.detectors.dense.DenseDetector", "backbone": "mobilenetv4_conv_small_050", "pretrained": "none",
    "num_classes": 2, "image_size": SIZE, "channels": 32, "prototypes": 6, "attributes": list(ATTRIBUTES),
}  # fmt: skip


@dataclass(frozen=True)
class MaskShop:
    model: DenseDetector
    checkpoint: Path
    data: Path
    bundle: Path

    @property
    def frames(self) -> list[np.ndarray]:
        return [read_image(path) for path in sorted((self.data / "images" / "val").glob("*.jpg"))]

    def mosaic(self) -> np.ndarray:
        """A frame too large for one look: 320 × 480."""
        row = np.concatenate(self.frames[:3], axis=1)
        return np.concatenate([row, row[:, ::-1]])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> MaskShop:
    """Weights by chance, scaled so that every picture holds something to find: exporting needs no training."""
    home = tmp_path_factory.mktemp("masks")
    torch.manual_seed(0)
    model = DenseDetector(**{name: value for name, value in MODEL.items() if name != "_target_"}).eval()
    data = tiny_data / "synthetic" / "quickstart"
    squares = [letterbox(read_image(path), SIZE)[0] for path in sorted((data / "images" / "val").glob("*.jpg"))]
    scale_outputs(model, torch.from_numpy(np.stack([normalise(square, MEAN, STD) for square in squares])))
    config = {
        "model": MODEL, "image_size": SIZE, "mean": MEAN, "std": STD, "labels": ["packaged", "produce"], "run_name": "masks",
        "seed": 0, "data_licence": "synthetic",
    }  # fmt: skip
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    checkpoint = home / "masks.ckpt"
    torch.save({"state_dict": state, "facings": {"task": "detection", "config": json.dumps(config)}}, checkpoint)
    words = [*export_words(data, checkpoint, None, home), "latency.images=0", "score_threshold=0.5"]
    words += ["tiles.size=160", "tiles.overlap=60", "golden.count=1", "parity.count=2"]
    # Scores of weights by chance lie on the threshold by the hundred.
    words.append("parity.decisions=0.9")
    return MaskShop(model, checkpoint, data, run(compose_verb("export", words, output_dir=home / "log")))


def scale_outputs(model: DenseDetector, pixels: torch.Tensor) -> None:
    """Every output spreads as a trained one's does (Mishkin, Matas: "All you need is a good init", ICLR 2016)."""
    # Short sides are likelier, a few objects are sure.
    sides = -0.7 * torch.arange(model.bins).repeat(4)
    coefficients = [output[-1] for output in model.boxes.coefficient_outputs]
    wanted = [
        (model.classes.outputs, 2.0, -1.5),
        (model.choice.outputs, 1.0, 5.0),
        (model.classes.attribute_outputs, 1.0, 0.0),
    ]
    wanted += [(model.boxes.outputs, 1.0, sides), (coefficients, 1.0, 0.0), ([model.prototypes.mix[-1]], 1.0, 0.0)]
    with torch.no_grad():
        for outputs, spread, centre in wanted:
            for output in outputs:
                seen: list[torch.Tensor] = []
                hook = output.register_forward_hook(lambda _, __, value, seen=seen: seen.append(value))
                model(pixels)
                hook.remove()
                mean, std = seen[0].mean(dim=(0, 2, 3)), seen[0].std(dim=(0, 2, 3))
                output.weight *= (spread / std)[:, None, None, None]
                output.bias.copy_((output.bias - mean) * spread / std + centre)


def in_torch(shop: MaskShop, image: np.ndarray, tiling: Tiling | None, least: float) -> Found:
    """As evaluation in training does it, but on the bundle's pixels: weights by chance make much of one level of 255."""
    preprocess = ort.InferenceSession(str(shop.bundle / "preprocess.onnx"))

    def look(picture: np.ndarray) -> dict[str, Any]:
        pixels, transform = preprocess.run(["pixels", "transform"], {"image": picture[None]})
        with torch.no_grad():
            found = shop.model.predict(torch.from_numpy(pixels))
        return {name: value[0].numpy() for name, value in found.items()} | {"transform": transform}

    found = detect(image, look, input_size=SIZE, tiling=tiling, least=least / 2)
    return found.at(np.flatnonzero(found.scores >= least))


def test_bundle_tells_of_masks_and_attributes(shop: MaskShop) -> None:
    manifest = json.loads((shop.bundle / "bundle.json").read_text())
    shapes = {port["name"]: port["shape"][1:] for port in manifest["graphs"]["detector"]["outputs"]}
    assert list(shapes) == ["boxes", "scores", "labels", "coefficients", "attributes", "prototypes"]
    assert shapes == {
        "boxes": [336, 4], "scores": [336], "labels": [336], "coefficients": [336, 6], "attributes": [336, 2],
        "prototypes": [6, 32, 32],
    }  # fmt: skip
    section = manifest["detector"]
    assert section["masks"] is True and section["prototypes"] == 6 and section["attributes"] == list(ATTRIBUTES)
    model = onnx.load(str(shop.bundle / "detector.onnx"))
    assert {node.domain for node in model.graph.node} == {""}
    report = json.loads((shop.bundle / "report.json").read_text())
    assert {"prototypes", "detections_without_twin"} <= set(report["parity"])
    assert report["parity"]["prototypes"]["count"] == (2 + len(SHAPES)) * 6 * 32 * 32


def test_bundle_verifies_and_a_changed_tensor_does_not(shop: MaskShop, tmp_path: Path) -> None:
    assert all(check.passed for check in verify(shop.bundle))
    for name, message in (
        ("coefficients", "golden detections are not found"),
        ("attributes", "golden detections are not found"),
        ("prototypes", "prototypes differs by"),
    ):
        own = Path(shutil.copytree(shop.bundle, tmp_path / name / shop.bundle.name))
        path = own / "golden" / f"000.{name}.npy"
        np.save(path, np.load(path) + np.float32(0.5))
        reseal(own, lambda manifest: None)
        failed = [check for check in verify(own) if not check.passed]
        assert len(failed) == 1 and message in failed[0].detail


@pytest.mark.parametrize("tiling", [None, Tiling(160, 60), Tiling(160, 60, whole=True)])
def test_runtime_says_what_torch_says(shop: MaskShop, tiling: Tiling | None) -> None:
    image = shop.mosaic()
    expected = in_torch(shop, image, tiling, 0.7)
    found = Recognizer(Bundle.open(shop.bundle), threads=1, tiling=tiling).detect(image, 0.7, masks=True)
    assert len(expected) > 3 and abs(len(found) - len(expected)) <= 1
    same = iou(expected.boxes, found.boxes)
    assert found.masks is not None and found.attributes is not None and expected.attributes is not None
    theirs = list(expected.masks())
    matched = [int(row.argmax()) for row in same]
    agree = [
        same[i, j] > 0.98
        and abs(found.scores[j] - expected.scores[i]) < 1e-3
        and found.labels[j] == expected.labels[i]
        and np.abs(found.attributes[j] - expected.attributes[i]).max() < 1e-3
        and (mask_iou([theirs[i]], [found.masks[j]])[0, 0] > 0.97 or not theirs[i].bits.any())
        for i, j in enumerate(matched)
    ]
    # One box may stand at the very threshold.
    assert sum(agree) >= len(expected) - 1


def test_tiles_of_the_bundle_are_used_unless_told(shop: MaskShop) -> None:
    bundle, image = Bundle.open(shop.bundle), shop.mosaic()
    assert bundle.postprocess.tiles == Tiling(160, 60)
    tiled = Recognizer(bundle).detect(image, 0.5)
    assert len(tiled) == len(Recognizer(bundle, tiling=Tiling(160, 60)).detect(image, 0.5))
    assert len(tiled) > len(Recognizer(bundle, tiling=None).detect(image, 0.5))
    assert tiled.masks is None and tiled.polygons is None and tiled.attributes is not None


def test_decision_has_outlines_and_properties(shop: MaskShop) -> None:
    recognizer = Recognizer(Bundle.open(shop.bundle), tiling=None)
    image = shop.frames[0]
    result = recognizer.run(image)
    masks = recognizer.detect(image, 0.5, masks=True).masks
    assert masks is not None and len(result.decision.items) == len(masks) > 5
    drawn = 0
    for item, mask in zip(result.decision.items, masks, strict=True):
        assert list(item.attributes) == list(ATTRIBUTES) and all(0 <= value <= 1 for value in item.attributes.values())
        if len(item.polygon):
            corners = np.array(item.polygon)
            drawn += 1
            # Of several parts the largest is drawn, and a hole in it is filled.
            assert polygon_area(corners) > 0
            assert (corners >= np.array(item.box[:2]) - 1).all() and (corners <= np.array(item.box[2:]) + 1).all()
        else:
            assert not mask.bits.any()
    assert drawn > 3
    text = result.decision.to_json()
    assert Decision.from_json(text) == result.decision
    older = json.loads(text)
    for item in older["items"]:
        del item["attributes"]
    assert Decision.from_json(json.dumps(older)).items[0].attributes == {}
    assert result.timings["detect"] > 0 and result.timings["preprocess"] > 0


@pytest.mark.slow
def test_one_to_many_has_masks_too(shop: MaskShop, tmp_path: Path) -> None:
    words = [*export_words(shop.data, shop.checkpoint, None, tmp_path), "latency.images=0", "branch=one_to_many"]
    bundle = run(compose_verb("export", words, output_dir=tmp_path / "log"))
    assert all(check.passed for check in verify(bundle))
    assert Bundle.open(bundle).postprocess.tiles is None


def test_predict_in_tiles(shop: MaskShop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    picture = tmp_path / "large.png"
    Image.fromarray(shop.mosaic()).save(picture)
    counts = []
    for number, words in enumerate(([], ["--tile-size", "0"], ["--tile-size", "128", "--whole"], ["--overlap", "70"])):
        output = tmp_path / str(number)
        assert main(["predict", str(shop.bundle), str(picture), "--output", str(output), *words]) == 0
        counts.append(len(json.loads((output / "large.decision.json").read_text())["items"]))
    assert counts[0] > counts[1] and counts[2] > counts[1]
    capsys.readouterr()
    for words, message in (
        (["--tile-size", "0", "--overlap", "70"], "give --tile-size too"),
        (["--tile-size", "16"], "size=16: expected 32"),
        (["--overlap", "120"], "overlap=120: expected a tenth to a half of size=160"),
        (["--tile-size", "many"], "'many': expected a whole number of pixels"),
    ):
        assert main(["predict", str(shop.bundle), str(picture), *words]) == 2
        assert message in capsys.readouterr().err


def test_tiles_that_do_not_fit_are_refused(shop: MaskShop, tmp_path: Path) -> None:
    words = [*export_words(shop.data, shop.checkpoint, None, tmp_path), "tiles.size=640", "tiles.overlap=500"]
    with pytest.raises(ConfigError, match="overlap=500: expected a tenth to a half of size=640"):
        run(compose_verb("export", words, output_dir=tmp_path / "log"))
    own = Path(shutil.copytree(shop.bundle, tmp_path / shop.bundle.name))
    path = own / "postprocess.json"
    content = json.loads(path.read_text())
    for tiles, message in (
        ({"size": 640}, "expected size, overlap"),
        ({"size": 640, "overlap": "9", "whole": False}, "expected size, overlap"),
        ({"size": 640, "overlap": 9, "whole": False}, "overlap=9: expected a tenth"),
    ):
        path.write_text(json.dumps(content | {"tiles": tiles}))
        reseal(own, lambda manifest: None)
        with pytest.raises(BundleError, match=message):
            Bundle.open(own)
    del content["tiles"]
    path.write_text(json.dumps(content))
    reseal(own, lambda manifest: None)
    assert Bundle.open(own).postprocess.tiles is None


def test_baselines_are_refused() -> None:
    model = FCOS("mobilenetv4_conv_small_050", num_classes=2, image_size=64, channels=32)
    with pytest.raises(ConfigError, match="FCOS is a baseline to compare with and cannot be exported"):
        DetectorGraph(model, branch="one_to_one", top_k=10, nms_iou=0.5)
