"""The line of versions behind a gallery: its log, what two of them differ in, whether all are sound, and pruning.

Knows nothing of changes to come. Each manifest names its parent and that one's checksum, so that an old version cannot be
altered either.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facings.errors import FacingsError, GalleryError
from facings.runtime.gallery import Gallery
from facings.runtime.gallery_content import Content
from facings.runtime.gallery_crops import FOLDER as CROPS
from facings.runtime.gallery_crops import checked_crops, read_crop
from facings.runtime.gallery_files import (
    VERSION,
    locked,
    named_arrays,
    read_content,
    read_manifest,
    read_pointer,
    sweep,
)


@dataclass(frozen=True)
class Entry:
    """A version in the line. `digest`: of its manifest, None where a first-schema child did not keep it."""

    version: str
    digest: str | None
    manifest: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """What the log tells."""
        manifest = self.manifest
        names = ("parent", "author", "reason", "created", "embedder_sha256", "views")
        told = {name: manifest.get(name) for name in names}
        counts = {"products": len(manifest["items"]), "retired": len(manifest.get("retired", ()))}
        return {"version": self.version, **told, **counts, "changes": manifest.get("changes", [])}


@dataclass(frozen=True)
class Difference:
    """From version `old` to `new`: product ids, sorted. `views`: (id, number before, number after) of changed views."""

    old: str
    new: str
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    views: list[tuple[str, int, int]] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.retired, self.restored, self.views, self.details))


def history(folder: Path) -> Iterator[Entry]:
    """Versions from the one in force back to the first, or to the oldest that was not pruned.

    Raises GalleryError for a manifest that was changed.
    """
    version, digest = read_pointer(folder)
    line: tuple[str, str | None] | None = (version, digest)
    seen: set[str] = set()
    while line is not None:
        version, expected = line
        if version in seen or not re.fullmatch(VERSION, version):
            raise GalleryError(f"{folder}: version {version!r} cannot be its own ancestor")
        seen.add(version)
        if len(seen) > 1 and not (folder / version / "manifest.json").is_file():
            return
        manifest = read_manifest(folder, version, expected)
        yield Entry(version, expected, manifest)
        parent = manifest.get("parent")
        line = None if parent is None else (str(parent), manifest.get("parent_sha256"))


def past_version(current: Gallery, version: str) -> Gallery:
    """A version of the history, every byte checked. Raises GalleryError for one that it lacks."""
    known = []
    for entry in history(current.folder):
        if entry.version == version:
            content = read_content(current.folder, version, entry.manifest, current._known)
            return Gallery(current.folder, version, content, entry.manifest, entry.digest or "")
        known.append(entry.version)
    raise GalleryError(f"{current.folder}: version {version!r} is not in the history: {known[-1]} to {known[0]}")


def diff(old: Gallery, new: Gallery) -> Difference:
    """What must be done to `old` to make `new`."""
    before, after = old.content, new.content
    both = sorted(set(before.items) & set(after.items))
    views_before, views_after = _views(before), _views(after)
    changed = [
        (name, len(views_before[name]), len(views_after[name]))
        for name in both
        if not np.array_equal(views_before[name], views_after[name])
    ]
    return Difference(
        old.version,
        new.version,
        added=sorted(set(after.items) - set(before.items)),
        removed=sorted(set(before.items) - set(after.items)),
        retired=[name for name in both if name in after.retired and name not in before.retired],
        restored=[name for name in both if name in before.retired and name not in after.retired],
        views=changed,
        details=[name for name in both if before.products.get(name) != after.products.get(name)],
    )


def _views(content: Content) -> dict[str, Any]:
    owner = content.owner.array
    rows = content.rows(np.ones(len(owner), np.bool_))
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(content.items) + 1))
    return {name: rows[order[starts[i] : starts[i + 1]]] for i, name in enumerate(content.items)}


def check(folder: Path) -> list[tuple[str, str]]:
    """Read every version of the history, every byte of it: (version, what is wrong), `sound` where nothing is.

    Stops at a manifest that was changed: what it says of its parent cannot be trusted.
    """
    found: list[tuple[str, str]] = []
    crops: dict[str, str] = {}
    version = read_pointer(folder)[0]
    try:
        for entry in history(folder):
            version = str(entry.manifest.get("parent"))
            try:
                content = read_content(folder, entry.version, entry.manifest)
                found.append((entry.version, _crop_fault(folder, content, crops) or "sound"))
            except GalleryError as fault:
                found.append((entry.version, str(fault)))
    except GalleryError as fault:
        found.append((version, str(fault)))
    return found


def _crop_fault(folder: Path, content: Content, known: dict[str, str]) -> str:
    """What is wrong with the first crop that is not sound; `known`: file → what was found of it for other versions."""
    for crop in (crop for own in content.crops.values() for crop in own):
        if crop.file not in known:
            try:
                read_crop(folder, crop)
                known[crop.file] = ""
            except FacingsError as fault:
                known[crop.file] = str(fault)
        if known[crop.file]:
            return known[crop.file]
    return ""


def collect_garbage(folder: Path, keep: int) -> list[str]:
    """Prune all but the newest `keep` versions, and what writers that died left behind. Returns what went, sorted.

    An array that a kept version names stays where it is. Raises GalleryError for `keep` below 1.
    """
    if keep < 1:
        raise GalleryError(f"keep is {keep}; expected 1 or more: the version in force always stays")
    with locked(folder):
        gone = sweep(folder)
        needed: set[str] = set()
        for _, entry in zip(range(keep), history(folder), strict=False):
            segments, arrays = named_arrays(entry.version, entry.manifest)
            needed |= {f"{entry.version}/manifest.json", *(str(e["file"]) for e in (*segments, *arrays.values()))}
            crops = checked_crops(entry.manifest.get("crops", {}), entry.manifest["items"])
            needed |= {crop.file for own in crops.values() for crop in own}
        homes = [path for path in folder.iterdir() if re.fullmatch(VERSION, path.name) or path.name == CROPS]
        for home in sorted(homes):
            unneeded = [path for path in home.iterdir() if f"{home.name}/{path.name}" not in needed]
            # The manifest first: half a version must not look like a whole one.
            for path in sorted(unneeded, key=lambda path: (path.name != "manifest.json", path.name)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                gone.append(f"{home.name}/{path.name}")
            if not any(home.iterdir()):
                home.rmdir()
    return sorted(gone)
