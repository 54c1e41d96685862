"""Leaks that were planted between queries and gallery are found, and nothing else; real photos are audited too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facings.data.adapters.grocery_store import read_grocery_store
from facings.data.doctor.retrieval_leaks import retrieval_leaks
from facings.data.tables import RecognitionRow

Rows = list[RecognitionRow]


def photo(seed: int, size: int = 96) -> NDArray[np.uint8]:
    """Soft blobs, as photos have: a picture of its own for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8).astype(np.uint8))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def row(path: Path, product: str, role: str, box: tuple[float, float, float, float] | None = None) -> RecognitionRow:
    return RecognitionRow(path, product, "test" if role == "query" else "train", role, box=box)  # type: ignore[arg-type]


@pytest.fixture
def clean(tmp_path: Path) -> tuple[Rows, Rows]:
    """Six queries and six gallery rows of three products, all different."""
    queries, others = [], []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        Image.fromarray(photo(number)).save(path)
        role, rows = ("query", queries) if number < 6 else ("gallery", others)
        rows.append(row(path, "abc"[number % 3], role))
    return queries, others


def test_a_clean_split_is_not_accused(clean: tuple[Rows, Rows]) -> None:
    audit = retrieval_leaks(*clean)
    assert (audit.leaks, audit.unread) == ((), ())
    assert audit.figures()["leaked"] == 0.0


def test_equal_pixels_in_other_bytes_count_under_any_product(clean: tuple[Rows, Rows], tmp_path: Path) -> None:
    queries, others = clean
    Image.open(queries[0].path).save(tmp_path / "same.bmp")
    audit = retrieval_leaks(queries, [*others, row(tmp_path / "same.bmp", "c", "gallery")])
    assert [(leak.kind, leak.query, leak.other) for leak in audit.leaks] == [("pixels", 0, len(others))]
    assert audit.leaks[0].detail == "equal pixels in other bytes, but a and c"


def test_a_mirrored_copy_gives_its_query_away(clean: tuple[Rows, Rows], tmp_path: Path) -> None:
    queries, others = clean
    Image.open(queries[1].path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "turned.jpg", quality=70)
    audit = retrieval_leaks(queries, [*others, row(tmp_path / "turned.jpg", "b", "gallery")])
    assert [(leak.kind, leak.query, leak.other) for leak in audit.leaks] == [("near", 1, len(others))]
    assert audit.leaks[0].detail.startswith("mirrored, ")


def test_every_planted_leak_is_found_and_named(clean: tuple[Rows, Rows], tmp_path: Path) -> None:
    queries, others = clean
    (tmp_path / "copy.png").write_bytes(queries[0].path.read_bytes())
    image = Image.open(queries[1].path)
    image.save(tmp_path / "pixels.bmp")
    image = Image.open(queries[2].path)
    image.resize((80, 80)).save(tmp_path / "near.jpg", quality=60)
    Image.open(queries[3].path).resize((70, 70)).save(tmp_path / "stranger.jpg", quality=60)
    others += [row(tmp_path / "copy.png", "b", "train"), row(tmp_path / "pixels.bmp", "b", "train")]
    others += [row(tmp_path / "near.jpg", "c", "gallery"), row(tmp_path / "stranger.jpg", "c", "gallery")]
    audit = retrieval_leaks(queries, others)
    # The last one is nearly a query of another product: two flavours may look so.
    assert [(leak.query, leak.other, leak.kind) for leak in audit.leaks] == [
        (0, 6, "identical"), (1, 7, "pixels"), (2, 8, "near"),
    ]  # fmt: skip
    assert "but a and b" in audit.leaks[0].detail
    assert audit.leaked().tolist() == [True, True, True, False, False, False]
    assert audit.leaked(("pixels",)).sum() == 1
    assert audit.figures() == {
        "leaked": 3.0, "leaked_identical": 1.0, "leaked_pixels": 1.0, "leaked_near": 1.0, "leaked_frame": 0.0,
    }  # fmt: skip
    lines = audit.lines(queries, others)
    assert lines[0].startswith("identical: test/query ") and lines[2].endswith("bits apart")
    assert [leak.kind for leak in retrieval_leaks(queries, others, near=False).leaks] == ["identical"]


def test_crops_are_looked_at_by_their_place(tmp_path: Path) -> None:
    """A shelf of 2 × 2 products; the same shelf in other bytes; and one crop of it cut out beforehand."""
    shelf = np.concatenate([np.concatenate([photo(n + 2 * m) for n in range(2)], axis=1) for m in range(2)])
    Image.fromarray(shelf).save(tmp_path / "shelf.png")
    Image.fromarray(shelf).save(tmp_path / "shelf.bmp")
    Image.fromarray(shelf[:96, 96:]).save(tmp_path / "crop.png")
    queries = [
        row(tmp_path / "shelf.png", name, "query", (96.0 * (n % 2), 96.0 * (n // 2), 96, 96))
        for n, name in enumerate("abcd")
    ]
    others = [
        row(tmp_path / "shelf.png", "a", "gallery", (5, 5, 96, 96)),  # the first again, a little off
        row(tmp_path / "crop.png", "b", "gallery"),
        row(tmp_path / "shelf.bmp", "c", "train", (0, 96, 96, 96)),
        row(tmp_path / "shelf.bmp", "d", "train", (500, 500, 9, 9)),
    ]
    audit = retrieval_leaks(queries, others)
    found = [(leak.query, leak.other, leak.kind) for leak in audit.leaks]
    assert found == [
        (0, 0, "identical"),
        (1, 0, "frame"),
        (1, 1, "pixels"),
        (2, 0, "frame"),
        (2, 2, "pixels"),
        (3, 0, "frame"),
    ]
    assert audit.leaked().tolist() == [True, True, True, False]
    assert len(audit.unread) == 1 and "lies outside" in audit.unread[0]


def test_unreadable_files_are_told_and_nothing_is_nothing(clean: tuple[Rows, Rows], tmp_path: Path) -> None:
    queries, others = clean
    (tmp_path / "broken.png").write_bytes(b"no picture")
    missing = replace(others[0], path=tmp_path / "missing.png")
    audit = retrieval_leaks([*queries, row(tmp_path / "broken.png", "a", "query")], [*others, missing])
    assert audit.leaks == () and len(audit.unread) == 2
    both = retrieval_leaks([row(tmp_path / "broken.png", "a", "query")], [row(tmp_path / "broken.png", "a", "train")])
    assert [leak.kind for leak in both.leaks] == ["identical"]
    assert retrieval_leaks([], others).figures()["leaked"] == 0.0
    assert retrieval_leaks(queries, []).leaks == ()


def test_grocery_store_queries_are_audited(shared_data: Path) -> None:
    """Some photos of the real set: a planted copy is found, and nothing that cannot be read."""
    folder = shared_data / "grocery_store"
    if not folder.is_dir():
        pytest.skip("grocery_store is not beside this checkout")
    table = read_grocery_store(folder)
    queries, others = list(table.select(split="test")[:60]), list(table.select(split="train")[:90])
    planted = replace(queries[0], role="train", split="train")
    audit = retrieval_leaks(queries, [*others, planted])
    assert (0, len(others), "identical") in {(leak.query, leak.other, leak.kind) for leak in audit.leaks}
    assert audit.unread == ()
