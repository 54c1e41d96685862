"""A writer killed at any of its steps leaves a gallery that works; writers and readers at once lose and see nothing half."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facings.runtime.gallery import Gallery
from facings.runtime.gallery_history import check, collect_garbage, history
from tests.runtime.gallery_parts import files_of, small_gallery, unit_rows

STEPS = ("open", "os.rename", "os.mkdir", "os.chmod", "os.remove", "os.rmdir", "tempfile.mkstemp", "tempfile.mkdtemp")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the child is a fork of this process")


def kill_at(step: int, folder: Path) -> None:
    """From now on: die, as from a power cut, just before the `step`-th file operation inside `folder`."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in STEPS and str(folder) in str(arguments[0]):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def run_killed(folder: Path, step: int, action: str) -> bool:
    """Do something in a child that is killed at a step. Returns whether it came to its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            gallery = Gallery.open(folder)
            kill_at(step, folder)
            act(gallery, action)
            status = 0
        finally:
            os._exit(status)
    _, state = os.waitpid(child, 0)
    assert os.WIFSIGNALED(state) or os.WEXITSTATUS(state) == 0, f"step {step} failed: {state}"
    return not os.WIFSIGNALED(state)


def act(gallery: Gallery, action: str) -> None:
    if action == "add":
        gallery.add("new", unit_rows(np.random.default_rng(9), 3))
    elif action == "rollback":
        gallery.rollback("000001")
    else:
        collect_garbage(gallery.folder, 1)


@forks
@pytest.mark.parametrize("action", ["add", "rollback", "gc"])
def test_killed_at_every_step(tmp_path: Path, rng: np.random.Generator, action: str) -> None:
    """After each death: the old version or the new one, whole and sound; and the next writer goes on from there."""
    folder = tmp_path / "gallery"
    before = small_gallery(folder, rng).add("d", unit_rows(rng, 2)).retire("b")
    step, finished = 0, False
    while not finished:
        step += 1
        finished = run_killed(folder, step, action)
        now = Gallery.open(folder)
        assert all(state == "sound" for _, state in check(folder))
        if action == "gc" or now.version == before.version:
            np.testing.assert_array_equal(now.vectors, before.vectors)
            assert now.items == before.items and now.retired == before.retired
        else:
            assert now.manifest["parent"] == before.version
            assert ("new" in now.items) if action == "add" else (now.items == ("a", "b", "c"))
        before = now.remove("new") if "new" in now.items else now
    assert step > 5, "the hook saw next to nothing"
    last = before.add("last", unit_rows(rng, 1))
    assert "last" in Gallery.open(folder).items and not [name for name in files_of(folder) if ".part" in name]
    assert next(iter(history(folder))).version == last.version


def test_what_a_dead_writer_left_is_swept(tmp_path: Path, rng: np.random.Generator) -> None:
    gallery = small_gallery(tmp_path / "gallery", rng)
    half = gallery.folder / ".000002.abc.part"
    half.mkdir()
    (half / "vectors.npy").write_bytes(b"half")
    (gallery.folder / ".CURRENT.xyz.part").write_bytes(b"00000")
    assert Gallery.open(gallery.folder).version == "000001"
    gallery.add("d", unit_rows(rng, 1))
    assert not list(gallery.folder.glob("*.part"))


def test_a_version_that_was_never_switched_to_is_skipped(tmp_path: Path, rng: np.random.Generator) -> None:
    gallery = small_gallery(tmp_path / "gallery", rng)
    pointer = (gallery.folder / "CURRENT").read_text()
    gallery.add("lost", unit_rows(rng, 1))
    (gallery.folder / "CURRENT").write_text(pointer)
    third = Gallery.open(gallery.folder).add("d", unit_rows(rng, 1))
    assert third.version == "000003" and third.manifest["parent"] == "000001" and "lost" not in third.items
    assert any(name.startswith("000002/") for name in collect_garbage(gallery.folder, 9))
    assert [entry.version for entry in history(gallery.folder)] == ["000003", "000001"]


def test_readers_never_see_half(tmp_path: Path, rng: np.random.Generator) -> None:
    """While a writer adds pairs of products in one commit and prunes, each reading has both of a pair or neither."""
    gallery = small_gallery(tmp_path / "gallery", rng)
    writer = multiprocessing.get_context("spawn").Process(target=write_pairs, args=(gallery.folder,))
    writer.start()
    seen = set()
    while writer.is_alive():
        now = Gallery.open(gallery.folder)
        seen.add(now.version)
        assert {n[1:] for n in now.items if n[0] == "l"} == {n[1:] for n in now.items if n[0] == "r"}
        time.sleep(0.002)
    writer.join()
    assert writer.exitcode == 0 and len(Gallery.open(gallery.folder).items) == 3 + 2 * 25
    assert len(seen) > 1


def write_pairs(folder: Path) -> None:
    from facings.runtime.gallery import Change

    rng = np.random.default_rng(0)
    for number in range(25):
        pair = [Change("add", f"{side}{number}", unit_rows(rng, 2)) for side in "lr"]
        Gallery.open(folder).apply(pair, reason="a pair")
        if number % 5 == 4:
            collect_garbage(folder, 1)


def test_a_writer_that_holds_the_gallery_too_long_is_named(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    gallery = small_gallery(tmp_path / "gallery", rng)
    monkeypatch.setattr("facings.runtime.gallery_files.LOCK_SECONDS", 0.2)
    with (gallery.folder / ".lock").open("a+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Exception, match="another writer has held the gallery"):
            gallery.retire("a")
    assert gallery.retire("a").version == "000002"
