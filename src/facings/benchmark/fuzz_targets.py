"""Every parser of the store that meets a stranger's file, with sound files to spoil and the errors that it documents.

Knows nothing of spoiling. A file inside a bundle is put back with checksums that fit it, as a careful attacker would do it: else
no more than the checksums were tried. What is taken is then asked for what the runtime asks of it.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

import numpy as np

from facings.benchmark.fuzz_mutations import Kind
from facings.benchmark.fuzz_specimen import KEY, make_specimen
from facings.data.taxonomy import read_taxonomy
from facings.errors import BundleError, ConfigError, DataError, FacingsError, GalleryError
from facings.runtime.bundle import Bundle, covered_files
from facings.runtime.enrolment_table import read_categories, read_requests
from facings.runtime.gallery import Gallery
from facings.runtime.gallery_history import history
from facings.runtime.images import read_image
from facings.runtime.signature import PrivateKey, PublicKey
from facings.runtime.track_events import Gone, Moved, event_from_json
from facings.runtime.verify import golden_arrays, golden_index
from facings.structures import Candidate, Decision, Item

OF_BUNDLE = (BundleError, GalleryError)


@dataclass(frozen=True)
class Target:
    """A parser. `seeds`: sound inputs; `parse`: takes one input; `documented`: what may come out of it; `mebibytes` and
    `seconds` of processor time: what one input may take."""

    name: str
    kind: Kind
    seeds: tuple[bytes, ...]
    parse: Callable[[bytes], object]
    documented: tuple[type[Exception], ...]
    mebibytes: int = 256
    seconds: float = 2.0


def targets(folder: Path) -> dict[str, Target]:
    """All parsers by name. `folder`: empty or new; scratch files lie there while the targets are used."""
    bundle = make_specimen(folder / "specimen-1")
    found = [*_of_bundle(bundle), *_of_gallery(bundle / "gallery"), *_of_files(folder), *_of_texts()]
    return {target.name: target for target in found}


def checksum(all_targets: dict[str, Target]) -> str:
    """Of the sound inputs: what the figures were got on."""
    digest = sha256_of()
    for name, target in sorted(all_targets.items()):
        digest.update(name.encode() + b"".join(sha256_of(seed).digest() for seed in target.seeds))
    return digest.hexdigest()


class _Resealed:
    """A bundle one of whose members is replaced for a moment, with every checksum made to fit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sound = {name: (folder / name).read_bytes() for name in [*covered_files(folder), "SHA256SUMS"]}
        self.digests = {name: sha256_of(data).hexdigest() for name, data in self.sound.items() if name != "SHA256SUMS"}

    def open(self, member: str, data: bytes) -> None:
        """Replace, open, use, and put back."""
        changed = {member: data}
        digest = sha256_of(data).hexdigest()
        if member != "bundle.json":
            manifest = self.sound["bundle.json"].replace(self.digests[member].encode(), digest.encode())
            changed["bundle.json"] = manifest
        digests = self.digests | {name: sha256_of(content).hexdigest() for name, content in changed.items()}
        changed["SHA256SUMS"] = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()
        self._write(changed)
        try:
            self.use()
        finally:
            self._write({name: self.sound[name] for name in changed})

    def open_sums(self, data: bytes) -> None:
        """The list of checksums itself."""
        self._write({"SHA256SUMS": data})
        try:
            Bundle.open(self.folder)
        finally:
            self._write({"SHA256SUMS": self.sound["SHA256SUMS"]})

    def use(self) -> None:
        bundle = Bundle.open(self.folder)
        gallery = bundle.gallery()
        for precision in bundle.precisions:
            other = bundle.at(precision)
            assert all(other.graph_path(role).is_file() for role in bundle.manifest["graphs"])
        for name in (*gallery.items, *bundle.taxonomy):
            list(bundle.product(name, gallery).get("category") or ())
        entry = bundle.manifest["files"].get("golden")
        for precision in bundle.precisions if entry else ():
            for sample in golden_index(bundle.path / entry["file"], precision)[1]["samples"]:
                golden_arrays(bundle.path / entry["file"], sample)
        str((bundle.name, bundle.labels, bundle.attributes, bundle.embedder_sha256)).encode()

    def _write(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            (self.folder / name).write_bytes(data)


def _of_bundle(folder: Path) -> list[Target]:
    signature = (folder / "signature.json").read_bytes()
    (folder / "signature.json").unlink()
    resealed = _Resealed(folder)
    members: dict[str, Kind] = {
        "bundle.json": "json", "postprocess.json": "json", "taxonomy.json": "json", "golden/index.json": "json",
        "golden/000.image.npy": "array", "calibration_mated.npy": "array", "detector.onnx": "bytes", "match.onnx": "bytes",
    }  # fmt: skip
    found = []
    for member, kind in members.items():

        def parse(data: bytes, member: str = member) -> None:
            resealed.open(member, data)

        found.append(Target(member, kind, (resealed.sound[member],), parse, OF_BUNDLE))

    def parse_signature(data: bytes) -> None:
        path = folder / "signature.json"
        path.write_bytes(data)
        try:
            Bundle.open(folder, require_key=KEY.public)
        finally:
            path.unlink()

    found.append(Target("SHA256SUMS", "bytes", (resealed.sound["SHA256SUMS"],), resealed.open_sums, OF_BUNDLE))
    found.append(Target("signature.json", "json", (signature,), parse_signature, OF_BUNDLE))
    return found


def _of_gallery(folder: Path) -> list[Target]:
    """The pointer, the manifest in force, and the arrays, each with checksums that fit."""
    pointer, home = folder / "CURRENT", folder / "000002"
    sound = {"CURRENT": pointer.read_bytes(), "manifest": (home / "manifest.json").read_bytes()}

    def use() -> None:
        gallery = Gallery.open(folder)
        for entry in history(folder):
            json.dumps(entry.to_dict()).encode()
        for details in gallery.products.values():
            list(details.get("category") or ())
        gallery.p_values(gallery.vectors[:, 0])
        str((gallery.items, gallery.retired, gallery.embedder_sha256)).encode()

    def parse_pointer(data: bytes) -> None:
        pointer.write_bytes(data)
        try:
            use()
        finally:
            pointer.write_bytes(sound["CURRENT"])

    def parse_manifest(data: bytes) -> None:
        (home / "manifest.json").write_bytes(data)
        pointer.write_text(f"000002 {sha256_of(data).hexdigest()}\n", encoding="utf-8")
        try:
            use()
        finally:
            (home / "manifest.json").write_bytes(sound["manifest"])
            pointer.write_bytes(sound["CURRENT"])

    found = [
        Target("gallery/CURRENT", "bytes", (sound["CURRENT"],), parse_pointer, (GalleryError,)),
        Target("gallery/manifest.json", "json", (sound["manifest"],), parse_manifest, (GalleryError,)),
    ]
    for name in ("vectors", "item", "calibration_scores"):
        path = folder / "000001" / f"{name}.npy"

        def parse_array(data: bytes, path: Path = path, before: bytes = path.read_bytes()) -> None:
            old, new = (sha256_of(content).hexdigest().encode() for content in (before, data))
            path.write_bytes(data)
            try:
                parse_manifest(sound["manifest"].replace(old, new))
            finally:
                path.write_bytes(before)

        found.append(Target(f"gallery/{name}.npy", "array", (path.read_bytes(),), parse_array, (GalleryError,)))
    return found


def _of_files(folder: Path) -> list[Target]:
    """Files that stand alone: pictures, tables, keys."""
    scratch = folder / "scratch"
    scratch.mkdir()
    pictures = _pictures()
    for name in ("a.png", "b.jpg"):
        (scratch / name).write_bytes(pictures[0])
    array = io.BytesIO()
    np.save(array, np.zeros((4, 6, 3), np.uint8))
    table = b"product_id,name,category,gtin,plu,sold_by,photos\n4173,Gala,Fruit/Apple,,4173,weight,a.png\n" + (
        b'milk,"Milk, 1 l",Dairy,4006381333931,,piece,a.png;*.jpg\n'
    )
    tree = b"category,parent\nFruit,\nApple,Fruit\nDairy,\n"
    taxonomy = json.dumps({"schema": "facings.taxonomy/1", "products": {"1": {"name": "Gala", "category": ["Fruit"]}}})
    listed = b"product_id,name,category,plu\n4173,Gala,Fruit/Apple,4173\nmilk,Milk,Dairy,\n"
    keys = [_pem_of("private"), _pem_of("public")]

    def from_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        path = scratch / name

        def parse(data: bytes) -> object:
            path.write_bytes(data)
            return read(path)

        return parse

    def table_of(path: Path) -> object:
        return read_requests(path, categories={"Apple": ("Fruit", "Apple"), "Dairy": ("Dairy",)})

    def either_key(path: Path) -> object:
        try:
            return PublicKey.read(path)
        except FacingsError:
            return PrivateKey.read(path)

    data = (DataError,)
    return [
        Target(
            "picture", "picture", tuple(pictures), from_file("x.img", read_image), data, mebibytes=1024, seconds=5.0
        ),
        Target("picture array", "array", (array.getvalue(),), from_file("x.npy", read_image), data),
        Target("enrolment table", "table", (table,), from_file("x.csv", table_of), data),
        Target("category table", "table", (tree,), from_file("y.csv", read_categories), data),
        Target("taxonomy (JSON)", "json", (taxonomy.encode(),), from_file("t.json", read_taxonomy), data),
        Target("taxonomy (CSV)", "table", (listed,), from_file("t.csv", read_taxonomy), data),
        Target("key", "bytes", tuple(keys), from_file("x.pem", either_key), (ConfigError,)),
    ]


def _of_texts() -> list[Target]:
    """What travels between programs as a line of JSON. `Decision.from_json` documents ValueError."""
    near = (Candidate("gala", 0.9, 0.01), Candidate("fuji", 0.8, 0.2))
    outline = ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0))
    items = (
        Item((1, 1, 9, 9), 0.9, "known", "gala", ("Fruit", "Apple"), near, outline, {"bagged": 0.25}),
        Item((5, 1, 9, 9), 0.5, "unknown", None, (), ()),
    )
    decisions = tuple(Decision(version, items).to_json().encode() for version in ("000001", None))
    box = (0.0, 0.0, 9.0, 9.0)
    events = tuple(event.to_json().encode() for event in (Gone(7, 3, "milk", box), Moved(8, 4, None, box, box)))

    def parse_decision(data: bytes) -> object:
        return Decision.from_json(_text(data)).to_json().encode()

    def parse_event(data: bytes) -> object:
        return event_from_json(_text(data)).to_json().encode()

    return [
        Target("decision", "json", decisions, parse_decision, (ValueError,)),
        Target("event", "json", events, parse_event, (DataError,)),
    ]


def _text(data: bytes) -> str:
    """As a program would hand it on that read bytes that are no UTF-8."""
    return data.decode("utf-8", errors="surrogateescape")


def _pem_of(kind: str) -> bytes:
    from facings.runtime.signature import PRIVATE, PUBLIC, _pem

    return (_pem(KEY.raw, *PRIVATE) if kind == "private" else _pem(KEY.public.raw, *PUBLIC)).encode()


def _pictures() -> list[bytes]:
    """One small picture in each format and mode that is read."""
    from PIL import Image

    values = np.arange(24 * 18 * 3, dtype=np.uint32).reshape(18, 24, 3) % 251
    rgb = Image.fromarray(values.astype(np.uint8))
    deep = Image.fromarray((values[..., 0] * 257).astype(np.uint16))
    turned = Image.Exif()
    turned[0x0112] = 6
    turned[0x010E] = "a shelf"
    made: list[tuple[Any, str, dict[str, Any]]] = [
        (rgb, "PNG", {}), (rgb.convert("P"), "PNG", {"transparency": 3}), (deep, "PNG", {}), (rgb.convert("RGBA"), "PNG", {}),
        (rgb, "JPEG", {"exif": turned}), (rgb.convert("CMYK"), "JPEG", {}), (rgb.convert("L"), "JPEG", {"progressive": True}),
        (rgb, "WEBP", {}), (rgb, "WEBP", {"lossless": True}), (rgb, "BMP", {}), (rgb, "TIFF", {}), (deep, "TIFF", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}), (rgb.convert("P"), "GIF", {}), (rgb, "PPM", {}),
    ]  # fmt: skip
    found = []
    for image, name, options in made:
        file = io.BytesIO()
        image.save(file, name, **options)
        found.append(file.getvalue())
    return found
