"""What counts as the same decision of two programs. The Node program itself runs in tests/examples (slow)."""

import doctest
from pathlib import Path
from typing import Any

import pytest

import facings.benchmark.node_agreement as node_agreement
from facings.benchmark.node_agreement import Comparison, compare_golden, differences, install_program
from facings.errors import BundleError, ConfigError
from tests.benchmark.conftest import Shop


def decision(**changes: Any) -> dict[str, Any]:
    item = {
        "box": [1.0, 2.0, 30.0, 40.0], "detection_score": 0.5, "status": "known", "product_id": "a", "category": ["Fruit"],
        "candidates": [{"product_id": "a", "similarity": 0.9, "p_value": 0.01}], "polygon": [], "attributes": {"ripe": 0.25},
    }  # fmt: skip
    return {"schema": "facings.decision/1", "gallery_version": "000001", "items": [item | changes]}


def test_the_example_holds() -> None:
    outcome = doctest.testmod(node_agreement)
    assert outcome.attempted > 0 and outcome.failed == 0


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"box": [1.0, 2.0, 30.01, 40.0]}, None),
        ({"polygon": [[1.0, 1.0]]}, None),
        ({"box": [1.0, 2.0, 30.02, 40.0]}, "box 30.02, expected 30.0"),
        ({"product_id": "b"}, "product_id 'b', expected 'a'"),
        ({"category": []}, "category"),
        ({"detection_score": float("nan")}, "detection_score nan"),
        ({"candidates": []}, "candidates"),
        ({"candidates": [{"product_id": "a", "similarity": 0.9, "p_value": 0.02}]}, "p_value 0.02"),
        ({"attributes": {}}, "other attributes"),
        ({"attributes": {"ripe": 0.26}}, "ripe 0.26"),
    ],
)
def test_a_difference_is_named(changes: dict[str, Any], line: str | None) -> None:
    lines = differences(decision(**changes), decision())
    assert (lines == []) if line is None else (len(lines) == 1 and lines[0].startswith(f"item 0: {line}"))


def test_whole_decisions_differ() -> None:
    other = decision() | {"gallery_version": None, "items": []}
    assert differences(other, decision()) == ["gallery_version None, expected '000001'", "0 items, expected 1"]
    assert Comparison({"000": (), "001": ("item 0",)}, 9).share == 0.5


def test_what_cannot_be_asked(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match="has no golden samples"):
        compare_golden(["node"], shop.bundle)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="not installed"):
        install_program(tmp_path, tmp_path / "copy")
