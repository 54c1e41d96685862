"""Versions of a gallery on disk: read with every byte checked, written beside and switched to in one step, locked.

`GALLERY/CURRENT` names the version in force and the checksum of its manifest; `GALLERY/NNNNNN/` holds a version's manifest
and the arrays that it added. The manifest names all arrays of the version, older versions' too, with their checksums.
Knows nothing of what a change means.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import GalleryError
from facings.files import atomic_folder, atomic_write, sha256
from facings.runtime.array_file import read_array
from facings.runtime.gallery_content import Content, Filed
from facings.runtime.gallery_crops import FOLDER as CROPS
from facings.runtime.gallery_crops import checked_crops, write_crops
from facings.runtime.product_table import checked_ids, checked_products
from facings.strict_json import parse, shown

SCHEMA = "facings.gallery/1.1"
FIRST_SCHEMA = "facings.gallery/1"
LOCK_SECONDS = 30.0
VERSION = r"[0-9]{6}"
DIGEST = r"[0-9a-f]{64}"
# A million products, with what is told of each.
MAX_MANIFEST_BYTES, MAX_MANIFEST_VALUES = 512 << 20, 24_000_000
ARRAYS = ("item", "calibration_vectors", "calibration_scores")
Known = Mapping[str, Filed]


def read_pointer(folder: Path) -> tuple[str, str]:
    """Version in force and the checksum of its manifest. Raises GalleryError without a gallery, or for a damaged file."""
    path = folder / "CURRENT"
    try:
        with path.open("rb") as file:
            text = file.read(200).decode("utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError) as fault:
        raise GalleryError(f"{folder}: holds no gallery (no file CURRENT)") from fault
    match = re.fullmatch(rf"({VERSION}) ({DIGEST})\n", text)
    if match is None:
        raise GalleryError(f"{path}: expected one line 'VERSION SHA256'")
    return match[1], match[2]


def read_manifest(folder: Path, version: str, digest: str | None) -> dict[str, Any]:
    """A version's manifest, a JSON object of a schema known here. `digest`: its checksum, None where nothing tells it.

    Raises GalleryError: missing, changed, another schema, or a field of a wrong type.
    """
    path = folder / version / "manifest.json"
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise GalleryError(f"{path}: more than {MAX_MANIFEST_BYTES} bytes")
        data = path.read_bytes()
    except FileNotFoundError as fault:
        raise GalleryError(f"{path}: missing; the version was pruned or is damaged") from fault
    if digest is not None and sha256_of(data).hexdigest() != digest:
        raise GalleryError(f"{path}: its checksum is not the one that {folder} keeps for it")
    try:
        manifest = parse(data, max_bytes=MAX_MANIFEST_BYTES, max_values=MAX_MANIFEST_VALUES)
    except ValueError as fault:
        raise GalleryError(f"{path}: not JSON ({fault})") from fault
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema not in (FIRST_SCHEMA, SCHEMA):
        raise GalleryError(f"{path}: schema is {shown(schema)}; this version reads {FIRST_SCHEMA!r} and {SCHEMA!r}")
    if manifest.get("version") != version:
        raise GalleryError(f"{path}: says that it is version {shown(manifest.get('version'))}")
    try:
        _check_fields(manifest)
    except ValueError as fault:
        raise GalleryError(f"{path}: a field is missing or of a wrong type ({fault})") from fault
    return dict(manifest)


def _check_fields(manifest: Mapping[str, Any]) -> None:
    """Raise ValueError for a manifest that a reader would stumble over; whether its arrays fit is not asked."""
    checked_ids(manifest.get("items"), "items")
    checked_ids(manifest.get("retired", []), "retired")
    checked_ids(manifest.get("calibration_items"), "calibration_items", none=True)
    checked_products(manifest.get("products", {}))
    checked_crops(manifest.get("crops", {}), manifest["items"])
    for name, pattern in (("embedder_sha256", ".+"), ("parent", VERSION), ("parent_sha256", DIGEST)):
        told = manifest.get(name)
        if told is None and name != "embedder_sha256":
            continue
        if not isinstance(told, str) or not re.fullmatch(pattern, told):
            raise ValueError(f"{name} is {shown(told)}")
    for name in ("author", "reason", "created"):
        if not isinstance(manifest.get(name), str | None):
            raise ValueError(f"{name} is {shown(manifest[name])}; expected a text")
    changes = manifest.get("changes", [])
    if not isinstance(changes, list) or not all(isinstance(change, dict) for change in changes):
        raise ValueError(f"changes is {shown(changes)}; expected a list of objects")
    for entry in (entry for part in named_arrays(manifest["version"], manifest) for entry in _entries(part)):
        file, digest = (entry.get("file"), entry.get("sha256")) if isinstance(entry, dict) else (entry, None)
        if not isinstance(file, str) or not re.fullmatch(rf"{VERSION}/[a-z_]{{1,40}}(-[0-9]{{1,6}})?\.npy", file):
            raise ValueError(f"{shown(file)} is not the name of a gallery's array")
        if not isinstance(digest, str) or not re.fullmatch(DIGEST, digest):
            raise ValueError(f"the sha256 of {file} is {shown(digest)}")


def _entries(part: Any) -> list[Any]:
    return list(part.values()) if isinstance(part, dict) else list(part)


def read_content(folder: Path, version: str, manifest: Mapping[str, Any], known: Known | None = None) -> Content:
    """The arrays that a manifest names. `known`: checksum → array that was read and checked before.

    Raises GalleryError: a file missing or changed, a name that is none of a gallery's, parts that do not fit each other.
    """
    home = folder / version
    try:
        segments, arrays = named_arrays(version, manifest)
        found = {name: _read(folder, entry, known or {}) for name, entry in arrays.items()}
        content = Content(
            segments=tuple(_read(folder, entry, known or {}) for entry in segments),
            owner=found["item"],
            items=tuple(manifest["items"]),
            retired=frozenset(manifest.get("retired", ())),
            products={name: dict(entry) for name, entry in manifest.get("products", {}).items()},
            calibration_vectors=found["calibration_vectors"],
            calibration_items=tuple(manifest["calibration_items"]),
            calibration_scores=found["calibration_scores"],
            crops=checked_crops(manifest.get("crops", {}), manifest["items"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise GalleryError(f"{home / 'manifest.json'}: a field is missing or of a wrong type ({fault!r})") from fault
    content.check(home)
    return content


def named_arrays(version: str, manifest: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Segments of views, and the other arrays by role: `file` (relative to the gallery) and `sha256` of each.

    Raises ValueError where the manifest does not name them.
    """
    files, segments = manifest.get("files"), manifest.get("segments")
    first = manifest["schema"] == FIRST_SCHEMA
    wanted = {f"{name}.npy" for name in ("vectors", *ARRAYS)} if first else set(ARRAYS)
    if not isinstance(files, dict) or not wanted <= set(files):
        raise ValueError(f"files is {shown(files)}; expected {', '.join(sorted(wanted))}")
    if not first and not isinstance(segments, list):
        raise ValueError(f"segments is {shown(segments)}; expected a list")
    if manifest["schema"] == FIRST_SCHEMA:
        entries = {
            name: {"file": f"{version}/{name}.npy", "sha256": manifest["files"][f"{name}.npy"]}
            for name in ("vectors", *ARRAYS)
        }
        return [entries.pop("vectors")], entries
    return list(manifest["segments"]), {name: manifest["files"][name] for name in ARRAYS}


def _read(folder: Path, entry: Mapping[str, Any], known: Known) -> Filed:
    name, digest = entry["file"], entry["sha256"]
    if digest in known:
        return replace(known[digest], file=name)
    path = folder / name
    if path.is_symlink() or not path.is_file() or sha256(path) != digest:
        raise GalleryError(f"{path}: missing, or its checksum is not the manifest's")
    try:
        array: NDArray[Any] = read_array(path)
    except ValueError as fault:
        raise GalleryError(f"{path}: not an array ({fault})") from fault
    wanted = np.int64 if "/item" in name else np.float32
    if array.dtype != wanted:
        raise GalleryError(f"{path}: holds {array.dtype}; expected {np.dtype(wanted).name}")
    return Filed(array, name, digest)


def write_version(
    folder: Path, version: str, content: Content, manifest: Mapping[str, Any]
) -> tuple[Content, dict[str, Any], str]:
    """Write a version and switch to it. Returns the content with its files, the full manifest, and its checksum.

    Everything is on the disk before the switch, so that a power cut finds the old version or the new one, whole.
    """
    content = replace(content, crops=write_crops(folder, content.crops))
    with atomic_folder(folder / version) as beside:
        filed = {
            "item": content.owner,
            "calibration_vectors": content.calibration_vectors,
            "calibration_scores": content.calibration_scores,
        }
        filed = {name: _write(beside, version, name, array) for name, array in filed.items()}
        fresh = 0
        segments = []
        for segment in content.segments:
            segments.append(_write(beside, version, f"vectors-{fresh}" if fresh else "vectors", segment))
            fresh += not segment.file
        content = replace(
            content, segments=tuple(segments), owner=filed["item"], calibration_vectors=filed["calibration_vectors"],
            calibration_scores=filed["calibration_scores"],
        )  # fmt: skip
        full = {**manifest, **_description(content), "schema": SCHEMA, "version": version}
        # Compact: an indented one is written by Python's slow encoder, and a large gallery has 100,000 products.
        data = (json.dumps(full, ensure_ascii=False) + "\n").encode()
        with (beside / "manifest.json").open("wb") as file:
            file.write(data)
            _to_disk(file)
        _folder_to_disk(beside)
    _folder_to_disk(folder)
    digest = sha256_of(data).hexdigest()
    atomic_write(folder / "CURRENT", f"{version} {digest}\n")
    _folder_to_disk(folder)
    return content, full, digest


def _description(content: Content) -> dict[str, Any]:
    def entry(filed: Filed) -> dict[str, Any]:
        return {"file": filed.file, "sha256": filed.sha256}

    return {
        "dimension": content.dimension,
        "views": int(content.answered.sum()),
        "items": list(content.items),
        "retired": sorted(content.retired),
        "products": {name: dict(details) for name, details in content.products.items()},
        "calibration_items": list(content.calibration_items),
        **(
            {"crops": {name: [crop.to_dict() for crop in own] for name, own in content.crops.items()}}
            if content.crops
            else {}
        ),
        "segments": [entry(segment) | {"rows": len(segment.array)} for segment in content.segments],
        "files": {
            "item": entry(content.owner),
            "calibration_vectors": entry(content.calibration_vectors),
            "calibration_scores": entry(content.calibration_scores),
        },
    }


def _write(beside: Path, version: str, name: str, filed: Filed) -> Filed:
    """The array as a file of this version, unless it has one already."""
    if filed.file:
        return filed
    path = beside / f"{name}.npy"
    with path.open("wb") as file:
        np.save(file, filed.array, allow_pickle=False)
        _to_disk(file)
    return Filed(filed.array, f"{version}/{name}.npy", sha256(path))


def next_version(folder: Path) -> str:
    """One more than the highest there is, even if that one was never switched to. Raises GalleryError after 999999."""
    numbers = [int(path.name) for path in folder.iterdir() if re.fullmatch(VERSION, path.name)]
    if (number := max(numbers, default=0) + 1) > 999_999:
        raise GalleryError(f"{folder}: has used up its 999,999 version numbers; export a bundle anew")
    return f"{number:06d}"


def sweep(folder: Path) -> list[str]:
    """Remove what a writer that died left beside. Only under the lock: nobody else is writing then."""
    left = [
        path for home in (folder, folder / CROPS) for path in home.glob(".*.part") if path.is_dir() or path.is_file()
    ]
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return [path.name for path in left]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A lock file beside the gallery; the system frees it when a writer dies. Waits up to LOCK_SECONDS."""
    if not folder.is_dir():
        raise GalleryError(f"{folder}: holds no gallery (no such folder)")
    deadline = time.monotonic() + LOCK_SECONDS
    with (folder / ".lock").open("a+b") as file:
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise GalleryError(f"{folder}: another writer has held the gallery for {LOCK_SECONDS:.0f} s; try again")
            time.sleep(0.05)
        yield


def _try_lock(file: Any) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    """A rename lasts when the folder that holds the name is on the disk; Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
