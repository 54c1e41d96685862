"""Random shelves: truth in COCO's form, and what an imperfect detector would find on them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import mask as coco_mask

Shelf = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]
SIDE = 120


def ellipse(box: list[float]) -> dict[str, Any]:
    """The ellipse inside a box xywh as compressed RLE."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    left, top, width, height = box
    inside = ((x - left) / width * 2 - 1) ** 2 + ((y - top) / height * 2 - 1) ** 2 <= 1
    rle = coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {"size": [SIDE, SIDE], "counts": rle["counts"]}


@pytest.fixture
def shelf() -> Shelf:
    def make(
        rng: np.random.Generator, *, pictures: int = 6, objects: int = 8, masks: bool = False
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Objects of two classes; of each a good box, sometimes none, a second one or another class, and stray boxes."""
        truth: dict[str, Any] = {
            "images": [
                {"id": n, "file_name": f"{n}.jpg", "width": SIDE, "height": SIDE} for n in range(1, pictures + 1)
            ],
            "categories": [{"id": 1, "name": "tea"}, {"id": 2, "name": "pear"}],
            "annotations": [],
        }
        found: list[dict[str, Any]] = []
        for image in truth["images"]:
            for _ in range(int(rng.integers(0, objects))):
                box = [float(v) for v in (*rng.uniform(0, 90, 2), *rng.uniform(12, 30, 2))]
                category = int(rng.integers(1, 3))
                record: dict[str, Any] = {"image_id": image["id"], "category_id": category, "bbox": box}
                truth["annotations"].append(
                    record | {"id": len(truth["annotations"]) + 1, "area": box[2] * box[3], "iscrowd": 0}
                )
                for chance in (0.85, 0.25, 0.2):
                    if rng.random() < chance:
                        moved = (np.array(box) + rng.normal(0, 2, 4)).tolist()
                        other = category if rng.random() < 0.8 else 3 - category
                        # Scores of one digit: ties are part of life.
                        score = round(float(rng.random()), 1)
                        found.append(record | {"bbox": moved, "category_id": other, "score": score})
            box = [float(v) for v in (*rng.uniform(0, 90, 2), *rng.uniform(12, 30, 2))]
            found.append({"image_id": image["id"], "category_id": 1, "bbox": box, "score": 0.3})
        if masks:
            for record in (*truth["annotations"], *found):
                record["segmentation"] = ellipse(record["bbox"])
        return truth, found

    return make
