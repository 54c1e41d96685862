"""One recognition table from the rows that an adapter meets, with what every adapter must not let pass.

Knows no dataset's layout. A row is some 500 bytes: 200,000 pictures are held at once.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from facings.data.adapters.base import Advance, Report, readable
from facings.data.adapters.coco_writer import BORDER
from facings.data.adapters.layout import Check, Pictures, allowed, leaves
from facings.data.tables import RecognitionRow, RecognitionTable, Role, write_recognition_table
from facings.files import is_file

TABLE = "recognition.csv"
Box = tuple[float, float, float, float]


class RecognitionSet:
    """Collects rows and writes `output/recognition.csv` when the block ends well; paths in it are relative to the table.

    `root`: the folder that the names given to `add` start at; `check`: as of `Pictures`. What is listed in the report: pictures
    that are missing, empty or unreadable (left out), rows given twice (left out), one picture as two products or in two splits
    (kept: a person must judge), products with two categories (the first is kept, since a product has one), boxes outside of their
    picture (left out) and those that leave it (clipped).
    """

    def __init__(self, root: Path, output: Path, report: Report, *, advance: Advance, check: Check = "tail") -> None:
        self.pictures = Pictures(root.resolve(), check)
        self._states: dict[str, str] = {}
        self._sizes: dict[str, tuple[int, int] | None] = {}
        self.root, self.output, self.report, self.advance = root.resolve(), output.resolve(), report, advance
        # Relative, so that a data folder may be moved as a whole.
        self._way = Path(os.path.relpath(self.root, self.output))
        self._rows: list[RecognitionRow] = []
        self._kept: set[tuple[object, ...]] = set()
        self._first: dict[tuple[object, ...], tuple[str, str]] = {}
        self._categories: dict[str, tuple[str, ...]] = {}

    def add(
        self,
        name: str,
        product_id: str,
        split: str,
        role: Role,
        *,
        category: tuple[str, ...] = (),
        box: Box | None = None,
        camera_id: str = "",
        attributes: Mapping[str, bool] | None = None,
        where: str,
    ) -> bool:
        """One row. `where` (file and line, or folder) stands in the faults. False if it was left out."""
        self.advance(1)
        if readable(name) != name:
            self.report.fault("name that is not UTF-8", f"{where}: {name} cannot stand in a table; rename it; left out")
            return False
        stored = self.pictures.as_stored(name)
        if stored != name:
            self.report.fault("misnamed picture", f"{where}: {name} is not there; {stored} is used")
            name = stored
        wrong = self._wrong(name)
        if wrong:
            words = {
                "missing picture": "is not there",
                "empty file": "has no bytes",
                "picture elsewhere": "leaves the set's folder",
            }
            said = words.get(wrong, f"is an {wrong}")
            self.report.fault(wrong.partition(" (")[0], f"{where}: {name} {said}; left out")
            return False
        if box is not None:
            box = self._inside(box, name, where)
            if box is None:
                return False
        entry = (name, box, product_id, split)
        if entry in self._kept:
            self.report.fault("row twice", f"{where}: {name} as {product_id} was there before; left out")
            return False
        self._kept.add(entry)
        before = self._first.setdefault((name, box), (product_id, split))
        if before[0] != product_id:
            self.report.fault("label conflict", f"{where}: {name} is {before[0]} and {product_id}")
        if before[1] != split:
            self.report.fault("picture in two splits", f"{where}: {name} is in {before[1]} and {split}")
        category = tuple(part.replace("/", "-") for part in category)
        known = self._categories.setdefault(product_id, category)
        if known != category:
            self.report.fault("two categories", f"{where}: {product_id} is {known} and {category}; the first is kept")
        place = Path(os.path.normpath(self._way / name))
        self._rows.append(RecognitionRow(place, product_id, split, role, known, box, camera_id, dict(attributes or {})))
        return True

    def _wrong(self, name: str) -> str:
        """What is wrong with a picture, "" for nothing; each is asked once, however many crops it has."""
        if name not in self._states:
            path = self.root / name
            if leaves(name):
                self._states[name] = "picture elsewhere"
            elif not is_file(path):
                self._states[name] = "missing picture" if allowed(path) else "unreadable picture (permission denied)"
            elif path.stat().st_size == 0:
                self._states[name] = "empty file"
            elif self.pictures.check == "none":
                self._states[name] = ""
            else:
                self._sizes[name], self._states[name] = self.pictures.size(name)
        return self._states[name]

    def _inside(self, box: Box, name: str, where: str) -> Box | None:
        """The box cut to its picture, where that was opened; None with a fault for one that lies outside."""
        size = self._sizes.get(name)
        if size is None:
            return box
        x, y, width, height = box
        left, top = max(x, 0.0), max(y, 0.0)
        right, bottom = min(x + width, float(size[0])), min(y + height, float(size[1]))
        shown = f"({x:g}, {y:g}, {width:g}, {height:g}) in {name} of {size[0]} x {size[1]}"
        if right <= left or bottom <= top:
            self.report.fault("box outside", f"{where}: {shown}; left out")
            return None
        if max(left - x, top - y, x + width - right, y + height - bottom) <= BORDER:
            return box
        self.report.fault("box leaves its picture", f"{where}: {shown}; clipped")
        return left, top, right - left, bottom - top

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not self._rows:
            return
        path = self.output / TABLE
        write_recognition_table(self._rows, path)
        for split in sorted({row.split for row in self._rows}):
            rows = [row for row in self._rows if row.split == split]
            self.report.images[split] = len({row.path for row in rows})
            self.report.objects[split] = len(rows)
            self.report.classes[split] = len({row.product_id for row in rows})
        self.report.pictures = self.output
        self.report.outputs.append(path)


def write_table(
    table: RecognitionTable, root: Path, output: Path, report: Report, *, advance: Advance, check: Check = "tail"
) -> Report:
    """Write rows that a `read_…` function made, its faults with them."""
    for fault in table.faults:
        report.fault("listed picture", fault)
    with RecognitionSet(root, output, report, advance=advance, check=check) as made:
        for row in table.rows:
            name = row.path.relative_to(root).as_posix() if row.path.is_relative_to(root) else str(row.path)
            made.add(
                name, row.product_id, row.split, row.role,
                category=row.category, box=row.box, camera_id=row.camera_id, where=table.source,
            )  # fmt: skip
    return report
