"""Random truth and detections in COCO's form, boxes and masks."""

import contextlib
import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as reference_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.fixture
def scenes() -> Scenes:
    def make(
        rng: np.random.Generator, *, pictures: int, objects: int, detections: int, crowd: bool = False
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Random truth of two categories, and detections half of which are near an object."""
        truth: dict[str, Any] = {
            "images": [
                {"id": n, "width": 1000, "height": 1000, "file_name": f"{n}.jpg"} for n in range(1, pictures + 1)
            ],
            "categories": [{"id": 1, "name": "packaged"}, {"id": 7, "name": "produce"}],
            "annotations": [],
        }
        results: list[dict[str, Any]] = []
        for image in truth["images"]:
            boxes = np.concatenate([rng.uniform(0, 900, (objects, 2)), rng.uniform(8, 140, (objects, 2))], axis=1)
            categories = rng.choice([1, 7], objects)
            for box, category in zip(boxes.tolist(), categories.tolist(), strict=True):
                truth["annotations"].append(
                    {
                        "id": len(truth["annotations"]) + 1,
                        "image_id": image["id"],
                        "category_id": category,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": int(crowd and rng.random() < 0.1),
                    }
                )
            for number in range(detections):
                near = boxes[number % objects] + rng.normal(0, 6, 4)
                stray = np.concatenate([rng.uniform(0, 900, 2), rng.uniform(8, 140, 2)])
                box = np.maximum(near if rng.random() < 0.5 else stray, 1).tolist()
                category = int(categories[number % objects])
                results.append(
                    {"image_id": image["id"], "category_id": category, "bbox": box, "score": float(rng.random())}
                )
        return truth, results

    return make


@pytest.fixture
def masked_scenes() -> Scenes:
    def make(
        rng: np.random.Generator,
        *,
        pictures: int,
        objects: int,
        detections: int,
        crowd: bool = False,
        ties: bool = False,
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Ellipses of three categories in pictures of 120 x 160 pixels, the last picture empty; RLE as lists of counts."""
        truth: dict[str, Any] = {
            "images": [{"id": n, "width": 160, "height": 120} for n in range(pictures, 0, -1)],
            "categories": [{"id": n, "name": f"fruit {n}"} for n in (2, 5, 9)],
            "annotations": [],
        }
        results: list[dict[str, Any]] = []
        for image in truth["images"][:-1]:
            shapes = np.concatenate([rng.uniform(0, 120, (objects, 2)), rng.uniform(4, 30, (objects, 2))], axis=1)
            categories = rng.choice([2, 5], objects).tolist()
            for shape, category in zip(shapes, categories, strict=True):
                mask = ellipse(shape)
                entry = {"id": len(truth["annotations"]) + 1, "image_id": image["id"], "category_id": category}
                entry |= {"bbox": box_of(mask), "segmentation": run_lengths(mask), "area": int(mask.sum())}
                truth["annotations"].append(entry | {"iscrowd": int(crowd and rng.random() < 0.2)})
            for number in range(detections):
                shape = shapes[number % objects] + rng.normal(0, 2, 4)
                mask = ellipse(np.maximum(shape, 3))
                score = float(rng.choice([0.2, 0.5, 0.8])) if ties else float(rng.random())
                found = {"image_id": image["id"], "category_id": int(rng.choice([categories[number % objects], 9]))}
                results.append(found | {"bbox": box_of(mask), "segmentation": run_lengths(mask), "score": score})
        return truth, results

    return make


def ellipse(shape: NDArray[np.float64], *, height: int = 120, width: int = 160) -> NDArray[np.bool_]:
    """(H, W) of an ellipse: centre x and y, half axes."""
    y, x = np.mgrid[:height, :width]
    mask: NDArray[np.bool_] = ((x - shape[0]) / shape[2]) ** 2 + ((y - shape[1]) / shape[3]) ** 2 <= 1
    return mask


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """RLE with a list of counts, column by column."""
    flat = np.concatenate([[False], mask.T.reshape(-1)])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": list(mask.shape), "counts": np.diff([0, *changes, mask.size]).tolist()}


def box_of(mask: NDArray[np.bool_]) -> list[float]:
    """xywh of a mask, zero where it is empty."""
    y, x = np.nonzero(mask)
    return [float(v) for v in (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)] if len(x) else [0.0] * 4


def evaluated(
    truth: dict[str, Any], results: list[dict[str, Any]], limits: list[int], iou_type: str = "bbox"
) -> tuple[Any, Any]:
    """pycocotools' precision (T, R, K, areas, limits) and recall (T, K, areas, limits)."""
    truth, results = copy.deepcopy(truth), copy.deepcopy(results)
    if iou_type == "segm":
        for record in (*truth["annotations"], *results):
            record["segmentation"] = reference_mask.frPyObjects(record["segmentation"], 120, 160)
        for record in results:
            del record["bbox"]  # or its area would be the detection's
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        evaluator = COCOeval(reference, reference.loadRes(results), iou_type)
        evaluator.params.maxDets = limits
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval["precision"], evaluator.eval["recall"]
