"""YOLO out: `images/SPLIT`, `labels/SPLIT`, `data.yaml`. Layout: the Ultralytics documentation."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facings.data.formats.instances import Copy, Picture, Split, class_names, free_name, pictures, place
from facings.data.outlines import checked
from facings.files import atomic_write
from facings.masks import from_rle, outline


def write_yolo(splits: Mapping[str, Split], output: Path, *, copy: Copy = "copy", polygons: bool = False) -> list[Path]:
    """Write every split; returns the label files. `polygons`: outlines instead of boxes, of objects that have one.

    Shares have eight digits: a box keeps a thousandth of a pixel. Several polygons of an object, and holes, cannot be said in
    this format: the longest is written. What leaves a picture is cut: readers refuse all labels of a picture for a share above 1.
    Raises DataError.
    """
    names = class_names(splits)
    number = {identifier: n for n, identifier in enumerate(names)}
    written = []
    for name, split in splits.items():
        taken: set[str] = set()
        for picture in pictures(split.annotations):
            target = Path(free_name(picture.file_name, taken))
            place(split.images / picture.file_name, output / "images" / name / target, copy)
            lines = [_line(annotation, picture, number, polygons) for annotation in picture.annotations]
            path = output / "labels" / name / f"{target.stem}.txt"
            atomic_write(path, "".join(f"{line}\n" for line in lines))
            written.append(path)
    # JSON is YAML: names with colons and quotes are safe.
    described = [f"{name}: images/{name}" for name in splits]
    described += [
        "names:",
        *(f"  {n}: {json.dumps(name, ensure_ascii=False)}" for n, name in enumerate(names.values())),
    ]
    atomic_write(output / "data.yaml", "\n".join(described) + "\n")
    return written


def _line(annotation: Mapping[str, Any], picture: Picture, number: dict[int, int], polygons: bool) -> str:
    usable, _ = checked(annotation.get("segmentation"), picture.height, picture.width) if polygons else (None, "")
    ring = _ring(usable)
    if ring:
        values = [_share(v, picture.height if i % 2 else picture.width) for i, v in enumerate(ring)]
    else:
        x, y, w, h = annotation["bbox"]
        left, right = _share(x, picture.width), _share(x + w, picture.width)
        top, bottom = _share(y, picture.height), _share(y + h, picture.height)
        values = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    return " ".join([str(number[annotation["category_id"]]), *(f"{value:.8f}" for value in values)])


def _share(value: float, side: int) -> float:
    """A place in pixels as share of the picture's side, 0 to 1."""
    return min(max(value / side, 0.0), 1.0)


def _ring(segmentation: Any) -> list[float]:
    """[x1, y1, …] of the longest outline, empty where there is none."""
    if isinstance(segmentation, dict):
        return [float(v) for v in outline(from_rle(segmentation)).reshape(-1)]
    rings = [ring for ring in segmentation or () if len(ring) >= 6]
    return max(rings, key=len, default=[])
