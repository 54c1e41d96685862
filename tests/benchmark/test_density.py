"""Crowded frames: the figures against the COCO evaluator's, and the cap that must not be reached in silence."""

import argparse
import doctest
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facings.benchmark import density
from facings.benchmark.density import Density, density_of
from facings.errors import ConfigError
from facings.metrics.detection import coco_metrics
from tests.conftest import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("density")


def crowded(rng: np.random.Generator, frames: int, objects: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A grid of touching boxes, found a little off and in random order of score, one in ten not at all."""
    truth: dict[str, Any] = {"categories": [{"id": 1, "name": "product"}], "images": [], "annotations": []}
    results = []
    for image in range(1, frames + 1):
        truth["images"].append({"id": image, "width": 400, "height": 400, "file_name": f"{image}.jpg"})
        for number in range(objects):
            box = [12.0 * (number % 30), 12.0 * (number // 30), 12.0, 12.0]
            entry = {"id": len(truth["annotations"]) + 1, "image_id": image, "category_id": 1, "bbox": box}
            truth["annotations"].append(entry | {"area": 144.0, "iscrowd": 0})
            if rng.random() < 0.9:
                found = (np.array(box) + rng.normal(0, 1.5, 4)).tolist()
                results.append(
                    {"image_id": image, "category_id": 1, "bbox": found, "score": float(rng.uniform(0.06, 1))}
                )
    return truth, results


def test_figures_are_those_of_the_coco_evaluator(rng: np.random.Generator) -> None:
    truth, results = crowded(rng, 3, 500)
    found, coco = density_of(truth, results, cap=1000, repeats=50), coco_metrics(truth, results)
    value, low, high = found.ap50
    assert value == pytest.approx(coco["ap50_1000"], abs=1e-6) and found.ap == pytest.approx(coco["ap_1000"], abs=1e-6)
    # At 300 detections a frame most of what was found would not count.
    assert value > coco["ap50_300"] + 0.2
    assert low <= value <= high and found.objects == 500 and 400 < found.most < 500 and found.capped == ()


def test_a_full_list_is_told(script: ModuleType, rng: np.random.Generator) -> None:
    truth, results = crowded(rng, 2, 60)
    kept = [r for r in results if r["image_id"] == 1] + [r for r in results if r["image_id"] == 2][:40]
    first = sum(r["image_id"] == 1 for r in kept)
    assert density_of(truth, kept, cap=first, repeats=2).capped == (1,)
    # What lies below the relevant score fills a list without harm.
    faint = [r | {"score": 0.01} for r in kept]
    assert density_of(truth, faint, cap=first, repeats=2).capped == ()
    full = Density((0.5, 0.4, 0.6), 0.3, 60.0, first, (1,))
    with pytest.raises(ConfigError, match=f"density-600: 1 frames .*as many as --top-k={first} lets through"):
        script.refuse_caps({600: full}, first)


def test_the_docstrings_example_holds() -> None:
    assert doctest.testmod(density).failed == 0


def test_held_out_sets_are_made_once_and_are_of_other_goods(script: ModuleType, tmp_path: Path) -> None:
    options = argparse.Namespace(scenes=1, size=128, seed=1, data_dir=tmp_path)
    home = script.held_out(20, options, tmp_path / "logs")
    stamp = (home / "synthesize.json").stat().st_mtime_ns
    assert script.held_out(20, options, tmp_path / "logs") == home == tmp_path / "synthetic" / "density-20"
    assert (home / "synthesize.json").stat().st_mtime_ns == stamp
    with pytest.raises(ConfigError, match="was made with val_scenes=1, asked is val_scenes=2"):
        script.held_out(20, argparse.Namespace(**vars(options) | {"scenes": 2}), tmp_path / "logs")
