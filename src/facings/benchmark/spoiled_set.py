"""A sound synthetic set, spoiled on purpose: one plant for each kind of fault that the doctor must find.

Knows nothing of how they are found.
"""

import copy
import io
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

ORIENTATION = 0x0112
NON_COMMERCIAL = "Attribution-NonCommercial License"


@dataclass
class Spoiled:
    """A copy of a set in memory and on disk; `train`, `val`: COCO contents, `rows`: lines of the recognition table."""

    folder: Path
    train: dict[str, Any]
    val: dict[str, Any]
    rows: list[str]
    _next: int = 50_000

    def number(self) -> int:
        """An id that nothing has."""
        self._next += 1
        return self._next

    def objects(self, count: int = 1) -> list[dict[str, Any]]:
        """Training annotations that no other plant has touched."""
        taken = [a for a in self.train["annotations"] if not a.get("planted") and a["image_id"] < 50_000][:count]
        for annotation in taken:
            annotation["planted"] = True
        return taken

    def file(self, record: dict[str, Any], split: str = "train") -> Path:
        return self.folder / "images" / split / str(record["file_name"])

    def source(self, split: str = "val", place: int = 0) -> tuple[dict[str, Any], Path]:
        """A sound picture of the set to copy."""
        record = [r for r in getattr(self, split)["images"] if r["id"] < 50_000][place]
        return record, self.file(record, split)

    def add_picture(
        self, content: bytes, width: int, height: int, *, split: str = "train", objects: bool = True
    ) -> Path:
        """A further picture with one object in its middle."""
        identifier = self.number()
        record = {"id": identifier, "file_name": f"planted_{identifier}.jpg", "width": width, "height": height}
        getattr(self, split)["images"].append(record)
        if objects:
            box = [width / 4, height / 4, width / 2, height / 2]
            self.add_object(identifier, box, split=split)
        path = self.file(record, split)
        path.write_bytes(content)
        return path

    def add_object(self, image: int, box: Any, *, split: str = "train", category: int | None = None) -> dict[str, Any]:
        content = getattr(self, split)
        category = content["categories"][0]["id"] if category is None else category
        annotation = {"id": self.number(), "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0}
        if isinstance(box, list) and len(box) == 4:
            x, y, width, height = box
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotation |= {"segmentation": [corners], "area": abs(width * height)}
        content["annotations"].append(annotation | {"planted": True})
        return content["annotations"][-1]  # type: ignore[no-any-return]

    def write(self) -> None:
        for split in ("train", "val"):
            (self.folder / f"instances_{split}.json").write_text(json.dumps(getattr(self, split)))
        (self.folder / "recognition.csv").write_text("\n".join(self.rows) + "\n")


def spoil(clean: Path, output: Path, kinds: Iterable[str]) -> None:
    """Copy a synthetic set to `output` and plant faults of the given kinds in the copy."""
    shutil.copytree(clean, output)
    contents = [json.loads((output / f"instances_{split}.json").read_text()) for split in ("train", "val")]
    rows = (output / "recognition.csv").read_text().splitlines()
    spoiled = Spoiled(output, contents[0], contents[1], rows)
    for kind in kinds:
        PLANTS[kind](spoiled)
    spoiled.write()


def noise(seed: int, width: int, height: int, **save: Any) -> bytes:
    """A picture of coarse noise that looks like no other."""
    rng = np.random.default_rng(seed)
    small = rng.integers(30, 230, (9, 9, 3), dtype=np.uint8)
    return encoded(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), **save)


def encoded(image: Image.Image, *, format: str = "JPEG", **save: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **save)
    return buffer.getvalue()


def _change(**fields: Any) -> Callable[[Spoiled], None]:
    """Set fields of an object."""

    def plant(spoiled: Spoiled) -> None:
        spoiled.objects()[0].update(copy.deepcopy(fields))

    return plant


def _added(box: Any, **fields: Any) -> Callable[[Spoiled], None]:
    """A further object on a sound picture."""

    def plant(spoiled: Spoiled) -> None:
        spoiled.add_object(spoiled.source("train")[0]["id"], box).update(fields)

    return plant


def _elsewhere(spoiled: Spoiled) -> None:
    record, _ = spoiled.source("train", 6)
    record["file_name"] = f"../train/{record['file_name']}"


def _unknown_picture(spoiled: Spoiled) -> None:
    spoiled.add_object(49_999, [5, 5, 20, 20])


def _unknown_category(spoiled: Spoiled) -> None:
    spoiled.add_object(spoiled.source("train")[0]["id"], [5, 5, 9, 9], category=49_998)


def _image_id_repeated(spoiled: Spoiled) -> None:
    spoiled.add_picture(noise(1, 96, 96), 96, 96, objects=False)
    spoiled.train["images"][-1]["id"] = spoiled.source("train", 1)[0]["id"]


def _annotation_id_repeated(spoiled: Spoiled) -> None:
    first, second = spoiled.objects(2)
    second["id"] = first["id"]


def _both_categories(identifier: Callable[[Spoiled], int], name: Callable[[Spoiled], str]) -> Callable[[Spoiled], None]:
    def plant(spoiled: Spoiled) -> None:
        record = {"id": identifier(spoiled), "name": name(spoiled)}
        for content in (spoiled.train, spoiled.val):
            content["categories"].append(dict(record))

    return plant


def _categories_differ(spoiled: Spoiled) -> None:
    name = spoiled.number()
    spoiled.train["categories"].append({"id": name, "name": f"product {name}"})
    spoiled.add_object(spoiled.source("train")[0]["id"], [61, 3, 9, 9], category=name)


def _file_listed_twice(spoiled: Spoiled) -> None:
    record, _ = spoiled.source("train", 2)
    spoiled.train["images"].append({**record, "id": spoiled.number()})


def _two_labels(spoiled: Spoiled) -> None:
    (annotation,) = spoiled.objects()
    other = next(c["id"] for c in spoiled.train["categories"] if c["id"] != annotation["category_id"])
    spoiled.train["annotations"].append({**annotation, "id": spoiled.number(), "category_id": other})


def _duplicate(spoiled: Spoiled) -> None:
    (annotation,) = spoiled.objects()
    spoiled.train["annotations"].append({**annotation, "id": spoiled.number()})


def _over_capacity(spoiled: Spoiled) -> None:
    spoiled.add_picture(noise(2, 200, 200), 200, 200, objects=False)
    identifier = spoiled.train["images"][-1]["id"]
    for number in range(1001):
        spoiled.add_object(identifier, [number % 40 * 5, number // 40 * 5, 3, 3])


def _mask_not_in_box(spoiled: Spoiled) -> None:
    (annotation,) = spoiled.objects()
    x, y, width, height = annotation["bbox"]
    annotation["segmentation"] = [[x, y, x + width / 3, y, x + width / 3, y + height / 3, x, y + height / 3]]


def _mask_outside(spoiled: Spoiled) -> None:
    record, _ = spoiled.source("train")
    annotation = spoiled.add_object(record["id"], [record["width"] - 20, 90, 20, 20])
    edge = record["width"]
    annotation["segmentation"] = [[edge - 20, 90, edge + 15, 90, edge + 15, 110, edge - 20, 110]]


def _missing(spoiled: Spoiled) -> None:
    spoiled.add_picture(b"", 96, 96).unlink()


def _truncated(spoiled: Spoiled) -> None:
    content = noise(3, 160, 160)
    spoiled.add_picture(content[: len(content) // 2], 160, 160)


def _picture(
    content: Callable[[], bytes], width: int, height: int, *, objects: bool = True
) -> Callable[[Spoiled], None]:
    def plant(spoiled: Spoiled) -> None:
        spoiled.add_picture(content(), width, height, objects=objects)

    return plant


def _with_orientation(orientation: int, seed: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return noise(seed, 120, 90, exif=exif)


def _leak_identical(spoiled: Spoiled) -> None:
    record, path = spoiled.source("val")
    _copied(spoiled, record, path.read_bytes())


def _leak_near(spoiled: Spoiled) -> None:
    record, path = spoiled.source("val", 1)
    _copied(spoiled, record, _retouched(path))


def _image_near(spoiled: Spoiled) -> None:
    record, path = spoiled.source("train", 3)
    _copied(spoiled, record, _retouched(path), source="train")


def _image_identical(spoiled: Spoiled) -> None:
    record, path = spoiled.source("train", 4)
    _copied(spoiled, record, path.read_bytes(), source="train")


def _label_conflict(spoiled: Spoiled) -> None:
    record, path = spoiled.source("train", 5)
    spoiled.add_picture(path.read_bytes(), record["width"], record["height"])


def _copied(spoiled: Spoiled, record: dict[str, Any], content: bytes, *, source: str = "val") -> None:
    """The picture once more in training, with its objects."""
    spoiled.add_picture(content, record["width"], record["height"], objects=False)
    identifier = spoiled.train["images"][-1]["id"]
    for annotation in [a for a in getattr(spoiled, source)["annotations"] if a["image_id"] == record["id"]]:
        copied = {**annotation, "id": spoiled.number(), "image_id": identifier, "planted": True}
        spoiled.train["annotations"].append(copied)


def _retouched(path: Path) -> bytes:
    """Brighter, smaller by a few pixels and back, compressed anew."""
    with Image.open(path) as image:
        brighter = ImageEnhance.Brightness(image.convert("RGB")).enhance(1.12)
        small = brighter.resize((image.width - 6, image.height - 6)).resize(image.size)
        return encoded(small, quality=60)


def _sequence(spoiled: Spoiled) -> None:
    for split in ("train", "val"):
        spoiled.source(split)[0]["video"] = "walk 7"


def _class_not_trained(spoiled: Spoiled) -> None:
    identifier = _new_category(spoiled)
    spoiled.add_object(spoiled.source("val")[0]["id"], [3, 3, 20, 20], split="val", category=identifier)


def _class_not_tested(spoiled: Spoiled) -> None:
    identifier = _new_category(spoiled)
    spoiled.add_object(spoiled.source("train")[0]["id"], [33, 3, 20, 20], category=identifier)


def _new_category(spoiled: Spoiled) -> int:
    identifier = spoiled.number()
    for content in (spoiled.train, spoiled.val):
        content["categories"].append({"id": identifier, "name": f"product {identifier}"})
    return identifier


def _row(change: Callable[[list[str]], list[str]]) -> Callable[[Spoiled], None]:
    """Repeat a row of the recognition table, changed. Columns: path, product, split, role, category, box, camera."""

    def plant(spoiled: Spoiled) -> None:
        spoiled.rows.append(",".join(change(spoiled.rows[1].split(","))))

    return plant


def _licence(spoiled: Spoiled) -> None:
    # The set's own record would say that it is nobody's photos.
    (spoiled.folder / "synthesize.json").unlink()
    spoiled.train["licenses"] = [{"id": 1, "name": NON_COMMERCIAL}]
    for record in spoiled.train["images"]:
        record["license"] = 1


def _category_id_repeated(spoiled: Spoiled) -> None:
    for content in (spoiled.train, spoiled.val):
        first = content["categories"][0]
        content["categories"].insert(0, {"id": first["id"], "name": "Further goods"})


PLANTS: dict[str, Callable[[Spoiled], None]] = {
    "image-id-repeated": _image_id_repeated,
    "annotation-id-repeated": _annotation_id_repeated,
    "category-id-repeated": _category_id_repeated,
    "id-not-whole": _change(id=-4),
    "image-elsewhere": _elsewhere,
    "image-blurred": _picture(lambda: noise(10, 320, 240), 320, 240),
    "image-unknown": _unknown_picture,
    "category-unknown": _unknown_category,
    "category-name-twice": _both_categories(lambda s: s.number(), lambda s: f" {s.train['categories'][0]['name']} ".upper()),
    "categories-differ": _categories_differ,
    "file-listed-twice": _file_listed_twice,
    "box-malformed": _added([5, 5, 20, 20], bbox=[5, 5, None, 20]),
    "box-no-area": _added([50, 50, 0, 20], segmentation=[[50, 50, 52, 50, 52, 70]]),
    "box-outside": _added([9000, 50, 20, 20]),
    "box-leaves": _added([-8, 40, 20, 20], segmentation=[[0, 40, 12, 40, 12, 60, 0, 60]]),
    "box-duplicate": _duplicate,
    "box-two-labels": _two_labels,
    "area-wrong": _change(area=1e7),
    "over-capacity": _over_capacity,
    "mask-malformed": _change(segmentation=[[3, 4, 5, 6]]),
    "mask-outside": _mask_outside,
    "mask-not-in-box": _mask_not_in_box,
    "mask-missing": _change(segmentation=[]),
    "image-missing": _missing,
    "image-unreadable": _picture(lambda: b"<html>404 not found</html>", 96, 96),
    "image-truncated": _truncated,
    "image-size-wrong": _picture(lambda: noise(4, 120, 90), 240, 180),
    "exif-rotated": _picture(lambda: _with_orientation(6, 5), 120, 90),
    "exif-turned": _picture(lambda: _with_orientation(3, 6), 120, 90),
    "image-blank": _picture(lambda: encoded(Image.new("RGB", (96, 96), (90, 90, 90))), 96, 96),
    "image-dark": _picture(lambda: encoded(Image.open(io.BytesIO(noise(7, 96, 96))).point(lambda v: v // 16)), 96, 96),
    "image-misnamed": _picture(lambda: noise(8, 96, 96, format="PNG"), 96, 96),
    "leak-identical": _leak_identical,
    "leak-near": _leak_near,
    "leak-sequence": _sequence,
    "image-identical": _image_identical,
    "image-near": _image_near,
    "label-conflict": _label_conflict,
    "class-empty": _both_categories(lambda s: s.number(), lambda s: "goods that nobody sells"),
    "class-not-trained": _class_not_trained,
    "class-not-tested": _class_not_tested,
    "label-placeholder": _change(product_id="Unknown"),
    "category-two-paths": _row(lambda row: [*row[:2], "enrol", "gallery", "Another/Path", *row[5:]]),
    "row-repeated": _row(lambda row: row),
    "crowd": _change(iscrowd=1),
    "no-objects": _picture(lambda: noise(9, 96, 96), 96, 96, objects=False),
    "licence-forbids": _licence,
}  # fmt: skip
# What a plant brings along: a fault of one kind is often one of another too.
COMPANIONS: dict[str, set[str]] = {
    "categories-differ": {"class-not-tested"},
    "category-id-repeated": {"class-empty"},
    "category-name-twice": {"class-empty"},
    "file-listed-twice": {"label-conflict", "no-objects"},
    "label-conflict": {"image-identical"},
}
