"""Which piece is seen at which pixel, counted. Knows nothing of goods.

`ids` (H, W) uint16: the number of the piece seen at each pixel, 0 for none.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

Ids = NDArray[np.uint16]


def shown_within(ids: Ids, edge: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count + 1,) pixels of each number within the polygon `edge` (N, 2), in pixels whose centres are whole numbers."""
    held = cv2.fillPoly(np.zeros(ids.shape, np.uint8), [np.round(edge).astype(np.int32)], 255)
    found = cv2.calcHist([ids], [0], held, [count + 1], [0, count + 1])
    return found.reshape(-1).astype(np.float64)  # type: ignore[no-any-return]


def windows_of(ids: Ids, count: int) -> list[tuple[slice, slice] | None]:
    """Rows and columns of the numbers 1 to `count`; None for one that is not seen."""
    return find_objects(ids.astype(np.int32), max_label=count)  # type: ignore[no-any-return]
