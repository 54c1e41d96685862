"""Grocery Products / GroZi-3.2k in the os2d repack → COCO. George, Floerkemeier: "Recognizing Products", ECCV 2014.

The repack (Osokin et al.: "OS2D", ECCV 2020) holds `classes/grozi.csv` with the columns `imageid, classid, gtbboxid, difficult,
lx, ty, rx, by, split`, found by name in any order; pictures `src/SIZE/IMAGEID.jpg` (SIZE 3264 or smaller) and one packshot a class,
`classes/images/CLASSID.jpg`. Box units are judged picture by picture: all values up to 1 are shares of the sides, else pixels of
the size-3264 picture. Its splits are train, val-old-cl, val-new-cl.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import SUFFIXES, Check, Pictures, below, opened, required
from facings.errors import DataError
from facings.strict_json import shown

COLUMNS = ("imageid", "classid", "lx", "ty", "rx", "by", "split")
# Shares may overshoot a side by rounding.
SHARE = 1.02
CARD = Card(
    name="grozi",
    title="Grocery Products / GroZi-3.2k (os2d repack)",
    task="detection",
    licence="unconfirmed",
    commercial="ask",
    images="84 / 19 / 84 (train / val-old-cl / val-new-cl, some in two) of 680 shelf photos",
    objects="8921",
    classes="1063 with boxes of 3235",
    get="grozi.zip, Google Drive file 1Fx9lvmjthe3aOqjvKc6MJpMuLF22I1Hp (named in the README of the repository "
    "aosokin/os2d); unpack it",
    layout="classes/grozi.csv   imageid,classid,gtbboxid,difficult,lx,ty,rx,by,split\nsrc/3264/IMAGEID.jpg\n"
    "classes/images/CLASSID.jpg   packshots",
    faults=("the original holds misnamed files and files that are no images", "the unit of boxes is not stated"),
    source="George, Floerkemeier: Recognizing Products, ECCV 2014; repack: Osokin et al.: OS2D, ECCV 2020",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the table. Raises DataError for a missing file or column, or a value that is no number."""
    report = Report()
    table = required(source, "classes/grozi.csv", CARD.title)
    root = table.parent.parent
    images = _images(root)
    report.inputs.append(table)
    splits: dict[str, dict[str, list[tuple[int, dict[str, str]]]]] = defaultdict(lambda: defaultdict(list))
    for line, row in _rows(table):
        splits[row["split"].strip().replace("-", "_") or "all"][row["imageid"].strip()].append((line, row))
    judge = Pictures(root, check)
    with CocoSet(output, report, judge, advance=advance) as made:
        for split in sorted(splits):
            made.write(split, _samples(splits[split], table, images, judge, report))
    return report


def _images(root: Path) -> dict[str, str]:
    """Picture names by id, of the largest size that is there."""
    folders = sorted(
        (p for p in root.glob("src/*") if p.is_dir()), key=lambda p: int(p.name) if p.name.isdecimal() else 0
    )
    if not folders:
        raise DataError(f"{root}/src: no folder of pictures; expected\n{CARD.layout}")
    return {p.stem: below(root, p) for p in sorted(folders[-1].iterdir()) if p.suffix.lower() in SUFFIXES}


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with opened(table) as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(
                f"{table}: lacks the column {missing[0]!r}; got {shown(reader.fieldnames, 200)}; expected {', '.join(COLUMNS)}"
            )
        for line, row in enumerate(reader, start=2):
            if any(row[name] is None for name in COLUMNS):
                raise DataError(f"{table}, line {line}: fewer fields than the header; expected {', '.join(COLUMNS)}")
            yield line, row


def _samples(
    pictures: dict[str, list[tuple[int, dict[str, str]]]],
    table: Path,
    images: dict[str, str],
    judge: Pictures,
    report: Report,
) -> Iterator[Sample]:
    for identifier, rows in pictures.items():
        name = images.get(identifier, f"src/{identifier}.jpg")
        boxes = [_box(row, table, line) for line, row in rows]
        size, _ = judge.size(name)
        if size is not None and max((max(box) for box in boxes), default=0) <= SHARE:
            boxes = [[x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]] for x1, y1, x2, y2 in boxes]
        elif size is not None:
            report.fault("boxes in pixels", f"{table.name}: picture {identifier} has values above 1, taken as pixels")
        objects = [
            Found(box, row["classid"].strip(), f"{table.name}, line {line}", None, _fields(row))
            for box, (line, row) in zip(boxes, rows, strict=True)
        ]
        yield Sample(name, objects)


def _box(row: dict[str, str], table: Path, line: int) -> list[float]:
    try:
        return [float(row[key]) for key in ("lx", "ty", "rx", "by")]
    except ValueError as fault:
        given = {key: row[key] for key in ("lx", "ty", "rx", "by")}
        raise DataError(f"{table}, line {line}: box is {shown(given, 200)}; expected four numbers") from fault


def _fields(row: dict[str, str]) -> dict[str, object]:
    difficult = (row.get("difficult") or "0").strip().lower() not in ("0", "0.0", "false", "")
    return {"product_id": row["classid"].strip()} | ({"difficult": True} if difficult else {})
