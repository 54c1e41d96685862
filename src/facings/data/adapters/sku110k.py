"""SKU-110K → COCO. Goldman et al.: "Precise Detection in Densely Packed Scenes", CVPR 2019.

`annotations/annotations_{train,val,test}.csv` without a header: `image_name,x1,y1,x2,y2,class,image_width,image_height`; one
class. The rows of a picture follow each other; rows that come later are taken too. Read row by row: 1.7 million of them.
"""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Download, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import Check, Pictures, opened, required
from facings.errors import DataError
from facings.strict_json import shown

COLUMNS = ("image_name", "x1", "y1", "x2", "y2", "class", "image_width", "image_height")
SPLITS = ("train", "val", "test")
# Some copies of the archive hold them mended.
BROKEN = ("train_882", "train_924", "train_4222", "train_5822", "test_274")
CARD = Card(
    name="sku110k",
    title="SKU-110K",
    task="detection",
    licence="academic, non-commercial (Trax Retail)",
    commercial="no",
    images="8219 / 588 / 2936",
    objects="about 1.73 million",
    classes="1",
    get="`python scripts/fetch_dataset.py sku110k` (11 GB; the link of the README of the repository eg4000/SKU110K_CVPR19)",
    layout="images/{train,val,test}_N.jpg\nannotations/annotations_{train,val,test}.csv   no header: "
    + ",".join(COLUMNS),
    faults=(
        f"broken JPEGs: {', '.join(BROKEN)}",
        "up to 576 / 582 / 759 objects a picture: detectors capped at 100 or 300 lose some without a word",
    ),
    source='Goldman et al.: "Precise Detection in Densely Packed Scenes", CVPR 2019',
    downloads=(Download("http://trax-geometry.s3.amazonaws.com/cvpr_challenge/SKU110K_fixed.tar.gz"),),
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the splits whose CSV is there. Raises DataError where none is, or for a line that is not of this format."""
    report = Report()
    root = required(source, "annotations", CARD.title).parent
    tables = [(s, root / "annotations" / f"annotations_{s}.csv") for s in SPLITS]
    there = [(split, path) for split, path in tables if path.is_file()]
    if not there:
        raise DataError(f"{root}/annotations: none of annotations_{{train,val,test}}.csv; expected\n{CARD.layout}")
    for split, path in tables:
        if not path.is_file():
            report.fault("missing split", f"{path.name} is not there; no {split}")
    pictures = Pictures(root / "images", check, suspects=BROKEN)
    with CocoSet(output, report, pictures, categories={1: "object"}, advance=advance) as made:
        for split, path in there:
            report.inputs.append(path)
            made.write(split, _samples(path, report))
    return report


def _samples(path: Path, report: Report) -> Iterator[Sample]:
    file_name = path.name
    with opened(path) as file:
        rows = ((number, row) for number, row in enumerate(csv.reader(file), start=1) if row)
        for name, group in groupby(rows, key=lambda entry: entry[1][0]):
            objects: list[Found] = []
            stated: tuple[int, int] | None = None
            for number, row in group:
                if len(row) != len(COLUMNS):
                    raise DataError(f"{path}, line {number}: {len(row)} fields; expected {','.join(COLUMNS)}")
                if stated is None:
                    stated = _size(row, path, number)
                objects.append(Found(row[1:5], 1, f"{file_name}, line {number}"))
            yield Sample(name, objects, stated)


def _size(row: list[str], path: Path, number: int) -> tuple[int, int]:
    try:
        return int(row[6]), int(row[7])
    except ValueError as fault:
        header = " (a header? this set has none)" if number == 1 and row[6] == "image_width" else ""
        raise DataError(
            f"{path}, line {number}: image_width, image_height are {shown(row[6])}, {shown(row[7])}; expected whole numbers{header}"
        ) from fault
