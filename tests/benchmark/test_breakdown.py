"""What the report breaks the shop's figures down to, worked out by hand; and what changed against the run before."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from facings.benchmark.frames import Data
from facings.commands.benchmark import run
from facings.commands.last_run import against_last_run


@pytest.fixture(scope="module")
def content(benchmark_run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((benchmark_run / "benchmark.json").read_text())
    return found


def test_errors_sum_and_the_dearest_come_with_advice(content: dict[str, Any]) -> None:
    """One tin is annotated as its sibling, one is not painted; all others are right."""
    chain = content["chain"]
    assert chain["objects"] == 10 and chain["errors"] == {"not detected": 1, "sibling": 1}
    assert chain["stages"]["right"] == 7 and chain["stages"]["unjudged"] == 1
    assert [finding["name"] for finding in chain["findings"]] == ["not detected", "sibling"]
    assert all(finding["advice"] for finding in chain["findings"])
    assert [(row["slice"], row["objects"]) for row in content["slices"]["size"]] == [("below 32 pixels", 10)]
    [tins] = content["slices"]["category"]
    assert (tins["slice"], tins["objects"]) == ("Tin", 9) and tins["error_share"] == pytest.approx(2 / 9)
    # Tins have no finer category: departments would be the same again.
    assert "department" not in content["slices"] and len(content["slices"]["gap to the neighbour, in object sizes"]) > 0
    assert content["taken"] == [{"truth": "red", "answer": "blue", "count": 1, "of": 5, "siblings": True}]


def test_products_and_frames_worst_first(content: dict[str, Any]) -> None:
    rows = {row["product"]: row for row in content["products"]}
    assert list(rows) == ["blue", "red", "green"]
    red = {"objects": 5, "right": 4, "wrong": 1, "unknown": 0, "ambiguous": 0, "lost": 0, "called": "Blue <tin>"}
    assert red.items() <= rows["red"].items() and rows["red"]["error_share"] == pytest.approx(0.2)
    assert (rows["blue"]["lost"], rows["blue"]["called"], rows["green"]["error_share"]) == (1, None, 0.0)
    frames = content["frames"]
    assert [row["frame"] for row in frames] == ["002.png", "003.png", "001.png", "004.png"]
    assert frames[0]["counts"] == {"right": 2, "wrong": 1} and frames[0]["quality"] == pytest.approx(2 / 3)


def test_curves_end_where_recall_does(content: dict[str, Any]) -> None:
    loose, strict = content["curves"]
    assert (loose["iou"], strict["iou"]) == (0.5, 0.75)
    assert loose["recall"][-1] == 0.9 and loose["recall"] == sorted(loose["recall"])
    assert loose["score"] == sorted(loose["score"], reverse=True)
    # Nine boxes lie on their objects and come first.
    assert loose["precision"] == loose["envelope"] == [1.0] * len(loose["recall"])
    assert loose["ap"] == pytest.approx(content["headline"]["ap50"])
    assert content["boxes"]["counts"]["missed"] == 1 and content["boxes"]["gains"]["missed"] > 0


def test_the_last_run_is_held_beside_this_one(benchmark_config, benchmark_run: Path, tmp_path: Path) -> None:
    shutil.copytree(benchmark_run, tmp_path / "before")
    run(benchmark_config(tmp_path / "now"))
    against = json.loads((tmp_path / "now" / "benchmark.json").read_text())["against"]
    assert (against["run"], against["bundle"], against["refused"]) == ("before", "tiny-1", [])
    assert [row["figure"].split(",")[0] for row in against["figures"]][:3] == [
        "Detection AP",
        "Detection AP50",
        "End-to-end F1",
    ]
    assert {(row["value"], row["winner"]) for row in against["figures"]} == {(0.0, "no difference shown")}
    assert "only 4 pictures" in against["notes"][0]
    for name in ("report.html", "report.md"):
        assert "no difference shown" in (tmp_path / "now" / name).read_text(encoding="utf-8")


def test_a_last_run_that_cannot_be_compared_says_why(benchmark_run: Path, content, tmp_path: Path) -> None:
    config = yaml.safe_load((benchmark_run / "config.yaml").read_text())
    asked = (tmp_path / "now", content, config, Data("shop", (), (), {}), [], [])
    assert against_last_run(*asked) is None
    before = Path(shutil.copytree(benchmark_run, tmp_path / "before"))
    (before / "benchmark.json").write_text(json.dumps(content | {"protocol_version": 99}))
    found = against_last_run(*asked)
    assert found == {"run": "before", "refused": ["protocol frames version 99 against 2"]}
    (before / "benchmark.json").write_text("{")
    found = against_last_run(*asked)
    assert found is not None and "not JSON" in found["refused"][0]
