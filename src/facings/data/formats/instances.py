"""The pictures of a COCO file with their annotations, for the writers of other formats. Knows nothing of those."""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facings.data.adapters.coco_source import categories, load
from facings.errors import DataError
from facings.files import is_file

Copy = Literal["copy", "link", "none"]


@dataclass(frozen=True)
class Split:
    """One annotation file and the folder that its file names start at."""

    annotations: Path
    images: Path


@dataclass(frozen=True)
class Picture:
    """One picture: `file_name` as in the file, size in pixels, and its annotations as COCO has them."""

    file_name: str
    width: int
    height: int
    annotations: tuple[Mapping[str, Any], ...]


def pictures(annotations: Path) -> Iterator[Picture]:
    """Pictures in the file's order, without crowd regions: no format but COCO can say that a box is of many. Raises DataError for
    what is no COCO file."""
    content = load(annotations)
    objects: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation.get("iscrowd"):
            continue
        objects[annotation["image_id"]].append(annotation)
    for record in content["images"]:
        if not record.get("file_name"):
            raise DataError(f"{annotations}: image {record['id']} has no file_name")
        found = tuple(objects.pop(record["id"], ()))
        yield Picture(str(record["file_name"]), int(record["width"]), int(record["height"]), found)


def class_names(splits: Mapping[str, Split]) -> dict[int, str]:
    """Category id → name, in the order of ids. Raises DataError where the splits define an id differently, or there is none."""
    found: dict[int, str] = {}
    for split in splits.values():
        for identifier, entry in categories(load(split.annotations), split.annotations).items():
            if found.setdefault(identifier, entry["name"]) != entry["name"]:
                was = found[identifier]
                raise DataError(
                    f"{split.annotations}: category {identifier} is {entry['name']!r}, another split says {was!r}"
                )
    if not found:
        raise DataError("no split with a category to write")
    return dict(sorted(found.items()))


def place(source: Path, target: Path, how: Copy) -> None:
    """Put a picture where a format wants it: copied, linked, or not at all. Raises DataError where it is missing."""
    if how == "none":
        return
    if not is_file(source):
        raise DataError(f"{source}: a picture that the annotations name is not there")
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "copy":
        shutil.copyfile(source, target)
    elif not target.exists():
        # Datumaro refuses symbolic links that leave its folder; one disk has no need of them.
        try:
            target.hardlink_to(source.resolve())
        except OSError:
            target.symlink_to(source.resolve())


def flat(file_name: str) -> str:
    """A file name without folders: `a/b.jpg` → `a_b.jpg`, so that pictures of two folders do not meet.

    >>> flat("train2019/1.jpg")
    'train2019_1.jpg'
    """
    return file_name.replace("\\", "/").strip("/").replace("/", "_")


def free_name(file_name: str, taken: set[str], prefix: str = "") -> str:
    """`flat` of a name, changed where a picture of the same stem was before it; its stem is added to `taken`.

    Formats find labels by the stem alone. `prefix`: tried first, such as the split.

    >>> taken: set[str] = set()
    >>> [free_name(name, taken) for name in ("a/1.jpg", "a_1.jpg", "a_1.png")]
    ['a_1.jpg', 'a_1-2.jpg', 'a_1-3.png']
    """
    path = Path(flat(file_name))
    tried = [path.stem, *([f"{prefix}_{path.stem}"] if prefix else [])]
    stem = next((s for s in tried if s.casefold() not in taken), "")
    number = 2
    while not stem:
        stem = f"{path.stem}-{number}" if f"{path.stem}-{number}".casefold() not in taken else ""
        number += 1
    taken.add(stem.casefold())
    return f"{stem}{path.suffix}"
