"""What a set holds, in numbers: counts, class balance, crowding, sizes. Knows nothing of faults."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.data.doctor.classes import category_counts
from facings.data.doctor.geometry import LARGEST, box_fault, extent_of
from facings.data.doctor.pictures import Picture
from facings.data.doctor.sources import RawSplit, key
from facings.data.outlines import checked, mask_area
from facings.data.tables import RecognitionTable

SHARES = {"p1": 0.01, "p50": 0.5, "p99": 0.99}
# Outlines that are measured in a split: enough for percentiles, and quick on millions.
MEASURED_OUTLINES = 2000
BINS = 20
# Picture sizes that are told one by one, the most frequent first.
LISTED_SIZES = 12


def split_statistics(split: RawSplit) -> dict[str, Any]:
    """Figures of one COCO file. Boxes that cannot be used are left out; lengths are pixels of the picture."""
    groups = split.by_picture()
    sizes: Counter[str] = Counter()
    counts, boxes, gaps = [], [], []
    wides, highs = list[float](), list[float]()
    for record in split.images:
        extent = extent_of(record)
        annotations = groups.get(key(record.get("id")), [])
        counts.append(len(annotations))
        if extent is None:
            continue
        sizes[f"{extent[0]:g} x {extent[1]:g}"] += 1
        wides.append(extent[0])
        highs.append(extent[1])
        found = [box_fault(annotation.get("bbox"), extent) for annotation in annotations]
        usable = np.array([corners for kind, corners in found if kind in ("", "box-leaves")], np.float64).reshape(-1, 4)
        boxes.append(usable)
        gaps.append(neighbour_gaps(usable))
    corners = np.concatenate([np.zeros((0, 4)), *boxes])
    wide, high = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    areas = _mask_areas(split)
    return {
        "images": len(split.images),
        "objects": len(split.annotations),
        "objects_per_image": crowding(counts),
        "classes": dict(category_counts(split).most_common()),
        "box_width": spread(wide),
        "box_height": spread(high),
        "box_size": spread(np.sqrt(wide * high)) | {"histogram": histogram(np.sqrt(wide * high))},
        "aspect": spread(wide / np.maximum(high, 1e-9)),
        "neighbour_gap": spread(np.concatenate([np.zeros(0), *gaps])),
        "mask_size": spread(np.sqrt(areas[:, 0])),
        "mask_share_of_box": spread(areas[:, 0] / areas[:, 1]),
        "outlined": sum(bool(annotation.get("segmentation")) for annotation in split.annotations),
        "image_width": spread(np.array(wides)),
        "image_height": spread(np.array(highs)),
        "image_sizes": dict(sizes.most_common(LISTED_SIZES)),
        "different_image_sizes": len(sizes),
    }


def table_statistics(
    table: RecognitionTable, pictures: Mapping[Path, Picture] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """Figures of a recognition table by split. `pictures`: those that were opened; sizes are told of them alone."""
    found: dict[str, dict[str, Any]] = {}
    for split in dict.fromkeys(row.split for row in table.rows):
        rows = [row for row in table.rows if row.split == split]
        products = Counter(row.product_id for row in rows)
        read = [p for path in dict.fromkeys(r.path for r in rows) if (p := pictures.get(path)) and p.state == "read"]
        sides = np.array([picture.shown for picture in read], np.float64).reshape(-1, 2)
        sizes = Counter(f"{wide} x {high}" for wide, high in (picture.shown for picture in read))
        boxes = [row.box for row in rows if row.box is not None and max(map(abs, row.box)) < LARGEST]
        crops = np.array([box[2:] for box in boxes], np.float64).reshape(-1, 2)
        side = np.sqrt(crops[:, 0] * crops[:, 1])
        found[split] = {
            "images": len({row.path for row in rows}),
            "rows": len(rows),
            "roles": dict(Counter(row.role for row in rows)),
            "products": len(products),
            "categories": [len({row.category[:depth] for row in rows if len(row.category) >= depth})
                           for depth in range(1, 1 + max((len(row.category) for row in rows), default=0))],
            "photos_per_product": crowding(list(products.values())),
            "classes": dict(products.most_common()),
            "crops_per_image": crowding(list(Counter(row.path for row in rows).values())),
            "box_width": spread(crops[:, 0]),
            "box_height": spread(crops[:, 1]),
            "box_size": spread(side) | {"histogram": histogram(side)} if len(side) else {},
            "aspect": spread(crops[:, 0] / crops[:, 1]),
            "image_width": spread(sides[:, 0]),
            "image_height": spread(sides[:, 1]),
            "image_sizes": dict(sizes.most_common(LISTED_SIZES)),
            "different_image_sizes": len(sizes),
        }  # fmt: skip
    return found


def crowding(counts: Sequence[int]) -> dict[str, Any]:
    """Mean, p50, p99, p99.9, most, and a histogram of numbers a picture.

    >>> {name: value for name, value in crowding([1, 3]).items() if name != "histogram"}
    {'mean': 2.0, 'p50': 2.0, 'p99': 2.98, 'p99.9': 2.998, 'max': 3}
    """
    if not counts:
        return {}
    values = np.asarray(counts, np.float64)
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    quantiles = {name: round(float(np.quantile(values, share)), 3) for name, share in shares.items()}
    return (
        {"mean": round(float(values.mean()), 3)}
        | quantiles
        | {"max": int(values.max()), "histogram": histogram(values)}
    )


def spread(values: NDArray[np.float64]) -> dict[str, float]:
    """Least, 1st, 50th, 99th percentile, most; empty for no values."""
    if not len(values):
        return {}
    quantiles = {name: float(np.quantile(values, share)) for name, share in SHARES.items()}
    found = {"min": float(values.min())} | quantiles | {"max": float(values.max())}
    return {name: round(value, 3) for name, value in found.items()}


def histogram(values: NDArray[np.float64]) -> dict[str, Any]:
    """`counts` in equal steps between `low` and `high`; empty for no values."""
    if not len(values):
        return {}
    counts, edges = np.histogram(values, BINS)
    return {"counts": counts.tolist(), "low": round(float(edges[0]), 3), "high": round(float(edges[-1]), 3)}


def neighbour_gaps(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (N, 4) xyxy → (N,) distance in pixels from each to the nearest other, 0 where they touch or overlap.

    >>> neighbour_gaps(np.array([[0, 0, 2, 2], [5, 0, 6, 2], [5, 6, 6, 8.0]])).tolist()
    [3.0, 3.0, 4.0]
    """
    if len(boxes) < 2:
        return np.zeros(0)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    apart = np.maximum(np.maximum(low - boxes[None, :, 2:], boxes[None, :, :2] - high), 0)
    distances = np.hypot(apart[..., 0], apart[..., 1])
    np.fill_diagonal(distances, np.inf)
    nearest: NDArray[np.float64] = distances.min(axis=1)
    return nearest


def _mask_areas(split: RawSplit) -> NDArray[np.float64]:
    """(N, 2): of the first outlines the pixels that they cover, and those of their box."""
    extents = {key(record.get("id")): extent_of(record) for record in split.images}
    outlined = [a for a in split.annotations if a.get("segmentation")][:MEASURED_OUTLINES]
    found = []
    for annotation in outlined:
        extent = extents.get(key(annotation.get("image_id")))
        if extent is None or box_fault(annotation.get("bbox"), extent)[0]:
            continue
        width, height = round(extent[0]), round(extent[1])
        usable, _ = checked(annotation["segmentation"], height, width)
        if usable is not None:
            box = annotation["bbox"]
            found.append((mask_area(usable, height, width), box[2] * box[3]))
    return np.array(found, np.float64).reshape(-1, 2)
