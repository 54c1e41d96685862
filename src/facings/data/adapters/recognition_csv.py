"""A CSV of pictures → recognition table: any column names, any separator, splits by name.

What is there already in the table's own columns needs no adapter (`data=recognition_table`); this one checks it all the same.
"""

import csv
from math import isfinite
from pathlib import Path
from typing import Any

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.image_folder import SPLITS
from facings.data.adapters.layout import Check, opened, yes_or_no_columns
from facings.data.adapters.recognition_writer import TABLE, Box, RecognitionSet
from facings.data.tables import COLUMNS, Role
from facings.errors import ConfigError, DataError
from facings.strict_json import shown

CARD = Card(
    name="recognition_csv",
    title="your own table of pictures",
    task="recognition",
    licence="yours",
    commercial="ask",
    images="any",
    objects="one a line",
    classes="any",
    get="write a CSV with a picture and a product a line; name its columns: path=COLUMN product=COLUMN split=COLUMN",
    layout="NAME.csv   path,product_id[,split][,role][,category][,box as 'x y w h' pixels][,camera_id]\npictures, relative to it",
    faults=(),
    source="yourself",
)


def convert(
    source: Path,
    output: Path,
    *,
    advance: Advance = silent,
    check: Check = "tail",
    table: str | None = None,
    path: str = "path",
    product: str = "product_id",
    split: str = "split",
    role: str = "role",
    category: str = "category",
    box: str = "box",
    camera: str = "camera_id",
) -> Report:
    """Convert `source/table` (None: the only CSV there). The words name its columns; of them path and product must be there.

    Without a split all is `train`; without a role it follows from the split's name. Further columns of 1, 0 and nothing are kept as
    attributes. Lines at fault are listed and left out.
    Raises DataError for no table, several of them, or a missing column; ConfigError for one written onto itself.
    """
    file = _table(source, table)
    if file.resolve() == (output / TABLE).resolve():
        raise ConfigError(f"{file}: the table made would replace the one read; give another output=FOLDER")
    report = Report(inputs=[file])
    names = {"split": split, "role": role, "category": category, "box": box, "camera": camera}
    dialect: dict[str, Any] = {"delimiter": _separator(file), "skipinitialspace": True}
    asked = yes_or_no_columns(file, (path, product, *names.values(), *COLUMNS), **dialect)
    with opened(file) as lines:
        reader = csv.DictReader(lines, **dialect)
        missing = [name for name in (path, product) if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"{file}: lacks the column {missing[0]!r}; got {shown(reader.fieldnames, 200)}; name it with path= or product="
            )
        with RecognitionSet(file.parent, output, report, advance=advance, check=check) as made:
            for line, record in enumerate(reader, start=2):
                values = {key: (record.get(name) or "").strip() for key, name in names.items()}
                picture, item = (record[path] or "").strip(), (record[product] or "").strip()
                answers = {name: text == "1" for name in asked if (text := (record[name] or "").strip())}
                _add(made, picture, item, values, answers, f"{file.name}, line {line}")
    return report


def _add(
    made: RecognitionSet, picture: str, item: str, values: dict[str, str], answers: dict[str, bool], where: str
) -> None:
    if not picture or not item:
        made.report.fault("empty entry", f"{where}: a line needs a picture and a product; left out")
        return
    default_split, default_role = SPLITS.get(values["split"].lower(), (values["split"] or "train", "query"))
    if not values["split"]:
        default_role = "train"
    roles: dict[str, Role] = {"": default_role, "train": "train", "gallery": "gallery", "query": "query"}
    if values["role"].lower() not in roles:
        made.report.fault(
            "unknown role", f"{where}: {shown(values['role'])}; expected train, gallery or query; left out"
        )
        return
    box = _box(values["box"])
    if values["box"] and box is None:
        made.report.fault(
            "bad box", f"{where}: {shown(values['box'])}; expected 'x y width height' with an area; left out"
        )
        return
    category = tuple(part.strip() for part in values["category"].split("/") if part.strip())
    role = roles[values["role"].lower()]
    made.add(
        picture, item, default_split, role,
        category=category, box=box, camera_id=values["camera"], attributes=answers, where=where,
    )  # fmt: skip


def _box(text: str) -> Box | None:
    try:
        x, y, width, height = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        return None
    return (x, y, width, height) if width > 0 and height > 0 and isfinite(x + y + width + height) else None


def _table(source: Path, name: str | None) -> Path:
    if name is not None:
        if not (source / name).is_file():
            raise DataError(f"{source / name}: no such table")
        return source / name
    found = sorted(p for p in source.iterdir() if p.suffix.lower() in (".csv", ".tsv") and p.is_file())
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise DataError(f"{source}: expected one CSV, got {names}; name it with table=FILE.csv")
    return found[0]


def _separator(path: Path) -> str:
    """The one of `,`, `;` and tab that the header has most of."""
    with opened(path) as file:
        header = file.readline()
    return max((",", ";", "\t"), key=header.count)
