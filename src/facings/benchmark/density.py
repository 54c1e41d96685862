"""What a detector finds on frames of one crowding, and whether it ran out of boxes. Knows nothing of models."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facings.metrics.average_precision import DrawnPrecision

# Detections below say nothing: a detector fills its list with them whatever the frame holds.
RELEVANT = 0.05


@dataclass(frozen=True)
class Density:
    """Frames of about as many products each. `ap50` (value, low, high): 95 % by bootstrap over frames; `ap`: mean over IoU
    .50 to .95; `objects`: mean a frame; `most`: relevant detections of the frame that has the most; `capped`: ids of the
    frames whose relevant detections fill the whole list."""

    ap50: tuple[float, float, float]
    ap: float
    objects: float
    most: int
    capped: tuple[int, ...]


def density_of(
    truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], *, cap: int, seed: int = 0, repeats: int = 500
) -> Density:
    """`truth`: COCO dict; `predictions`: COCO results of at most `cap` a frame; all of them count.

    By hand: two frames of two products, of which three are found and nothing beside: precision is 1 up to a recall of 3/4,
    which are 76 of COCO's 101 recall points. A cap of two boxes is reached by the first frame.

    >>> box = [[0, 0, 9, 9], [20, 0, 9, 9]]
    >>> truth = {"images": [{"id": 1}, {"id": 2}], "categories": [{"id": 1, "name": "product"}]}
    >>> truth["annotations"] = [
    ...     {"id": 2 * i + n, "image_id": i, "category_id": 1, "bbox": box[n], "area": 81, "iscrowd": 0}
    ...     for i in (1, 2)
    ...     for n in (0, 1)
    ... ]
    >>> found = [(1, box[0]), (1, box[1]), (2, box[0])]
    >>> results = [{"image_id": i, "category_id": 1, "bbox": b, "score": 0.9} for i, b in found]
    >>> density = density_of(truth, results, cap=2)
    >>> round(density.ap50[0] * 101), density.objects, density.most, density.capped
    (76, 2.0, 2, (1,))
    """
    drawn = DrawnPrecision(truth, predictions, max_detections=cap)
    values = drawn.average_precision()
    low, high = drawn.intervals(seed=seed, repeats=repeats)["ap50"]
    counts = Counter(int(p["image_id"]) for p in predictions if float(p["score"]) >= RELEVANT)
    return Density(
        ap50=(float(values[0]), low, high),
        ap=float(np.mean(values)),
        objects=len(truth["annotations"]) / len(truth["images"]),
        most=max(counts.values(), default=0),
        capped=tuple(sorted(image for image, count in counts.items() if count >= cap)),
    )
