"""The table of datasets in data/README.md is the cards' own."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from facings.config import config_dir
from facings.data.adapters.base import adapters
from facings.data.adapters.cards import CARDS, every_card
from facings.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def dataset_table() -> ModuleType:
    return script("dataset_table")


def test_the_page_is_up_to_date(dataset_table: ModuleType) -> None:
    assert not dataset_table.refresh(dataset_table.PAGE, write=False), "run python scripts/dataset_table.py"
    assert dataset_table.main(["--check"]) == 0


def test_every_set_has_one_row_and_a_stale_page_is_found(dataset_table: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# Data\n\n<!-- datasets -->\nold\n<!-- /datasets -->\n\nend\n")
    assert dataset_table.refresh(page, write=False) and "old" in page.read_text()
    assert dataset_table.refresh(page, write=True) and not dataset_table.refresh(page, write=False)
    text = page.read_text()
    assert text.startswith("# Data\n\n<!-- datasets -->\n| set") and text.endswith("<!-- /datasets -->\n\nend\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert sorted(row.split("|")[2].strip(" `") for row in rows) == sorted(every_card())
    assert len({row.count("|") for row in rows}) == 1
    page.write_text(text.replace("MIT, © 2019 Marcus Klasson", "MIT"))
    assert dataset_table.refresh(page, write=False)


@pytest.mark.parametrize("text", ["no marks\n", "<!-- datasets -->\n", "<!-- datasets -->\n<!-- /datasets -->\n" * 2])
def test_a_page_without_its_marks_is_refused(dataset_table: ModuleType, tmp_path: Path, text: str) -> None:
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(ConfigError, match="expected one <!-- datasets -->"):
        dataset_table.refresh(tmp_path / "README.md", write=True)


def test_every_adapter_has_an_option_of_its_name_and_the_reverse() -> None:
    names = {card.name for _, card in adapters()}
    assert names == {path.stem for path in (config_dir() / "dataset").glob("*.yaml")}
    assert not names & {card.name for card in CARDS}
