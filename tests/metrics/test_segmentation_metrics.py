"""Mask and boundary figures against an evaluation on full bitmaps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as reference_mask
from scipy import ndimage

from facings.metrics.average_precision import average_precision
from facings.metrics.detection import coco_metrics
from facings.metrics.matching import Overlaps
from facings.metrics.rle import boundary, compressed
from facings.metrics.segmentation import mask_metrics

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


def bitmap(record: dict[str, Any]) -> NDArray[np.bool_]:
    packed = reference_mask.frPyObjects(record["segmentation"], 120, 160)
    return reference_mask.decode(packed).astype(bool)


def band(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The boundary: a picture of 160 x 120 has a diagonal of 200, so 4 pixels."""
    return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=4, border_value=0)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def ap_on_bitmaps(truth: dict[str, Any], results: list[dict[str, Any]], threshold: float) -> float:
    """Boundary AP of category 2, by the definition."""
    found = sorted((r for r in results if r["category_id"] == 2), key=lambda r: -r["score"])
    objects = [a for a in truth["annotations"] if a["category_id"] == 2]
    masks = {id(record): bitmap(record) for record in (*found, *objects)}
    gone: set[int] = set()
    hits = []
    for record in found:
        near = [a for a in objects if a["image_id"] == record["image_id"] and a["id"] not in gone]
        mask = masks[id(record)]
        shares = [min(iou(mask, masks[id(a)]), iou(band(mask), band(masks[id(a)]))) for a in near]
        hits.append(bool(shares) and max(shares) >= threshold)
        if hits[-1]:
            gone.add(near[int(np.argmax(shares))]["id"])
    return average_precision(hits, len(objects))


def test_boundary_ap_equals_the_definition(masked_scenes: Scenes) -> None:
    truth, results = masked_scenes(np.random.default_rng(3), pictures=3, objects=6, detections=12)
    truth["annotations"] = [a for a in truth["annotations"] if a["category_id"] == 2]
    figures = mask_metrics(truth, results)
    assert figures["boundary_ap50"] == pytest.approx(ap_on_bitmaps(truth, results, 0.5), abs=1e-6)
    assert figures["boundary_ap75"] == pytest.approx(ap_on_bitmaps(truth, results, 0.75), abs=1e-6)
    assert figures["boundary_ap"] < figures["mask_ap"]


def test_mask_figures_are_the_coco_figures_of_masks(masked_scenes: Scenes) -> None:
    truth, results = masked_scenes(np.random.default_rng(4), pictures=3, objects=8, detections=20)
    figures = mask_metrics(truth, results, boundary=False)
    expected = {f"mask_{name}": value for name, value in coco_metrics(truth, results, iou_type="segm").items()}
    assert figures == pytest.approx(expected, nan_ok=True)
    assert figures["mask_ar_1000"] > 0


def test_all_forms_of_a_mask_are_the_same(masked_scenes: Scenes) -> None:
    truth, results = masked_scenes(np.random.default_rng(5), pictures=2, objects=8, detections=20)
    expected = mask_metrics(truth, results)
    for number, record in enumerate(results):
        packed = reference_mask.frPyObjects(record["segmentation"], 120, 160)
        record["segmentation"] = packed if number % 2 else packed | {"counts": packed["counts"].decode()}
    for record in results:
        record.pop("bbox")
    assert mask_metrics(truth, results) == pytest.approx(expected, nan_ok=True)


def test_polygons_equal_pycocotools(rng: np.random.Generator) -> None:
    polygons = [rng.uniform(5, 100, 12).round(1).tolist(), rng.uniform(5, 100, 6).round(1).tolist()]
    expected = reference_mask.merge(reference_mask.frPyObjects(polygons, 120, 160))
    assert compressed(polygons, 120, 160)["counts"] == expected["counts"]


def test_boundary_of_a_mask_at_the_edge_equals_scipy(rng: np.random.Generator) -> None:
    mask = ndimage.gaussian_filter(rng.normal(size=(120, 160)), 8) > 0
    found = reference_mask.decode(boundary(reference_mask.encode(np.asfortranarray(mask.astype(np.uint8)))))
    np.testing.assert_array_equal(found.astype(bool), band(mask))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [160, 120], "counts": [19200]}, "mask of 120 x 160 pixels in a picture of 160 x 120"),
        ({"size": [120, 160], "counts": [10, 5]}, "run lengths of 15 pixels in a picture of 160 x 120"),
        ([], r"segmentation is \[\]; expected polygons, or RLE"),
        ("abc", "segmentation is 'abc'; expected polygons, or RLE"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masked_scenes: Scenes, segmentation: Any, message: str) -> None:
    truth, results = masked_scenes(np.random.default_rng(5), pictures=2, objects=2, detections=2)
    results[0]["segmentation"] = segmentation
    with pytest.raises(ValueError, match=f"image_id 2: {message}"):
        mask_metrics(truth, results)
    with pytest.raises(ValueError, match=f"image_id 2: {message}"):
        Overlaps(truth, results, iou_type="segm")
