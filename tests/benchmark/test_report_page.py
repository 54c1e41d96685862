"""The page: whole, self-contained, with every number of the JSON. How a browser shows it: `test_report_browser`."""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from facings.benchmark.report import checkout_rows, milliseconds, percent, render, share, whole

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks nesting, collects text, tags and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def written(benchmark_run) -> tuple[str, dict[str, Any]]:
    text = (benchmark_run / "report.html").read_text(encoding="utf-8")
    return text, json.loads((benchmark_run / "benchmark.json").read_text())


def test_well_formed_and_self_contained(written) -> None:
    text, _ = written
    page = Page(text)
    assert page.open == []
    assert page.tags["h1"] == 1 and page.tags["script"] == 1
    without_pictures = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?://|//[a-z]|@import|url\(", without_pictures)
    for tag, attributes in page.attributes:
        target = attributes.get("src") or attributes.get("href")
        own = target is None or target.startswith(("data:image/jpeg;base64,", "#")) or target == "data:,"
        assert own, f"<{tag}> needs {target}"
        if target is not None and target.startswith("#"):
            assert any(found.get("id") == target[1:] for _, found in page.attributes), f"{target} leads nowhere"
        if tag == "img":
            assert attributes["alt"] and attributes["width"] and attributes["height"]


def test_every_number_of_the_file_is_on_the_page(written) -> None:
    text, content = written
    words = Page(text).text
    shown = [share(content[part]["figures"][name]) for part, name in (
        ("detection", "ap_300"), ("detection", "ap50_1000"), ("detection", "ar_1000"), ("end_to_end", "precision"),
        ("end_to_end", "recall"), ("end_to_end", "f1"), ("end_to_end", "top1_f1"), ("identification", "r1"),
        ("identification", "r5"), ("recognition", "r1"),
    )]  # fmt: skip
    shown += [milliseconds(times[p]) for times in content["latency"]["stages"].values() for p in ("p50", "p95", "p99")]
    shown += [content["bundle"]["sha256"], content["bundle"]["gallery_sha256"], content["commit"], content["machine"]]
    shown += [*content["data"]["checksums"].values(), content["command"], content["date"]]
    for value in shown:
        assert value in words, value


def test_names_from_files_are_escaped(written) -> None:
    text, content = written
    assert content["confusions"][0]["truth_name"] == "Red <tin>"
    assert "Red &lt;tin&gt;" in text and "<tin>" not in text


def test_numbers_in_words() -> None:
    assert (share(0.12345), share(None), share(float("nan"))) == ("0.123", "–", "–")
    assert [milliseconds(value) for value in (0.1234, 12.34, 123.4)] == ["0.12", "12.3", "123"]
    assert (percent(0.1234), whole(12345.0)) == ("12.3\u202f%", "12\u202f345")


@pytest.mark.parametrize(("suffixes", "levels"), [(["_hard"], 1), (["_easy", "_hard"], 3)])
def test_a_single_level_of_clutter_does_not_stand_twice(suffixes: list[str], levels: int) -> None:
    figures = {f"{name}{suffix}": 0.5 for name in ("cacc", "acd", "mccd", "mciou") for suffix in ("", *suffixes)}
    cells = checkout_rows({"figures": figures, "intervals": {}})[0]["cells"]
    assert len(cells) == levels and cells[0]["level"] == "all frames"


def test_columns_that_nothing_fills_are_left_out(written) -> None:
    _, content = written
    assert "Mostly called" in Page(render(content, [])).text
    rows = [{**row, "called": None, "ambiguous": 0} for row in content["products"]]
    words = Page(render({**content, "products": rows}, [])).text
    assert "Mostly called" not in words and "Ambiguous" not in words and "Share lost" in words
