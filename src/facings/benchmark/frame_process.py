"""One frame of so many pixels and products in a process of its own, for its peak memory. Run as a module by `frame_budget.py`.

Reads one JSON object from standard input (`bundle`, `height`, `width`, `products`, `threads`, `seed`), writes one to standard
output. Loads what a shop's machine loads, and nothing else.
"""

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.store_process import peak_mib
from facings.errors import FacingsError
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer


def main() -> int:
    """Serve one request. Returns 0, or 2 after `{"error": message}`."""
    request: dict[str, Any] = json.loads(sys.stdin.read())
    try:
        recognizer = Recognizer(
            holding(Bundle.open(request["bundle"]), request["products"]), threads=request["threads"]
        )
        before = peak_mib()
        image = shelf_picture(request["height"], request["width"], request["products"], request["seed"])
        result = recognizer.run(image)
    except FacingsError as fault:
        sys.stdout.write(json.dumps({"error": str(fault)}) + "\n")
        return 2
    found = {"peak_mib": peak_mib(), "loaded_mib": before, "products": len(result.detections)}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def holding(bundle: Bundle, products: int) -> Bundle:
    """The bundle with thresholds that let exactly the `products` surest boxes through, where its detector gives as many: time and
    memory depend on how many there are, not on whether they are right."""
    return replace(bundle, postprocess=replace(bundle.postprocess, score_threshold=0.0, max_detections=products))


def shelf_picture(height: int, width: int, products: int, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, 3) a drawn shelf: so many or a few more upright packs in rows, each in colours of its own with a band."""
    generator = np.random.default_rng(seed)
    # Packs are half as wide as high.
    rows = max(1, round((products * height / (2 * width)) ** 0.5))
    columns = -(-products // rows)
    picture = np.full((height, width, 3), 190, np.uint8)
    edges = [np.linspace(0, side, count + 1).astype(int) for side, count in ((height, rows), (width, columns))]
    for top, bottom in zip(edges[0][:-1], edges[0][1:], strict=True):
        for left, right in zip(edges[1][:-1], edges[1][1:], strict=True):
            gap_y, gap_x = max(1, (bottom - top) // 12), max(1, (right - left) // 12)
            front = picture[top + gap_y : bottom, left + gap_x : right - gap_x]
            front[:] = generator.integers(20, 236, 3)
            front[len(front) // 3 : len(front) // 2] = generator.integers(20, 236, 3)
    return picture


if __name__ == "__main__":
    sys.exit(main())
