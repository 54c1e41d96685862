"""Opening a bundle that may be hostile: nothing in it is used before it is checked.

Knows nothing of inference. Integrity: SHA256SUMS covers every file but itself and the gallery; the gallery's pointer names
the checksum of its manifest, the manifest those of its files. One changed byte anywhere is refused.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facings.errors import BundleError, GalleryError
from facings.files import sha256
from facings.runtime.bundle_files import check_sums, checked_tree, covered_files, read_json, safe_member
from facings.runtime.gallery import Gallery, gallery_folder
from facings.runtime.graph_ports import MAX_SIDE, check_ports
from facings.runtime.mated_file import read_mated
from facings.runtime.onnx_file import GraphFacts, check_portable
from facings.runtime.postprocess import Postprocess, postprocess_of, standard_of
from facings.runtime.product_table import checked_products
from facings.runtime.signature import PublicKey, check_signature
from facings.strict_json import shown

__all__ = ["Bundle", "Postprocess", "covered_files", "read_json", "safe_member", "standard_of"]
SCHEMA = "facings.bundle"
SCHEMA_MAJOR = 1
ROLES = ("preprocess", "detector", "crop", "embedder", "match")
# Graphs that may have siblings of less precision, and the precisions there are. `auto` is what the exporter chose.
NETWORKS = ("detector", "embedder")
Precision = Literal["auto", "float32", "int8", "float16"]
SIBLINGS: tuple[Precision, ...] = ("int8", "float16")
FILES = ("postprocess", "taxonomy", "golden", "report", "model_card", "licences", "train_config", "calibration")
MAX_LABELS = 100_000


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. `manifest`: content of bundle.json; `taxonomy`: product id → name, category, GTIN, PLU, sold_by;
    `precision`: which of a network's files is run."""

    path: Path
    manifest: dict[str, Any]
    postprocess: Postprocess
    taxonomy: dict[str, dict[str, Any]]
    precision: Precision = "auto"

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        check: bool = True,
        precision: Precision = "auto",
        require_key: PublicKey | Path | str | None = None,
        signed_gallery: bool = False,
    ) -> "Bundle":
        """Read and check the folder, all precisions of it. `check=False` skips the checksums alone (for one that was
        checked a moment ago).

        `precision`: `auto` runs what the exporter found both accurate and faster; `float32` the networks as trained; `int8`
        or `float16` the sibling where a network has one (else float32).

        `require_key`: a public key, or its file: only a bundle signed with it is taken. The signature covers all but the gallery,
        which a shop changes; with `signed_gallery` only the gallery version that was in force when it was signed is taken.

        Raises BundleError: a missing or changed file, an unknown schema, a path or link that leaves the folder, a
        non-standard operator, external data, ports that do not fit, a field that is missing or of a wrong type, a precision that no
        graph has, a signature that is missing, damaged, of another key or another bundle. GalleryError: a gallery that is damaged
        or of another embedder. ConfigError: a key that is none, or `signed_gallery` without one.
        """
        folder = Path(path)
        try:
            if not (folder / "bundle.json").is_file():
                raise BundleError(
                    f"{folder}: not a bundle: it holds no bundle.json; give the folder that `facings export` wrote"
                )
            members = checked_tree(folder)
            # Before a byte of it is parsed: a stranger's file may be made for a fault of the parser.
            check_signature(folder, require_key, signed_gallery=signed_gallery)
            if check or require_key is not None:
                check_sums(folder, members)
            bundle = cls._read(folder)
        except OSError as fault:
            raise BundleError(f"{folder}: cannot be read ({fault})") from fault
        return bundle.at(precision)

    @classmethod
    def _read(cls, folder: Path) -> "Bundle":
        manifest = read_json(folder / "bundle.json", SCHEMA, SCHEMA_MAJOR)
        _check_members(folder, manifest)
        post = read_json(folder / manifest["files"]["postprocess"]["file"], "facings.postprocess", 1)
        taxonomy = folder / manifest["files"]["taxonomy"]["file"]
        try:
            products = checked_products(read_json(taxonomy, "facings.taxonomy", 1).get("products"))
        except ValueError as fault:
            raise BundleError(f"{taxonomy}: {fault}") from fault
        bundle = cls(folder, manifest, postprocess_of(post, folder), products)
        bundle.calibration_mated()
        if bundle.has("embedder") and (folder / "gallery" / "CURRENT").is_file():
            bundle.gallery()
        return bundle

    def at(self, precision: Precision) -> "Bundle":
        """The same bundle at another precision. Raises BundleError for one that it does not have."""
        if precision not in get_args(Precision):
            raise BundleError(f"precision is {precision!r}; expected one of {', '.join(get_args(Precision))}")
        if precision not in ("auto", *self.precisions):
            raise BundleError(
                f"{self.path}: has no {precision} graph, only {', '.join(self.precisions)}; "
                f"`facings export … quantization={precision}` makes one"
            )
        return replace(self, precision=precision)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What can be asked for: `float32`, and the siblings that some graph has."""
        graphs = self.manifest["graphs"].values()
        return ("float32", *(name for name in SIBLINGS if any(name in g.get("precisions", {}) for g in graphs)))

    def precision_of(self, role: str) -> str:
        """The precision in which the graph of a role is run."""
        entry = self.manifest["graphs"][role]
        wanted = str(entry.get("auto", "float32")) if self.precision == "auto" else self.precision
        return wanted if wanted in entry.get("precisions", {}) else "float32"

    def has(self, role: str) -> bool:
        """Whether the bundle holds the graph of a role."""
        return role in self.manifest["graphs"]

    def graph_path(self, role: str) -> Path:
        """The ONNX file of a role, at this precision. Raises BundleError when there is none."""
        if not self.has(role):
            raise BundleError(f"{self.path}: has no {role} graph; it has {', '.join(self.manifest['graphs'])}")
        entry, precision = self.manifest["graphs"][role], self.precision_of(role)
        return self.path / str((entry if precision == "float32" else entry["precisions"][precision])["file"])

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the detector's classes by label number."""
        detector = self.manifest.get("detector")
        return tuple(detector["labels"]) if detector else ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the yes-or-no properties that the detector tells of each box, in the order of its output."""
        detector = self.manifest.get("detector")
        return tuple(detector.get("attributes") or ()) if detector else ()

    @property
    def name(self) -> str:
        return f"{self.manifest['name']}-{self.manifest['version']}"

    @property
    def embedder_sha256(self) -> str:
        """Of the float32 file: siblings stand for the same embedder, within what the exporter allowed them to lose."""
        return str(self.manifest["graphs"]["embedder"]["sha256"])

    def gallery(self) -> Gallery:
        """The current gallery version, checked against the embedder of this bundle."""
        gallery = Gallery.open(gallery_folder(self.path), embedder_sha256=self.embedder_sha256)
        dimension = self.manifest["embedder"]["dimension"]
        if gallery.content.dimension != dimension:
            raise GalleryError(
                f"{gallery.folder}: its vectors have {gallery.content.dimension} numbers, the embedder's {dimension}"
            )
        return gallery

    def calibration_mated(self) -> NDArray[np.float32] | None:
        """(C, V) similarities of the exporter's calibration crops to photos of their own products, see `Standard.fit`; None in
        a bundle from before there were any. Raises BundleError for a file that is no such array."""
        entry = self.manifest["files"].get("calibration")
        return None if entry is None else read_mated(self.path / entry["file"])

    def product(self, product_id: str, gallery: Gallery | None = None) -> dict[str, Any]:
        """Name, category and codes of a product: from its enrolment, else from the taxonomy; bare when unknown to both."""
        enrolled = gallery.products.get(product_id) if gallery is not None else None
        return enrolled or self.taxonomy.get(product_id) or {"name": product_id, "category": []}


def _check_members(folder: Path, manifest: dict[str, Any]) -> None:
    """Every graph and file that bundle.json names is there, unchanged, and what its role wants."""
    graphs, files = manifest.get("graphs"), manifest.get("files")
    if not isinstance(graphs, dict) or not isinstance(files, dict):
        raise BundleError(f"{folder}/bundle.json: lacks the tables 'graphs' and 'files'")
    _check_roles(folder, graphs, files)
    sizes = _facts(folder, manifest)
    entries = [*graphs.items(), *files.items()]
    for role, entry in graphs.items():
        entries += [(f"{role} {name}", sibling) for name, sibling in _siblings(role, entry, folder).items()]
    for role, entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
            raise BundleError(f"{folder}/bundle.json: entry {shown(role)} lacks file or sha256")
        path = safe_member(folder, entry.get("file"))
        if not path.is_file():
            raise BundleError(f"{path}: named in bundle.json as {shown(role)} but missing")
        if sha256(path) != entry["sha256"]:
            raise BundleError(f"{path}: its checksum is not the one that bundle.json gives for {shown(role)}")
    # Networks first: what stands around them must fit them.
    for role in sorted(graphs, key=lambda role: role not in NETWORKS):
        entry = graphs[role]
        for file in (entry, *_siblings(role, entry, folder).values()):
            facts = check_portable(folder / file["file"])
            if facts.ir_version != file.get("ir_version") or facts.opsets.get("") != file.get("opset"):
                raise BundleError(
                    f"{folder}/{file['file']}: IR {facts.ir_version}, opset {facts.opsets.get('')}; bundle.json says "
                    f"{shown(file.get('ir_version'))}, {shown(file.get('opset'))}"
                )
            check_ports(role, f"{folder}/{file['file']}", facts, sizes)
            _check_told(f"{folder}/bundle.json: {shown(file['file'])}", file, facts)


def _check_told(where: str, entry: dict[str, Any], facts: GraphFacts) -> None:
    """What bundle.json tells of a graph's ports, for readers that do not open it, is what the file says."""
    for side, ports in (("inputs", facts.inputs), ("outputs", facts.outputs)):
        if side not in entry:
            continue
        real = [(port.name, port.element, None if port.shape is None else list(port.shape)) for port in ports]
        if not isinstance(told := entry[side], list) or [_told(port) for port in told] != real:
            raise BundleError(f"{where}: {side} are told as {shown(told)}; the file has {shown(real)}")


def _told(port: Any) -> Any:
    if not isinstance(port, dict) or not isinstance(shape := port.get("shape"), list):
        return None
    return port.get("name"), port.get("type"), [side if type(side) is int else None for side in shape]


def _check_roles(folder: Path, graphs: dict[str, Any], files: dict[str, Any]) -> None:
    for role in graphs:
        if role not in ROLES:
            raise BundleError(f"{folder}/bundle.json: unknown graph role {shown(role)}; known are {', '.join(ROLES)}")
    if not {"detector", "embedder"} & set(graphs):
        raise BundleError(f"{folder}/bundle.json: has neither a detector nor an embedder graph")
    needed = {"detector": ("preprocess",), "embedder": ("crop", "match")}
    for role, others in needed.items():
        for other in others:
            if role in graphs and other not in graphs:
                raise BundleError(f"{folder}/bundle.json: has a {role} graph but no {other} graph")
    for required in ("postprocess", "taxonomy"):
        if required not in files:
            raise BundleError(f"{folder}/bundle.json: 'files' lacks {required!r}")


def _facts(folder: Path, manifest: dict[str, Any]) -> dict[str, int]:
    """What bundle.json says of itself and its networks has its types; the sizes that the graphs must have."""

    def want(right: bool, name: str, value: Any, wanted: str) -> None:
        if not right:
            raise BundleError(f"{folder}/bundle.json: {name} is {shown(value)}; expected {wanted}")

    for name in ("name", "version"):
        value = manifest.get(name)
        right = isinstance(value, str) and 1 <= len(value) <= 200 and value.isprintable()
        want(right, name, value, "1 to 200 printable characters")
    sizes: dict[str, int] = {}
    for role in NETWORKS:
        facts: Any = manifest.get(role)
        if role not in manifest["graphs"] and facts is None:
            continue
        want(isinstance(facts, dict), role, facts, "an object that describes the network")
        numbers = {"image_size": MAX_SIDE} | ({"dimension": 1_000_000} if role == "embedder" else {})
        for name, most in numbers.items():
            value = facts.get(name)
            want(type(value) is int and 1 <= value <= most, f"{role}.{name}", value, f"a whole number of 1 to {most}")
        sizes[f"{role} side"] = facts["image_size"]
        if role == "embedder":
            sizes["dimension"] = facts["dimension"]
            continue
        for name, missing in (("labels", None), ("attributes", [])):
            value = missing if facts.get(name) is None else facts[name]
            right = isinstance(value, list) and len(value) <= MAX_LABELS and all(isinstance(v, str) for v in value)
            want(right, f"{role}.{name}", value, "a list of names")
        if facts.get("attributes"):
            sizes["attributes"] = len(facts["attributes"])
    return sizes


def _siblings(role: str, entry: Any, folder: Path) -> dict[str, Any]:
    """A graph's files of other precision; bundles from before there were any have none."""
    siblings = entry.get("precisions", {}) if isinstance(entry, dict) else {}
    if not isinstance(siblings, dict) or (siblings and role not in NETWORKS):
        raise BundleError(
            f"{folder}/bundle.json: 'precisions' of {role!r} is {shown(siblings)}; expected files by precision"
        )
    if strange := sorted(set(siblings) - set(SIBLINGS)):
        raise BundleError(
            f"{folder}/bundle.json: {role!r} has precision {shown(strange[0])}; known are {', '.join(SIBLINGS)}"
        )
    auto = entry.get("auto", "float32") if isinstance(entry, dict) else "float32"
    if auto not in ("float32", *siblings):
        raise BundleError(f"{folder}/bundle.json: {role!r} runs {shown(auto)} by itself, which it does not have")
    return siblings
