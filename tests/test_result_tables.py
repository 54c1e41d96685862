"""Every figure in README and docs is a figure of a record in results/."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from facings.benchmark.record import write_result
from facings.errors import ConfigError
from tests.conftest import load_script

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return load_script("tables")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A checkout with one record and two pages that show it."""
    metrics: dict[str, Any] = {
        "ap50": {"value": 0.81234, "low": 0.75, "high": 0.9},
        "minutes": {"value": 25.3, "unit": "min"},
    }
    write_result(
        "spine-snack", claim="Boxes.", metrics=metrics, command="x", data={}, seeds=[0], folder=tmp_path / "results"
    )
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "README.md").write_text("# A\n\n<!-- results:spine-snack -->\nold\n<!-- /results -->\n\nend\n")
    (tmp_path / "docs" / "deep" / "b.md").write_text("before\n<!-- results:spine-snack -->\n<!-- /results -->\n")
    (tmp_path / "docs" / "plain.md").write_text("no tables\n")
    return tmp_path


def test_the_pages_of_this_repository_are_up_to_date(tables: ModuleType) -> None:
    stale = tables.refresh(ROOT, write=False)
    assert not stale, f"run python scripts/tables.py: {[str(path.relative_to(ROOT)) for path in stale]}"


def test_writes_between_the_marks_only_and_is_stable(tables: ModuleType, pages: Path) -> None:
    assert [path.name for path in tables.refresh(pages, write=False)] == ["README.md", "b.md"]
    assert "old" in (pages / "README.md").read_text()
    tables.refresh(pages, write=True)
    text = (pages / "README.md").read_text()
    assert text.startswith("# A\n\n<!-- results:spine-snack -->\n| record") and text.endswith(
        "<!-- /results -->\n\nend\n"
    )
    assert "[`spine-snack`](results/spine-snack.json)" in text
    assert "[`spine-snack`](../../results/spine-snack.json)" in (pages / "docs" / "deep" / "b.md").read_text()
    assert "| `ap50` | 0.812 | 0.750 to 0.900 |" in text
    assert "| `minutes` | 25.3 min | – |" in text
    assert tables.refresh(pages, write=False) == []


def test_headlines_are_what_the_claim_is_about(tables: ModuleType, pages: Path) -> None:
    path = pages / "results" / "spine-snack.json"
    found = json.loads(path.read_text())
    found["metrics"]["beside"] = {"value": 0.5}
    path.write_text(json.dumps(found))
    (pages / "README.md").write_text("<!-- headlines:spine-snack -->\n<!-- /results -->\n")
    tables.refresh(pages, write=True)
    assert "`ap50`" in (pages / "README.md").read_text() and "`beside`" not in (pages / "README.md").read_text()
    assert "`beside`" in (pages / "docs" / "deep" / "b.md").read_text()


def test_a_changed_record_makes_the_pages_stale(tables: ModuleType, pages: Path) -> None:
    tables.refresh(pages, write=True)
    path = pages / "results" / "spine-snack.json"
    content = json.loads(path.read_text())
    content["metrics"]["ap50"]["value"] = 0.9
    path.write_text(json.dumps(content))
    assert len(tables.refresh(pages, write=False)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<!-- results:spine-snak -->\n<!-- /results -->\n",
            "results:spine-snak names no record; results/ has spine-snack",
        ),
        ("<!-- results:spine-snack -->\n| a |\n", "not closed"),
    ],
)
def test_a_mark_at_fault_is_refused(tables: ModuleType, pages: Path, text: str, message: str) -> None:
    (pages / "README.md").write_text(text)
    with pytest.raises(ConfigError, match=f"README.md: .*{message}"):
        tables.refresh(pages, write=True)
    assert (pages / "README.md").read_text() == text


def test_numbers_have_the_digits_that_they_deserve(tables: ModuleType) -> None:
    figures = [tables.figure(value) for value in (0.81234, 1.0, 25.34, 123.4, 12345)]
    assert figures == ["0.812", "1.000", "25.3", "123", "12\u202f345"]
