"""The papers of a bundle: what must not be sold is marked, and parts of the test split are told apart."""

import json
from pathlib import Path
from typing import Any

import pytest

from facings.commands.run_slices import run_slices
from facings.errors import DataError
from facings.export.model_card import licences, model_card
from facings.runtime.verify import verify
from tests.conftest import TinyShop
from tests.runtime.test_verify import reseal

MANIFEST = {"name": "corner", "version": 3, "detector": None, "embedder": None}


def card(licence: dict[str, Any], slices: list[dict[str, Any]]) -> str:
    training = {"experiment": "reid/shop", "seed": 0, "model": "lite0", "figures": {"r1": 0.5}, "slices": slices}
    report = {"training": {"embedder": training}, "parity": {}, "latency": None, "machine": "a machine"}
    return model_card(manifest=MANIFEST, postprocess={"schema": "x"}, report=report, licence=licence, gallery=None)


def test_what_must_not_be_sold_is_marked() -> None:
    configs = {
        "detector": {"run_name": "detection/shelves", "data_licence": "CC BY-NC-SA 4.0"},
        "embedder": {"run_name": "reid/shop", "data_licence": "MIT"},
    }
    found = licences(configs, {"catalogue": "for research use only"})
    assert found["non_commercial"] == ["catalogue", "detection/shelves"]
    assert "**Not for commercial use**, by the licence of catalogue, detection/shelves (below)." in card(found, [])
    assert licences({"embedder": configs["embedder"]}, {})["non_commercial"] == []


def test_slices_are_a_table_and_what_is_not_at_hand_is_said() -> None:
    rows: list[dict[str, Any]] = [{"by": "product", "slice": "a|b", "objects": 4, "r1": 0.25}]
    rows += [{"by": "product", "slice": "c", "objects": 0, "r1": None}]
    found = card(licences({}, {}), rows)
    assert "| product | a\\|b | 4 | 0.250 |\n| product | c | 0 | – |" in found
    assert "not at hand; `facings evaluate checkpoint=…`" in card(licences({}, {}), [])
    assert "`facings verify corner-3`" in found and "Made on a machine." in found


def test_slices_of_a_run(tmp_path: Path) -> None:
    assert run_slices(tmp_path) == []
    products = {
        name: {"r1": value, "queries": count} for name, value, count in (("a", 1.0, 3), ("b", 0.5, 2), ("c", 0, 0))
    }
    (tmp_path / "retrieval.json").write_text(json.dumps({"queries": 5, "classes": products, "levels": [{"r1": 0.9}]}))
    tree, worst, other = run_slices(tmp_path)
    assert (tree["slice"], tree["objects"], tree["r1"]) == ("1 of 1", 5, 0.9)
    assert (worst["by"], worst["slice"], other["slice"]) == ("product, the 2 worst of 2", "b", "a")
    (tmp_path / "details.json").write_text('{"boxes": []}')
    with pytest.raises(DataError, match=r"details\.json: not what a run writes"):
        run_slices(tmp_path)


@pytest.mark.parametrize(
    "names, passed, said",
    [(["shelves"], True, "not for commercial use: shelves"), ("shelves", False, "expected a list")],
)
def test_verify_tells_what_must_not_be_sold(own_bundle: Path, names: Any, passed: bool, said: str) -> None:
    content = json.loads((own_bundle / "LICENCES.json").read_text())
    (own_bundle / "LICENCES.json").write_text(json.dumps(content | {"non_commercial": names}))
    reseal(own_bundle, lambda manifest: None)
    (found,) = [check for check in verify(own_bundle, threads=1) if check.name == "licence"]
    assert found.passed is passed and said in found.detail


def test_a_sound_bundle_is_not_marked(tiny_shop: TinyShop) -> None:
    assert not [check for check in verify(tiny_shop.bundle, threads=1) if check.name == "licence"]
