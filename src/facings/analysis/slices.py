"""Where a detector is weak: AP and recall by crowding, neighbours, size and blur.

Knows nothing of models or files: COCO dicts in, rows out. A picture slice takes whole pictures. An object slice looks at the
objects of one bin: the others are ignored, as COCO ignores what lies outside an area range, and so are the detections given
to them.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.metrics.average_precision import DrawnPrecision
from facings.metrics.matching import HEADLINE, ClassMatches, IouType, Overlaps, masks_of
from facings.metrics.rle import mask_area

Truth = Mapping[str, Any]
Predictions = Sequence[Mapping[str, Any]]
Values = NDArray[np.float64]
Rows = list[dict[str, Any]]
# Limits between bins; the first bin reaches down to, the last up to infinity.
DENSITY = (10.0, 50.0, 100.0, 200.0)
GAP = (0.05, 0.25, 1.0)
SIZE = (32.0, 96.0)


def density_slices(truth: Truth, predictions: Predictions, *, edges: Sequence[float] = DENSITY, **options: Any) -> Rows:
    """By the number of objects of the picture. `options`: see `slice_by_picture`.

    By hand: pictures of one and two objects; everything is found but one of the two.

    >>> truth = {"images": [{"id": 1}, {"id": 2}], "categories": [{"id": 1, "name": "product"}]}
    >>> boxes = [(1, 0), (2, 0), (2, 50)]
    >>> truth["annotations"] = [
    ...     {"id": n, "image_id": image, "category_id": 1, "bbox": [x, 0, 10, 10]} for n, (image, x) in enumerate(boxes)
    ... ]
    >>> found = [entry | {"score": 0.9} for entry in truth["annotations"][:2]]
    >>> [(row["slice"], row["objects"], row["recall50"]) for row in density_slices(truth, found, edges=(2,))]
    [('below 2', 1, 1.0), ('2 or more', 2, 0.5)]
    """
    return slice_by_picture(truth, predictions, objects_per_picture(truth), edges, **options)


def blur_slices(
    truth: Truth,
    predictions: Predictions,
    blur: Mapping[int, float],
    *,
    edges: Sequence[float] | None = None,
    **options: Any,
) -> Rows:
    """By the sharpness of the picture: `blur` holds its `laplacian_variance` by image id, less being more blurred.

    The variance depends on what is shown, so that no fixed limit serves all data: `edges` default to its quartiles.
    """
    if edges is None:
        edges = np.unique(
            np.quantile([blur[int(image["id"])] for image in truth["images"]], (0.25, 0.5, 0.75))
        ).tolist()
    return slice_by_picture(truth, predictions, blur, edges, **options)


def gap_slices(truth: Truth, predictions: Predictions, *, edges: Sequence[float] = GAP, **options: Any) -> Rows:
    """By the distance to the nearest other object, in object sizes (see `neighbour_gaps`). `options`: `slice_by_object`."""
    return slice_by_object(truth, predictions, neighbour_gaps(truth), edges, **options)


def size_slices(
    truth: Truth, predictions: Predictions, *, edges: Sequence[float] = SIZE, iou_type: IouType = "bbox", **options: Any
) -> Rows:
    """By object size: the root of the annotation's area, pixels. With the default edges these are COCO's small, medium, large.

    Detections on nothing count where their own size lies, as COCO has it; of boxes the box's, else the mask's. (COCO has
    the limits themselves on both sides, here they belong above.)
    """
    sizes = np.sqrt([float(entry["area"]) for entry in truth["annotations"]])
    if iou_type == "bbox":
        own = [float(entry["bbox"][2] * entry["bbox"][3]) for entry in predictions]
    else:
        pictures = {image["id"]: image for image in truth["images"]}
        own = [float(mask_area(masks_of([entry], pictures[entry["image_id"]])[0])) for entry in predictions]
    return slice_by_object(truth, predictions, sizes, edges, alone=np.sqrt(own), iou_type=iou_type, **options)


def slice_by_picture(
    truth: Truth,
    predictions: Predictions,
    values: Mapping[int, float],
    edges: Sequence[float],
    *,
    iou_type: IouType = "bbox",
    max_detections: int = HEADLINE,
    repeats: int = 0,
    seed: int = 0,
) -> Rows:
    """One row a bin of pictures: `slice` (in words), `low`, `high`, `pictures`, `objects`, `ap`, `ap50`, `recall50`.

    `values`: of each picture by id; a bin holds its lower edge, not its upper. `ap` is the mean over the categories that the
    bin has objects of. Figures are nan for a bin without objects. With `repeats`, `ap_low` and `ap_high` too: the 95 %
    bootstrap interval over the bin's pictures.

    Raises ValueError for edges that do not ascend, and a picture without a value.
    """
    lacking = [image["id"] for image in truth["images"] if int(image["id"]) not in values]
    if lacking:
        raise ValueError(f"no value for image_id {lacking[0]}; every picture wants one (nan: in no bin)")
    bins = bins_of(np.array([values[int(image["id"])] for image in truth["images"]], np.float64), edges)
    rows = []
    for number, row in enumerate(bin_rows(edges)):
        images = [image for image, place in zip(truth["images"], bins.tolist(), strict=True) if place == number]
        inside = {image["id"] for image in images}
        part = {**truth, "images": images}
        part["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] in inside]
        found = [entry for entry in predictions if entry["image_id"] in inside]
        overlaps = Overlaps(part, found, iou_type=iou_type, max_detections=max_detections)
        figures = _figures(overlaps.match(), overlaps.image_ids, repeats=repeats, seed=seed)
        rows.append(row | figures | {"pictures": len(images)})
    return rows


def slice_by_object(
    truth: Truth,
    predictions: Predictions,
    values: Values,
    edges: Sequence[float],
    *,
    alone: Values | None = None,
    iou_type: IouType = "bbox",
    max_detections: int = HEADLINE,
    repeats: int = 0,
    seed: int = 0,
) -> Rows:
    """One row a bin of objects, as in `slice_by_picture`; `pictures` are those that hold an object of the bin.

    `values` (A,): of each annotation. Detections on nothing are wrong in the bin of their own value, `alone` (P,); without it
    in the bin of the object of their category that they overlap most, be it ever so little; where they overlap none, in all
    bins. So a box that doubles another is charged to its object, and stray boxes weigh on small bins: compare recall first.

    Raises ValueError for edges that do not ascend, and values of another number.
    """
    for name, given, wanted in (("values", values, truth["annotations"]), ("alone", alone, predictions)):
        if given is not None and len(given) != len(wanted):
            raise ValueError(f"{len(given)} {name} for {len(wanted)} records; expected one of each")
    overlaps = Overlaps(truth, predictions, iou_type=iou_type, max_detections=max_detections)
    bins = bins_of(values, edges)
    if alone is None:
        nearest = overlaps.nearest()
        homes = np.where(nearest >= 0, bins[nearest] if len(bins) else -1, -1)
        everywhere = nearest < 0
    else:
        homes, everywhere = bins_of(alone, edges), np.zeros(len(predictions), bool)
    rows = []
    for number, row in enumerate(bin_rows(edges)):
        classes = overlaps.match(ignored=bins != number, ignored_alone=(homes != number) & ~everywhere)
        rows.append(row | _figures(classes, overlaps.image_ids, repeats=repeats, seed=seed))
    return rows


def bins_of(values: Values, edges: Sequence[float]) -> NDArray[np.int64]:
    """(n,) number of the bin of each value, -1 for nan. A value on an edge belongs to the bin above it.

    >>> bins_of(np.array([0.5, 1, 7, np.nan]), [1, 2]).tolist()
    [0, 1, 2, -1]

    Raises ValueError for edges that do not ascend.
    """
    if any(high <= low for low, high in pairwise(edges)):
        raise ValueError(f"edges are {list(edges)}; expected ascending numbers")
    return np.where(np.isnan(values), -1, np.digitize(values, edges)).astype(np.int64)


def quartiles(values: Iterable[float]) -> list[float]:
    """Limits of four bins of about as many values, to three figures, so that they can be read.

    >>> quartiles([1, 1, 2.0001, 3, 4])
    [1.0, 2.0, 3.0]
    """
    limits = np.quantile(list(values), (0.25, 0.5, 0.75)).tolist()
    return sorted({float(f"{limit:.3g}") for limit in limits})


def objects_per_picture(truth: Truth) -> dict[int, int]:
    """Objects by image id, crowd regions left out."""
    counts = {int(image["id"]): 0 for image in truth["images"]}
    for entry in truth["annotations"]:
        counts[int(entry["image_id"])] += not entry.get("iscrowd")
    return counts


def neighbour_gaps(truth: Truth) -> Values:
    """(A,) distance from each object's box to the nearest other box of the picture, over the root of its own area.

    0 where boxes touch or overlap, infinite where an object is alone; a crowd region is nobody's neighbour and has nan.

    By hand: boxes of 10 × 10, 5 pixels apart: 0.5; the third lies 3 to the right of and 4 below the second: 5 pixels.

    >>> truth = {"annotations": [{"image_id": 1, "bbox": [x, y, 10, 10]} for x, y in ((0, 0), (15, 0), (28, 14))]}
    >>> neighbour_gaps(truth).tolist()
    [0.5, 0.5, 0.5]
    """
    gaps = np.full(len(truth["annotations"]), np.nan)
    places: dict[int, list[int]] = {}
    for place, entry in enumerate(truth["annotations"]):
        if not entry.get("iscrowd"):
            places.setdefault(int(entry["image_id"]), []).append(place)
    for own in places.values():
        boxes = np.array([truth["annotations"][place]["bbox"] for place in own], np.float64)
        gaps[own] = box_gaps(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))
    return gaps


def box_gaps(boxes: NDArray[np.floating]) -> Values:
    """(N,) the same of one picture's boxes (N, 4) xyxy; nan for a box without area.

    >>> box_gaps(np.array([[0, 0, 10, 10], [15, 0, 25, 10]])).tolist(), box_gaps(np.array([[0, 0, 9, 9]])).tolist()
    ([0.5, 0.5], [inf])
    """
    if not len(boxes):
        return np.zeros(0)
    low, high = np.asarray(boxes[:, :2], np.float64), np.asarray(boxes[:, 2:], np.float64)
    apart = np.maximum(0, np.maximum(low[:, None] - high[None], low[None] - high[:, None]))
    distance = np.hypot(apart[..., 0], apart[..., 1])
    np.fill_diagonal(distance, np.inf)
    size = np.sqrt(np.prod((high - low).clip(0), axis=1))
    return np.divide(distance.min(axis=1), size, out=np.full(len(boxes), np.nan), where=size > 0)


def laplacian_variance(picture: NDArray[np.uint8]) -> float:
    """Sharpness of a picture (H, W) or RGB (H, W, 3) uint8: the variance of its Laplacian; near 0 where it is blurred.

    Pech-Pacheco et al.: "Diatom autofocusing in brightfield microscopy", ICPR 2000, on the luma; pixels at the border, which
    lack neighbours, are left out.

    By hand: an even slope has a Laplacian of 0 everywhere; a single white pixel on black, 4 · 255 in its own place and -255
    in its four neighbours': of nine inner pixels (16 + 4) · 255² / 9, less the mean of 0 squared.

    >>> laplacian_variance(np.tile(np.arange(9, dtype=np.uint8), (9, 1)))
    0.0
    >>> point = np.zeros((5, 5), np.uint8)
    >>> point[2, 2] = 255
    >>> laplacian_variance(point) == 20 * 255**2 / 9
    True

    Raises ValueError for a picture smaller than 3 × 3 pixels.
    """
    if min(picture.shape[:2]) < 3:
        raise ValueError(f"picture of {picture.shape[1]} x {picture.shape[0]} pixels; sharpness wants 3 x 3 or more")
    grey = picture.astype(np.float64) if picture.ndim == 2 else picture @ np.array([0.299, 0.587, 0.114])
    inner = grey[1:-1, 1:-1]
    return float((grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner).var())


def bin_rows(edges: Sequence[float]) -> Rows:
    """`slice`, `low`, `high` of each bin."""
    limits = [-np.inf, *map(float, edges), np.inf]
    rows = []
    for low, high in pairwise(limits):
        words = f"{low:g} to {high:g}"
        if not np.isfinite(low):
            words = f"below {high:g}" if np.isfinite(high) else "all"
        elif not np.isfinite(high):
            words = f"{low:g} or more"
        rows.append({"slice": words, "low": low, "high": high})
    return rows


def _figures(classes: Sequence[ClassMatches], image_ids: Sequence[int], *, repeats: int, seed: int) -> dict[str, Any]:
    """The figures of one bin; `pictures`: those that hold an object which counts."""
    drawn = DrawnPrecision.of(classes, image_ids)
    precision = drawn.average_precision()
    objects = sum((matches.objects for matches in classes), np.zeros(len(image_ids), np.int64))
    hits = sum(int(matches.hits[0].sum()) for matches in classes)
    figures: dict[str, Any] = {"pictures": int((objects > 0).sum()), "objects": int(objects.sum())}
    figures |= {"ap": float(precision.mean()), "ap50": float(precision[0])}
    figures["recall50"] = hits / figures["objects"] if figures["objects"] else float("nan")
    if repeats:
        interval = drawn.intervals(seed=seed, repeats=repeats)["ap"] if len(image_ids) else (float("nan"),) * 2
        figures |= dict(zip(("ap_low", "ap_high"), interval, strict=True))
    return figures
