"""COCO JSON: read once, checked once, faults listed. Knows nothing of tensors."""

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import DataError
from facings.files import sha256


@dataclass(frozen=True)
class CocoImage:
    """One picture and its objects: `boxes` (N, 4) float32 xyxy pixels, clipped to the picture; `labels` (N,) int64."""

    image_id: int
    path: Path
    width: int
    height: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    product_ids: tuple[str | None, ...]


@dataclass(frozen=True)
class CocoTable:
    """One split of a detection dataset.

    `labels`: category names in the order of the label numbers. `faults`: what was left out or mended, one line each.
    """

    source: Path
    images: tuple[CocoImage, ...]
    labels: tuple[str, ...]
    faults: tuple[str, ...] = field(default=())

    def checksum(self) -> str:
        """sha256 of the JSON file."""
        return sha256(self.source)

    def count_quantile(self, share: float) -> float:
        """The number of objects a picture that `share` of the pictures do not exceed."""
        return float(np.quantile([len(image.labels) for image in self.images], share))

    def ground_truth(self) -> dict[str, Any]:
        """The boxes as a COCO dict with contiguous ids, category ids = label number + 1, for the evaluator."""
        annotations: list[dict[str, Any]] = []
        for image in self.images:
            for box, label in zip(image.boxes.tolist(), image.labels.tolist(), strict=True):
                width, height = box[2] - box[0], box[3] - box[1]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image.image_id,
                        "category_id": label + 1,
                        "bbox": [box[0], box[1], width, height],
                        "area": width * height,
                        "iscrowd": 0,
                    }
                )
        images = [
            {"id": i.image_id, "file_name": i.path.name, "width": i.width, "height": i.height} for i in self.images
        ]
        categories = [{"id": number + 1, "name": name} for number, name in enumerate(self.labels)]
        return {"images": images, "annotations": annotations, "categories": categories}


def read_coco(
    annotations: Path | str, images: Path | str, *, class_agnostic: bool = False, check_files: bool = True
) -> CocoTable:
    """Read COCO instances; with `class_agnostic` every object is a `product`.

    Boxes that leave the picture are clipped; those without area (under one pixel wide or high after clipping), outside
    the picture, of an unknown picture, or marked `iscrowd` are left out. Each such case is a line of `faults`.

    Raises DataError for a missing or malformed file, a split without pictures or without a usable box, a category id
    that the file does not define, and pictures that are missing from the folder.
    """
    source, folder = Path(annotations), Path(images)
    content = _load(source)
    names = {int(c["id"]): str(c["name"]) for c in sorted(content["categories"], key=lambda c: int(c["id"]))}
    number_of = {identifier: 0 if class_agnostic else number for number, identifier in enumerate(names)}
    records = {int(record["id"]): record for record in content["images"]}
    if not records:
        raise DataError(f"{source}: 'images' is empty; a split needs a picture or more")
    faults: list[str] = []
    objects: dict[int, list[tuple[list[float], int, str | None]]] = {identifier: [] for identifier in records}
    for annotation in content["annotations"]:
        found = _object(annotation, records, number_of, source, faults)
        if found is not None:
            objects[int(annotation["image_id"])].append(found)
    if not any(objects.values()):
        raise DataError(
            f"{source}: no usable box in {len(content['annotations'])} annotations; {'; '.join(faults[:3])}"
        )
    read = tuple(_image(records[i], folder, objects[i]) for i in sorted(records))
    if check_files:
        missing = [image.path for image in read if not image.path.is_file()]
        if missing:
            raise DataError(
                f"{source}: {len(missing)} of {len(read)} pictures are not in {folder}, first {missing[0].name}; "
                "check the images folder"
            )
    labels = ("product",) if class_agnostic else tuple(names.values())
    return CocoTable(source, read, labels, tuple(faults))


def _load(source: Path) -> dict[str, Any]:
    if not source.is_file():
        raise DataError(f"{source}: no such annotation file; see data/README.md for how a dataset is laid out")
    try:
        content = json.loads(source.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise DataError(f"{source}: not JSON ({fault})") from fault
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"{source}: lacks the list {key!r}; expected COCO instances")
    repeated = [i for i, n in Counter(record.get("id") for record in content["images"]).items() if n > 1]
    if repeated:
        raise DataError(f"{source}: image id {repeated[0]} is used {len(repeated) + 1} times; ids must differ")
    return content


def _four_numbers(box: Any) -> bool:
    if not isinstance(box, list) or len(box) != 4:
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in box)


def _object(
    annotation: dict[str, Any],
    records: dict[int, dict[str, Any]],
    number_of: dict[int, int],
    source: Path,
    faults: list[str],
) -> tuple[list[float], int, str | None] | None:
    """The clipped box, label number and product id of an annotation, or None with a fault noted."""
    name = f"annotation {annotation.get('id')}"
    if annotation.get("category_id") not in number_of:
        raise DataError(
            f"{source}: {name} has category_id {annotation.get('category_id')!r}; the file defines {sorted(number_of)}"
        )
    record = records.get(annotation.get("image_id", -1))
    box = annotation.get("bbox")
    if record is None:
        faults.append(f"{name}: image_id {annotation.get('image_id')!r} is not in the file")
        return None
    if annotation.get("iscrowd"):
        faults.append(f"{name}: a crowd region, left out")
        return None
    if not _four_numbers(box):
        faults.append(f"{name}: bbox is {box!r}; expected four numbers")
        return None
    x, y, width, height = (float(value) for value in box)  # type: ignore[union-attr]
    corners = [x, y, x + width, y + height]
    limits = [float(record["width"]), float(record["height"])] * 2
    clipped = [min(max(value, 0.0), limit) for value, limit in zip(corners, limits, strict=True)]
    if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
        faults.append(f"{name}: box {box} has no area inside its picture of {limits[0]:g} x {limits[1]:g}, left out")
        return None
    if max(abs(a - b) for a, b in zip(clipped, corners, strict=True)) > 1:
        faults.append(f"{name}: box {box} leaves its picture of {limits[0]:g} x {limits[1]:g}, clipped")
    product = annotation.get("product_id")
    return clipped, number_of[int(annotation["category_id"])], None if product is None else str(product)


def _image(record: dict[str, Any], folder: Path, objects: list[tuple[list[float], int, str | None]]) -> CocoImage:
    return CocoImage(
        image_id=int(record["id"]),
        path=folder / str(record["file_name"]),
        width=int(record["width"]),
        height=int(record["height"]),
        boxes=np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4),
        labels=np.array([label for _, label, _ in objects], np.int64),
        product_ids=tuple(product for _, _, product in objects),
    )
