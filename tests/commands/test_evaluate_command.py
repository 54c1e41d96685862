"""`facings evaluate`: the figures of training again, from the checkpoint and from the bundle."""

import json
import math
from pathlib import Path

import pytest

from facings.benchmark.rows import PROTOCOLS
from facings.commands.composition import compose_verb
from facings.commands.evaluate import run
from facings.errors import CheckpointError, ConfigError
from tests.conftest import TinyShop


def evaluate(folder: Path, *words: str) -> dict[str, float]:
    return run(compose_verb("evaluate", words, output_dir=folder))


def test_checkpoint_gives_the_training_s_figures_again(tiny_shop: TinyShop, tmp_path: Path) -> None:
    for checkpoint in (tiny_shop.detector, tiny_shop.embedder):
        ended = json.loads((checkpoint.parent.parent / "results.json").read_text())
        figures = evaluate(tmp_path / checkpoint.parent.parent.name, f"checkpoint={checkpoint}")
        shared = set(figures) & set(ended)
        assert {"ap", "ap50", "ap75", "ar_300", "ar_1000"} <= shared or {"r1", "r5", "map_at_r"} <= shared
        for name in shared:
            if ended[name] is None:
                assert math.isnan(figures[name])
                continue
            assert figures[name] == pytest.approx(ended[name], abs=1e-6), name


def test_bundle_agrees_with_its_checkpoints(tiny_shop: TinyShop, tmp_path: Path) -> None:
    """Torch and the runtime prepare, infer and count by different code; the figures must still be the same."""
    data = tiny_shop.data
    words = [
        f"annotations={data / 'instances_val.json'}",
        f"images={data / 'images' / 'val'}",
        f"table={data / 'recognition.csv'}",
    ]
    figures = evaluate(tmp_path / "bundle", f"bundle={tiny_shop.bundle}", *words)
    detector = evaluate(tmp_path / "detector", f"checkpoint={tiny_shop.detector}", *words)
    embedder = evaluate(tmp_path / "embedder", f"checkpoint={tiny_shop.embedder}", *words)
    assert figures["ap"] == pytest.approx(detector["ap"], abs=0.01)
    assert figures["ar_1000"] == pytest.approx(detector["ar_1000"], abs=0.01)
    assert figures["r5"] == pytest.approx(embedder["r5"], abs=2 / figures["queries"])
    assert figures["not_enrolled"] == 0
    assert (tmp_path / "bundle" / "predictions" / "detections.json").is_file()
    results = json.loads((tmp_path / "bundle" / "results.json").read_text())
    assert (results["protocol"], results["protocol_version"]) == ("evaluate", PROTOCOLS["evaluate"])


def test_lists_are_put_in_a_better_order_on_demand(tiny_shop: TinyShop, tmp_path: Path) -> None:
    figures = evaluate(tmp_path / "plain", f"checkpoint={tiny_shop.embedder}")
    better = evaluate(tmp_path / "better", f"checkpoint={tiny_shop.embedder}", "rerank=expansion")
    assert set(better) - set(figures) == {"reranked_r1", "reranked_r5", "reranked_map_at_r"}
    spans = json.loads((tmp_path / "better" / "retrieval.json").read_text())["intervals"]["products"]
    for name in set(better) - set(figures):
        assert spans[name]["value"] == pytest.approx(better[name])
        assert 0 <= spans[name]["low"] <= better[name] <= spans[name]["high"] <= 1


def test_queries_that_are_the_gallery_are_no_leaks_of_themselves(tiny_shop: TinyShop, tmp_path: Path) -> None:
    rows = "{split: val, role: query}"
    figures = evaluate(tmp_path, f"checkpoint={tiny_shop.embedder}", f"gallery={rows}", f"queries={rows}")
    assert figures["leaked_identical"] == 0


def test_classes_are_forgotten_by_checkpoint_and_bundle_alike(tiny_shop: TinyShop, tmp_path: Path) -> None:
    data = tiny_shop.data
    words = ["class_agnostic=true", f"annotations={data / 'instances_val.json'}", f"images={data / 'images' / 'val'}"]
    bundle = evaluate(tmp_path / "bundle", f"bundle={tiny_shop.bundle}", *words)
    detector = evaluate(tmp_path / "detector", f"checkpoint={tiny_shop.detector}", *words)
    assert bundle["ap"] == pytest.approx(detector["ap"], abs=0.01)
    assert bundle["ar_1000"] == pytest.approx(detector["ar_1000"], abs=0.01)


def test_wrong_use(tiny_shop: TinyShop, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give one of"):
        evaluate(tmp_path, f"checkpoint={tiny_shop.detector}", f"bundle={tiny_shop.bundle}")
    with pytest.raises(ConfigError, match="given together"):
        evaluate(tmp_path, f"bundle={tiny_shop.bundle}", "annotations=x.json")
    with pytest.raises(ConfigError, match="is asked about"):
        evaluate(tmp_path, f"bundle={tiny_shop.bundle}")
    with pytest.raises(CheckpointError, match=r"x\.ckpt: no such checkpoint"):
        evaluate(tmp_path, "checkpoint=x.ckpt")
