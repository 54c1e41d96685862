"""The pictures of a set as one list, of COCO files and of recognition tables alike. Knows nothing of faults."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facings.data.doctor.geometry import extent_of
from facings.data.doctor.sources import Dataset, RawSplit, key
from facings.data.tables import RecognitionTable

# How sets name the recording that a frame comes from.
SEQUENCES = ("video", "video_id", "sequence", "sequence_id", "clip")


@dataclass(frozen=True)
class Listed:
    """One picture of one split. `stated`: width and height as annotated, None where the table has none.

    `label`: what it shows, comparable between pictures; None where a picture as a whole has no label. `sequence`: its recording.
    `boxes`: those annotated, x, y, width, height in pixels. `role`: of a recognition table's picture, "" in a COCO file.
    """

    split: str
    path: Path
    stated: tuple[int, int] | None
    label: Any
    sequence: str = ""
    boxes: tuple[Any, ...] = ()
    role: str = ""


def listing(dataset: Dataset) -> list[list[Listed]]:
    """A list for each part (the COCO files together, each table): twins within one part are compared, not across."""
    parts = [[entry for split in dataset.splits for entry in _of_split(split)]] if dataset.splits else []
    return parts + [list(_of_table(table)) for table in dataset.tables]


def _of_split(split: RawSplit) -> Iterator[Listed]:
    groups = split.by_picture()
    names = {key(record.get("id")): str(record.get("name")) for record in split.categories}
    for record in split.images:
        annotations = groups.get(key(record.get("id")), [])
        extent = extent_of(record)
        sequence = next((str(record[name]) for name in SEQUENCES if record.get(name) not in (None, "")), "")
        shown = tuple(sorted(names.get(key(a.get("category_id")), "?") for a in annotations))
        stated = None if extent is None else (round(extent[0]), round(extent[1]))
        boxes = tuple(a.get("bbox") for a in annotations)
        yield Listed(split.name, split.path(record), stated, shown, sequence, boxes)


def _of_table(table: RecognitionTable) -> Iterator[Listed]:
    """One entry a picture and split; a picture of which crops are cut has no label of its own."""
    seen: dict[tuple[str, Path], list[Any]] = {}
    for row in table.rows:
        seen.setdefault((row.split, row.path), []).append(row)
    for (split, path), rows in seen.items():
        whole = {row.product_id for row in rows if row.box is None}
        boxes = tuple(list(row.box) for row in rows if row.box is not None)
        roles = {row.role for row in rows}
        role = "query" if "query" in roles else rows[0].role
        label = tuple(sorted(whole)) if whole and not boxes else None
        yield Listed(split, path, None, label, boxes=boxes, role=role)
