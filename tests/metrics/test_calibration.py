"""Calibration errors against torchmetrics and against plain loops."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facings.metrics.calibration import (
    calibration_metrics,
    detection_calibration_error,
    localization_calibration_error,
    reliability,
)

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.mark.parametrize("bins", [1, 10, 25])
def test_detection_error_equals_torchmetrics(rng: np.random.Generator, bins: int) -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification")
    scores = rng.random(500)
    hits = rng.random(500) < scores**2
    expected = functional.binary_calibration_error(
        torch.from_numpy(scores), torch.from_numpy(hits.astype(int)), n_bins=bins, norm="l1"
    )
    assert detection_calibration_error(scores, hits, bins=bins) == pytest.approx(float(expected), abs=1e-6)


def test_localization_error_equals_the_definition(rng: np.random.Generator) -> None:
    scores, categories = rng.random(400), rng.choice([3, 8], 400)
    overlaps = np.where(rng.random(400) < scores, rng.uniform(0.5, 1, 400), 0.0)
    errors = []
    for category in (3, 8):
        error, total = 0.0, (categories == category).sum()
        for low in np.arange(25) / 25:
            own = (categories == category) & (scores >= low) & (scores < low + 0.04)
            right = own & (overlaps > 0)
            if own.any():
                precision, iou = right.sum() / own.sum(), overlaps[right].mean() if right.any() else 0.0
                error += own.sum() / total * abs(precision * iou - scores[own].mean())
        errors.append(error)
    assert localization_calibration_error(scores, overlaps, categories) == pytest.approx(np.mean(errors))


def test_calibrated_scores_have_little_error(rng: np.random.Generator) -> None:
    scores = rng.random(200_000)
    assert detection_calibration_error(scores, rng.random(200_000) < scores) < 0.01
    assert detection_calibration_error(scores, rng.random(200_000) < scores / 2) == pytest.approx(0.25, abs=0.01)


def test_edges_of_bins_and_scores_that_are_none() -> None:
    curve = reliability(np.array([0.0, 0.5, 1.0]), np.ones(3), bins=2)
    assert curve.count.tolist() == [1, 2]
    assert math.isnan(reliability(np.zeros(0), np.zeros(0)).error)
    with pytest.raises(ValueError, match=r"scores lie between 0\.5 and 7; expected 0 to 1"):
        reliability(np.array([0.5, 7.0]), np.ones(2))
    with pytest.raises(ValueError, match="expected 0 to 1"):
        reliability(np.array([0.5, np.nan]), np.ones(2))


def test_of_predictions(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(7), pictures=3, objects=20, detections=60, crowd=True)
    figures = calibration_metrics(truth, results)
    assert 0 < figures["d_ece"] < 1 and 0 < figures["laece"] < 1
    above = calibration_metrics(truth, results, min_score=0.5)
    same = calibration_metrics(truth, [result for result in results if result["score"] >= 0.5])
    assert above == pytest.approx(same)
    assert all(math.isnan(value) for value in calibration_metrics(truth, []).values())


def test_without_truth_all_scores_are_too_high(scenes: Scenes) -> None:
    truth, results = scenes(np.random.default_rng(7), pictures=2, objects=4, detections=10)
    expected = np.mean([result["score"] for result in results])
    assert calibration_metrics(truth | {"annotations": []}, results)["d_ece"] == pytest.approx(expected)
