"""Reading COCO-like JSON of many hands: ids that skip, a byte order mark, annotations of pictures that are not there.

Knows nothing of any one dataset; adapters say what a picture and an object are called in theirs.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from facings.data.adapters.base import Report
from facings.data.adapters.coco_writer import Found, Sample
from facings.errors import DataError

Record = Mapping[str, Any]


def load(path: Path, *, lists: tuple[str, ...] = ("images", "annotations", "categories")) -> dict[str, Any]:
    """The content of a COCO-like file. Raises DataError where it is no JSON or lacks one of `lists`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: cannot be read as JSON ({fault})") from fault
    for key in lists:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            got = f"has {sorted(content)}" if isinstance(content, dict) else f"is a {type(content).__name__}"
            raise DataError(f"{path}: lacks the list {key!r}; {got}; expected COCO instances")
    return content


def categories(content: Record, path: Path) -> dict[int, dict[str, Any]]:
    """id → category with its `name` and `supercategory`. Raises DataError for one without id and name, or an id used twice."""
    found: dict[int, dict[str, Any]] = {}
    for number, entry in enumerate(content["categories"], start=1):
        identifier = whole(entry.get("id")) if isinstance(entry, dict) else None
        if identifier is None or not isinstance(entry.get("name"), str | int | float):
            raise DataError(f"{path}: category {number} is {entry!r}; expected an object with a whole id and a name")
        if identifier in found:
            raise DataError(f"{path}: category id {identifier} is used twice")
        found[identifier] = {"name": str(entry["name"])} | {k: entry[k] for k in ("supercategory",) if k in entry}
    return found


def same(first: Mapping[int, Any], second: Mapping[int, Any], path: Path) -> None:
    """Raises DataError where the files of a set define an id differently."""
    for identifier in sorted(set(first) & set(second)):
        a, b = first[identifier]["name"], second[identifier]["name"]
        if a != b:
            raise DataError(f"{path}: category {identifier} is {b!r}, an earlier file of the set calls it {a!r}")


def found_box(annotation: Record, where: str) -> Found:
    """The object of a plain COCO annotation: `bbox` x, y, width, height; `segmentation`; crowd and product id kept."""
    box = annotation.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box):
        box = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
    outline = annotation.get("segmentation")
    outline = None if outline in ([], [[]]) else outline
    kept = {k: annotation[k] for k in ("product_id", "camera_id", "attributes") if annotation.get(k) is not None}
    category = category_of(annotation)
    # What was there instead of a number stands in the fault.
    where += "" if category is not None else f", category_id {annotation.get('category_id')!r}"
    return Found(box, category, where, outline, kept or None)  # type: ignore[arg-type]


def category_of(annotation: Record) -> int | None:
    """The category id, None where it is no whole number: a text would be taken for a category's name."""
    return whole(annotation.get("category_id"))


def samples(
    content: Record,
    path: Path,
    report: Report,
    *,
    file_name: Callable[[str], str],
    found: Callable[[Record, str], Found] = found_box,
    fields: tuple[str, ...] = (),
) -> Iterator[Sample]:
    """The pictures of a file with their objects; crowd regions and annotations of unknown pictures are faults.

    `file_name`: from the file's own name of a picture to the one below the pictures' root. `fields`: keys of a picture's
    record that are carried on.
    """
    by_image = _by_image(content, path, report)
    for record in content["images"]:
        identifier = whole(record.get("id")) if isinstance(record, dict) else None
        if identifier is None or not isinstance(record.get("file_name"), str) or not record["file_name"]:
            report.fault(
                "malformed picture record", f"{path.name}: {_short(record)}; expected id and file_name; left out"
            )
            continue
        objects = []
        for annotation in by_image.pop(identifier, ()):
            where = f"{path.name}, annotation {annotation.get('id')}"
            if annotation.get("iscrowd"):
                report.fault("crowd region", f"{where}: left out")
            else:
                objects.append(found(annotation, where))
        width, height = whole(record.get("width")), whole(record.get("height"))
        stated = (width, height) if width and height and min(width, height) > 0 else None
        kept = {key: record[key] for key in fields if record.get(key) is not None}
        yield Sample(file_name(record["file_name"]), objects, stated, identifier, kept or None)
    for identifier, left in by_image.items():
        report.fault(
            "object of an unknown picture", f"{path.name}: image_id {identifier} with {len(left)} objects; left out"
        )


def whole(value: Any) -> int | None:
    """A whole number as JSON of many hands has it (7, 7.0, not true, not "7"), None for anything else.

    >>> whole(7.0), whole("7"), whole(True), whole(float("nan"))
    (7, None, None, None)
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _by_image(content: Record, path: Path, report: Report) -> dict[Any, list[Record]]:
    """The annotations of each image id; those without a usable id under its text."""
    found: dict[Any, list[Record]] = defaultdict(list)
    for annotation in content["annotations"]:
        if not isinstance(annotation, dict):
            report.fault("malformed annotation", f"{path.name}: {_short(annotation)}; expected an object; left out")
            continue
        given = annotation.get("image_id")
        identifier = whole(given)
        found[repr(given) if identifier is None else identifier].append(annotation)
    return found


def _short(record: Any) -> str:
    text = repr(record)
    return text if len(text) < 100 else f"{text[:97]}…"
