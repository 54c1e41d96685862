"""Opening a bundle that may be hostile: nothing in it is used before it is checked.

Knows nothing of inference. Integrity: SHA256SUMS covers every file but itself and the gallery; the gallery's pointer names
the checksum of its manifest, the manifest those of its files. One changed byte anywhere is refused.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facings.errors import BundleError, ConfigError
from facings.files import sha256
from facings.runtime.gallery import Gallery, gallery_folder
from facings.runtime.mated_file import read_mated
from facings.runtime.onnx_file import check_portable
from facings.runtime.standard import Rates
from facings.tiles import Tiling

SCHEMA = "facings.bundle"
SCHEMA_MAJOR = 1
ROLES = ("preprocess", "detector", "crop", "embedder", "match")
# Graphs that may have siblings of less precision, and the precisions there are. `auto` is what the exporter chose.
NETWORKS = ("detector", "embedder")
Precision = Literal["auto", "float32", "int8", "float16"]
SIBLINGS: tuple[Precision, ...] = ("int8", "float16")
FILES = ("postprocess", "taxonomy", "golden", "report", "model_card", "licences", "train_config", "calibration")
MAX_FILE_BYTES = 2 << 30
MAX_JSON_BYTES = 64 << 20
MAX_FILES = 10_000
# Each commit adds a version's few files.
MAX_GALLERY_FILES = 1_000_000


@dataclass(frozen=True)
class Postprocess:
    """Thresholds of the decision. Shares are 0–1; `nms_iou` None for an NMS-free detector; `tiles` None where a frame is
    looked at as a whole; `standard` None where `false_accept_rate` and `ambiguity_margin` decide, else it decides, and
    `remember` says whether enrolled views bear witness too (`fit_standard`)."""

    score_threshold: float
    max_detections: int
    nms_iou: float | None
    false_accept_rate: float
    ambiguity_margin: float
    top_k: int
    crop_margin: float
    tiles: Tiling | None = None
    standard: Rates | None = None
    remember: bool = True


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
    def open(cls, path: Path | str, *, check: bool = True, precision: Precision = "auto") -> "Bundle":
        """Read and check the folder, all precisions of it. `check=False` skips the checksums alone (for one that was
        checked a moment ago).

        `precision`: `auto` runs what the exporter found both accurate and faster; `float32` the networks as trained; `int8`
        or `float16` the sibling where a network has one (else float32).

        Raises BundleError: a missing or changed file, an unknown schema, a path or link that leaves the folder, a
        non-standard operator, external data, a gallery of another embedder, a field that is missing or of a wrong type, a
        precision that no graph has.
        """
        folder = Path(path)
        if not (folder / "bundle.json").is_file():
            raise BundleError(
                f"{folder}: not a bundle: it holds no bundle.json; give the folder that `facings export` wrote"
            )
        _check_tree(folder)
        if check:
            _check_sums(folder)
        manifest = read_json(folder / "bundle.json", SCHEMA, SCHEMA_MAJOR)
        _check_members(folder, manifest)
        post = read_json(folder / manifest["files"]["postprocess"]["file"], "facings.postprocess", 1)
        products = read_json(folder / manifest["files"]["taxonomy"]["file"], "facings.taxonomy", 1).get("products")
        if not isinstance(products, dict):
            raise BundleError(f"{folder}/taxonomy.json: lacks the table 'products'")
        bundle = cls(folder, manifest, _postprocess(post, folder), products)
        bundle.calibration_mated()
        if bundle.has("embedder") and (folder / "gallery" / "CURRENT").is_file():
            bundle.gallery()
        return bundle.at(precision)

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
        return Gallery.open(gallery_folder(self.path), embedder_sha256=self.embedder_sha256)

    def calibration_mated(self) -> NDArray[np.float32] | None:
        """(C, V) similarities of the exporter's calibration crops to photos of their own products, see `Standard.fit`; None in
        a bundle from before there were any. Raises BundleError for a file that is no such array."""
        entry = self.manifest["files"].get("calibration")
        return None if entry is None else read_mated(self.path / entry["file"])

    def product(self, product_id: str, gallery: Gallery | None = None) -> dict[str, Any]:
        """Name, category and codes of a product: from its enrolment, else from the taxonomy; bare when unknown to both."""
        enrolled = gallery.products.get(product_id) if gallery is not None else None
        return enrolled or self.taxonomy.get(product_id) or {"name": product_id, "category": []}


def read_json(path: Path, schema: str, major: int) -> dict[str, Any]:
    """A JSON object whose `schema` is `SCHEMA/MAJOR` (a minor part may follow). Raises BundleError else."""
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise BundleError(f"{path}: missing, or more than {MAX_JSON_BYTES} bytes")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BundleError(f"{path}: not JSON ({fault})") from fault
    found = content.get("schema") if isinstance(content, dict) else None
    match = re.fullmatch(rf"{re.escape(schema)}/(\d+)(\.\d+)?", str(found))
    if match is None or int(match[1]) != major:
        raise BundleError(f"{path}: schema is {found!r}; this version reads {schema}/{major}")
    return content


def safe_member(folder: Path, name: Any) -> Path:
    """The path of a member named inside a bundle. Raises BundleError for a name that leaves the folder, or a link."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        raise BundleError(f"{folder}: {name!r} is not a file name")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0]:
        raise BundleError(f"{folder}: the path {name!r} leaves the bundle's folder")
    return folder / pure


def _check_tree(folder: Path) -> None:
    """No links, nothing but files and folders, no member beyond the limits."""
    own = gallery = 0
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts[0] == "gallery"
        own, gallery = own + (not inside), gallery + inside
        if path.is_symlink():
            raise BundleError(f"{path}: is a link; a bundle holds plain files only")
        if not path.is_dir() and not path.is_file():
            raise BundleError(f"{path}: is neither a file nor a folder")
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise BundleError(f"{path}: {path.stat().st_size} bytes; at most {MAX_FILE_BYTES}")
        if own > MAX_FILES or gallery > MAX_GALLERY_FILES:
            raise BundleError(f"{folder}: more than {MAX_FILES} members, or {MAX_GALLERY_FILES} in its gallery")


def covered_files(folder: Path) -> list[str]:
    """Members that SHA256SUMS lists: every file but itself and the gallery, as sorted posix paths."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name != "SHA256SUMS" and not name.startswith("gallery/"))


def _check_sums(folder: Path) -> None:
    sums = folder / "SHA256SUMS"
    if not sums.is_file() or sums.stat().st_size > MAX_JSON_BYTES:
        raise BundleError(f"{sums}: missing; the bundle cannot be checked")
    listed: dict[str, str] = {}
    for number, line in enumerate(sums.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise BundleError(f"{sums}, line {number}: expected 'sha256  path'")
        safe_member(folder, match[2])
        listed[match[2]] = match[1]
    there = covered_files(folder)
    if missing := sorted(set(listed) - set(there)):
        raise BundleError(f"{folder}: {missing[0]} is listed in SHA256SUMS but missing")
    if extra := sorted(set(there) - set(listed)):
        raise BundleError(f"{folder}: {extra[0]} is not listed in SHA256SUMS")
    if sums.read_text(encoding="utf-8") != "".join(f"{listed[name]}  {name}\n" for name in there):
        raise BundleError(f"{sums}: is not in its canonical form (sorted, one line a file)")
    for name in there:
        if sha256(folder / name) != listed[name]:
            raise BundleError(f"{folder / name}: wrong checksum; the file was changed or damaged after the export")


def _check_members(folder: Path, manifest: dict[str, Any]) -> None:
    graphs, files = manifest.get("graphs"), manifest.get("files")
    if not isinstance(graphs, dict) or not isinstance(files, dict):
        raise BundleError(f"{folder}/bundle.json: lacks the tables 'graphs' and 'files'")
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
    entries = [*graphs.items(), *files.items()]
    for role, entry in graphs.items():
        entries += [(f"{role} {name}", sibling) for name, sibling in _siblings(role, entry, folder).items()]
    for role, entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
            raise BundleError(f"{folder}/bundle.json: entry {role!r} lacks file or sha256")
        path = safe_member(folder, entry.get("file"))
        if not path.is_file():
            raise BundleError(f"{path}: named in bundle.json as {role!r} but missing")
        if sha256(path) != entry["sha256"]:
            raise BundleError(f"{path}: its checksum is not the one that bundle.json gives for {role!r}")
    for role, entry in graphs.items():
        if role not in ROLES:
            raise BundleError(f"{folder}/bundle.json: unknown graph role {role!r}; known are {', '.join(ROLES)}")
        for file in (entry, *_siblings(role, entry, folder).values()):
            facts = check_portable(folder / file["file"])
            if facts.ir_version != file.get("ir_version") or facts.opsets.get("") != file.get("opset"):
                raise BundleError(
                    f"{folder}/{file['file']}: IR {facts.ir_version}, opset {facts.opsets.get('')}; bundle.json says "
                    f"{file.get('ir_version')}, {file.get('opset')}"
                )


def _siblings(role: str, entry: Any, folder: Path) -> dict[str, Any]:
    """A graph's files of other precision; bundles from before there were any have none."""
    siblings = entry.get("precisions", {}) if isinstance(entry, dict) else {}
    if not isinstance(siblings, dict) or (siblings and role not in NETWORKS):
        raise BundleError(
            f"{folder}/bundle.json: 'precisions' of {role!r} is {siblings!r}; expected files by precision"
        )
    if strange := sorted(set(siblings) - set(SIBLINGS)):
        raise BundleError(
            f"{folder}/bundle.json: {role!r} has precision {strange[0]!r}; known are {', '.join(SIBLINGS)}"
        )
    auto = entry.get("auto", "float32") if isinstance(entry, dict) else "float32"
    if auto not in ("float32", *siblings):
        raise BundleError(f"{folder}/bundle.json: {role!r} runs {auto!r} by itself, which it does not have")
    return siblings


def _postprocess(content: dict[str, Any], folder: Path) -> Postprocess:
    later = ("tiles", "standard", "remember")
    fields = {name: content.get(name) for name in Postprocess.__dataclass_fields__ if name not in later}
    for name, value in fields.items():
        if name == "nms_iou" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BundleError(f"{folder}/postprocess.json: {name} is {value!r}; expected a number")
    # Bundles from before there were tiles, or a standard, have no such entry.
    post = Postprocess(**fields, tiles=_tiling(content.get("tiles"), folder))  # type: ignore[arg-type]
    shares = (post.score_threshold, post.false_accept_rate, post.ambiguity_margin)
    if not all(0 <= share <= 1 for share in shares) or not 1 <= post.max_detections <= 100_000 or post.top_k < 1:
        raise BundleError(f"{folder}/postprocess.json: a threshold is out of its range: {fields}")
    if content.get("standard") is None:
        return post
    try:
        rates, remember = standard_of(content["standard"], int(post.top_k))
    except ValueError as fault:
        raise BundleError(f"{folder}/postprocess.json: standard: {fault}") from fault
    return replace(post, standard=rates, remember=remember)


def standard_of(content: Any, top_k: int) -> tuple[Rates, bool]:
    """postprocess.json's `standard`: the fields of `Rates`, all of them, and `remember`, which may be missing. `top_k`: candidates
    that a search returns. Raises ValueError for a field that is missing, unknown, of a wrong type or out of range."""
    number, kinds = (int, float), {"pick_list": (int,), "unit": (str,)}
    if not isinstance(content, Mapping) or set(content) - {"remember"} != set(Rates.__dataclass_fields__):
        raise ValueError(f"is {content!r}; expected {', '.join(Rates.__dataclass_fields__)} and, if wanted, remember")
    remember = content.get("remember", True)
    for name, value in content.items():
        wanted = (bool,) if name == "remember" else kinds.get(name, number)
        if not isinstance(value, wanted) or (isinstance(value, bool) and name != "remember"):
            raise ValueError(f"{name} is {value!r}; expected {' or '.join(kind.__name__ for kind in wanted)}")
    rates = Rates(**{name: value for name, value in content.items() if name != "remember"})
    if top_k < max(2, rates.pick_list):
        raise ValueError(
            f"pick_list is {rates.pick_list} of {top_k} candidates; expected at most as many, and two candidates or more"
        )
    return rates, remember


def _tiling(content: Any, folder: Path) -> Tiling | None:
    """`{"size": pixels, "overlap": pixels, "whole": bool}` → tiles; null → none."""
    if content is None:
        return None
    kinds = {"size": int, "overlap": int, "whole": bool}
    if not isinstance(content, dict) or {name: type(value) for name, value in content.items()} != kinds:
        raise BundleError(f"{folder}/postprocess.json: tiles is {content!r}; expected size, overlap (pixels) and whole")
    try:
        return Tiling(**content)
    except ConfigError as fault:
        raise BundleError(f"{folder}/postprocess.json: {fault}") from fault
