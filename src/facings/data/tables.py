"""The recognition table: one row a crop, one CSV a dataset.

Knows nothing of tensors or of any one dataset's layout.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from facings.errors import DataError
from facings.files import atomic_write

Role = Literal["train", "gallery", "query"]
COLUMNS = ("path", "product_id", "split", "role", "category", "box", "camera_id")


@dataclass(frozen=True)
class RecognitionRow:
    """One crop of one product.

    `path`: picture file. `box`: x, y, width, height in pixels of that picture, or None for the whole picture.
    `category`: names from coarse to fine, may be empty. `attributes`: yes-or-no properties, such as bagged or organic; one
    that is not named is unknown.
    """

    path: Path
    product_id: str
    split: str
    role: Role
    category: tuple[str, ...] = ()
    box: tuple[float, float, float, float] | None = None
    camera_id: str = ""
    # A mapping has no hash; rows that differ in nothing else may share one.
    attributes: Mapping[str, bool] = field(default_factory=dict, hash=False)

    @property
    def corners(self) -> tuple[float, float, float, float] | None:
        """`box` as x1, y1, x2, y2."""
        if self.box is None:
            return None
        x, y, width, height = self.box
        return x, y, x + width, y + height


@dataclass(frozen=True)
class RecognitionTable:
    """Rows of one dataset, and the faults met while reading (listed, never silently dropped)."""

    rows: tuple[RecognitionRow, ...]
    source: str
    faults: tuple[str, ...] = field(default=())

    def select(self, *, split: str | None = None, role: str | None = None) -> tuple[RecognitionRow, ...]:
        """Rows of a split and a role; None takes all.

        Raises DataError when none is left, naming the pairs that the table has.
        """
        rows = tuple(r for r in self.rows if split in (None, r.split) and role in (None, r.role))
        if not rows:
            pairs = Counter((r.split, r.role) for r in self.rows)
            there = ", ".join(f"{s}/{r} ({n})" for (s, r), n in sorted(pairs.items())) or "no rows at all"
            raise DataError(f"{self.source}: no rows with split={split}, role={role}; the table has {there}")
        return rows

    def products(self, rows: Iterable[RecognitionRow] | None = None) -> list[str]:
        """Sorted product ids of the rows (default: all)."""
        return sorted({row.product_id for row in (self.rows if rows is None else rows)})

    def categories(self) -> dict[str, tuple[str, ...]]:
        """Product id → category path. Raises DataError where two rows of a product disagree."""
        found: dict[str, tuple[str, ...]] = {}
        for row in self.rows:
            if found.setdefault(row.product_id, row.category) != row.category:
                raise DataError(
                    f"{self.source}: product {row.product_id!r} has two categories, "
                    f"{'/'.join(found[row.product_id])!r} and {'/'.join(row.category)!r}; a product has one"
                )
        return found


def read_recognition_table(path: Path | str, attributes: Sequence[str] = ()) -> RecognitionTable:
    """Read the CSV of the contract (`COLUMNS`; the last three may be missing). Paths are relative to its folder.

    `attributes`: columns beyond those of the contract to read as yes-or-no properties: 1, 0, or empty for unknown.

    Raises DataError for a missing file or column, an unknown role, a box that is not four numbers or has no area,
    an attribute that is neither 0, 1 nor empty, or a table without rows.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such recognition table; expected a CSV with the columns {', '.join(COLUMNS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as fault:
        raise DataError(f"{path}: is not UTF-8 ({fault.reason}); save it as UTF-8 first") from fault
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in (*COLUMNS[:4], *attributes) if name not in (reader.fieldnames or ())]
    if missing:
        raise DataError(f"{path}: lacks the column {missing[0]!r}; got {reader.fieldnames}")
    rows = tuple(_parse(record, path, number, attributes) for number, record in _numbered(reader))
    if not rows:
        raise DataError(f"{path}: the table has a header but no rows")
    return RecognitionTable(rows=rows, source=str(path))


def write_recognition_table(rows: Iterable[RecognitionRow], path: Path) -> None:
    """Write the rows as CSV, paths relative to the table's folder, whole or not at all; attributes that any row has follow as
    columns of their own, sorted by name."""
    rows = list(rows)
    attributes = sorted({name for row in rows for name in row.attributes})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*COLUMNS, *attributes])
    for row in rows:
        file = row.path.relative_to(path.parent) if row.path.is_relative_to(path.parent) else row.path
        box = "" if row.box is None else " ".join(f"{value:g}" for value in row.box)
        category = "/".join(row.category)
        answers = [str(int(row.attributes[name])) if name in row.attributes else "" for name in attributes]
        writer.writerow([file.as_posix(), row.product_id, row.split, row.role, category, box, row.camera_id, *answers])
    atomic_write(path, buffer.getvalue())


def _numbered(reader: Iterable[dict[str, str]]) -> Iterator[tuple[int, dict[str, str]]]:
    return enumerate(reader, start=2)


def _parse(record: dict[str, str], path: Path, line: int, attributes: Sequence[str]) -> RecognitionRow:
    role = (record["role"] or "").strip()
    if role not in get_args(Role):
        raise DataError(f"{path}, line {line}: role is {role!r}; expected one of {', '.join(get_args(Role))}")
    if not (record["path"] or "").strip() or not (record["product_id"] or "").strip():
        raise DataError(f"{path}, line {line}: path and product_id must not be empty")
    return RecognitionRow(
        path=path.parent / record["path"].strip(),
        product_id=record["product_id"].strip(),
        split=(record["split"] or "").strip(),
        role=role,  # type: ignore[arg-type]
        category=tuple(part for part in (record.get("category") or "").strip().split("/") if part),
        box=_parse_box(record.get("box") or "", path, line),
        camera_id=(record.get("camera_id") or "").strip(),
        attributes=_parse_attributes(record, path, line, attributes),
    )


def _parse_attributes(record: dict[str, str], path: Path, line: int, names: Sequence[str]) -> dict[str, bool]:
    answers = {name: (record[name] or "").strip() for name in names}
    for name, text in answers.items():
        if text not in ("", "0", "1"):
            raise DataError(f"{path}, line {line}: {name} is {text!r}; expected 1, 0, or nothing where it is not known")
    return {name: text == "1" for name, text in answers.items() if text}


def _parse_box(text: str, path: Path, line: int) -> tuple[float, float, float, float] | None:
    if not text.strip():
        return None
    try:
        x, y, width, height = (float(part) for part in text.split())
    except ValueError:
        raise DataError(f"{path}, line {line}: box is {text!r}; expected 'x y width height' in pixels") from None
    if not math.isfinite(x + y + width + height):
        raise DataError(f"{path}, line {line}: box is {text!r}; expected finite numbers of pixels")
    if width <= 0 or height <= 0:
        raise DataError(f"{path}, line {line}: box {text!r} has no area; width and height must be above 0")
    return x, y, width, height
