"""Reading COCO-like JSON of many hands: ids that skip, a byte order mark, annotations of pictures that are not there.

Knows nothing of any one dataset; adapters say what a picture and an object are called in theirs.
"""

import json
import mmap
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from facings.data.adapters.base import Report
from facings.data.adapters.coco_writer import Found, Sample
from facings.data.adapters.json_lists import read_object
from facings.data.adapters.quads import floats
from facings.errors import DataError
from facings.strict_json import shown

Record = Mapping[str, Any]
LISTS = ("images", "annotations", "categories")
# No id is larger, as in facings.data.coco, which would load the mask library.
MOST = 2**53


class CocoText:
    """A COCO-like file whose annotations stay on disk: only where those of each picture lie is held, some 24 bytes each.

    `content`: the file without them. Raises DataError where it is no JSON or lacks one of `lists`.
    """

    def __init__(self, path: Path, *, lists: tuple[str, ...] = LISTS) -> None:
        self.path = path
        # Of an annotation: its picture's place in the order of their first annotations, the byte that it starts at, its bytes.
        self._owners, self._starts, self._lengths = array("q"), array("q"), array("q")
        self._places: dict[Any, int] = {}
        # Entries that are no objects, in words.
        self.strange: list[str] = []
        try:
            self.content: dict[str, Any] = read_object(path, {"annotations": self._met})
        except (OSError, ValueError, RecursionError) as fault:
            raise DataError(f"{path}: cannot be read as JSON ({fault})") from fault
        _check(self.content, lists, path)
        owners = np.frombuffer(self._owners, np.int64)
        self._order = np.argsort(owners, kind="stable")
        self._bounds = np.searchsorted(owners[self._order], np.arange(len(self._places) + 1))

    def pictures(self) -> Iterator[tuple[Any, int]]:
        """Picture ids that annotations name (those that are no whole number as text), and how many annotations each has."""
        counts = np.diff(self._bounds).tolist()
        yield from zip(self._places, counts, strict=True)

    def of(self, file: IO[bytes], identifier: Any) -> Iterator[Record]:
        """The annotations of one picture, read anew from the open `file`."""
        place = self._places.get(identifier)
        if place is None:
            return
        for number in self._order[self._bounds[place] : self._bounds[place + 1]].tolist():
            file.seek(self._starts[number])
            yield json.loads(file.read(self._lengths[number]))

    def _met(self, annotation: Any, start: int, length: int) -> None:
        if not isinstance(annotation, dict):
            self.strange.append(shown(annotation))
            return
        given = annotation.get("image_id")
        identifier = whole(given)
        found = repr(given) if identifier is None else identifier
        self._owners.append(self._places.setdefault(found, len(self._places)))
        self._starts.append(start)
        self._lengths.append(length)


def mentions(path: Path, keys: Iterable[str]) -> bool:
    """Whether a file is one that holds all of `keys` in quotes; it is not read into memory."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return all(text.find(f'"{key}"'.encode()) >= 0 for key in keys)


def load(path: Path) -> dict[str, Any]:
    """The whole content of a COCO file. Raises DataError where it is no JSON or lacks one of the three lists."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as fault:
        raise DataError(f"{path}: cannot be read as JSON ({fault})") from fault
    _check(content, LISTS, path)
    return dict(content)


def _check(content: Any, lists: tuple[str, ...], path: Path) -> None:
    for key in lists:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            got = f"has {sorted(content)}" if isinstance(content, dict) else f"is a {type(content).__name__}"
            raise DataError(f"{path}: lacks the list {key!r}; {got}; expected COCO instances")


def categories(content: Record, path: Path) -> dict[int, dict[str, Any]]:
    """id → category with its `name` and `supercategory`. Raises DataError for one without id and name, or an id used twice."""
    found: dict[int, dict[str, Any]] = {}
    for number, entry in enumerate(content["categories"], start=1):
        identifier = whole(entry.get("id")) if isinstance(entry, dict) else None
        if identifier is None or identifier < 0 or not isinstance(entry.get("name"), str | int | float):
            raise DataError(
                f"{path}: category {number} is {shown(entry)}; expected an object with a name and a whole id from 0"
            )
        if identifier in found:
            raise DataError(f"{path}: category id {identifier} is used twice")
        found[identifier] = {"name": str(entry["name"])} | {k: entry[k] for k in ("supercategory",) if k in entry}
    return found


def shared(texts: Iterable[CocoText]) -> dict[int, dict[str, Any]]:
    """The categories of all files of a set. Raises DataError as `categories`, and where two files define an id differently."""
    known: dict[int, dict[str, Any]] = {}
    for text in texts:
        for identifier, entry in categories(text.content, text.path).items():
            a, b = known.setdefault(identifier, entry)["name"], entry["name"]
            if a != b:
                raise DataError(
                    f"{text.path}: category {identifier} is {shown(b)}, an earlier file of the set calls it {shown(a)}"
                )
    return known


def found_box(annotation: Record, where: str) -> Found:
    """The object of a plain COCO annotation: `bbox` x, y, width, height; `segmentation`; crowd and product id kept."""
    box = annotation.get("bbox")
    # What is no box goes on as it is: the writer says so.
    if numbers := floats(box, 4):
        box = [numbers[0], numbers[1], numbers[0] + numbers[2], numbers[1] + numbers[3]]
    outline = annotation.get("segmentation")
    outline = None if outline in ([], [[]]) else outline
    kept = {k: annotation[k] for k in ("product_id", "camera_id", "attributes") if annotation.get(k) is not None}
    category = category_of(annotation)
    # What was there instead of a number stands in the fault.
    where += "" if category is not None else f", category_id {shown(annotation.get('category_id'))}"
    return Found(box, category, where, outline, kept or None)  # type: ignore[arg-type]


def category_of(annotation: Record) -> int | None:
    """The category id, None where it is no whole number: a text would be taken for a category's name."""
    return whole(annotation.get("category_id"))


def samples(
    text: CocoText,
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
    name, known = text.path.name, set[int]()
    for strange in text.strange:
        report.fault("malformed annotation", f"{name}: {strange}; expected an object; left out")
    with text.path.open("rb") as file:
        for record in text.content["images"]:
            identifier = whole(record.get("id")) if isinstance(record, dict) else None
            if identifier is None or not isinstance(record.get("file_name"), str) or not record["file_name"]:
                report.fault(
                    "malformed picture record", f"{name}: {shown(record)}; expected id and file_name; left out"
                )
                continue
            objects = []
            # Of two pictures of one id the first has the boxes.
            for annotation in text.of(file, identifier) if identifier not in known else ():
                where = f"{name}, annotation {annotation.get('id')}"
                if annotation.get("iscrowd"):
                    report.fault("crowd region", f"{where}: left out")
                else:
                    objects.append(found(annotation, where))
            known.add(identifier)
            width, height = whole(record.get("width")), whole(record.get("height"))
            stated = (width, height) if width and height and min(width, height) > 0 else None
            kept = {key: record[key] for key in fields if record.get(key) is not None}
            # Below zero an id serves to find the boxes, and no reader takes it.
            number = identifier if identifier >= 0 else None
            yield Sample(file_name(record["file_name"]), objects, stated, number, kept or None)
    for identifier, count in text.pictures():
        if identifier not in known:
            report.fault(
                "object of an unknown picture", f"{name}: image_id {identifier} with {count} objects; left out"
            )


def whole(value: Any) -> int | None:
    """A whole number as JSON of many hands has it (7, 7.0, not true, not "7"), None for anything else, and beyond `MOST`.

    >>> whole(7.0), whole("7"), whole(True), whole(float("nan")), whole(10**30)
    (7, None, None, None, None)
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST else None
