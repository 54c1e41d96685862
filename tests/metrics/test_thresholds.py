"""F1 and LRP against scikit-learn and against every cut tried one by one."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facings.metrics.thresholds import (
    class_thresholds,
    f1_optimal,
    optimal_lrp,
    recall50,
    threshold_metrics,
)
from tests.metrics.conftest import evaluated

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]
DETECTIONS = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.floats(0.5, 1), st.booleans()), max_size=12)


@given(DETECTIONS, st.integers(1, 5))
def test_the_best_cut_is_the_best_of_all(detections: list[tuple[float, float, bool]], missed: int) -> None:
    scores = np.array([score for score, _, _ in detections])
    hits = np.array([hit for _, _, hit in detections], bool)
    overlaps = np.array([overlap for _, overlap, _ in detections]) * hits
    objects = int(hits.sum()) + missed
    f1, lrp = [0.0], [1.0]
    for cut in {*scores.tolist()}:
        kept = scores >= cut
        right = int(hits[kept].sum())
        wrong, lost = int(kept.sum()) - right, objects - right
        f1.append(2 * right / (2 * right + wrong + lost))
        distance = sum((1 - iou) / 0.5 for iou in overlaps[kept & hits].tolist())
        lrp.append((distance + wrong + lost) / (right + wrong + lost))
    best, least = f1_optimal(scores, hits, objects), optimal_lrp(scores, overlaps, hits, objects)
    assert best.f1 == pytest.approx(max(f1))
    if hits.any():
        # Whoever is right at all with an IoU of exactly 0.5 is as good as a miss: then all cuts may give 1.
        assert least.lrp == pytest.approx(max(min(lrp), least.lrp) if min(lrp) == 1 else min(lrp))
        parts = (least.false_positive, least.false_negative, least.localization)
        right = (1 - parts[1]) * objects
        kept = right / (1 - parts[0])
        whole = right * parts[2] / 0.5 + (kept - right) + (objects - right)
        assert least.lrp == pytest.approx(whole / (kept + objects - right))


def test_f1_equals_scikit_learn(rng: np.random.Generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    scores = rng.random(300).round(2)
    hits = rng.random(300) < scores
    precision, recall, cuts = metrics.precision_recall_curve(hits, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = f1_optimal(scores, hits, int(hits.sum()))
    assert best.f1 == pytest.approx(f1.max())
    assert best.threshold == pytest.approx(cuts[np.flatnonzero(np.isclose(f1[:-1], f1.max()))[-1]])


def test_lrp_of_a_perfect_detector_is_zero_and_of_half_an_overlap_one(scenes: Scenes) -> None:
    truth, _ = scenes(np.random.default_rng(1), pictures=2, objects=5, detections=1)
    found = [
        {name: entry[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.7}
        for entry in truth["annotations"]
    ]
    figures = threshold_metrics(truth, found)
    assert figures["olrp"] == pytest.approx(0, abs=1e-9)
    assert figures["f1"] == figures["recall50"] == 1.0 and figures["f1_threshold"] == 0.7
    half = [entry | {"bbox": [*entry["bbox"][:3], entry["bbox"][3] / 2 * 1.000001]} for entry in found]
    assert threshold_metrics(truth, half)["olrp"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_recall_equals_pycocotools(masked_scenes: Scenes, iou_type: Any) -> None:
    truth, results = masked_scenes(np.random.default_rng(2), pictures=4, objects=10, detections=25, crowd=True)
    _, recall = evaluated(truth, results, [300], iou_type)
    rows = class_thresholds(truth, results, iou_type=iou_type)
    assert [row["recall"] for row in rows] == pytest.approx([*recall[0, :2, 0, 0], math.nan], nan_ok=True)
    found = sum(row["recall"] * row["objects"] for row in rows[:2])
    assert recall50(truth, results, iou_type=iou_type) == pytest.approx(found / sum(row["objects"] for row in rows))


def test_rows_and_whole_agree(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(3), pictures=3, objects=20, detections=40, crowd=True)
    rows, whole = class_thresholds(truth, results), threshold_metrics(truth, results)
    assert [row["name"] for row in rows] == ["packaged", "produce"]
    assert whole["olrp"] == pytest.approx(np.mean([row["lrp"] for row in rows]))
    assert whole["olrp_localization"] == pytest.approx(np.mean([row["lrp_localization"] for row in rows]))
    # One threshold for all cannot be better than each its own.
    assert whole["f1"] <= max(row["f1"] for row in rows)
    assert 0.1 < whole["recall50"] < 1


def test_nothing_found_and_nothing_to_find(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(3), pictures=2, objects=3, detections=3)
    nothing = threshold_metrics(truth, [])
    assert (nothing["f1"], nothing["olrp"], nothing["recall50"]) == (0.0, 1.0, 0.0)
    assert math.isnan(nothing["f1_threshold"]) and nothing["olrp_false_negative"] == 1.0
    assert all(math.isnan(value) for value in threshold_metrics(truth | {"annotations": []}, results).values())
    assert math.isnan(recall50(truth | {"annotations": []}, results))
