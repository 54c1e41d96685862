"""COCO segmentations: checked once, and drawn as one map of object numbers a frame. Knows nothing of tensors."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

Segmentation = Any  # polygons [[x1, y1, x2, y2, …], …] in pixels, or RLE {"size": [H, W], "counts": list or str}
# cv2.fillPoly takes whole numbers with so many bits behind the point.
SUBPIXEL = 4
FAR = 1e6
MAX_OBJECTS = np.iinfo(np.int16).max


def checked(segmentation: Segmentation, height: int, width: int) -> tuple[Segmentation | None, str]:
    """The usable part of an annotation's `segmentation`, None where there is none, and what is wrong with it ("" if fine)."""
    if not segmentation:
        return None, ""
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            return None, f"RLE is of {size}, its picture of {[height, width]}"
        if not isinstance(counts, list | str):
            return None, "RLE lacks its counts"
        runs = run_lengths(counts) if isinstance(counts, str) else counts
        if isinstance(runs, np.ndarray):
            runs = runs.tolist()
        if runs is None or not all(isinstance(run, int) and run >= 0 for run in runs):
            return None, "RLE has counts that cannot be read"
        covered = sum(runs)
        fits = covered == height * width
        return (segmentation, "") if fits else (None, f"RLE covers {covered} pixels, its picture has {height * width}")
    if not isinstance(segmentation, list):
        return None, f"segmentation is {type(segmentation).__name__}; expected polygons or RLE"
    usable = [polygon for polygon in segmentation if _is_polygon(polygon)]
    fault = "" if len(usable) == len(segmentation) else f"{len(segmentation) - len(usable)} polygons are malformed"
    return usable or None, fault


def to_rle(segmentation: Segmentation, height: int, width: int) -> dict[str, Any]:
    """A checked segmentation as compressed RLE of the picture, as the COCO evaluators read it."""
    if isinstance(segmentation, list):
        return dict(coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width)))
    if isinstance(segmentation["counts"], list):
        return dict(coco_mask.frPyObjects(segmentation, height, width))
    return dict(segmentation)


def mask_area(segmentation: Segmentation, height: int, width: int) -> float:
    """Pixels that a checked segmentation covers."""
    return float(coco_mask.area(to_rle(segmentation, height, width)))


def identity_map(
    segmentations: Sequence[Segmentation | None], extent: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.int16]:
    """(h, w) int16: m + 1 where object m is seen, 0 elsewhere.

    `extent`: height and width of the annotated picture; `size`: of the map. Where outlines overlap, the smaller object lies
    in front: of a fruit before a crate, both keep most of theirs.
    """
    if len(segmentations) > MAX_OBJECTS:
        raise ValueError(f"{len(segmentations)} objects in a frame; at most {MAX_OBJECTS} can be told apart in a map")
    scale = np.array([size[1] / extent[1], size[0] / extent[0]])
    drawn = [(number, s) for number, s in enumerate(segmentations) if s is not None]
    found = np.zeros(size, np.int16)
    for number, segmentation in sorted(drawn, key=lambda entry: -_rough_area(entry[1])):
        if isinstance(segmentation, list):
            # Pixel centres lie half a pixel from the corner that COCO counts from.
            points = [np.array(p, np.float64).reshape(-1, 2) * scale - 0.5 for p in segmentation]
            whole = [np.round(p * (1 << SUBPIXEL)).astype(np.int32) for p in points]
            cv2.fillPoly(found, whole, color=number + 1, shift=SUBPIXEL)
        else:
            bits = np.asarray(coco_mask.decode(to_rle(segmentation, *extent)), np.uint8).reshape(extent)
            if extent != size:
                bits = np.asarray(cv2.resize(bits, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
            found[bits > 0] = number + 1
    return found


def _is_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in polygon)
    # Beyond any picture the mask library runs out of memory.
    return numbers and all(abs(v) < FAR and math.isfinite(v) for v in polygon)


def run_lengths(text: str) -> NDArray[np.int64] | None:
    """(N,) run lengths of a compressed RLE, None for a text that is none.

    Five bits of a character are the number's, the sixth says that it goes on; from the fourth run on the difference to the run
    before the last is written (`rleFrString` of the COCO API, here over all characters at once).

    >>> run_lengths("523").tolist(), run_lengths("!!")
    ([5, 2, 3], None)
    """
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 32) == 0)
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or ends[-1:].tolist() != [len(codes) - 1]:
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > 12:
        return None
    places = np.arange(len(codes)) - np.repeat(starts, sizes)
    runs = np.add.reduceat((codes & 31) << (5 * places), starts)
    runs -= np.where(codes[ends] & 16, 1 << (5 * sizes), 0)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def _rough_area(segmentation: Segmentation) -> float:
    if isinstance(segmentation, list):
        return sum(float(cv2.contourArea(np.array(p, np.float32).reshape(-1, 2))) for p in segmentation)
    return float(coco_mask.area(to_rle(segmentation, *segmentation["size"])))
