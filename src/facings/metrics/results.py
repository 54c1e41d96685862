"""What was found in a picture as COCO results, the form in which predictions are judged and kept. Knows nothing of models."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.boxes import Boxes, xyxy_to_xywh
from facings.masks import CropMask, to_rle
from facings.metrics.rle import compressed


def coco_results(
    boxes: Boxes,
    scores: NDArray[np.float32],
    categories: Sequence[int],
    *,
    image_id: int,
    extent: tuple[int, int],
    masks: Iterable[CropMask] | None = None,
    attributes: Mapping[str, NDArray[np.float32]] | None = None,
) -> list[dict[str, Any]]:
    """`boxes` (N, 4) xyxy pixels, `scores` (N,), N `categories` (COCO's, from 1) → a dict each, masks as compressed RLE of
    the picture's `extent` (height, width), taken one by one; `attributes`: name → (N,) probabilities.

    >>> box = np.array([[1, 0, 2, 2]], np.float32)
    >>> mask = CropMask(1, 0, np.ones((2, 1), bool))
    >>> (entry,) = coco_results(box, np.array([0.5], np.float32), [3], image_id=7, extent=(2, 3), masks=[mask])
    >>> entry["bbox"], entry["category_id"], entry["segmentation"]
    ([1.0, 0.0, 1.0, 2.0], 3, {'size': [2, 3], 'counts': '222'})
    """
    results: list[dict[str, Any]] = [
        {"image_id": image_id, "category_id": int(category), "bbox": box, "score": score}
        for box, score, category in zip(xyxy_to_xywh(boxes).tolist(), scores.tolist(), categories, strict=True)
    ]
    if masks is not None:
        for result, mask in zip(results, masks, strict=True):
            packed = compressed(to_rle(mask, *extent), *extent)
            result["segmentation"] = {"size": list(extent), "counts": packed["counts"].decode("ascii")}
    for name, values in (attributes or {}).items():
        for result, value in zip(results, values.tolist(), strict=True):
            result.setdefault("attributes", {})[name] = value
    return results
