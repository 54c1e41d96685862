"""COCO JSON: read once, checked once, faults listed. Knows nothing of tensors."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.data.outlines import Segmentation, checked, mask_area, to_rle
from facings.errors import DataError
from facings.files import is_file, sha256
from facings.strict_json import shown

# What an attribute may say, beside true and false.
ANSWERS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
# No id, side or coordinate is larger: some sets have ids of twelve digits or more.
MOST = 2**53


@dataclass(frozen=True)
class Crowd:
    """A region of many objects that nobody told apart (COCO's `iscrowd`): `box` xyxy pixels, `label`, its outline or None."""

    box: tuple[float, ...]
    label: int
    segmentation: Segmentation | None


@dataclass(frozen=True)
class CocoImage:
    """One picture and its objects: `boxes` (N, 4) float32 xyxy pixels, clipped to the picture; `labels` (N,) int64.

    `segmentations`: an outline (COCO polygons or RLE) for each object, None where it has none. `attributes`: what is known
    of each object's yes-or-no properties. `camera_id`, `captured_at`: of the picture, None where the file does not tell.
    `crowds`: regions that are no objects; what is found there is neither right nor wrong.
    """

    image_id: int
    path: Path
    width: int
    height: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    product_ids: tuple[str | None, ...]
    segmentations: tuple[Segmentation | None, ...] = ()
    attributes: tuple[Mapping[str, bool], ...] = ()
    camera_id: str | None = None
    captured_at: datetime | None = None
    crowds: tuple[Crowd, ...] = ()


@dataclass(frozen=True)
class _Object:
    """A usable annotation: `box` xyxy pixels; `camera_id`: of its picture, where the annotation tells; `crowd`: whether it is of
    many objects."""

    box: list[float]
    label: int
    product_id: str | None
    segmentation: Segmentation | None
    attributes: Mapping[str, bool]
    camera_id: str | None
    crowd: bool


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

    @property
    def outlined(self) -> bool:
        """Whether there is an object with an outline."""
        return any(s is not None for image in self.images for s in image.segmentations)

    def class_counts(self) -> list[int]:
        """Objects of each label."""
        labels = np.concatenate([image.labels for image in self.images])
        return np.bincount(labels, minlength=len(self.labels)).tolist()

    def ground_truth(self) -> dict[str, Any]:
        """The objects as a COCO dict with contiguous ids, category ids = label number + 1, for the evaluator.

        In a table with outlines every object has a `segmentation` (RLE; its box where it has no outline), and `area` is
        that of its mask, as COCO's size classes want it; else `area` is the box's. Crowd regions follow the picture's objects.
        """
        outlined = self.outlined
        annotations: list[dict[str, Any]] = []
        for image in self.images:
            segmentations = image.segmentations or (None,) * len(image.labels)
            records = [*zip(image.boxes.tolist(), image.labels.tolist(), segmentations, strict=True)]
            records += [(list(crowd.box), crowd.label, crowd.segmentation) for crowd in image.crowds]
            for number, (box, label, segmentation) in enumerate(records):
                x1, y1, x2, y2 = box
                entry = {
                    "id": len(annotations) + 1,
                    "image_id": image.image_id,
                    "category_id": label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(number >= len(image.labels)),
                }
                if outlined:
                    shape = segmentation or [[x1, y1, x2, y1, x2, y2, x1, y2]]
                    entry["segmentation"] = to_rle(shape, image.height, image.width)
                    entry["area"] = mask_area(entry["segmentation"], image.height, image.width)
                if number < len(image.attributes) and image.attributes[number]:
                    entry["attributes"] = dict(image.attributes[number])
                annotations.append(entry)
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
    the picture, or of an unknown picture are left out; those marked `iscrowd` are `crowds`; an outline that cannot be read is
    left out of its object, a time that cannot be read of its picture. Each such case is a line of `faults`. An attribute's value
    is true or false, 1 or 0, or one of these, yes and no in words; what others there are is a line for each name.

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
    objects: dict[int, list[_Object]] = {identifier: [] for identifier in records}
    for annotation in content["annotations"]:
        found = _object(annotation, records, number_of, source, faults)
        if found is not None:
            objects[int(annotation["image_id"])].append(found)
    if not any(not found.crowd for own in objects.values() for found in own):
        raise DataError(
            f"{source}: no usable box in {len(content['annotations'])} annotations; {'; '.join(faults[:3])}"
        )
    faults += _unanswered(content["annotations"])
    read = tuple(_image(records[i], folder, objects[i], faults) for i in sorted(records))
    if check_files:
        missing = [image.path for image in read if not is_file(image.path)]
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
    for key in ("images", "annotations", "categories"):
        strange = [record for record in content[key] if not isinstance(record, dict)]
        if strange:
            raise DataError(f"{source}: {key!r} holds {shown(strange[0])}; expected objects")
    for record in content["categories"]:
        _whole(record, "id", f"category {shown(record.get('name'))}", source)
        if not isinstance(record.get("name"), str):
            raise DataError(f"{source}: category {record['id']}: name is {shown(record.get('name'))}; expected a text")
    for record in content["images"]:
        name = f"image {shown(record.get('id'))}"
        _whole(record, "id", name, source)
        for side in ("width", "height"):
            _whole(record, side, name, source, least=1)
        if not isinstance(record.get("file_name"), str):
            raise DataError(f"{source}: {name}: file_name is {shown(record.get('file_name'))}; expected a text")
    repeated = [i for i, n in Counter(int(record["id"]) for record in content["images"]).items() if n > 1]
    if repeated:
        raise DataError(f"{source}: image id {repeated[0]} is used {len(repeated) + 1} times; ids must differ")
    return content


def _whole(record: dict[str, Any], field: str, name: str, source: Path, *, least: int = 0) -> None:
    """Raises DataError unless the field is a whole number, or the text of one."""
    value = record.get(field)
    try:
        number = -1 if isinstance(value, bool) else int(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not least <= number <= MOST:
        raise DataError(f"{source}: {name}: {field} is {shown(value)}; expected a whole number of {least} or more")


def _four_numbers(box: Any) -> bool:
    if not isinstance(box, list) or len(box) != 4:
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= MOST for v in box)


def _object(
    annotation: dict[str, Any],
    records: dict[int, dict[str, Any]],
    number_of: dict[int, int],
    source: Path,
    faults: list[str],
) -> _Object | None:
    """A usable annotation, its box clipped, or None with a fault noted."""
    name = f"annotation {annotation.get('id')}"
    if not isinstance(annotation.get("category_id"), int) or annotation["category_id"] not in number_of:
        raise DataError(
            f"{source}: {name} has category_id {annotation.get('category_id')!r}; the file defines {sorted(number_of)}"
        )
    pictured = annotation.get("image_id")
    record = records.get(pictured) if isinstance(pictured, int) else None
    box = annotation.get("bbox")
    if record is None:
        faults.append(f"{name}: image_id {annotation.get('image_id')!r} is not in the file")
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
    if annotation.get("iscrowd"):
        faults.append(f"{name}: a crowd region, not trained on; what is found there is neither right nor wrong")
    elif max(abs(a - b) for a, b in zip(clipped, corners, strict=True)) > 1:
        faults.append(f"{name}: box {box} leaves its picture of {limits[0]:g} x {limits[1]:g}, clipped")
    product = annotation.get("product_id")
    segmentation, fault = checked(annotation.get("segmentation"), int(record["height"]), int(record["width"]))
    if fault:
        faults.append(f"{name}: {fault}, {'the rest is used' if segmentation else 'used without an outline'}")
    return _Object(
        box=clipped,
        label=number_of[int(annotation["category_id"])],
        product_id=None if product is None else str(product),
        segmentation=segmentation,
        attributes={name: said for name, value in _told(annotation) if (said := _answer(value)) is not None},
        camera_id=_text(annotation.get("camera_id")),
        crowd=bool(annotation.get("iscrowd")),
    )


def _told(annotation: dict[str, Any]) -> list[tuple[str, Any]]:
    """Names and values of the attributes that are not left open."""
    known = annotation.get("attributes")
    return [(str(k), v) for k, v in known.items() if v not in (None, "")] if isinstance(known, dict) else []


def _answer(value: Any) -> bool | None:
    """Yes or no, None for what is neither: the text "no" is not a yes."""
    if isinstance(value, str):
        return ANSWERS.get(value.strip().casefold())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def _unanswered(annotations: list[dict[str, Any]]) -> list[str]:
    """A line for each attribute with values that are neither yes nor no."""
    strange: dict[str, list[Any]] = {}
    for annotation in annotations:
        for name, value in _told(annotation):
            if _answer(value) is None:
                strange.setdefault(name, []).append(value)
    return [
        f"attribute {name!r}: {len(values)} values such as {shown(values[0])} are neither yes nor no, not used"
        for name, values in strange.items()
    ]


def _image(record: dict[str, Any], folder: Path, objects: list[_Object], faults: list[str]) -> CocoImage:
    # Some tools can only write down the camera beside each object.
    told = {found.camera_id for found in objects} - {None}
    crowds = tuple(Crowd(tuple(found.box), found.label, found.segmentation) for found in objects if found.crowd)
    objects = [found for found in objects if not found.crowd]
    return CocoImage(
        image_id=int(record["id"]),
        path=folder / str(record["file_name"]),
        width=int(record["width"]),
        height=int(record["height"]),
        boxes=np.array([found.box for found in objects], np.float32).reshape(-1, 4),
        labels=np.array([found.label for found in objects], np.int64),
        product_ids=tuple(found.product_id for found in objects),
        segmentations=tuple(found.segmentation for found in objects),
        attributes=tuple(found.attributes for found in objects),
        camera_id=_text(record.get("camera_id")) or (told.pop() if len(told) == 1 else None),
        captured_at=_moment(record, faults),
        crowds=crowds,
    )


def _moment(record: dict[str, Any], faults: list[str]) -> datetime | None:
    text = record.get("captured_at")
    if text is None:
        return None
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        faults.append(f"image {record['id']}: captured_at is {text!r}; expected ISO 8601, such as 2026-03-01T08:30:00")
        return None


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)
