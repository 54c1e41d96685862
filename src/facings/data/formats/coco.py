"""COCO out: each JSON with its pictures beside, as Datumaro (`coco_instances`) and FiftyOne (`COCODetectionDataset`) read it.

`annotations/instances_SPLIT.json`, `images/SPLIT/NAME`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from facings.data.adapters.coco_source import load
from facings.data.formats.instances import Copy, Split, free_name, place
from facings.errors import DataError
from facings.files import atomic_write


def write_coco(splits: Mapping[str, Split], output: Path, *, copy: Copy = "copy") -> list[Path]:
    """Write every split; returns the annotation files. Ids, boxes and outlines stay as they are. Raises DataError."""
    written = []
    for name, split in splits.items():
        content, taken = load(split.annotations), set[str]()
        for record in content["images"]:
            if not record.get("file_name"):
                raise DataError(f"{split.annotations}: image {record['id']} has no file_name")
            target = free_name(record["file_name"], taken)
            place(split.images / record["file_name"], output / "images" / name / target, copy)
            record["file_name"] = target
        for number, annotation in enumerate(content["annotations"], start=1):
            # Fields that both readers take for granted.
            annotation.setdefault("id", number)
            annotation.setdefault("iscrowd", 0)
            annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
        path = output / "annotations" / f"instances_{name}.json"
        atomic_write(path, json.dumps(content, ensure_ascii=False) + "\n")
        written.append(path)
    return written
