"""What goes wrong where the tiles of a large picture meet: products found in halves or twice. Knows nothing of how tiles
were put together."""

import numpy as np
from numpy.typing import NDArray

from facings.boxes import Boxes, area, intersection, iou

# Share of a detection that has to lie on a product for it to be a part of that product.
LIES_ON = 0.7
FOUND = 0.5


def seam_errors(truth: Boxes, detections: Boxes, grid: NDArray[np.int64]) -> dict[str, int]:
    """Counts over one picture: `products` that a border between tiles crosses, and of those the `doubled`, `split` and `missed`.

    `truth` (M, 4) and `detections` (N, 4), those that are to be reported (above a threshold): xyxy, pixels of the picture;
    `grid` (T, 4): the tiles.

    A product is at a seam when a tile shows a part of it alone. It is doubled when two detections or more have an IoU of
    0.5 with it; else split when two or more lie on it by 70 % of their own area; else missed when none has an IoU of 0.5
    with it. Each detection counts for the one product that it has the highest IoU with.

    By hand: two tiles meet at x = 100, from 80 to 120 both see. The first product, 60 to 140, is found as 60–100 and
    80–140: the second has IoU 60/80 = 0.75, the first 40/80 = 0.5, so it is doubled. The next, 70 to 170, is found as
    70–110 and 130–170, IoU 0.4 both: split. The last ends at 60, where one tile alone sees it: not at a seam.

    >>> grid = np.array([[0, 0, 120, 90], [80, 0, 200, 90]])
    >>> truth = np.array([[60, 0, 140, 20], [70, 30, 170, 50], [10, 60, 60, 80]], np.float32)
    >>> found = [[60, 0, 100, 20], [80, 0, 140, 20], [70, 30, 110, 50], [130, 30, 170, 50], [10, 60, 60, 80]]
    >>> seam_errors(truth, np.array(found, np.float32), grid)
    {'products': 2, 'doubled': 1, 'split': 1, 'missed': 0}
    """
    seam = at_seams(truth, grid)
    if not len(truth):
        return {"products": 0, "doubled": 0, "split": 0, "missed": 0}
    overlap = iou(detections, truth)
    share = intersection(detections, truth) / np.maximum(area(detections), 1e-6)[:, None]
    # By IoU, not by share: a small product before a large one takes its own detection.
    owner = overlap.argmax(axis=1)
    number = np.arange(len(detections))
    right = overlap[number, owner] >= FOUND
    hits = np.bincount(owner[right], minlength=len(truth))
    lying = np.bincount(owner[share[number, owner] >= LIES_ON], minlength=len(truth))
    doubled, split = hits >= 2, (hits < 2) & (lying >= 2)
    missed = (hits == 0) & ~split
    counts = {"doubled": doubled, "split": split, "missed": missed}
    return {"products": int(seam.sum())} | {name: int((seam & found).sum()) for name, found in counts.items()}


def at_seams(truth: Boxes, grid: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(M,): whether some tile shows a part of the product, but not all of it."""
    seen = intersection(truth, grid.astype(np.float32))
    return np.any((seen > 0) & (seen < area(truth)[:, None] * (1 - 1e-6)), axis=1)
