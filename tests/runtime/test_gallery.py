"""Versions of a gallery: nothing is lost, nothing is half."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from facings.errors import GalleryError
from facings.runtime.gallery import Gallery, non_mated_scores
from tests.runtime.gallery_parts import unit_rows


@pytest.fixture
def gallery(tmp_path: Path, rng: np.random.Generator) -> Gallery:
    return Gallery.create(
        tmp_path / "gallery",
        embedder_sha256="a" * 64,
        vectors=unit_rows(rng, 6),
        item=np.array([0, 0, 1, 1, 2, 2]),
        items=["a", "b", "c"],
        calibration_vectors=unit_rows(rng, 40),
        calibration_items=["a", None] * 20,
    )


def test_versions_are_kept_and_chained(gallery: Gallery, rng: np.random.Generator) -> None:
    second = gallery.add("d", unit_rows(rng, 3), reason="new in week 12")
    third = second.remove("a")
    assert [g.version for g in (gallery, second, third)] == ["000001", "000002", "000003"]
    assert third.manifest["parent"] == "000002" and second.manifest["reason"] == "new in week 12"
    assert third.items == ("b", "c", "d") and set(third.item.tolist()) == {0, 1, 2}
    np.testing.assert_array_equal(third.views_of("d"), second.views_of("d"))
    assert (gallery.folder / "000001" / "vectors.npy").is_file()


def test_calibration_follows_the_gallery(gallery: Gallery, rng: np.random.Generator) -> None:
    """Scores are taken again at each commit: with more views the highest similarity of others can only rise."""
    second = gallery.add("d", unit_rows(rng, 20))
    assert (second.calibration_scores >= gallery.calibration_scores - 1e-6).all()
    again = non_mated_scores(
        second.calibration_vectors, second.calibration_items, second.vectors, second.item, second.items
    )
    np.testing.assert_array_equal(again, second.calibration_scores)


def test_p_value_by_hand(gallery: Gallery) -> None:
    """(1 + number of calibration scores at least as high) / (1 + 40)."""
    highest = float(gallery.calibration_scores.max())
    values = gallery.p_values(np.array([2.0, highest, -2.0], np.float32))
    np.testing.assert_allclose(values, [1 / 41, 2 / 41, 1.0], rtol=1e-6)


def test_own_product_does_not_count_as_an_impostor(rng: np.random.Generator) -> None:
    views = unit_rows(rng, 2)
    scores = non_mated_scores(views[:1], ["a"], views, np.array([0, 1]), ["a", "b"])
    assert scores[0] == pytest.approx(float(views[0] @ views[1]), abs=1e-6)


def test_faults_are_refused(gallery: Gallery, rng: np.random.Generator, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="enroll again"):
        Gallery.open(gallery.folder, embedder_sha256="b" * 64)
    with pytest.raises(GalleryError, match="'nothing' is not in gallery"):
        gallery.remove("nothing")
    with pytest.raises(GalleryError, match="expected an id and"):
        gallery.add("e", np.zeros((0, 8), np.float32))
    with pytest.raises(GalleryError, match="holds no gallery"):
        Gallery.open(tmp_path)
    only = gallery.remove("a").remove("b")
    with pytest.raises(GalleryError, match="only product"):
        only.remove("c")


def test_two_writers_lose_nothing(gallery: Gallery) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_some, args=(gallery.folder, name)) for name in ("x", "y")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    last = Gallery.open(gallery.folder)
    assert set(last.items) == {"a", "b", "c", *(f"{n}{i}" for n in "xy" for i in range(4))}
    assert last.version == "000009"


def add_some(folder: Path, name: str) -> None:
    for number in range(4):
        Gallery.open(folder).add(f"{name}{number}", unit_rows(np.random.default_rng(number), 2))


def test_a_crash_before_the_switch_leaves_the_old_version(
    gallery: Gallery, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facings.runtime.gallery.np.save", full)
    with pytest.raises(OSError, match="No space left"):
        gallery.add("d", unit_rows(rng, 1))
    assert Gallery.open(gallery.folder).version == "000001"
    assert sorted(p.name for p in gallery.folder.iterdir() if p.is_dir()) == ["000001"]
