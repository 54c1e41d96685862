"""What each frame of a bundle took, beside how many products it holds. Knows nothing of accuracy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer


def frame_times(recognizer: Recognizer, paths: Sequence[Path], *, repeats: int = 3) -> list[dict[str, float]]:
    """A row a picture: `products` found, and ms of each stage in the fastest of `repeats` runs, `total` without decoding.

    The fastest, since what else the machine does only ever adds. The first picture runs once more before, so that memory is laid
    out. Raises DataError for a damaged picture.
    """
    rows = []
    for number, path in enumerate(paths):
        image = read_image(path)
        if number == 0:
            recognizer.run(image)
        runs = [recognizer.run(image) for _ in range(repeats)]
        best = min(runs, key=lambda run: run.timings["total"])
        rows.append({"products": float(len(best.decision.items)), **best.timings})
    return rows


def cost_of_a_product(frames: Sequence[dict[str, float]]) -> tuple[float, float]:
    """ms of an empty frame, and ms that each product adds: least squares; nan where all frames hold as many.

    By hand: 10 ms with none, 14 with two.

    >>> fixed, each = cost_of_a_product([{"products": 0.0, "total": 10.0}, {"products": 2.0, "total": 14.0}])
    >>> round(fixed, 6), round(each, 6)
    (10.0, 2.0)
    """
    products, total = (np.array([frame[name] for frame in frames], np.float64) for name in ("products", "total"))
    if len(np.unique(products)) < 2:
        return float("nan"), float("nan")
    each, fixed = np.polyfit(products, total, 1)
    return float(fixed), float(each)
