"""COCO out to Datumaro's own JSON: `annotations/SPLIT.json`, `images/SPLIT/NAME`. Source: its documentation, "Datumaro format".

An object is a `bbox` (x, y, width, height in pixels) and, where it has an outline, `polygon`s or a `mask` (RLE) of the same group.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from facings.data.formats.instances import Copy, Split, class_names, free_name, pictures, place
from facings.data.outlines import checked, to_rle
from facings.files import atomic_write

KEPT = ("product_id", "camera_id", "count", "difficult")


def write_datumaro(splits: Mapping[str, Split], output: Path, *, copy: Copy = "copy") -> list[Path]:
    """Write every split; returns the annotation files. Raises DataError."""
    names = class_names(splits)
    number = {identifier: n for n, identifier in enumerate(names)}
    labels = [{"name": name, "parent": "", "attributes": []} for name in names.values()]
    written = []
    for name, split in splits.items():
        taken: set[str] = set()
        items = []
        for picture in pictures(split.annotations):
            target = free_name(picture.file_name, taken)
            place(split.images / picture.file_name, output / "images" / name / target, copy)
            extent = (picture.height, picture.width)
            shapes = [
                shape
                for group, annotation in enumerate(picture.annotations, start=1)
                for shape in _shapes(annotation, group, number[annotation["category_id"]], extent)
            ]
            image = {"path": target, "size": list(extent)}
            items.append({"id": Path(target).stem, "annotations": shapes, "attr": {}, "image": image})
        content = {"info": {}, "categories": {"label": {"labels": labels, "attributes": []}}, "items": items}
        path = output / "annotations" / f"{name}.json"
        atomic_write(path, json.dumps(content, ensure_ascii=False) + "\n")
        written.append(path)
    return written


def _shapes(annotation: Mapping[str, Any], group: int, label: int, extent: tuple[int, int]) -> Iterator[dict[str, Any]]:
    kept = {key: annotation[key] for key in KEPT if annotation.get(key) is not None}
    shared = {"id": group, "attributes": kept, "group": group, "label_id": label, "z_order": 0}
    yield {"type": "bbox", "bbox": list(annotation["bbox"]), **shared}
    usable, _ = checked(annotation.get("segmentation"), *extent)
    if isinstance(usable, list):
        yield from ({"type": "polygon", "points": points, **shared} for points in usable)
    elif usable is not None:
        rle = to_rle(usable, *extent)
        counts = rle["counts"].decode() if isinstance(rle["counts"], bytes) else rle["counts"]
        yield {"type": "mask", "rle": {"counts": counts, "size": list(rle["size"])}, **shared}
