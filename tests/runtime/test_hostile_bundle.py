"""A bundle as a stranger might make it: tampered with anywhere, or sound in its checksums and wrong in everything else."""

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facings.benchmark.fuzz_specimen import KEY, make_specimen
from facings.errors import BundleError, DataError, FacingsError, GalleryError
from facings.files import sha256
from facings.runtime.array_file import read_array
from facings.runtime.bundle import Bundle, covered_files, safe_member
from facings.runtime.gallery import Gallery
from facings.runtime.images import read_image
from facings.runtime.verify import verify
from facings.structures import Decision

REFUSED = (BundleError, GalleryError)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_specimen(tmp_path / "specimen-1", signed=False)


def sealed(bundle: Path, change: Callable[[dict[str, Any]], object], member: str = "bundle.json") -> Path:
    """Change a JSON member and make all checksums fit."""
    content = json.loads((bundle / member).read_text())
    change(content)
    (bundle / member).write_text(json.dumps(content))
    manifest = json.loads((bundle / "bundle.json").read_text())
    if isinstance(manifest.get("files"), dict):
        for entry in manifest["files"].values():
            if isinstance(entry, dict) and isinstance(entry.get("file"), str) and (bundle / entry["file"]).is_file():
                entry["sha256"] = sha256(bundle / entry["file"])
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    (bundle / "SHA256SUMS").write_text("".join(f"{sha256(bundle / n)}  {n}\n" for n in covered_files(bundle)))
    return bundle


def test_one_flipped_byte_anywhere_is_refused(tmp_path: Path) -> None:
    """First, last and some bytes between of every file of a signed bundle, each with some bit turned over. Versions behind the
    one in force are not read when a bundle is opened; `verify` reads them."""
    bundle, rng = make_specimen(tmp_path / "specimen-1"), Random(0)
    Bundle.open(bundle, require_key=KEY.public)
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    assert len(files) > 20 and bundle / "signature.json" in files
    in_force = {
        "000001/vectors.npy",
        "000001/item.npy",
        "000001/calibration_vectors.npy",
        "000001/calibration_scores.npy",
    }
    for path in files:
        data = path.read_bytes()
        places = {0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(4))} if data else set()
        name = path.relative_to(bundle).as_posix()
        behind = name.startswith("gallery/000001/") and name.removeprefix("gallery/") not in in_force
        for place in sorted(places):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :])
            if behind:
                failed = {check.name for check in verify(bundle) if not check.passed}
                assert "gallery history" in failed, (name, place)
                continue
            with pytest.raises(REFUSED):
                Bundle.open(bundle)
                pytest.fail(f"{name}, byte {place}")
        path.write_bytes(data)
    assert Bundle.open(bundle, require_key=KEY.public).name == "specimen-1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema="facings.bundle/" + "1" * 5000), "schema is"),
        (lambda m: m.update(schema="facings.bundle/١"), "schema is"),
        (lambda m: m.update(schema=None), "schema is None"), (lambda m: m.update(graphs=[]), "lacks the tables"),
        (lambda m: m["graphs"].update(detector=3), "entry 'detector' lacks file"),
        (lambda m: m["graphs"].pop("crop"), "no crop graph"),
        (lambda m: m["graphs"].update(shell={}), "unknown graph role 'shell'"),
        (lambda m: m["files"].pop("taxonomy"), "lacks 'taxonomy'"),
        (lambda m: m["files"]["golden"].update(file="."), "not a file name"),
        (lambda m: m["files"]["golden"].update(file="/etc/passwd"), "leaves the bundle"),
        (lambda m: m["files"].update(x={"file": "a\0b"}), "lacks file"),
        (lambda m: m["graphs"]["crop"].update(opset=True), r"bundle\.json says 10, True"),
        (lambda m: m.pop("name"), "name is None"),
        (lambda m: m.update(version="\x1b[2J"), "version is"), (lambda m: m.update(detector=None), "detector is None"),
        (lambda m: m["detector"].update(labels="product"), "labels is 'product'"),
        (lambda m: m["detector"].update(image_size=2**40), "image_size"),
        (lambda m: m["detector"].update(image_size=64), "pixels is"),
        (lambda m: m["embedder"].update(dimension=5), "dimension|embeddings is"),
        (lambda m: m["embedder"].update(dimension=True), "dimension is True"),
        (lambda m: m["detector"].update(attributes=[1]), "attributes is"),
        (lambda m: m["graphs"]["detector"]["inputs"][0].update(name="crops"), "inputs are told as"),
        (lambda m: m["graphs"]["detector"]["outputs"][0].update(shape=["b", 5, 4]), "outputs are told as"),
        (lambda m: m["graphs"]["detector"].update(outputs={}), "outputs are told as"),
        (lambda m: m["graphs"]["detector"].update(precisions=[1]), "'precisions' of 'detector'"),
        (lambda m: m["graphs"]["detector"]["precisions"].update(int8=None), "lacks file"),
        (lambda m: m["graphs"]["detector"].update(auto=["int8"]), "which it does not have"),
    ],
)  # fmt: skip
def test_a_manifest_that_is_wrong(bundle: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(REFUSED, match=message):
        Bundle.open(sealed(bundle, change))


@pytest.mark.parametrize(
    ("member", "change", "message"),
    [
        ("postprocess.json", {"top_k": 5.0}, "top_k is 5.0; expected a whole number"),
        ("postprocess.json", {"max_detections": 2**62}, "out of its range"),
        ("postprocess.json", {"crop_margin": 1e300}, "out of its range"),
        ("postprocess.json", {"nms_iou": -1}, "out of its range"),
        ("postprocess.json", {"tiles": {"size": 2**60, "overlap": 2**59, "whole": True}}, "tiles is"),
        ("postprocess.json", {"tiles": [1]}, "tiles is"),
        ("postprocess.json", {"score_threshold": True}, "score_threshold is True"),
        ("taxonomy.json", {"products": []}, "products is"), ("taxonomy.json", {"products": {"a": 1}}, "product 'a' is 1"),
        ("taxonomy.json", {"products": {"": {}}}, "no product id"),
        ("taxonomy.json", {"products": {"a": {"name": 3}}}, "name is 3"),
        ("taxonomy.json", {"products": {"a": {"category": "Fruit"}}}, "category is 'Fruit'"),
        ("taxonomy.json", {"products": {"a": {"category": ["x"] * 33}}}, "category is"),
        ("taxonomy.json", {"products": {"a": {"gtin": "4" * 2000}}}, "gtin is"),
    ],
)  # fmt: skip
def test_tables_that_are_wrong(bundle: Path, member: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=rf"{member}: .*{message}"):
        Bundle.open(sealed(bundle, lambda content: content.update(change), member))


def test_trees_that_no_bundle_has(bundle: Path, tmp_path: Path) -> None:
    deep = bundle / "/".join("abcdefghij")
    deep.mkdir(parents=True)
    with pytest.raises(BundleError, match="nested more than 8 deep"):
        Bundle.open(bundle)
    shutil.rmtree(bundle / "a")
    (bundle / "link").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BundleError, match="is a link"):
        Bundle.open(bundle)
    (bundle / "link").unlink()
    os.mkfifo(bundle / "gallery" / "pipe")
    with pytest.raises(BundleError, match="neither a file nor a folder"):
        Bundle.open(bundle)
    (bundle / "gallery" / "pipe").unlink()
    odd = os.fsencode(bundle) + b"/odd\xff\n"
    Path(os.fsdecode(odd)).write_bytes(b"")
    with pytest.raises(BundleError, match="is no name for a bundle's member") as told:
        Bundle.open(bundle)
    str(told.value).encode()
    Path(os.fsdecode(odd)).unlink()
    with (bundle / "huge.bin").open("wb") as file:
        file.truncate((2 << 30) + 1)
    with pytest.raises(BundleError, match="2147483649 bytes; at most"):
        Bundle.open(bundle)
    (bundle / "huge.bin").unlink()
    (bundle / "SHA256SUMS").write_bytes(b"\xff" * 64 + b"  x\n")
    with pytest.raises(BundleError, match="line 1: expected 'sha256  path'"):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    "name", [".", "", "/", "..", "a/../../b", "a\\b", "C:/x", "a/C:x", "a\0b", "a\nb", None, 3, "x" * 256, "a/" * 20]
)
def test_names_that_leave_the_folder(name: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"not a file name|leaves the bundle"):
        safe_member(tmp_path, name)


def change_manifest(folder: Path, **changes: Any) -> None:
    """Change the manifest of the gallery version in force, and its pointer."""
    version = (folder / "CURRENT").read_text().split()[0]
    path = folder / version / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (folder / "CURRENT").write_text(f"{version} {sha256(path)}\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"items": ["gala", "fuji", 3]}, {"items": "gala"}, {"items": ["gala", "gala", "milk"]}, {"items": [""] * 3},
        {"retired": [["gala"]]},
        {"retired": ["gala", "fuji", "milk"]}, {"products": {"gala": []}}, {"products": {"gala": {"category": 5}}},
        {"segments": None},
        {"segments": [{"file": "../../x.npy", "sha256": "0" * 64}]}, {"segments": [3]}, {"files": {}},
        {"files": {"item": 1}},
        {"calibration_items": [1, 2, 3]}, {"calibration_items": []}, {"embedder_sha256": None}, {"parent": 7},
        {"parent": "../../x"},
        {"changes": [1]}, {"author": {}}, {"version": "000003"}, {"schema": "facings.gallery/2"},
    ],
)  # fmt: skip
def test_gallery_manifests_that_are_wrong(bundle: Path, changes: dict[str, Any]) -> None:
    change_manifest(bundle / "gallery", **changes)
    with pytest.raises(GalleryError):
        Gallery.open(bundle / "gallery")


def test_vectors_that_would_win_against_everything(bundle: Path) -> None:
    folder = bundle / "gallery"
    path = folder / "000001" / "vectors.npy"
    for vectors, message in (
        (np.eye(3, 4) * 1e30, "unit length"),
        (np.full((3, 4), np.nan), "not finite"),
        (np.eye(3, 5), "dimension"),
    ):
        old = sha256(path)
        np.save(path, vectors.astype(np.float32))
        manifest = (folder / "000002" / "manifest.json").read_text().replace(old, sha256(path))
        (folder / "000002" / "manifest.json").write_text(manifest)
        change_manifest(folder)
        with pytest.raises(GalleryError, match=message):
            Bundle.open(bundle)


def test_golden_samples_that_are_wrong(bundle: Path) -> None:
    from facings.runtime.verify import golden_arrays, golden_index

    path = bundle / "golden" / "index.json"
    sound = json.loads(path.read_text())
    sample = sound["samples"][0]
    for change in (
        {"samples": 3}, {"samples": [3]}, {"samples": [sample | {"arrays": {}}]}, {"tolerances": {}},
        {"tolerances": {"boxes": "1"}},
        {"samples": [sample | {"arrays": sample["arrays"] | {"shell": "x"}}]}, {"tolerances": {"boxes": -1}},
    ):  # fmt: skip
        path.write_text(json.dumps(sound | change))
        with pytest.raises(BundleError):
            golden_index(path)
    for name in ("../../x.npy", "none.npy", "000.embeddings.npy", 3):
        with pytest.raises(BundleError):
            golden_arrays(path, sample | {"arrays": {"image": name}})


def test_arrays_are_as_numpy_reads_them(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "x.npy"
    for values in (
        np.float32(3),
        np.zeros((0, 4)),
        rng.normal(size=(3, 4, 5)),
        np.asfortranarray(rng.normal(size=(3, 4))),
        np.arange(5) > 2,
    ):
        np.save(path, values)
        found = read_array(path)
        np.testing.assert_array_equal(found, np.load(path))
        assert found.dtype == np.load(path).dtype and found.shape == np.shape(values)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="holds object"):
        read_array(path)


def test_pictures_that_are_bombs(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (8, 8)).save(path)
    sound = path.read_bytes()

    def telling(width: int, height: int) -> bytes:
        """The same picture, whose header says that it is so large."""
        header = b"IHDR" + struct.pack(">II", width, height) + sound[24:29]
        return sound[:12] + header + struct.pack(">I", zlib.crc32(header)) + sound[33:]

    assert telling(8, 8) == sound
    path.write_bytes(telling(20_000, 20_000))
    with pytest.raises(DataError, match="more pixels than are read"):
        read_image(path)
    path.write_bytes(telling(10_000, 9_000))
    with pytest.raises(DataError, match="no photo is so small"):
        read_image(path)
    for data in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.4", b"", b"\x00" * 100):
        path.write_bytes(data)
        with pytest.raises(DataError, match="not a picture that is read"):
            read_image(path)


@pytest.mark.parametrize(
    "change",
    [
        {"items": None}, {"items": {}}, {"gallery_version": 3}, {"items": [3]}, {"schema": ["x"]},
        *({"items": [field]} for field in (
            {"box": [0, 0, 1]}, {"box": ["0"] * 4}, {"box": [0, 0, 1, True]}, {"status": "sure"}, {"status": []},
            {"product_id": 4011},
            {"category": "Fruit"}, {"candidates": [[]]}, {"candidates": [{"product_id": "a"}]}, {"polygon": [[1]]},
            {"attributes": []},
            {"attributes": {"a": None}}, {"detection_score": None},
        )),
    ],
)  # fmt: skip
def test_decisions_that_are_wrong(change: dict[str, Any]) -> None:
    item = {
        "box": [0, 0, 1, 1], "detection_score": 0.5, "status": "unknown", "product_id": None, "category": [], "candidates": [],
        "polygon": [], "attributes": {},
    }  # fmt: skip
    sound = {"schema": "facings.decision/1", "gallery_version": "000001", "items": [item]}
    assert len(Decision.from_json(json.dumps(sound)).items) == 1
    if isinstance(change.get("items"), list) and isinstance(change["items"][0], dict):
        change = {"items": [item | change["items"][0]]}
    with pytest.raises(ValueError, match=r".+") as told:
        Decision.from_json(json.dumps(sound | change))
    assert not isinstance(told.value, FacingsError)
