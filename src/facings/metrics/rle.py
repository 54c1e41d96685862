"""Masks of COCO dicts as compressed run lengths, whatever form they came in. Knows nothing of figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from faster_coco_eval.core import mask as coco_mask

Rle = dict[str, Any]
# Share of the picture's diagonal: Cheng et al., "Boundary IoU", CVPR 2021.
DILATION = 0.02


def compressed(segmentation: Any, height: int, width: int) -> Rle:
    """`segmentation` as compressed RLE of a picture of `height` × `width` pixels.

    It may be COCO polygons, RLE with a list of counts (column by column, first the zeros), or RLE already compressed.

    By hand: in a picture two pixels high and three wide, the middle column is set: 2 zeros, 2 ones, 2 zeros.

    >>> mask = compressed({"size": [2, 3], "counts": [2, 2, 2]}, 2, 3)
    >>> int(coco_mask.area(mask)), coco_mask.decode(mask).tolist()
    (2, [[0, 1, 0], [0, 1, 0]])

    Raises ValueError for a mask of another size, counts that do not fill it, and what is no segmentation.
    """
    if isinstance(segmentation, Mapping) and {"size", "counts"} <= set(segmentation):
        size = [int(side) for side in segmentation["size"]]
        if size != [height, width]:
            raise ValueError(f"mask of {size[1]} x {size[0]} pixels in a picture of {width} x {height}")
        counts = segmentation["counts"]
        if isinstance(counts, str | bytes):
            return {"size": size, "counts": counts.encode() if isinstance(counts, str) else counts}
        if sum(counts) != height * width:
            raise ValueError(f"run lengths of {sum(counts)} pixels in a picture of {width} x {height}")
        return _packed({"size": size, "counts": list(counts)}, height, width)
    if isinstance(segmentation, Sequence) and not isinstance(segmentation, str | bytes) and segmentation:
        return _packed([list(polygon) for polygon in segmentation], height, width)
    raise ValueError(f"segmentation is {segmentation!r}; expected polygons, or RLE with size and counts")


def _packed(segmentation: Any, height: int, width: int) -> Rle:
    packed: Rle = coco_mask.segmToRle(segmentation, width, height)
    return packed


def mask_area(mask: Rle) -> int:
    """Pixels that are set.

    >>> mask_area(compressed([[0, 0, 4, 0, 4, 3, 0, 3]], 10, 10))
    12
    """
    return int(coco_mask.area(mask))


def boundary(mask: Rle) -> Rle:
    """The pixels of `mask` that lie within 2 % of the picture's diagonal of its outline.

    By hand: a picture of 30 × 40 pixels has a diagonal of 50, so the band is 1 pixel wide: of a square of 4 × 4 pixels
    the inner 2 × 2 are left out.

    >>> square = compressed([[10, 10, 14, 10, 14, 14, 10, 14]], 30, 40)
    >>> int(coco_mask.area(square)), int(coco_mask.area(boundary(square)))
    (16, 12)
    """
    band: Rle = coco_mask.rleToBoundary(mask, DILATION)
    return band
