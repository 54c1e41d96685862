"""Long lists of JSON met element by element: against the standard library, in blocks of a few bytes."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from facings.data.adapters import json_lists
from facings.data.adapters.coco_source import CocoText, mentions, whole
from facings.data.adapters.json_lists import read_object
from facings.errors import DataError


def content_of(draw: random.Random) -> dict[str, Any]:
    """Annotations of known and unknown pictures in any order, with signs that a cut may split, and entries that are none."""
    found: list[Any] = []
    for number in range(draw.randrange(20)):
        numbers = [draw.random() * 10 ** draw.randrange(-9, 9), draw.randrange(10**6), -0.5e-7]
        entry = {
            "id": number,
            "image_id": draw.choice([1, 2, 7.0, "x", None]),
            "n": 'é茶"]}\\' * draw.randrange(3),
            "v": numbers,
        }
        found.append(entry if draw.random() < 0.9 else draw.choice([1, -12.5, None, "a", [1], 12345678]))
    return {"info": {"a": [1, 2]}, "images": [{"id": 1}], "annotations": found, "categories": [], "last": -12.5e3}


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_what_is_read_is_what_the_standard_library_reads(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lists, "BLOCK", block)
    draw, path = random.Random(block), tmp_path / "a.json"
    for turn in range(30):
        content = content_of(draw)
        text = json.dumps(content, ensure_ascii=turn % 3 == 0, indent=turn % 4 or None)
        path.write_text(text, encoding="utf-8-sig" if turn % 2 else "utf-8")
        read = CocoText(path)
        assert read.content == {**content, "annotations": []}
        expected: dict[Any, list[Any]] = {}
        for entry in content["annotations"]:
            if isinstance(entry, dict):
                number = whole(entry["image_id"])
                expected.setdefault(repr(entry["image_id"]) if number is None else number, []).append(entry)
        assert len(read.strange) == sum(not isinstance(entry, dict) for entry in content["annotations"])
        assert dict(read.pictures()) == {identifier: len(entries) for identifier, entries in expected.items()}
        with path.open("rb") as file:
            assert {identifier: list(read.of(file, identifier)) for identifier in expected} == expected
            assert list(read.of(file, 99)) == []


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "Expecting value, in what starts at byte 0"),
        ("{", "at byte 1"),
        ('{"a"', "expected ':' at byte 4, got the end"),
        ('{"a": 1', "expected ',' or '}' at byte 7, got the end"),
        ('{"a": 1,}', "at byte 8"),
        ('{"annotations": [1 2]}', "expected ',' or ']' at byte 19, got '2'"),
        ('{"annotations": []} x', "something follows the end at byte 20"),
        ('{"annotations": [], "annotations": []}', "comes twice"),
        ("{1: 2}", "expected a key in quotes at byte 1"),
        ('{"a": "x', "Unterminated string, in what starts at byte 6"),
        ('{"a": ' + "[" * 100_000, "recursion"),
        ("[1, 2]", "lacks the list 'images'; is a list"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError) as fault:
        CocoText(tmp_path / "a.json")
    assert said in str(fault.value) and "a.json" in str(fault.value)


def test_only_the_named_lists_are_handed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, [2], {}], "b": [3], "c": {"a": [4]}}')
    met: list[tuple[Any, int, int]] = []
    content = read_object(tmp_path / "a.json", {"a": lambda *entry: met.append(entry)})
    assert content == {"a": [], "b": [3], "c": {"a": [4]}}
    assert met == [(1, 7, 1), ([2], 10, 3), ({}, 15, 2)]


def test_files_are_asked_for_words_without_reading_them(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": 1}')
    (tmp_path / "empty.json").write_text("")
    assert mentions(tmp_path / "a.json", ["images"]) and not mentions(tmp_path / "a.json", ["images", "annotations"])
    assert not mentions(tmp_path / "empty.json", ["images"]) and not mentions(tmp_path, ["images"])
