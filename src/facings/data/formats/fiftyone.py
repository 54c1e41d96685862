"""COCO out to FiftyOne's own JSON: one folder a split, as `fiftyone.types.FiftyOneImageDetectionDataset` reads it.

`SPLIT/data/NAME`, `SPLIT/labels.json`: `classes`, and `labels` of each picture by its name without ending. Boxes are shares of the
sides: x, y, width, height. This type of its has no outlines; `formats/coco.py` keeps them, and FiftyOne reads that too. Source:
FiftyOne's user guide, "FiftyOneImageDetectionDataset".
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facings.data.formats.instances import Copy, Split, class_names, free_name, pictures, place
from facings.files import atomic_write

KEPT = ("product_id", "camera_id", "count", "difficult")


def write_fiftyone(splits: Mapping[str, Split], output: Path, *, copy: Copy = "copy") -> list[Path]:
    """Write every split; returns the label files. Raises DataError."""
    names = class_names(splits)
    written = []
    for name, split in splits.items():
        taken: set[str] = set()
        labels: dict[str, list[dict[str, Any]]] = {}
        for picture in pictures(split.annotations):
            target = free_name(picture.file_name, taken)
            place(split.images / picture.file_name, output / name / "data" / target, copy)
            sides = (picture.width, picture.height) * 2
            labels[Path(target).stem] = [
                {
                    "label": names[annotation["category_id"]],
                    "bounding_box": [value / side for value, side in zip(annotation["bbox"], sides, strict=True)],
                    "attributes": {key: annotation[key] for key in KEPT if annotation.get(key) is not None},
                }
                for annotation in picture.annotations
            ]
        path = output / name / "labels.json"
        content = {"classes": list(names.values()), "labels": labels}
        atomic_write(path, json.dumps(content, ensure_ascii=False) + "\n")
        written.append(path)
    return written
