"""Fetching from a server on this machine that breaks off, changes its file, or knows no ranges."""

import dataclasses
import hashlib
import importlib.util
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facings.data.adapters.base import Download
from facings.data.adapters.cards import every_card
from facings.data.fetch import fetch, unpack
from facings.errors import DataError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


class Shop(ThreadingHTTPServer):
    """Serves `content`; `breaks`: how often a connection ends after 100,000 bytes; `ranges`: whether it knows them."""

    content, etag, ranges, breaks, status = CONTENT, '"one"', True, 0, 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/set.zip"


class Handler(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        shop, wanted = self.server, self.headers.get("Range")
        shop.asked.append(wanted)
        if shop.status != 200:
            self.send_error(shop.status)
            return
        same = self.headers.get("If-Range") in (None, shop.etag)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and shop.ranges and same else 0
        if start >= len(shop.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(shop.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = shop.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", shop.etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(shop.content) - 1}/{len(shop.content)}")
        self.end_headers()
        if shop.breaks:
            shop.breaks -= 1
            body = body[:100_000]
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def shop() -> Iterator[Shop]:
    server = Shop()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_transfer_that_broke_off_is_taken_up_again(shop: Shop, tmp_path: Path) -> None:
    shop.breaks = 2
    seen: list[tuple[int, int | None]] = []
    target = fetch(
        shop.url,
        tmp_path / "deep" / "set.zip",
        checksum=SHA,
        wait=0,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert target.read_bytes() == CONTENT
    assert shop.asked == [None, "bytes=100000-", "bytes=200000-"]
    assert seen[-1] == (300_000, 300_000) and seen == sorted(seen)
    assert [path.name for path in target.parent.iterdir()] == ["set.zip"]
    fetch(shop.url, target, checksum=f"sha256:{SHA.upper()}")
    assert len(shop.asked) == 3


def test_a_later_call_goes_on_where_the_last_gave_up(shop: Shop, tmp_path: Path) -> None:
    shop.breaks = 1
    with pytest.raises(DataError, match=r"gave up after 1 tries .*100000 bytes wait in set.zip.part"):
        fetch(shop.url, tmp_path / "set.zip", attempts=1, wait=0)
    assert not (tmp_path / "set.zip").exists()
    assert fetch(shop.url, tmp_path / "set.zip", checksum=SHA, wait=0).read_bytes() == CONTENT
    assert shop.asked == [None, "bytes=100000-"]


def test_a_file_that_has_changed_since_is_fetched_anew(shop: Shop, tmp_path: Path) -> None:
    shop.breaks = 1
    with pytest.raises(DataError, match="gave up"):
        fetch(shop.url, tmp_path / "set.zip", attempts=1, wait=0)
    shop.content, shop.etag = CONTENT[::-1], '"two"'
    assert fetch(shop.url, tmp_path / "set.zip", wait=0).read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_starts_from_the_beginning(shop: Shop, tmp_path: Path) -> None:
    shop.breaks, shop.ranges = 1, False
    assert fetch(shop.url, tmp_path / "set.zip", checksum=SHA, wait=0).read_bytes() == CONTENT
    assert shop.asked == [None, "bytes=100000-"]
    # One that breaks off at the same byte each time is given up, not asked for ever.
    shop.breaks = 99
    with pytest.raises(DataError, match="gave up after 3 tries"):
        fetch(shop.url, tmp_path / "other.zip", attempts=3, wait=0)


def test_all_bytes_there_but_not_renamed(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(CONTENT)
    assert fetch(shop.url, tmp_path / "set.zip", checksum=SHA, wait=0).read_bytes() == CONTENT
    (tmp_path / "set.zip").unlink()
    (tmp_path / "set.zip.part").write_bytes(CONTENT + b"more than there is")
    assert fetch(shop.url, tmp_path / "set.zip", checksum=SHA, wait=0).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"sha256 is {SHA}, expected {'0' * 64}; what was fetched is removed"):
        fetch(shop.url, tmp_path / "set.zip", checksum="0" * 64, wait=0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "set.zip").write_bytes(b"other")
    with pytest.raises(DataError, match="is there with another sha256"):
        fetch(shop.url, tmp_path / "set.zip", checksum=SHA)
    with pytest.raises(DataError, match="expected the 64 hex digits"):
        fetch(shop.url, tmp_path / "set.zip", checksum="abc")


def test_a_refusal_is_not_asked_again_a_busy_server_is(shop: Shop, tmp_path: Path) -> None:
    shop.status = 404
    with pytest.raises(DataError, match="the server answered 404"):
        fetch(shop.url, tmp_path / "set.zip", wait=0)
    assert len(shop.asked) == 1
    shop.status = 503
    with pytest.raises(DataError, match=r"gave up after 3 tries .*503"):
        fetch(shop.url, tmp_path / "set.zip", wait=0, attempts=3)
    assert len(shop.asked) == 4
    with pytest.raises(DataError, match="expected an address that starts with http"):
        fetch("file:///etc/hosts", tmp_path / "x")


def test_archives_are_unpacked_and_none_leaves_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as archive:
        archive.writestr("set/a.txt", "a")
    with tarfile.open(tmp_path / "good.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "a.txt", "set/b.txt")
    for name in ("good.zip", "good.tar.gz"):
        unpack(tmp_path / name, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out" / "set").iterdir()) == ["a.txt", "b.txt"]
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../escaped.txt", "a")
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.add(tmp_path / "a.txt", "../escaped.txt")
    locked = bytearray((tmp_path / "good.zip").read_bytes())
    # The bit that says "encrypted", in the member's own header and in the list at the end.
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(header) + flags] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    for name in ("bad.zip", "bad.tar", "a.txt", "locked.zip"):
        with pytest.raises(DataError, match=name):
            unpack(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "escaped.txt").exists()


def program() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts" / "fetch_dataset.py"
    spec = importlib.util.spec_from_file_location("fetch_dataset", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_known_set_is_fetched_unpacked_and_held_to_its_sum(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, folder = program(), tmp_path / "set"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("set/a.txt", "a" * 1000)
    shop.content, shop.breaks = buffer.getvalue(), 1
    card = dataclasses.replace(every_card()["fruits360"], downloads=(Download(shop.url),))
    module.fetch_set(card, folder, 3)
    assert (folder / "set" / "a.txt").is_file()
    digest = hashlib.sha256(shop.content).hexdigest()
    assert json.loads((folder / "checksums.json").read_text()) == {shop.url: digest}
    assert card.licence in capsys.readouterr().out
    # Another file under the same address is not taken for this one.
    (folder / "set.zip").unlink()
    shop.content, shop.etag = CONTENT, '"two"'
    with pytest.raises(DataError, match=f"expected {digest}"):
        module.fetch_set(card, folder, 3)
    assert module.main(["rp2k", str(folder)]) == 2
    assert "to get it: www.pinlandata.com" in capsys.readouterr().err


def test_addresses_on_the_cards_are_files_and_their_sums_are_sums() -> None:
    downloads = [download for card in every_card().values() for download in card.downloads]
    assert len(downloads) >= 8 and any(download.sha256 for download in downloads)
    for download in downloads:
        assert download.url.startswith(("http://", "https://")) and program().file_name(download.url).endswith(
            (".zip", ".gz")
        )
        assert download.sha256 is None or len(bytes.fromhex(download.sha256)) == 32


def test_the_script_fetches_and_explains(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = program()
    assert module.main([shop.url, str(tmp_path), "--sha256", SHA]) == 0
    assert f"sha256 {SHA}" in capsys.readouterr().out
    assert module.main([shop.url, str(tmp_path), "--unpack"]) == 2
    assert "neither a zip nor a tar" in capsys.readouterr().err
    assert module.main(["--how", "fruits360"]) == 0
    assert "CC BY-SA" in capsys.readouterr().out
    assert module.main(["--how", "fruits361"]) == 2
    assert "no known set" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert program().main([shop.url, str(tmp_path / "file" / "set")]) == 2
    assert "fetch_dataset: " in capsys.readouterr().err
