"""Words on packs: a real reader on drawn packs, and decisions that words settle."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facings.errors import DataError
from facings.runtime.cli import main
from facings.runtime.pack_text import PackReader, PackWords, ReadWord, joined, read_words, settled, words_json, words_of
from facings.structures import Candidate, Decision, Item
from tests.conftest import TinyShop

pytest.importorskip("rapidocr", reason="reading packs wants facings[text]")

NAMES = {"a": "Taffel salted crisps 140g", "b": "Taffel bacon crisps 140g", "c": "Lay's tomato"}


def pack(*lines: str, height: int = 40) -> NDArray[np.uint8]:
    picture = Image.new("RGB", (360, 60 + 60 * len(lines)), "darkred")
    font = ImageFont.load_default(size=height)
    for number, line in enumerate(lines):
        ImageDraw.Draw(picture).text((30, 30 + 60 * number), line, font=font, fill="white")
    return np.asarray(picture)


@pytest.fixture(scope="module")
def reader() -> PackReader:
    return PackReader(threads=1)


def item(box: tuple[float, float, float, float], *similar: tuple[str, float], status: str = "ambiguous") -> Item:
    candidates = tuple(Candidate(name, value, 0.01) for name, value in similar)
    return Item(box, 0.9, status, candidates[0].product_id if status == "known" else None, (), candidates)  # type: ignore[arg-type]


def test_a_drawn_pack_is_read(reader: PackReader) -> None:
    found = [word.text for word in reader.read(pack("TAFFEL", "Bacon"))]
    assert found == ["taffel", "bacon"]
    assert reader.read(np.full((40, 30, 3), 90, np.uint8)) == ()
    assert reader.read(np.zeros((1, 1, 3), np.uint8)) == ()


def test_words_have_no_case_no_accents_and_three_letters() -> None:
    assert words_of("Äpple-MUST, 1.5 l 33cl") == ["apple", "must", "33cl"]
    assert words_of("…") == []


def test_what_stands_on_every_pack_tells_nothing_and_a_misread_word_counts() -> None:
    words = PackWords.named(NAMES)
    alike = words.agreement([ReadWord("taffel", 1.0)], ["a", "b"])
    assert alike[0] == alike[1] > 0
    # "saltel" is "salted" misread; "taffel" speaks for both.
    told = words.agreement([ReadWord("taffel", 1.0), ReadWord("saltel", 0.8)], ["a", "b"])
    assert told[0] == pytest.approx(1.0) and 0 < told[1] < told[0]
    assert words.agreement([ReadWord("chocolate", 1.0)], ["a", "b"]).tolist() == [0, 0]
    assert words.agreement([], ["a", "b"]).tolist() == [0, 0]
    assert words.agreement([ReadWord("bacon", 1.0)], ["a", "nobody"]).tolist() == [0, 0]


def test_words_read_on_packs_join_those_of_the_names() -> None:
    words = PackWords.named(NAMES, {"a": ["havssalt"]})
    assert words.agreement([ReadWord("havssalt", 0.9)], ["b", "a"]).tolist() == [0, 1]


def test_words_settle_what_is_ambiguous_and_nothing_else(reader: PackReader) -> None:
    frame = np.concatenate([pack("Taffel", "BACON"), np.full((180, 100, 3), 40, np.uint8)], axis=1)
    box = (0.0, 0.0, 360.0, 180.0)
    decision = Decision(
        "000001",
        (
            item(box, ("a", 0.90), ("b", 0.89)),
            item(box, ("a", 0.90), ("b", 0.89), status="known"),
            item((370.0, 10.0, 440.0, 170.0), ("a", 0.90), ("b", 0.89)),
            item(box, ("a", 0.90)),
        ),
    )
    read = settled(frame, decision, reader, PackWords.named(NAMES))
    assert [(one.status, one.product_id) for one in read.items] == [
        ("known", "b"),
        ("known", "a"),
        ("ambiguous", None),
        ("ambiguous", None),
    ]
    assert [c.product_id for c in read.items[0].candidates] == ["b", "a"]
    # Similarities and p-values are the picture's: words change the order alone.
    assert read.items[0].candidates[1] == decision.items[0].candidates[0]
    # Words too weak for the lead put the right one first and leave the choice to a person.
    weak = settled(frame, decision, reader, PackWords.named(NAMES), weight=0.03)
    assert weak.items[0].status == "ambiguous" and weak.items[0].candidates[0].product_id == "b"


def test_no_words_leave_the_picture_s_order() -> None:
    similar = np.array([0.9, 0.8], np.float32)
    assert joined(similar, np.zeros(2, np.float32)).tolist() == similar.tolist()


def test_words_are_read_once_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    Image.fromarray(pack("TAFFEL", "Bacon")).save(packs / "b.png")
    Image.fromarray(np.full((60, 60, 3), 90, np.uint8)).save(packs / "a.png")
    target = tmp_path / "words.json"
    assert main(["words", str(packs), "--output", str(target)]) == 0
    assert read_words(target) == {"a": (), "b": ("bacon", "taffel")}
    assert "2 products, 1 of them without words" in capsys.readouterr().out
    (packs / "broken.png").write_bytes(b"no picture")
    assert main(["words", str(packs), "--output", str(target)]) == 1
    assert "broken.png" in capsys.readouterr().err


def test_photos_in_folders_are_named_by_them(tmp_path: Path) -> None:
    for number, line in enumerate(("TAFFEL", "BACON")):
        (tmp_path / "b").mkdir(exist_ok=True)
        Image.fromarray(pack(line)).save(tmp_path / "b" / f"{number}.png")
    target = tmp_path / "words.json"
    assert main(["words", str(tmp_path / "b"), "--folders", "--output", str(target)]) == 0
    assert read_words(target) == {"b": ("bacon", "taffel")}


@pytest.mark.parametrize(
    "content",
    ["[]", '{"schema": "facings.words/1"}', '{"schema": "facings.words/1", "products": {"a": "bacon"}}', "{"],
)
def test_a_file_that_holds_no_words_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"words\.json"):
        read_words(path)


def test_predict_reads_only_when_asked(tiny_shop: TinyShop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame, words = tiny_shop.frames[0], tmp_path / "words.json"
    words.write_text(words_json({}))
    output = ["--output", str(tmp_path / "out")]
    assert main(["predict", str(tiny_shop.bundle), str(frame), *output, "--words", str(words)]) == 2
    assert "--read-text" in capsys.readouterr().err
    assert main(["predict", str(tiny_shop.bundle), str(frame), *output, "--read-text", "--words", str(words)]) == 0
    decision = json.loads((tmp_path / "out" / f"{frame.stem}.decision.json").read_text())
    assert decision["schema"] == "facings.decision/1"
