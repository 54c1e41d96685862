"""An old bundle's gallery taken over by a new one: refused unless the new embedder is compatible, and then whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from facings.errors import BundleError, GalleryError
from facings.export.bundle import seal
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.cli import main
from facings.runtime.gallery_adoption import adopt, compatible_embedders
from facings.runtime.recognizer import Recognizer
from tests.benchmark.conftest import make_bundle, make_gallery


def sealed(folder: Path, **embedder: object) -> Path:
    """Its manifest with further facts of the embedder."""
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["embedder"] |= embedder
    seal(folder, {name: value for name, value in manifest.items() if name not in ("schema", "files")})
    return folder


def upgraded(folder: Path) -> Path:
    """A bundle whose embedder computes the same by another file."""
    make_bundle(folder)
    model = onnx.load(str(folder / "embedder.onnx"))
    model.doc_string = "a later edition"
    onnx.save(model, str(folder / "embedder.onnx"))
    digest = sha256(folder / "embedder.onnx")
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["graphs"]["embedder"]["sha256"] = digest
    (folder / "bundle.json").write_text(json.dumps(manifest))
    shutil.rmtree(folder / "gallery")
    make_gallery(folder, digest)
    return sealed(folder)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The old bundle knows two goods more than the new one, of which one is retired; the new one has lost its green."""
    old, new = make_bundle(tmp_path / "old-1"), upgraded(tmp_path / "new-2")
    gallery = Bundle.open(old).gallery()
    gallery = gallery.add(
        "yellow", np.array([[1, 1, 0.1], [1, 0.9, 0]], np.float32), details={"name": "Yellow", "plu": "4011"}
    )
    gallery.add("white", np.ones((1, 3), np.float32)).retire("white")
    Bundle.open(new).gallery().remove("green")
    return old, new


def test_a_gallery_of_another_embedder_is_refused_until_the_bundle_says_compatible(pair: tuple[Path, Path]) -> None:
    old, new = pair
    with pytest.raises(GalleryError, match=r"which is compatible with none: enroll again, .*--declare"):
        adopt(Bundle.open(new), Bundle.open(old))
    sealed(new, compatible_with=["0" * 64])
    with pytest.raises(GalleryError, match="compatible with 000000000000…: enroll again"):
        adopt(Bundle.open(new), Bundle.open(old))
    # Beside the verb there is no way in: the folder itself is not taken.
    shutil.rmtree(new / "gallery")
    shutil.copytree(old / "gallery", new / "gallery")
    with pytest.raises(GalleryError, match="enroll again, or, where the new one was trained to be compatible"):
        Bundle.open(new)


def test_adopted_products_are_answered_and_the_bundles_own_views_stand(pair: tuple[Path, Path]) -> None:
    old, new = pair
    sealed(new, compatible_with=[Bundle.open(old).embedder_sha256])
    before = Bundle.open(new).gallery()
    done = adopt(Bundle.open(new), Bundle.open(old), author="ann")
    assert done.adopted == ("green", "yellow", "white") and done.retired == ("white",) and done.kept == ("red", "blue")
    bundle = Bundle.open(new)
    gallery = bundle.gallery()
    assert gallery.version == done.gallery.version and gallery.manifest["parent"] == before.version
    assert gallery.items == ("red", "blue", "green", "yellow") and gallery.retired == ("white",)
    assert gallery.embedder_sha256 == bundle.embedder_sha256 and gallery.products["yellow"]["plu"] == "4011"
    for name, whose in (("yellow", old), ("green", old), ("white", old)):
        np.testing.assert_array_equal(gallery.views_of(name), Bundle.open(whose).gallery().views_of(name))
    np.testing.assert_array_equal(gallery.views_of("red"), before.views_of("red"))
    # Its own crops calibrate it, compared with what is there now: green ones meet the green of others' no more, but yellow.
    assert gallery.calibration_items == before.calibration_items
    np.testing.assert_array_equal(gallery.calibration_vectors, before.calibration_vectors)
    assert (gallery.calibration_scores >= before.calibration_scores - 1e-6).sum() >= 40
    change = next(c for c in gallery.manifest["changes"] if c["product_id"] == "yellow")
    assert change["embedder_sha256"] == Bundle.open(old).embedder_sha256 and change["views"] == 2
    assert gallery.manifest["reason"] == "adopt 3 products of old-1, version 000004"
    yellow = np.full((96, 96, 3), 128, np.uint8)
    yellow[:24, :24] = (230, 225, 20)
    decision = Recognizer(bundle).recognize(yellow)
    assert [item.product_id for item in decision.items] == ["yellow"]
    with pytest.raises(GalleryError, match="has no product that"):
        adopt(bundle, Bundle.open(old))


def test_the_verb_says_what_it_took(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    old, new = pair
    assert main(["gallery", str(new), "adopt", str(old)]) == 2
    assert "is compatible with none" in capsys.readouterr().err
    sealed(new, compatible_with=[Bundle.open(old).embedder_sha256])
    assert main(["gallery", str(new), "adopt", str(old), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["adopted"] == ["green", "yellow", "white"] and content["gallery_version"] == "000003"
    assert main(["gallery", str(new), "rollback", "2"]) == 0
    assert main(["gallery", str(new), "adopt", str(old), "--reason", "upgrade"]) == 0
    text = capsys.readouterr().out
    assert "4 products, 5 views, 1 retired; upgrade" in text and "2 products that were here already keep" in text
    assert main(["gallery", str(new), "adopt"]) == 2 and "adopt got 0 words" in capsys.readouterr().err


@pytest.mark.parametrize("told", ["all", [1], ["abc"], [["a" * 64]], ["A" * 64], {"a": 1}])
def test_a_field_that_is_no_list_of_checksums_is_refused(pair: tuple[Path, Path], told: object) -> None:
    bundle = Bundle.open(sealed(pair[1], compatible_with=told))
    with pytest.raises(BundleError, match=r"embedder\.compatible_with is .*expected a list of sha256"):
        compatible_embedders(bundle)


def test_a_bundle_without_embedder_has_nothing_to_adopt(pair: tuple[Path, Path], tmp_path: Path) -> None:
    boxes = make_bundle(tmp_path / "boxes-1", roles=("preprocess", "detector"))
    with pytest.raises(BundleError, match="has no embedder, and so no gallery"):
        adopt(Bundle.open(pair[1]), Bundle.open(boxes))
