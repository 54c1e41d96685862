"""Fetching a large file: resumed where it broke off, checked against a sha256. Standard library only.

Knows no dataset; signs nothing and asks for no account, so that it serves only what an author offers openly.
"""

import hashlib
import json
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from facings.errors import DataError
from facings.files import atomic_write, sha256

BLOCK = 1 << 20
Progress = Callable[[int, int | None], None]


class _BrokenOffError(Exception):
    """The connection ended before the file did: try again from there."""


def fetch(
    url: str,
    target: Path,
    *,
    checksum: str | None = None,
    attempts: int = 5,
    wait: float = 1.0,
    timeout: float = 60.0,
    progress: Progress | None = None,
) -> Path:
    """Fetch `url` into the file `target`; what came so far waits in `target.part` and is taken up again, also by a later call.

    A server that does not know ranges starts from the beginning; one whose file has changed since (ETag, Last-Modified) too.
    `checksum`: sha256 in hex. `wait`: seconds before the second try, doubled each time; only tries without a new byte count.
    `progress` gets bytes so far and in all (None: unknown). Nothing is fetched where `target` is there with this checksum.

    Raises DataError for an address that is not http(s), a refusal, too many failed tries, and a wrong checksum (the part is
    removed: taking it up again cannot mend it).
    """
    if urlparse(url).scheme not in ("http", "https"):
        raise DataError(f"{url}: expected an address that starts with http:// or https://")
    checksum = _wanted(checksum)
    if target.is_file():
        if checksum is None or sha256(target) == checksum:
            return target
        raise DataError(f"{target}: is there with another sha256 than {checksum}; remove it to fetch it again")
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    while True:
        before = _size(part)
        try:
            _once(url, part, timeout, progress)
            break
        except urllib.error.HTTPError as fault:
            if fault.code < 500 and fault.code not in (408, 429):
                raise DataError(f"{url}: the server answered {fault.code} {fault.reason}") from fault
            problem = f"the server answered {fault.code} {fault.reason}"
        except (_BrokenOffError, OSError, HTTPException) as fault:
            problem = str(fault) or type(fault).__name__
        failed = failed + 1 if _size(part) <= before else 1
        if failed >= attempts:
            raise DataError(f"{url}: gave up after {failed} tries ({problem}); {_size(part)} bytes wait in {part.name}")
        time.sleep(wait * 2 ** (failed - 1))
    got = sha256(part)
    if checksum is not None and got != checksum:
        part.unlink()
        _state(part).unlink(missing_ok=True)
        raise DataError(f"{url}: sha256 is {got}, expected {checksum}; what was fetched is removed")
    part.replace(target)
    _state(part).unlink(missing_ok=True)
    return target


def _wanted(checksum: str | None) -> str | None:
    if checksum is None:
        return None
    text = checksum.strip().lower().removeprefix("sha256:")
    if len(text) != hashlib.sha256().digest_size * 2 or set(text) - set("0123456789abcdef"):
        raise DataError(f"checksum {checksum!r}: expected the 64 hex digits of a sha256")
    return text


def _once(url: str, part: Path, timeout: float, progress: Progress | None) -> None:
    """One connection. Raises _BrokenOffError where fewer bytes came than were announced."""
    had, state = _size(part), _read_state(part)
    if had and state.get("url") not in (None, url):
        part.unlink()
        had, state = 0, {}
    # Not compressed on the way: lengths and ranges are of the file itself.
    headers = {"Accept-Encoding": "identity", "User-Agent": "facings"}
    if had:
        headers["Range"] = f"bytes={had}-"
        if state.get("validator"):
            headers["If-Range"] = state["validator"]
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as fault:
        if fault.code == 416 and had:
            # All of it is there already, or the file has become shorter.
            if fault.headers.get("Content-Range", "").rpartition("/")[2] == str(had):
                return
            part.unlink()
            raise _BrokenOffError("the file at the server is shorter than what came before") from fault
        raise
    with response:
        start = _start(response, had)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        _write_state(part, url, response)
        with part.open("ab" if start else "wb") as file:
            _copy(response, file, start, total, progress)
    if total is not None and _size(part) < total:
        raise _BrokenOffError(f"the connection ended at {_size(part)} of {total} bytes")


def _start(response: HTTPResponse, had: int) -> int:
    """The byte that the answer starts with: `had`, or 0 where the server sends all of it."""
    if response.status != 206:
        return 0
    sent = response.headers.get("Content-Range", "")
    start = sent.removeprefix("bytes ").partition("-")[0]
    if start != str(had):
        raise DataError(f"the server was asked for bytes from {had} on and sent {sent!r}")
    return had


def _copy(response: HTTPResponse, file: Any, done: int, total: int | None, progress: Progress | None) -> None:
    while True:
        # read1: what came before a break is kept; read would throw it away.
        block = response.read1(BLOCK)
        if not block:
            return
        file.write(block)
        done += len(block)
        if progress is not None:
            progress(done, total)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _state(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_state(part: Path) -> dict[str, str]:
    try:
        content = json.loads(_state(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_state(part: Path, url: str, response: HTTPResponse) -> None:
    """What tells whether the file at the server is still the same. A weak ETag says nothing of bytes."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    atomic_write(_state(part), json.dumps({"url": url, "validator": validator}))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar into `folder`. Raises DataError for another file, a damaged one, or a member that leaves the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                home = folder.resolve()
                for name in opened.namelist():
                    if not (home / name).resolve().is_relative_to(home):
                        raise DataError(f"{archive}: its member {name!r} leaves the folder; nothing was unpacked")
                opened.extractall(folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as opened_tar:
                opened_tar.extractall(folder, filter="data")
        else:
            raise DataError(f"{archive}: neither a zip nor a tar archive")
    # zipfile's own words for a password are a RuntimeError, for a kind of compression a NotImplementedError, which is one.
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as fault:
        raise DataError(f"{archive}: could not be unpacked ({fault})") from fault
