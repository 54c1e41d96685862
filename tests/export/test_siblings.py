"""A bundle with files of eight bits beside the float ones: made, chosen, run, verified, refused when touched."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from facings.commands.composition import compose_verb
from facings.commands.quantization import add_siblings, check_quantization, quantization_report
from facings.data.tables import read_recognition_table
from facings.errors import BundleError, ConfigError
from facings.export.bundle import seal, shrink, write_golden
from facings.export.decision_parity import Agreement, require_agreement, shaped_pictures
from facings.export.enrolment import views_of_rows
from facings.export.sibling_parity import sibling_differences, sibling_limits
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import decision_agreement, verify
from facings.structures import Decision, Item
from tests.conftest import TinyShop

LIMITS = {
    "pixels": 0.01, "crops": 0.01, "transform": 1e-6, "boxes": 0.5, "scores": 1e-3, "coefficients": 1e-3,
    "prototypes": 1e-3, "attributes": 1e-3, "embeddings": 1e-3, "similarities": 1e-3,
}  # fmt: skip


def words(data: Path, *more: str) -> list[str]:
    """Overrides of an export whose smaller files are judged on the tiny set, leniently, without asking for speed."""
    table, pictures = data / "recognition.csv", data / "images" / "val"
    return [
        "detector=x", "embedder=y", f"parity.images={pictures}", f"gallery.table={table}", "gallery.split=val", "threads=1",
        "quantization=int8", f"quantization.evaluation.annotations={data / 'instances_val.json'}",
        f"quantization.evaluation.images={pictures}", "quantization.evaluation.limit=6", "quantization.calibration.count=3",
        "quantization.groups=5", "quantization.cost_samples=1", "quantization.rounds=2", "quantization.min_speedup=0",
        "quantization.ap_loss=100", "quantization.r1_loss=100", *more,
    ]  # fmt: skip


def add_int8(bundle: Path, data: Path, folder: Path) -> dict[str, Any]:
    """Give an exported bundle int8 files and golden samples of them; returns report.json's `quantization`."""
    cfg = compose_verb("export", words(data), output_dir=folder)
    check_quantization(cfg)
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest = {name: value for name, value in manifest.items() if name not in ("files", "schema")}
    views = views_of_rows(read_recognition_table(data / "recognition.csv").select(split="train", role="train"))
    verdicts = add_siblings(bundle, cfg, manifest, views, Console(quiet=True))
    seal(bundle, manifest)
    opened = Bundle.open(bundle, precision="float32")
    truth, smaller = Recognizer(opened, threads=1), Recognizer(opened.at("int8"), threads=1)
    image = shrink(read_image(sorted((data / "images" / "val").glob("*.jpg"))[0]), 320)
    differences = sibling_differences(truth, smaller, {"frame": image})
    siblings = {"int8": (smaller, sibling_limits(LIMITS, differences))}
    write_golden(bundle, truth, [image], limits=LIMITS, siblings=siblings)
    seal(bundle, manifest)
    found = quantization_report(cfg, verdicts)["quantization"]
    return dict(found) | {"differences": differences}


@pytest.fixture(scope="module")
def smaller(tiny_shop: TinyShop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    home = tmp_path_factory.mktemp("smaller")
    bundle = Path(shutil.copytree(tiny_shop.bundle, home / tiny_shop.bundle.name))
    return bundle, add_int8(bundle, tiny_shop.data, home / "log")


def check_files(bundle: Path, report: dict[str, Any]) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["schema"] == "facings.bundle/1.1"
    for role in ("detector", "embedder"):
        entry = manifest["graphs"][role]
        sibling = entry["precisions"]["int8"]
        assert entry["auto"] == "int8" and sibling["file"] == f"{role}.int8.onnx"
        assert sha256(bundle / sibling["file"]) == sibling["sha256"] != entry["sha256"]
        assert (bundle / sibling["file"]).stat().st_size < 0.5 * (bundle / entry["file"]).stat().st_size
        network = report["networks"][role]
        assert network["accepted"] and len(network["layer_costs"]) <= 5 and network["speedup"]["value"] > 0
        assert network["loss"] == pytest.approx(network["float32"] - network["int8"])
    json.dumps(report, allow_nan=False)
    assert report["differences"]["embeddings"]["cosine"] > 0.9


def check_precisions(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert opened.precisions == ("float32", "int8") and opened.precision == "auto"
    assert opened.graph_path("detector").name == "detector.int8.onnx"
    assert opened.at("float32").graph_path("detector").name == "detector.onnx"
    assert opened.at("int8").graph_path("preprocess").name == "preprocess.onnx"
    # One embedder, one gallery: both files answer to it.
    assert opened.at("int8").embedder_sha256 == opened.at("float32").embedder_sha256
    with pytest.raises(BundleError, match=r"has no float16 graph, only float32, int8.*quantization=float16"):
        opened.at("float16")
    with pytest.raises(BundleError, match="precision is 'int4'; expected one of auto"):
        Bundle.open(bundle, precision="int4")  # type: ignore[arg-type]


def check_goldens(bundle: Path) -> None:
    checks = verify(bundle, threads=1)
    assert all(check.passed for check in checks), [check.detail for check in checks if not check.passed]
    names = [check.name for check in checks]
    assert "golden sample 000" in names and "golden sample 000, int8" in names
    index = json.loads((bundle / "golden" / "index.json").read_text())
    own = index["precisions"]["int8"]["samples"][0]["arrays"]
    assert own["image"] == "000.image.npy" and own["embeddings"] == "000.int8.embeddings.npy"


def test_smaller_files_are_beside_the_float_ones(smaller: tuple[Path, dict[str, Any]]) -> None:
    check_files(*smaller)


def test_precision_is_chosen_by_whoever_opens(smaller: tuple[Path, dict[str, Any]]) -> None:
    check_precisions(smaller[0])


def test_both_precisions_are_verified(smaller: tuple[Path, dict[str, Any]]) -> None:
    check_goldens(smaller[0])


def test_touched_sibling_is_refused(smaller: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    check_touched(Path(shutil.copytree(smaller[0], tmp_path / "own")))


def check_touched(bundle: Path) -> None:
    path = bundle / "detector.int8.onnx"
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    with pytest.raises(BundleError, match=r"detector\.int8\.onnx: wrong checksum"):
        Bundle.open(bundle)
    with pytest.raises(BundleError, match=r"its checksum is not the one that bundle\.json gives for 'detector int8'"):
        Bundle.open(bundle, check=False)
    path.write_bytes(content)
    manifest = json.loads((bundle / "bundle.json").read_text())
    for change, message in (
        ({"auto": "float16"}, "runs 'float16' by itself, which it does not have"),
        ({"precisions": {"int2": {}}}, "has precision 'int2'; known are int8, float16"),
        ({"precisions": []}, "expected files by precision"),
        ({"precisions": {"int8": {"file": "../x.onnx", "sha256": "0"}}}, "leaves the bundle's folder"),
    ):
        graphs = manifest["graphs"] | {"detector": manifest["graphs"]["detector"] | change}
        (bundle / "bundle.json").write_text(json.dumps(manifest | {"graphs": graphs}))
        with pytest.raises(BundleError, match=message):
            Bundle.open(bundle, check=False)
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    other = np.load(bundle / "golden" / "000.int8.embeddings.npy")
    np.save(bundle / "golden" / "000.int8.embeddings.npy", -other)
    files = manifest | {}
    del files["files"], files["schema"]
    seal(bundle, files)
    failed = [check for check in verify(bundle, threads=1) if not check.passed]
    assert [check.name for check in failed] == ["golden sample 000, int8"] and "embeddings differs" in failed[0].detail


def test_quantization_wants_something_to_judge_by(tmp_path: Path) -> None:
    data = tmp_path
    cases = [
        ("quantization.evaluation.annotations=null", r"exported file's AP: give quantization\.evaluation\.annotations"),
        ("quantization.evaluation.table=null", r"exported file's R@1: give quantization\.evaluation\.table"),
        ("quantization.precision=int4", "precision='int4': expected int8 or float16"),
        ("quantization.method=median", "expected one of minmax, entropy, percentile"),
        ("quantization.most_float=2", "expected a share"),
        ("quantization.rounds=0", "expected 1 or more"),
    ]
    for word, message in cases:
        with pytest.raises(ConfigError, match=message):
            check_quantization(compose_verb("export", words(data, word), output_dir=tmp_path))
    check_quantization(compose_verb("export", ["quantization=none"], output_dir=tmp_path))
    half = compose_verb("export", [w.replace("=int8", "=float16") for w in words(data)], output_dir=tmp_path)
    assert half.quantization.precision == "float16" and half.quantization.ap_loss == 100


def item(x: float, status: str = "known", product: str | None = "apple") -> Item:
    return Item((x, 0.0, x + 10, 10.0), 0.9, status, product, (), ())  # type: ignore[arg-type]


def test_decisions_agree_item_by_item() -> None:
    first = Decision("000001", (item(0), item(100), item(200, "unknown", None)))
    assert decision_agreement(first, first) == (3, 3)
    moved = Decision("000001", (item(202, "unknown", None), item(1), item(100, product="pear")))
    assert decision_agreement(first, moved) == (2, 3)
    doubled = Decision("000001", (item(0), item(0), item(100), item(200, "unknown", None)))
    assert decision_agreement(first, doubled) == (3, 4)
    nothing = Decision(None, ())
    assert decision_agreement(nothing, nothing) == (0, 0) and decision_agreement(first, nothing) == (0, 3)


def test_agreement_below_a_thousandth_off_is_required() -> None:
    assert Agreement({"none": (0, 0)}).share == 1.0
    require_agreement(Agreement({"a": (9, 10), "b": (10, 10)}))
    require_agreement(Agreement({"a": (2997, 3000), "b": (2995, 3000)}))
    # Two of so few are not yet more than chance gives; three are.
    require_agreement(Agreement({"a": (277, 279)}))
    with pytest.raises(BundleError, match="3 of 279"):
        require_agreement(Agreement({"a": (276, 279)}))
    with pytest.raises(BundleError, match=r"differently on 2 of 20 items \(most on b\)"):
        require_agreement(Agreement({"a": (10, 10), "b": (8, 10)}))


def test_pictures_of_every_shape(rng: np.random.Generator) -> None:
    made = shaped_pictures(rng.integers(0, 256, (90, 160, 3), dtype=np.uint8))
    assert {name: image.shape[:2] for name, image in made.items()} == {
        "square": (640, 640), "wide": (240, 1600), "tall": (1600, 240), "tiny": (11, 17), "4k": (2160, 3840)
    }  # fmt: skip
    assert all(image.dtype == np.uint8 and image.flags.c_contiguous for image in made.values())
    one = shaped_pictures(np.full((1, 1, 3), 7, np.uint8))
    assert all((image == 7).all() for image in one.values())
