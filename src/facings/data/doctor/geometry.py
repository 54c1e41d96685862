"""Boxes and outlines of a COCO file against their pictures and each other. Knows nothing of pixels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from facings.boxes import iou
from facings.data.doctor.faults import Findings
from facings.data.doctor.sources import RawSplit, key
from facings.data.outlines import Segmentation, checked, to_rle

# Two boxes of one category that overlap by so much are one object annotated twice; two packs, one behind the other, stay below 0.8.
DUPLICATE_IOU = 0.85
# A box may differ from its outline by so many pixels, and must overlap the outline's own box by so much.
SLACK, FITTING_IOU = 2.0, 0.8
CAPACITY = 1000
# No picture is as large, in pixels.
LARGEST = 1e9


@dataclass(frozen=True)
class Shape:
    """A usable annotation: `box` xyxy pixels, clipped to its picture."""

    annotation: Mapping[str, Any]
    box: tuple[float, float, float, float]


def check_geometry(split: RawSplit, findings: Findings, *, capacity: int = CAPACITY) -> None:
    """Add what is wrong with the boxes and outlines of one split."""
    groups = split.by_picture()
    outlined = any(a.get("segmentation") for a in split.annotations)
    seen: set[Any] = set()
    for record in split.images:
        extent, identifier = extent_of(record), key(record.get("id"))
        if extent is None:
            stated = f"stated width {record.get('width')!r}, height {record.get('height')!r}: boxes cannot be judged"
            findings.add("image-size-wrong", stated, split=split.name, picture=split.path(record))
        if extent is None or identifier in seen:
            # Of two pictures of one id nobody can say whose boxes they are: that is a fault of its own.
            continue
        seen.add(identifier)
        annotations = groups.get(identifier, [])
        where: dict[str, Any] = {"split": split.name, "picture": split.path(record)}
        shapes = []
        for annotation in annotations:
            if annotation.get("iscrowd"):
                findings.add("crowd", _name(annotation), **where)
                continue
            shape = check_box(annotation, extent, findings, where)
            if shape is not None:
                shapes.append(shape)
                check_outline(shape, extent, findings, where, outlined=outlined)
        _check_pairs(shapes, findings, where)
        if not annotations:
            findings.add("no-objects", "no annotation", **where)
        if len(shapes) > capacity:
            findings.add("over-capacity", f"{len(shapes)} objects, a detector reports {capacity}", **where)


def extent_of(record: Mapping[str, Any]) -> tuple[float, float] | None:
    """Width and height of a picture as the file states them, or None where they are no positive numbers."""
    width, height = record.get("width"), record.get("height")
    if _number(width) and _number(height) and width > 0 and height > 0:  # type: ignore[operator]
        return float(width), float(height)  # type: ignore[arg-type]
    return None


def box_fault(box: Any, extent: tuple[float, float]) -> tuple[str, tuple[float, float, float, float]]:
    """The kind of fault of a COCO box x, y, width, height ("" for none), and its corners clipped to the picture.

    >>> box_fault([90, 10, 20, 5], (100, 50))
    ('box-leaves', (90.0, 10.0, 100.0, 15.0))
    """
    if not isinstance(box, list) or len(box) != 4 or not all(_number(value) for value in box):
        return "box-malformed", (0.0, 0.0, 0.0, 0.0)
    x, y, width, height = (float(value) for value in box)
    corners, limits = (x, y, x + width, y + height), (float(extent[0]), float(extent[1])) * 2
    inside = tuple(min(max(value, 0.0), limit) for value, limit in zip(corners, limits, strict=True))
    clipped = (inside[0], inside[1], inside[2], inside[3])
    if width < 1 or height < 1:
        return "box-no-area", clipped
    if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
        return "box-outside", clipped
    if max(abs(a - b) for a, b in zip(corners, clipped, strict=True)) > 1:
        return "box-leaves", clipped
    return "", clipped


def check_box(
    annotation: Mapping[str, Any], extent: tuple[float, float], findings: Findings, where: Mapping[str, Any]
) -> Shape | None:
    """The usable shape of an annotation, or None; its faults are added."""
    box = annotation.get("bbox")
    kind, corners = box_fault(box, extent)
    if kind:
        shown = [] if kind == "box-malformed" else [_corners(box or [])]
        size = f"picture {extent[0]:g} x {extent[1]:g}"
        findings.add(kind, f"{_name(annotation)}: bbox {box}, {size}", boxes=shown, **where)
    if kind in ("box-malformed", "box-no-area", "box-outside"):
        return None
    area, whole = annotation.get("area"), (corners[2] - corners[0] + SLACK) * (corners[3] - corners[1] + SLACK)
    if area is not None and (not _number(area) or area <= 0 or (not kind and area > whole)):
        findings.add("area-wrong", f"{_name(annotation)}: area {area}, bbox {box}", boxes=[corners], **where)
    return Shape(annotation, corners)


def check_outline(
    shape: Shape,
    extent: tuple[float, float],
    findings: Findings,
    where: Mapping[str, Any],
    *,
    outlined: bool,
) -> None:
    """Add what is wrong with the outline of a usable annotation."""
    segmentation = shape.annotation.get("segmentation")
    if not segmentation:
        if outlined:
            findings.add("mask-missing", _name(shape.annotation), boxes=[shape.box], **where)
        return
    width, height = round(extent[0]), round(extent[1])
    usable, fault = checked(segmentation, height, width)
    if fault:
        findings.add("mask-malformed", f"{_name(shape.annotation)}: {fault}", boxes=[shape.box], **where)
    if usable is None:
        return
    bounds = outline_bounds(usable, height, width)
    if bounds is None:
        findings.add("mask-malformed", f"{_name(shape.annotation)}: no pixel is set", boxes=[shape.box], **where)
        return
    if min(bounds[0], bounds[1], width - bounds[2], height - bounds[3]) < -SLACK:
        findings.add("mask-outside", f"{_name(shape.annotation)}: reaches {_round(bounds)}", boxes=[shape.box], **where)
    clipped = np.clip(bounds, 0, [width, height, width, height])
    if not fits(shape.box, clipped):
        detail = f"{_name(shape.annotation)}: box {_round(shape.box)}, outline {_round(clipped)}"
        findings.add("mask-not-in-box", detail, boxes=[shape.box, clipped.tolist()], **where)


def fits(box: Sequence[float], bounds: NDArray[np.float64]) -> bool:
    """Whether the box and the box around the outline are the same but for `SLACK`, or nearly."""
    if np.abs(np.subtract(box, bounds)).max() <= SLACK:
        return True
    pair = np.array([box, bounds], np.float32)
    return bool(iou(pair[:1], pair[1:])[0, 0] >= FITTING_IOU)


def outline_bounds(segmentation: Segmentation, height: int, width: int) -> NDArray[np.float64] | None:
    """(4,) xyxy pixels of the smallest box around a checked segmentation, not clipped; None where it covers nothing."""
    if isinstance(segmentation, list):
        points = np.concatenate([np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in segmentation])
        return np.concatenate([points.min(axis=0), points.max(axis=0)])
    x, y, wide, high = (float(v) for v in coco_mask.toBbox(to_rle(segmentation, height, width)))
    return np.array([x, y, x + wide, y + high]) if wide > 0 and high > 0 else None


def doubles(boxes: NDArray[np.float32], labels: Sequence[Any]) -> list[tuple[int, int, bool]]:
    """Pairs (first, second, same label) of boxes (N, 4) xyxy that lie on one object."""
    if len(boxes) < 2:
        return []
    overlap = np.triu(iou(boxes, boxes), 1)
    pairs = np.argwhere(overlap >= DUPLICATE_IOU).tolist()
    return [(first, second, labels[first] == labels[second]) for first, second in pairs]


def _check_pairs(shapes: Sequence[Shape], findings: Findings, where: Mapping[str, Any]) -> None:
    boxes = np.array([shape.box for shape in shapes], np.float32).reshape(-1, 4)
    labels = [key(shape.annotation.get("category_id")) for shape in shapes]
    for first, second, same in doubles(boxes, labels):
        names = f"{_name(shapes[first].annotation)} and {shapes[second].annotation.get('id')}"
        labelled = "" if same else f", categories {labels[first]} and {labels[second]}"
        kind = "box-duplicate" if same else "box-two-labels"
        findings.add(kind, f"{names}{labelled}", boxes=[shapes[first].box, shapes[second].box], **where)


def _number(value: Any) -> bool:
    # A whole number of JSON may be larger than any float.
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST and math.isfinite(value)
    )


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _name(annotation: Mapping[str, Any]) -> str:
    return f"annotation {annotation.get('id')}"


def _round(box: Sequence[float] | NDArray[np.float64]) -> list[float]:
    return [round(float(value), 1) for value in box]
