"""The one record: it fits its parts, is JSON, and hides what a protocol hides."""

import json

import numpy as np
import pytest

from facings.metrics import retrieval_report as room
from facings.metrics.retrieval_report import retrieval_report

PATHS = [("Fruit", "Apple", "gala"), ("Fruit", "Apple", "fuji"), ("Fruit", "pear"), ("milk",), ("Bread", "rye")]


def clusters(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(0, 4, count)
    vectors = np.random.default_rng(5).normal(size=(5, 8))[labels] + rng.normal(0, 1.0, (count, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def test_parts_fit_each_other(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    (gallery, of_view), (queries, labels) = clusters(rng, 60), clusters(rng, 30)
    labels[0] = 4  # not enrolled
    report = retrieval_report(queries, labels, gallery, of_view, paths=PATHS, ks=(1, 5), repeats=50)
    assert json.loads(json.dumps(report))["without_view"] == 1
    figures, levels, hierarchy = report["figures"], report["levels"], report["hierarchy"]
    assert levels[-1]["r1"] == figures["r1"] == report["cmc"][0] == pytest.approx(1 - hierarchy["mistakes"])
    assert levels[0]["r1"] >= figures["r1"]
    assert report["intervals"]["products"]["map"]["value"] == pytest.approx(figures["map"])
    assert report["intervals"]["macro"]["map"]["value"] == pytest.approx(figures["macro_map"])
    told = report["intervals"]
    assert [of["r1"]["value"] for of in told["levels"]] == pytest.approx([level["r1"] for level in levels])
    assert told["hierarchy"]["mistake_height"]["value"] == pytest.approx(hierarchy["mistake_height"])
    assert told["threshold_consistency"]["opis"]["value"] == pytest.approx(report["threshold_consistency"]["opis"])
    spans = [*told["levels"], told["hierarchy"], told["threshold_consistency"], told["products"]]
    assert all(of["low"] <= of["value"] <= of["high"] for span in spans for of in span.values())
    assert told["levels"][0]["r1"]["low"] < told["levels"][0]["r1"]["high"]
    assert sum(of["queries"] for of in report["classes"].values()) == 30
    assert 0 <= report["threshold_consistency"]["opis"] <= report["threshold_consistency"]["opis_worst_0.1"]
    monkeypatch.setattr(room, "PAIRS", 10)
    large = retrieval_report(queries, labels, gallery, of_view, paths=PATHS, ks=(1, 5), repeats=50)
    assert large["threshold_consistency"] is None and large["intervals"]["threshold_consistency"] == {}
    assert [of["r5"] for of in large["intervals"]["levels"]] == [of["r5"] for of in told["levels"]]
    assert [level["r5"] for level in large["levels"]] == pytest.approx([level["r5"] for level in levels])


def test_own_views_and_own_cameras_are_hidden(rng: np.random.Generator) -> None:
    gallery, of_view = clusters(rng, 40)
    seen = retrieval_report(gallery, of_view, gallery, of_view, paths=PATHS, repeats=20)
    hidden = retrieval_report(gallery, of_view, gallery, of_view, paths=PATHS, own=np.arange(40), repeats=20)
    # A camera for each view hides the view from itself, and nothing else.
    cameras = np.arange(40), np.arange(40)
    filmed = retrieval_report(gallery, of_view, gallery, of_view, paths=PATHS, cameras=cameras, repeats=20)
    assert seen["figures"]["r1"] == 1.0 > hidden["figures"]["r1"]
    assert filmed["figures"] == hidden["figures"]
    assert filmed["hierarchy"] == hidden["hierarchy"]
    assert [level["r1"] for level in filmed["levels"]] == pytest.approx([level["r1"] for level in hidden["levels"]])


def test_one_view_alone_and_a_label_without_a_path() -> None:
    one, label = np.array([[1.0, 0.0]], np.float32), np.array([0])
    alone = retrieval_report(one, label, one, label, paths=PATHS, own=label, missing="skip", repeats=5)
    assert alone["cmc"] is None and alone["threshold_consistency"] is None and np.isnan(alone["figures"]["r1"])
    with pytest.raises(ValueError, match="5 paths, but labels up to 9"):
        retrieval_report(one, label + 9, one, label, paths=PATHS)
