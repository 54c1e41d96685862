"""TIDE's figures beside the authors' own package, on random crowded pictures. Knows nothing of how either comes to them."""

import contextlib
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from facings.errors import ConfigError
from facings.masks import CropMask, to_rle
from facings.metrics.rle import compressed

METRICS: dict[str, str | None] = {"max_abs_difference": None}
INSTALL = "pip install --no-deps tidecv appdirs seaborn (its other needs are facings[dev]'s)"
# What the package calls an error, in our words.
NAMES = {
    "Cls": "classification",
    "Loc": "localisation",
    "Both": "both",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
    "FalsePos": "false_positives",
    "FalseNeg": "false_negatives",
}
SIDE = 240
Scene = tuple[dict[str, Any], list[dict[str, Any]]]


def tidecv_figures(
    truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], *, masks: bool, max_detections: int
) -> dict[str, float]:
    """`ap`, the gains by our names, and `… count` of the six kinds, as tidecv has them; shares, not per cent.

    Raises ConfigError without tidecv.
    """
    try:
        from tidecv import TIDE, Data
    except ImportError as fault:
        raise ConfigError(f"tidecv is what this is compared with ({fault}): {INSTALL}") from fault
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    there, found = Data("truth", max_dets=max_detections), Data("found", max_dets=max_detections)
    for category in truth["categories"]:
        there.add_class(category["id"], category["name"])
    for image in truth["images"]:
        there.add_image(image["id"], str(image["id"]))
    for entry in truth["annotations"]:
        shape = (entry["bbox"], compressed(entry["segmentation"], *sizes[entry["image_id"]]) if masks else None)
        add = there.add_ignore_region if entry.get("iscrowd") else there.add_ground_truth
        add(entry["image_id"], entry["category_id"], *shape)
    for entry in predictions:
        shape = (entry["bbox"], compressed(entry["segmentation"], *sizes[entry["image_id"]]) if masks else None)
        found.add_detection(entry["image_id"], entry["category_id"], entry["score"], *shape)
    with contextlib.redirect_stdout(io.StringIO()):
        run = TIDE(mode=TIDE.MASK if masks else TIDE.BOX).evaluate(there, found)
        figures = {"ap": run.ap / 100}
        for error, value in {**run.fix_main_errors(), **run.fix_special_errors()}.items():
            figures[NAMES[error.short_name]] = value / 100
        for error, count in run.count_errors().items():
            figures[f"{NAMES[error.short_name]} count"] = float(count)
    return figures


def largest_difference(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Over all figures; infinite where one has a figure that the other lacks.

    >>> largest_difference({"ap": 0.5, "both": 0.25}, {"ap": 0.5, "both": 0.0})
    0.25
    """
    if first.keys() != second.keys():
        return float("inf")
    return max((abs(value - second[name]) for name, value in first.items()), default=0.0)


def random_scene(rng: np.random.Generator, *, pictures: int, objects: int, classes: int = 3, masks: bool) -> Scene:
    """Shelves with every kind of error in them: near misses, wrong names, second boxes, strays, crowd regions, tied scores, a
    class that nothing is of, and pictures without objects or without detections."""
    truth: dict[str, Any] = {
        "images": [{"id": n, "height": SIDE, "width": SIDE, "file_name": f"{n}.jpg"} for n in range(1, pictures + 1)],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(1, classes + 2)],
        "annotations": [],
    }
    found: list[dict[str, Any]] = []
    for image in truth["images"]:
        lonely, silent = rng.random() < 0.1, rng.random() < 0.1
        for _ in range(int(rng.integers(1, objects + 1))):
            # Whole pixels: overlaps then fall on the thresholds themselves now and then.
            box = [*rng.integers(0, SIDE - 40, 2).tolist(), *rng.integers(8, 40, 2).tolist()]
            category = int(rng.integers(1, classes + 1))
            crowd = int(rng.random() < 0.05)
            if not lonely:
                truth["annotations"].append(_entry(image, category, box, masks) | {"iscrowd": crowd})
            for _ in range(0 if silent else int(rng.integers(0, 4))):
                moved = np.array(box) + np.rint(rng.normal(0, 0.12, 4) * np.tile(box[2:], 2))
                moved = np.concatenate([np.clip(moved[:2], 0, SIDE - 50), np.clip(moved[2:], 4, 50)])
                named = category if rng.random() < 0.75 else int(rng.integers(1, classes + 2))
                entry = _entry(image, named, moved.astype(int).tolist(), masks)
                found.append(entry | {"score": round(float(rng.random()), 2)})
            if not silent:
                stray = [*rng.integers(0, SIDE - 40, 2).tolist(), *rng.integers(8, 40, 2).tolist()]
                found.append(_entry(image, category, stray, masks) | {"score": round(float(rng.random()) / 2, 2)})
    return truth, found


def checksum(scenes: Sequence[Scene]) -> str:
    """sha256 of the scenes as JSON."""
    return hashlib.sha256(json.dumps(scenes, sort_keys=True).encode()).hexdigest()


def _entry(image: Mapping[str, Any], category: int, box: list[int], masks: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"image_id": image["id"], "category_id": category, "bbox": [float(value) for value in box]}
    if masks:
        left, top, width, height = box
        y, x = np.mgrid[:height, :width] + 0.5
        inside = (x / width * 2 - 1) ** 2 + (y / height * 2 - 1) ** 2 <= 1
        entry["segmentation"] = to_rle(CropMask(left, top, inside), SIDE, SIDE)
    return entry
