"""Slices against the COCO evaluator on the same part of the data, and their values against plain loops."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facings.analysis.slices import (
    bins_of,
    blur_slices,
    density_slices,
    gap_slices,
    laplacian_variance,
    neighbour_gaps,
    objects_per_picture,
    size_slices,
    slice_by_object,
    slice_by_picture,
)
from facings.metrics.detection import coco_metrics
from facings.metrics.matching import IouType
from facings.metrics.thresholds import recall50
from tests.metrics.conftest import masked_scenes, scenes  # noqa: F401 (fixtures)

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


def thinned(truth: dict[str, Any]) -> dict[str, Any]:
    """Picture n keeps every n-th object."""
    kept = [entry for entry in truth["annotations"] if entry["id"] % entry["image_id"] == 0]
    return truth | {"annotations": kept}


@pytest.mark.parametrize("crowd", [False, True])
def test_sizes_equal_the_coco_evaluator(scenes: Scenes, crowd: bool) -> None:  # noqa: F811
    truth, results = scenes(np.random.default_rng(1), pictures=3, objects=40, detections=90, crowd=crowd)
    figures = coco_metrics(truth, results)
    rows = size_slices(truth, results)
    for row, name in zip(rows, ("small", "medium", "large"), strict=True):
        assert row["ap"] == pytest.approx(figures[f"ap_{name}"], abs=1e-6)
    assert [row["slice"] for row in rows] == ["below 32", "32 to 96", "96 or more"]
    assert sum(row["objects"] for row in rows) == sum(not entry["iscrowd"] for entry in truth["annotations"])


@pytest.mark.parametrize("iou_type", ["segm", "boundary"])
def test_sizes_of_masks_equal_the_coco_evaluator(masked_scenes: Scenes, iou_type: IouType) -> None:  # noqa: F811
    truth, results = masked_scenes(np.random.default_rng(2), pictures=4, objects=12, detections=30)
    figures = coco_metrics(truth, results, iou_type=iou_type)
    rows = size_slices(truth, results, iou_type=iou_type)
    assert [row["ap"] for row in rows] == pytest.approx(
        [figures[f"ap_{name}"] for name in ("small", "medium", "large")], abs=1e-6, nan_ok=True
    )


def test_pictures_by_density_equal_the_evaluator_on_those_pictures(scenes: Scenes) -> None:  # noqa: F811
    truth, results = scenes(np.random.default_rng(3), pictures=6, objects=24, detections=40)
    truth = thinned(truth)
    counts = objects_per_picture(truth)
    assert sum(counts.values()) == len(truth["annotations"])
    rows = density_slices(truth, results, edges=(6, 13), repeats=30)
    for row in rows:
        inside = {image for image, count in counts.items() if row["low"] <= count < row["high"]}
        part = truth | {"images": [image for image in truth["images"] if image["id"] in inside]}
        part["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] in inside]
        found = [entry for entry in results if entry["image_id"] in inside]
        expected = coco_metrics(part, found)
        assert (row["pictures"], row["objects"]) == (len(inside), len(part["annotations"]))
        assert (row["ap"], row["ap50"]) == pytest.approx((expected["ap"], expected["ap50"]), abs=1e-6)
        assert row["recall50"] == pytest.approx(recall50(part, found))
        assert row["ap_low"] <= row["ap_high"]
    assert [row["pictures"] for row in rows] == [2, 3, 1]


def test_object_bins_share_the_found_objects_out(scenes: Scenes) -> None:  # noqa: F811
    truth, results = scenes(np.random.default_rng(4), pictures=4, objects=15, detections=30, crowd=True)
    rows = gap_slices(truth, results, edges=(0.01, 0.5))
    objects = sum(row["objects"] for row in rows)
    assert objects == sum(not entry["iscrowd"] for entry in truth["annotations"])
    (whole,) = slice_by_object(truth, results, np.zeros(len(truth["annotations"])), ())
    assert whole["slice"] == "all" and whole["ap"] == pytest.approx(coco_metrics(truth, results)["ap"], abs=1e-6)
    # With a bin's own objects to choose from a detection can only find more.
    assert sum(row["recall50"] * row["objects"] for row in rows) >= whole["recall50"] * objects - 1e-9
    assert whole["recall50"] == pytest.approx(recall50(truth, results))


def test_a_doubled_box_is_charged_to_its_object_and_a_stray_to_all() -> None:
    box = {"image_id": 1, "category_id": 1}
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "product"}]}
    truth["annotations"] = [box | {"id": n, "bbox": [x, 0, 10, 10]} for n, x in enumerate((0, 100))]
    right = [box | {"bbox": entry["bbox"], "score": 0.5} for entry in truth["annotations"]]
    doubled = box | {"bbox": [104, 0, 10, 10], "score": 0.9}
    stray = box | {"bbox": [50, 50, 10, 10], "score": 0.9}
    values = np.array([0.0, 1.0])
    found = [row["ap50"] for row in slice_by_object(truth, [*right, doubled], values, (0.5,))]
    assert found == pytest.approx([1.0, 0.5])
    found = [row["ap50"] for row in slice_by_object(truth, [*right, stray], values, (0.5,))]
    assert found == pytest.approx([0.5, 0.5])
    own = slice_by_object(truth, [*right, stray], values, (0.5,), alone=np.array([0, 1, 1]))
    assert [row["ap50"] for row in own] == pytest.approx([1.0, 0.5])
    assert [row["recall50"] for row in own] == [1.0, 1.0]


def test_gaps_equal_a_plain_loop(scenes: Scenes) -> None:  # noqa: F811
    truth, _ = scenes(np.random.default_rng(5), pictures=3, objects=9, detections=1, crowd=True)
    gaps = neighbour_gaps(truth)
    for entry, gap in zip(truth["annotations"], gaps.tolist(), strict=True):
        if entry["iscrowd"]:
            assert math.isnan(gap)
            continue
        x, y, w, h = entry["bbox"]
        distances = []
        for other in truth["annotations"]:
            if other is entry or other["iscrowd"] or other["image_id"] != entry["image_id"]:
                continue
            u, v, r, s = other["bbox"]
            right, below = max(u - (x + w), x - (u + r), 0), max(v - (y + h), y - (v + s), 0)
            distances.append(math.hypot(right, below))
        assert gap == pytest.approx(min(distances) / math.sqrt(w * h))


def test_an_object_alone_has_no_neighbour(scenes: Scenes) -> None:  # noqa: F811
    truth, results = scenes(np.random.default_rng(5), pictures=2, objects=1, detections=3)
    assert np.isinf(neighbour_gaps(truth)).all()
    assert [row["objects"] for row in gap_slices(truth, results)] == [0, 0, 0, 2]


def test_sharpness_equals_opencv(rng: np.random.Generator) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = rng.integers(0, 256, (40, 60), dtype=np.uint8)
    expected = cv2.Laplacian(picture.astype(np.float64), cv2.CV_64F)[1:-1, 1:-1].var()
    assert laplacian_variance(picture) == pytest.approx(expected)
    assert laplacian_variance(np.repeat(picture[..., None], 3, axis=2)) == pytest.approx(expected)
    assert laplacian_variance(cv2.GaussianBlur(picture, (0, 0), 2)) < expected / 50
    with pytest.raises(ValueError, match="picture of 2 x 9 pixels"):
        laplacian_variance(np.zeros((9, 2), np.uint8))


def test_blur_in_quartiles_and_pictures_without_a_value(scenes: Scenes) -> None:  # noqa: F811
    truth, results = scenes(np.random.default_rng(6), pictures=8, objects=4, detections=8)
    blur = {image["id"]: float(image["id"]) for image in truth["images"]}
    assert [row["pictures"] for row in blur_slices(truth, results, blur)] == [2, 2, 2, 2]
    unknown = blur | {3: math.nan}
    assert sum(row["pictures"] for row in slice_by_picture(truth, results, unknown, (4,))) == 7
    del blur[3]
    with pytest.raises(ValueError, match="no value for image_id 3"):
        slice_by_picture(truth, results, blur, (4,))


def test_what_cannot_be_sliced_is_refused(scenes: Scenes) -> None:  # noqa: F811
    truth, results = scenes(np.random.default_rng(6), pictures=2, objects=4, detections=8)
    with pytest.raises(ValueError, match=r"edges are \[2, 1\]; expected ascending"):
        bins_of(np.zeros(3), [2, 1])
    with pytest.raises(ValueError, match="3 values for 8 records"):
        slice_by_object(truth, results, np.zeros(3), (1,))
    with pytest.raises(ValueError, match="3 alone for 16 records"):
        slice_by_object(truth, results, np.zeros(8), (1,), alone=np.zeros(3))


def test_empty_bins_are_not_a_number(scenes: Scenes) -> None:  # noqa: F811
    truth, results = scenes(np.random.default_rng(6), pictures=2, objects=4, detections=8)
    rows = density_slices(truth, results, edges=(100,), repeats=5)
    assert rows[1]["objects"] == rows[1]["pictures"] == 0
    assert all(math.isnan(rows[1][name]) for name in ("ap", "ap50", "recall50", "ap_low", "ap_high"))
    assert all(math.isnan(row["ap"]) for row in gap_slices(truth | {"annotations": []}, results))
