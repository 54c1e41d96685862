"""The files of a bundle that may be hostile: which there are, whether they are those of the export, and names that stay inside.

Knows nothing of what they hold. SHA256SUMS covers every file but itself, the gallery, which has checksums of its own, and
the signature, which signs SHA256SUMS.
"""

import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from facings.errors import BundleError
from facings.files import sha256
from facings.strict_json import MAX_BYTES as MAX_JSON_BYTES
from facings.strict_json import parse, shown

SUMS, SIGNATURE = "SHA256SUMS", "signature.json"
MAX_FILE_BYTES = 2 << 30
MAX_FILES = 10_000
# Each commit adds a version's few files.
MAX_GALLERY_FILES = 1_000_000
# A bundle has two levels; a tree that is deeper is none, and is not walked to its end.
MAX_LEVELS = 8
NAME_LENGTH = 255


def read_json(path: Path, schema: str, major: int) -> dict[str, Any]:
    """A JSON object whose `schema` is `SCHEMA/MAJOR` (a minor part may follow). Raises BundleError else."""
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise BundleError(f"{path}: missing, or more than {MAX_JSON_BYTES} bytes")
    try:
        content = parse(path.read_bytes())
    except ValueError as fault:
        raise BundleError(f"{path}: not JSON ({fault})") from fault
    found = content.get("schema") if isinstance(content, dict) else None
    match = re.fullmatch(rf"{re.escape(schema)}/([0-9]{{1,4}})(\.[0-9]{{1,4}})?", str(found))
    if match is None or int(match[1]) != major:
        raise BundleError(f"{path}: schema is {shown(found)}; this version reads {schema}/{major}")
    return dict(content)


def safe_member(folder: Path, name: Any) -> Path:
    """The path of a member named inside a bundle. Raises BundleError for a name that leaves the folder, or is none."""
    if not isinstance(name, str) or not name or "\\" in name or not name.isprintable():
        raise BundleError(f"{folder}: {shown(name)} is not a file name")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or any(":" in part for part in pure.parts):
        raise BundleError(f"{folder}: the path {shown(name)} leaves the bundle's folder")
    if not 1 <= len(pure.parts) <= MAX_LEVELS or any(len(part.encode()) > NAME_LENGTH for part in pure.parts):
        raise BundleError(f"{folder}: {shown(name)} is not a file name")
    return folder / pure


def checked_tree(folder: Path) -> list[str]:
    """Every file below `folder`, as posix paths relative to it, sorted; looked at without following a link.

    Raises BundleError for a link, anything but files and folders, a name that no listing can hold, or a member beyond the limits.
    """
    found: list[str] = []
    count = {True: 0, False: 0}
    level = [""]
    for _ in range(MAX_LEVELS):
        below: list[str] = []
        for home in level:
            for name, status in _entries(folder, home):
                inside = name == "gallery" or name.startswith("gallery/")
                count[inside] += 1
                if count[False] > MAX_FILES or count[True] > MAX_GALLERY_FILES:
                    raise BundleError(f"{folder}: more than {MAX_FILES} members, or {MAX_GALLERY_FILES} in its gallery")
                _check_entry(folder, name, status)
                (below if stat.S_ISDIR(status.st_mode) else found).append(name)
        if not below:
            return sorted(found)
        level = below
    raise BundleError(f"{folder}: folders are nested more than {MAX_LEVELS} deep")


def covered_files(folder: Path) -> list[str]:
    """Members that SHA256SUMS lists, as sorted posix paths. Raises BundleError for a tree that no bundle has."""
    return _covered(checked_tree(folder))


def check_sums(folder: Path, members: list[str]) -> None:
    """Raise BundleError unless SHA256SUMS lists `members`, and their bytes, exactly."""
    sums = folder / SUMS
    if not sums.is_file() or sums.stat().st_size > MAX_JSON_BYTES:
        raise BundleError(f"{sums}: missing; the bundle cannot be checked")
    data = sums.read_bytes()
    listed: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise BundleError(f"{sums}, line {number}: expected 'sha256  path'")
        safe_member(folder, match[2])
        listed[match[2]] = match[1]
    there = _covered(members)
    if missing := sorted(set(listed) - set(there)):
        raise BundleError(f"{folder}: {missing[0]} is listed in SHA256SUMS but missing")
    if extra := sorted(set(there) - set(listed)):
        raise BundleError(f"{folder}: {extra[0]} is not listed in SHA256SUMS")
    if data != "".join(f"{listed[name]}  {name}\n" for name in there).encode():
        raise BundleError(f"{sums}: is not in its canonical form (sorted, one line a file)")
    for name in there:
        if sha256(folder / name) != listed[name]:
            raise BundleError(f"{folder / name}: wrong checksum; the file was changed or damaged after the export")


def _covered(members: list[str]) -> list[str]:
    return [name for name in members if name not in (SUMS, SIGNATURE) and not name.startswith("gallery/")]


def _entries(folder: Path, home: str) -> list[tuple[str, os.stat_result]]:
    """What lies in a folder. A gallery's writer may take its scratch files away meanwhile: those were never there."""
    found = []
    try:
        with os.scandir(folder / home) as entries:
            for entry in entries:
                try:
                    found.append((f"{home}/{entry.name}" if home else entry.name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        if not home.startswith("gallery/"):
            raise
    return found


def _check_entry(folder: Path, name: str, status: os.stat_result) -> None:
    path = folder / name
    if not name.isprintable():
        raise BundleError(f"{folder}: {name!r} is no name for a bundle's member; expected printable characters")
    if stat.S_ISLNK(status.st_mode):
        raise BundleError(f"{path}: is a link; a bundle holds plain files only")
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{path}: is neither a file nor a folder")
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_FILE_BYTES:
        raise BundleError(f"{path}: {status.st_size} bytes; at most {MAX_FILE_BYTES}")
