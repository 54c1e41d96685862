"""Counts at seams, against a slow count of the definition's words."""

import doctest

import numpy as np
import pytest

import facings.metrics.seams
from facings.boxes import area, intersection, iou
from facings.metrics.seams import at_seams, seam_errors
from facings.tiles import tile_grid


def test_example_by_hand() -> None:
    assert doctest.testmod(facings.metrics.seams).failed == 0


def slowly(truth: np.ndarray, found: np.ndarray, grid: np.ndarray) -> dict[str, int]:
    counts = {"products": 0, "doubled": 0, "split": 0, "missed": 0}
    best = [max(range(len(truth)), key=lambda m: float(iou(one[None], truth[m][None])[0, 0])) for one in found]
    for m, product in enumerate(truth):
        shares = [intersection(product[None], t[None].astype(np.float32))[0, 0] / area(product[None])[0] for t in grid]
        if not any(0 < share < 1 - 1e-6 for share in shares):
            continue
        own = [one for one, b in zip(found, best, strict=True) if b == m]
        hits = sum(iou(one[None], product[None])[0, 0] >= 0.5 for one in own)
        lying = sum(intersection(one[None], product[None])[0, 0] / area(one[None])[0] >= 0.7 for one in own)
        counts["products"] += 1
        counts["doubled"] += hits >= 2
        counts["split"] += hits < 2 <= lying
        counts["missed"] += hits == 0 and lying < 2
    return counts


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_the_definitions(seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 260, (40, 2))
    truth = np.concatenate([corners, corners + random.uniform(10, 60, (40, 2))], axis=1).astype(np.float32)
    parts = truth[random.integers(0, 40, 60)].copy()
    parts[:, random.integers(0, 2)] += random.uniform(0, 20, 60)
    found = np.concatenate([parts, truth[:25] + random.uniform(-5, 5, (25, 4))]).astype(np.float32)
    found = found[(found[:, 2:] > found[:, :2]).all(axis=1)]
    grid = tile_grid(320, 320, 160, 40)
    counts = seam_errors(truth, found, grid)
    assert counts == slowly(truth, found, grid)
    assert counts["doubled"] and counts["missed"]


def test_without_products_or_detections() -> None:
    grid, none = tile_grid(100, 100, 60, 20), np.zeros((0, 4), np.float32)
    some = np.array([[30, 30, 60, 60], [0, 0, 9, 9]], np.float32)
    assert seam_errors(none, some, grid) == {"products": 0, "doubled": 0, "split": 0, "missed": 0}
    assert seam_errors(some, none, grid) == {"products": 1, "doubled": 0, "split": 0, "missed": 1}
    assert at_seams(some, grid).tolist() == [True, False]
