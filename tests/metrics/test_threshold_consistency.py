"""The inconsistency of operating points against a sum over every interval between any two distances."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from facings.metrics.threshold_consistency import inconsistency, threshold_consistency, threshold_range


def utility(distances: NDArray, same: NDArray, threshold: float) -> float:
    """Harmonic mean of sensitivity and specificity, as the paper has it."""
    sensitivity, specificity = np.mean(distances[same] <= threshold), np.mean(distances[~same] > threshold)
    both = sensitivity + specificity
    return float(2 * sensitivity * specificity / both) if both else 0.0


def by_intervals(distances: NDArray, same: NDArray, classes: NDArray, low: float, high: float) -> NDArray:
    """(T,) mean squared deviation of each class; every utility is asked anew in the middle of each interval."""
    edges = np.unique([low, *distances[(distances > low) & (distances < high)], high])
    kept = [c for c in np.unique(classes) if 0 < same[classes == c].sum() < (classes == c).sum()]
    total = np.zeros(len(kept))
    for left, right in itertools.pairwise(edges):
        middle = (left + right) / 2
        values = np.array([utility(distances[classes == c], same[classes == c], middle) for c in kept])
        total += (values - values.mean()) ** 2 * (right - left)
    return total / (high - low)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Rounded, so that many distances are equal.
    distances, classes = rng.uniform(0, 2, 120).round(seed % 2 + 1), rng.integers(0, 5, 120)
    same = rng.random(120) < 0.4
    same[classes == 4] = True  # has no pair with another: left out
    low, high = threshold_range(distances[~same], (0.1, 0.7))
    found = inconsistency(distances, same, classes, false_accepts=(0.1, 0.7))
    expected = by_intervals(distances, same, classes, low, high)
    assert found.classes.tolist() == [0, 1, 2, 3]
    assert found.of_class == pytest.approx(expected)
    assert found.opis == pytest.approx(expected.mean())
    assert 0 <= found.opis <= 0.25
    assert found.opis == pytest.approx(found.worst(1.0))
    assert found.worst(0.5) == pytest.approx(np.sort(expected)[2:].mean())
    assert found.worst(0.01) == pytest.approx(expected.max())


def test_vectors_give_their_own_pairs(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(24, 5))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = np.repeat(np.arange(6), 4)
    pairs = [(i, j) for i in range(24) for j in range(24) if i != j]
    distances = np.array([np.linalg.norm(vectors[i].astype(float) - vectors[j].astype(float)) for i, j in pairs])
    same = np.array([labels[i] == labels[j] for i, j in pairs])
    found = threshold_consistency(vectors, labels, false_accepts=(0.05, 0.5))
    expected = by_intervals(distances, same, labels[[i for i, _ in pairs]], found.low, found.high)
    assert found.opis == pytest.approx(expected.mean(), abs=1e-6)
    asked = threshold_consistency(vectors[:8], labels[:8], gallery=vectors[8:], gallery_labels=labels[8:] % 2)
    assert asked.classes.tolist() == [0, 1]


def test_classes_at_one_scale_are_consistent_and_others_are_not() -> None:
    def arcs(spread: tuple[float, float]) -> NDArray:
        degrees = [0, spread[0], 120, 120 + spread[1]]
        return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1).astype(np.float32)

    labels, all_of_it = np.array([0, 0, 1, 1]), (0.01, 1.0)
    alike = threshold_consistency(arcs((10, 10)), labels, false_accepts=all_of_it).opis
    unlike = threshold_consistency(arcs((10, 150)), labels, false_accepts=all_of_it).opis
    assert alike == pytest.approx(0, abs=1e-9) and unlike > 0.01


def test_bounds_and_refusals() -> None:
    distances, same, classes = np.array([1.0, 4, 3, 4]), np.array([True, False, True, False]), np.array([0, 0, 1, 1])
    assert inconsistency(distances, same, classes, between=(1.0, 3.0)).opis == 0.25
    assert inconsistency(distances, same, classes, between=(2.0, 2.0)).opis == 0.25
    with pytest.raises(ValueError, match="expected the lower first"):
        inconsistency(distances, same, classes, between=(3.0, 1.0))
    with pytest.raises(ValueError, match="no class has both"):
        inconsistency(distances, same, np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="finite"):
        inconsistency(distances * np.nan, same, classes)
    with pytest.raises(ValueError, match="of one class and pairs of two"):
        inconsistency(distances, ~same | same, classes)
    with pytest.raises(ValueError, match="false_accepts"):
        threshold_range(distances, (0.0, 0.1))
    with pytest.raises(ValueError, match="share is 0"):
        inconsistency(distances, same, classes, between=(1.0, 3.0)).worst(0)
    with pytest.raises(ValueError, match="given together"):
        threshold_consistency(np.eye(2, dtype=np.float32), np.arange(2), gallery=np.eye(2, dtype=np.float32))
