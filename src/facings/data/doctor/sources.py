"""What lies in a dataset's folder, raw: nothing is mended or left out. Knows nothing of what is right or wrong."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facings.data.adapters.base import RECORD, Card
from facings.data.adapters.cards import every_card
from facings.data.adapters.grocery_store import read_grocery_store
from facings.data.adapters.layout import locate, yes_or_no_columns
from facings.data.adapters.snack_shelves import read_snack_shelves
from facings.data.tables import COLUMNS, RecognitionTable, read_recognition_table
from facings.errors import DataError
from facings.suggestions import nearest

LISTS = ("images", "annotations", "categories")
# Names in small letters, as tools write them in any.
LICENCE_FILES = ("license", "licence", "license.txt", "licence.txt", "license.md", "licence.md", "copying")
# Nobody's photos: whoever runs the command may do as they like with what it makes.
SYNTHETIC = "made by facings synthesize"


@dataclass(frozen=True)
class RawSplit:
    """One COCO file as it is: records are dicts, ids are not yet known to be good."""

    name: str
    source: Path
    images_folder: Path
    content: Mapping[str, Any]

    @property
    def images(self) -> list[dict[str, Any]]:
        return [r for r in self.content["images"] if isinstance(r, dict)]

    @property
    def annotations(self) -> list[dict[str, Any]]:
        return [r for r in self.content["annotations"] if isinstance(r, dict)]

    @property
    def categories(self) -> list[dict[str, Any]]:
        return [r for r in self.content["categories"] if isinstance(r, dict)]

    def path(self, record: Mapping[str, Any]) -> Path:
        """The file of an image record."""
        return self.images_folder / str(record.get("file_name", ""))

    def by_picture(self) -> dict[Any, list[dict[str, Any]]]:
        """Image id → its annotations; annotations of unknown pictures under their own number."""
        found: dict[Any, list[dict[str, Any]]] = {key(record.get("id")): [] for record in self.images}
        for annotation in self.annotations:
            found.setdefault(key(annotation.get("image_id")), []).append(annotation)
        return found


@dataclass(frozen=True)
class Dataset:
    """What is examined. `card`: the adapter's card, where the set is a known one; `licence`: as the folder states it.

    `prepared`: kinds of fault that the adapter met, and how many, where `facings prepare` made the set.
    """

    name: str
    splits: tuple[RawSplit, ...] = ()
    tables: tuple[RecognitionTable, ...] = ()
    card: Card | None = None
    licence: str = ""
    prepared: Mapping[str, int] = field(default_factory=dict)


def key(identifier: Any) -> Any:
    """An id that can be looked up, whatever JSON held there."""
    return identifier if isinstance(identifier, int | str | float | bool) or identifier is None else repr(identifier)


def read_raw(annotations: Path | str, images: Path | str, name: str = "") -> RawSplit:
    """Read one COCO file. Raises DataError where it is missing, no JSON, or lacks one of the three lists."""
    source = Path(annotations)
    if not source.is_file():
        raise DataError(f"{source}: no such annotation file")
    try:
        content = json.loads(source.read_text(encoding="utf-8-sig"))
    # A number of 5000 digits is a ValueError too, and brackets of many levels a RecursionError.
    except (ValueError, RecursionError) as fault:
        raise DataError(f"{source}: not JSON ({fault})") from fault
    for entry in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(entry), list):
            raise DataError(f"{source}: lacks the list {entry!r}; expected COCO instances")
    if not Path(images).is_dir():
        raise DataError(f"{images}: no such folder of pictures")
    return RawSplit(name or split_name(source), source, Path(images), content)


def split_name(source: Path) -> str:
    """`instances_val.json` is split `val`."""
    return source.stem.removeprefix("instances_").removeprefix("annotations_")


def open_dataset(folder: Path, name: str | None = None) -> Dataset:
    """Everything that a folder below `paths.data_dir` holds: COCO files, a recognition table, a known layout.

    Raises DataError where there is nothing of the kind.
    """
    name = name or folder.name
    if not folder.is_dir():
        there = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
        raise DataError(f"{folder}: no such dataset{nearest(folder.name, there)}; data/README.md says how to get one")
    splits = tuple(
        read_raw(path, _images_folder(folder, split_name(path))) for path in sorted(folder.glob("instances_*.json"))
    )
    tables = tuple(_tables(folder))
    if not splits and not tables:
        raise DataError(
            f"{folder}: holds neither instances_SPLIT.json nor recognition.csv; convert it first "
            f"(facings prepare dataset={name} source={folder}), or give --annotations and --images, or --table"
        )
    counts = _record(folder).get("fault_counts")
    prepared = {str(kind): n for kind, n in counts.items() if isinstance(n, int)} if isinstance(counts, dict) else {}
    return Dataset(name, splits, tables, find_card(name, folder), licence_text(folder), prepared)


def read_table(path: Path) -> RecognitionTable:
    """A recognition table with all yes-or-no properties that it has. Raises DataError as `read_recognition_table`."""
    return read_recognition_table(path, yes_or_no_columns(path, COLUMNS) if path.is_file() else ())


def find_card(name: str, folder: Path) -> Card | None:
    """The card of the adapter for a set of that name, or the one that its record was made with; None for an unknown set."""
    found = every_card()
    record = _record(folder).get("card")
    return found.get(name) or found.get(str(record.get("name")) if isinstance(record, dict) else "")


def licence_text(folder: Path) -> str:
    """The licence file of a folder, or nothing."""
    if (folder / "synthesize.json").is_file():
        return SYNTHETIC
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.lower() in LICENCE_FILES and path.is_file():
            return path.read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _images_folder(folder: Path, split: str) -> Path:
    """Where a prepared set's record says, else `images/SPLIT`, `images`, or the folder itself."""
    stated = _record(folder).get("images")
    if isinstance(stated, dict):
        stated = stated.get(split)
    if isinstance(stated, str):
        if not (folder / stated).is_dir():
            raise DataError(
                f"{folder / RECORD}: says that the pictures of {split} are in {stated}, which is no folder; where they were moved, "
                "prepare the set again or write the new folder there"
            )
        return folder / stated
    for candidate in (folder / "images" / split, folder / "images"):
        if candidate.is_dir():
            return candidate
    return folder


def _tables(folder: Path) -> list[RecognitionTable]:
    if (folder / "recognition.csv").is_file():
        return [read_table(folder / "recognition.csv")]
    if (folder / "reid.csv").is_file():
        return [read_snack_shelves(folder / "reid.csv")]
    if locate(folder, "dataset/classes.csv") is not None:
        return [read_grocery_store(folder)]
    return []


def _record(folder: Path) -> dict[str, Any]:
    """The `prepare.json` of a prepared set, empty where there is none."""
    path = folder / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError) as fault:
        raise DataError(f"{path}: not JSON ({fault})") from fault
    return content if isinstance(content, dict) else {}
