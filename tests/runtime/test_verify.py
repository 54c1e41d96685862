"""A bundle that was made here verifies; one that was touched does not."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from facings.errors import BundleError, GalleryError
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.cli import main
from facings.runtime.verify import unmatched_detections, verify
from tests.conftest import TinyShop


def test_fresh_bundle_verifies(tiny_shop: TinyShop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny_shop.bundle)]) == 0
    printed = capsys.readouterr().out
    assert "verified" in printed and "FAILED" not in printed
    assert printed.count("golden sample") == 2


@pytest.mark.parametrize(
    "member",
    [
        "bundle.json", "SHA256SUMS", "preprocess.onnx", "detector.onnx", "crop.onnx", "embedder.onnx", "match.onnx",
        "postprocess.json", "taxonomy.json", "golden/index.json", "golden/000.image.npy", "report.json", "MODEL_CARD.md",
        "LICENCES.json", "train_config.yaml", "gallery/CURRENT", "gallery/000001/manifest.json",
        "gallery/000001/vectors.npy", "gallery/000001/calibration_scores.npy",
    ],
)  # fmt: skip
def test_one_changed_byte_is_refused(own_bundle: Path, member: str) -> None:
    path = own_bundle / member
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises((BundleError, GalleryError), match=re.escape(str(own_bundle))):
        Bundle.open(own_bundle)
    assert main(["verify", str(own_bundle)]) == 1


def test_missing_and_added_files_are_refused(own_bundle: Path) -> None:
    (own_bundle / "MODEL_CARD.md").rename(own_bundle / "CARD.md")
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md is listed"):
        Bundle.open(own_bundle)
    (own_bundle / "CARD.md").rename(own_bundle / "MODEL_CARD.md")
    (own_bundle / "extra.bin").write_bytes(b"1")
    with pytest.raises(BundleError, match=r"extra\.bin is not listed"):
        Bundle.open(own_bundle)


def test_links_and_escapes_are_refused(own_bundle: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    (own_bundle / "link.json").symlink_to(outside)
    with pytest.raises(BundleError, match="is a link"):
        Bundle.open(own_bundle)
    (own_bundle / "link.json").unlink()
    reseal(own_bundle, lambda manifest: manifest["files"]["report"].update(file="../outside.json"))
    with pytest.raises(BundleError, match="leaves the bundle"):
        Bundle.open(own_bundle)


def test_other_schema_and_other_embedder_are_refused(own_bundle: Path) -> None:
    reseal(own_bundle, lambda manifest: manifest.update(schema="facings.bundle/2"))
    with pytest.raises(BundleError, match=r"facings\.bundle/2.*reads facings\.bundle/1"):
        Bundle.open(own_bundle)
    reseal(own_bundle, lambda manifest: manifest.update(schema="facings.bundle/1"))
    # The same network with another producer note is another file: its gallery does not count for it.
    path = own_bundle / "embedder.onnx"
    path.write_bytes(path.read_bytes() + b"\x12\x01x")
    reseal(own_bundle, lambda manifest: manifest["graphs"]["embedder"].update(sha256=sha256(path)))
    with pytest.raises(GalleryError, match="enroll again"):
        Bundle.open(own_bundle)


def test_wrong_golden_answer_is_found(own_bundle: Path) -> None:
    path = own_bundle / "golden" / "000.embeddings.npy"
    vectors = np.load(path)
    np.save(path, -vectors)
    reseal(own_bundle, lambda manifest: None)
    failed = [check for check in verify(own_bundle) if not check.passed]
    assert len(failed) == 1 and "embeddings differs by" in failed[0].detail


def test_twins_are_found_in_any_order() -> None:
    boxes = np.array([[[0, 0, 9, 9], [20, 20, 30, 30]]], np.float32)
    first = {"boxes": boxes, "scores": np.array([[0.9, 0.9]]), "labels": np.array([[0, 1]])}
    second = {name: value[:, ::-1] for name, value in first.items()}
    limits = {"boxes": 0.5, "scores": 1e-3}
    assert unmatched_detections(first, second, least=0.1, tolerances=limits) == 0
    second["labels"] = np.array([[0, 0]])
    assert unmatched_detections(first, second, least=0.1, tolerances=limits) == 1


def test_twins_have_the_same_coefficients() -> None:
    boxes, scores = np.array([[[0, 0, 9, 9], [0, 0, 9, 9]]], np.float32), np.array([[0.9, 0.9]])
    first = {
        "boxes": boxes,
        "scores": scores,
        "labels": np.zeros((1, 2), int),
        "coefficients": np.array([[[1.0], [2.0]]]),
    }
    second = first | {"coefficients": first["coefficients"][:, ::-1]}
    limits = {"boxes": 0.5, "scores": 1e-3, "coefficients": 0.1}
    assert unmatched_detections(first, second, least=0.1, tolerances=limits) == 0
    second["coefficients"] = np.array([[[1.05], [1.5]]])
    assert unmatched_detections(first, second, least=0.1, tolerances=limits) == 1
    del second["coefficients"]
    assert unmatched_detections(first, second, least=0.1, tolerances=limits) == 2


def test_verify_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 1
    assert "holds no bundle.json" in capsys.readouterr().out


def reseal(bundle: Path, change: object) -> None:
    """Change bundle.json and make the checksums fit again, as a careful attacker would."""
    manifest = json.loads((bundle / "bundle.json").read_text())
    change(manifest)  # type: ignore[operator]
    for entry in manifest["files"].values():
        member = bundle / entry["file"]
        if member.is_file() and ".." not in entry["file"]:
            entry["sha256"] = sha256(member)
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    names = sorted(
        p.relative_to(bundle).as_posix()
        for p in bundle.rglob("*")
        if p.is_file() and p.name != "SHA256SUMS" and "gallery" not in p.relative_to(bundle).parts
    )
    (bundle / "SHA256SUMS").write_text("".join(f"{sha256(bundle / n)}  {n}\n" for n in names))
