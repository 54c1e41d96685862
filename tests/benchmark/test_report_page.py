"""The page: whole, self-contained, with every number of the JSON; and shown by a real browser."""

import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facings.benchmark.report import milliseconds, percent, share, whole

VOID = {"meta", "br", "img", "rect", "link", "input", "hr"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


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
        if not self.open or self.open[-1] != "style":
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
    assert page.tags["h1"] == 1 and page.tags["script"] == 0
    without_pictures = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?://|//[a-z]|@import|url\(", without_pictures)
    for tag, attributes in page.attributes:
        target = attributes.get("src") or attributes.get("href")
        assert target is None or target.startswith("data:image/jpeg;base64,"), f"<{tag}> needs {target}"
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


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_it(benchmark_run: Path, tmp_path: Path, width: int, dark: bool) -> None:
    """In a frame of the width asked for, as a headless window cannot be narrower than 500 pixels."""
    assert CHROMIUM is not None
    page = (benchmark_run / "report.html").as_uri()
    frame = f"width:{width}px;height:900px;border:0;display:block"
    (tmp_path / "frame.html").write_text(f'<body style="margin:0"><iframe src="{page}" style="{frame}"></iframe>')
    picture = tmp_path / "page.png"
    flags = [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,900"]
    # What the browser answers to prefers-color-scheme: 0 is dark, 1 is light.
    flags += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--screenshot={picture}"]
    words = [CHROMIUM, *flags, (tmp_path / "frame.html").as_uri()]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    pixels = np.asarray(Image.open(picture).convert("L"), np.float64)[:, :width]
    paper = np.median(pixels)
    assert paper < 60 if dark else paper > 220
    assert pixels.std() > 8  # not an empty page
    # Nothing sticks out on the right: the last columns are paper.
    assert np.abs(pixels[:, -4:] - paper).max() < 3
