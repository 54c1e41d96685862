"""Random truth and detections in COCO's form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

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
