"""The line of versions: shared files, log, difference, rollback, pruning, old schema, and no byte that may change."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from facings.errors import DataError, GalleryError
from facings.runtime.gallery import Change, Gallery
from facings.runtime.gallery_history import check, collect_garbage, diff, history
from tests.runtime.gallery_parts import files_of, small_gallery, unit_rows


@pytest.fixture
def gallery(tmp_path: Path, rng: np.random.Generator) -> Gallery:
    return small_gallery(tmp_path / "gallery", rng)


def test_many_products_are_one_commit(gallery: Gallery, rng: np.random.Generator) -> None:
    changes = [
        Change("add", f"p{i}", unit_rows(rng, 3), {"name": f"Product {i}", "plu": str(3000 + i)}) for i in range(300)
    ]
    made = gallery.apply([*changes, Change("retire", "a"), Change("remove", "b")], author="ann", reason="week 12")
    again = Gallery.open(gallery.folder)
    assert made.version == again.version == "000002" and len(again.items) == 301 and again.retired == ("a",)
    assert again.products["p299"] == {"name": "Product 299", "plu": "3299"}
    assert again.manifest["author"] == "ann" and again.manifest["changes"][0] == {
        "operation": "add", "product_id": "p0", "views": 3,
    }  # fmt: skip
    np.testing.assert_array_equal(again.vectors, made.vectors)


def test_a_bad_change_leaves_nothing(gallery: Gallery, rng: np.random.Generator) -> None:
    before = files_of(gallery.folder)
    good = Change("add", "d", unit_rows(rng, 2))
    bad = {
        "not in gallery": Change("retire", "nobody"),
        "is not retired": Change("restore", "a"),
        "have 5 numbers each": Change("add", "e", unit_rows(rng, 2, 5)),
        "zero or not finite": Change("add", "e", np.full((1, 8), np.nan, np.float32)),
        "printable characters": Change("add", " e", unit_rows(rng, 1)),
        "expected one of add": Change("destroy", "a"),  # type: ignore[arg-type]
        "1 would do": Change("add", "e", unit_rows(rng, 1), {"gtin": "4006381333932"}),
    }
    for message, change in bad.items():
        with pytest.raises((GalleryError, DataError), match=message):
            gallery.apply([good, change], reason="mixed")
    with pytest.raises(GalleryError, match="no change was given"):
        gallery.apply([], reason="nothing")
    assert {n: c for n, c in files_of(gallery.folder).items() if n != ".lock"} == {
        n: c for n, c in before.items() if n != ".lock"
    }


def test_retired_products_are_kept_and_come_back(gallery: Gallery, rng: np.random.Generator) -> None:
    views = gallery.views_of("b")
    retired = gallery.retire("b", reason="season ends")
    assert retired.items == ("a", "c") and retired.retired == ("b",) and len(retired.vectors) == 4
    np.testing.assert_array_equal(retired.views_of("b"), views)
    with pytest.raises(GalleryError, match="restore it first"):
        retired.add("b", unit_rows(rng, 1))
    back = retired.restore("b")
    assert back.items == ("a", "b", "c") and not back.retired
    np.testing.assert_array_equal(back.vectors, gallery.vectors)
    np.testing.assert_allclose(back.calibration_scores, gallery.calibration_scores, atol=1e-6)
    with pytest.raises(GalleryError, match="only product"):
        back.apply([Change("retire", name) for name in "abc"], reason="all")


def test_versions_share_their_files(gallery: Gallery, rng: np.random.Generator) -> None:
    """Retiring writes no vectors; a few views more write a few, never the many again."""
    large = gallery.add("many", unit_rows(rng, 500))
    small = large.retire("a").add("few", unit_rows(rng, 3))
    added = {name: len(data) for name, data in files_of(gallery.folder).items() if name.endswith("vectors.npy")}
    assert added["000004/vectors.npy"] < 300 and "000003/vectors.npy" not in added
    assert "000003/item.npy" not in files_of(gallery.folder), "retiring moves no row"
    assert [segment.file for segment in small.content.segments] == ["000002/vectors.npy", "000004/vectors.npy"]


def test_log_and_difference(gallery: Gallery, rng: np.random.Generator) -> None:
    second = gallery.apply(
        [
            Change("add", "a", unit_rows(rng, 1)),
            Change("add", "d", unit_rows(rng, 2), {"name": "D"}),
            Change("remove", "b"),
        ],
        reason="swap",
    )
    third = second.retire("c").replace("a", unit_rows(rng, 3), details={"name": "A"})
    assert [entry.version for entry in history(gallery.folder)] == ["000004", "000003", "000002", "000001"]
    assert [entry.to_dict()["reason"] for entry in history(gallery.folder)][::-1] == [
        "export",
        "swap",
        "retire",
        "replace",
    ]
    found = diff(gallery, second)
    assert (found.added, found.removed, found.views) == (["d"], ["b"], [("a", 2, 3)])
    found = diff(second, third)
    assert (found.retired, found.views, found.details) == (["c"], [("a", 3, 3)], ["a"])
    assert diff(third, third.restore("c")).restored == ["c"] and not diff(third, third)


def test_rollback_is_a_new_version(gallery: Gallery, rng: np.random.Generator) -> None:
    later = gallery.add("d", unit_rows(rng, 4)).remove("a").retire("b")
    back = later.rollback("000001")
    assert back.version == "000005" and back.manifest["parent"] == "000004" and not diff(gallery, back)
    np.testing.assert_array_equal(back.calibration_scores, gallery.calibration_scores)
    assert back.manifest["reason"] == "rollback to 000001" and len(list(history(gallery.folder))) == 5
    assert not diff(later, back.rollback("000004"))
    with pytest.raises(GalleryError, match=r"'000099' is not in the history: 000001 to 000006"):
        back.rollback("000099")


def test_pruning_keeps_what_is_needed(gallery: Gallery, rng: np.random.Generator) -> None:
    last = gallery.add("many", unit_rows(rng, 200)).add("few", unit_rows(rng, 2)).retire("b")
    gone = collect_garbage(gallery.folder, 2)
    assert "000001/manifest.json" in gone and "000002/vectors.npy" not in gone
    again = Gallery.open(gallery.folder)
    np.testing.assert_array_equal(again.vectors, last.vectors)
    assert [entry.version for entry in history(gallery.folder)] == ["000004", "000003"]
    assert check(gallery.folder) == [("000004", "sound"), ("000003", "sound")]
    assert again.rollback("000003").items == ("a", "b", "c", "many", "few")
    with pytest.raises(GalleryError, match="not in the history"):
        again.rollback("000001")
    with pytest.raises(GalleryError, match="expected 1 or more"):
        collect_garbage(gallery.folder, 0)


def test_one_changed_byte_anywhere_is_refused(gallery: Gallery, rng: np.random.Generator) -> None:
    """Of the version in force on opening; of older ones when they are asked for, or all are checked."""
    gallery.add("many", unit_rows(rng, 50)).retire("b").add("few", unit_rows(rng, 1))
    named = {str(p.relative_to(gallery.folder)) for p in gallery.folder.rglob("*.npy")}
    needed = {"CURRENT", "000004/manifest.json", "000002/vectors.npy", "000004/vectors.npy", "000004/item.npy"}
    for name in sorted(files_of(gallery.folder)):
        path = gallery.folder / name
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1} if whole else ():
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            if name in needed:
                with pytest.raises(GalleryError):
                    Gallery.open(gallery.folder)
            if name != "CURRENT":
                assert any(state != "sound" for _, state in check(gallery.folder)), name
            path.write_bytes(whole[:place])
            if name in needed:
                with pytest.raises(GalleryError):
                    Gallery.open(gallery.folder)
        path.write_bytes(whole)
    assert needed - {"CURRENT", "000004/manifest.json"} <= named
    assert all(state == "sound" for _, state in check(gallery.folder))


def test_an_older_schema_is_opened_and_changed(tmp_path: Path, rng: np.random.Generator) -> None:
    """A gallery as the first release wrote it: its arrays stay, and the new version names them."""
    folder = tmp_path / "gallery"
    arrays = {
        "vectors": unit_rows(rng, 4), "item": np.array([0, 0, 1, 1]), "calibration_vectors": unit_rows(rng, 5),
        "calibration_scores": np.linspace(0, 1, 5, dtype=np.float32),
    }  # fmt: skip
    (folder / "000001").mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / "000001" / f"{name}.npy", array)
    files = {f"{n}.npy": sha256((folder / "000001" / f"{n}.npy").read_bytes()).hexdigest() for n in arrays}
    content = {
        "schema": "facings.gallery/1", "version": "000001", "parent": None, "author": "x", "reason": "export",
        "embedder_sha256": "a" * 64, "products": {"old": {"name": "Old", "plu": "9999"}}, "created": "2026-01-01T00:00:00+00:00",
        "dimension": 8, "views": 4, "items": ["old", "other"], "calibration_items": [None] * 5, "files": files,
    }  # fmt: skip
    text = json.dumps(content, indent=1)
    (folder / "000001" / "manifest.json").write_text(text)
    (folder / "CURRENT").write_text(f"000001 {sha256(text.encode()).hexdigest()}\n")
    old = Gallery.open(folder, embedder_sha256="a" * 64)
    np.testing.assert_array_equal(old.calibration_scores, arrays["calibration_scores"])
    before = files_of(folder)
    new = old.retire("other")
    assert new.manifest["schema"] == "facings.gallery/1.1" and new.content.segments[0].file == "000001/vectors.npy"
    assert {n: c for n, c in files_of(folder).items() if n in before and n != "CURRENT"} == {
        n: c for n, c in before.items() if n != "CURRENT"
    }
    assert not diff(old, new.rollback("000001")) and all(state == "sound" for _, state in check(folder))
    # A code that was wrong before does not bar other changes.
    assert new.add("third", unit_rows(rng, 1), details={"plu": "4011"}).items == ("old", "other", "third")


def test_an_unknown_schema_is_refused(gallery: Gallery) -> None:
    path = gallery.folder / "000001" / "manifest.json"
    for change, message in (
        ({"schema": "facings.gallery/2"}, "reads 'facings.gallery/1'"),
        ({"version": "000009"}, "says"),
    ):
        whole = path.read_text()
        text = json.dumps(json.loads(whole) | change)
        path.write_text(text)
        (gallery.folder / "CURRENT").write_text(f"000001 {sha256(text.encode()).hexdigest()}\n")
        with pytest.raises(GalleryError, match=message):
            Gallery.open(gallery.folder)
        path.write_text(whole)
