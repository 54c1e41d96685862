"""WebMarket → COCO. Zhang, Wang, Hartley, Li: "Where's the Weet-Bix?", ACCV 2007.

3153 photos of a supermarket's shelves, without boxes of their own. Boxes come from Varadarajan, Kant, Srivastava: "Benchmark for
Generic Product Detection", arXiv 1912.09476, whose repository (ParallelDots/generic-sku-detection-benchmark) holds
`annotations/WebMarket/*.csv` with the header `image_name,x1,y1,x2,y2,class`; the sets beside it there (CAPG-GP, TobaccoShelves) are
alike. No picture sizes: they are read from the pictures. There are no splits: all is `all`.
"""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Download, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import Check, NamedPictures, Pictures, opened
from facings.errors import DataError

COLUMNS = ("image_name", "x1", "y1", "x2", "y2", "class")
CARD = Card(
    name="webmarket",
    title="WebMarket",
    task="detection",
    licence="research; boxes: research only, not commercial",
    commercial="no",
    images="3153, no splits",
    objects="118388",
    classes="1",
    get="photos: the authors' page, yuhang.rsise.anu.edu.au (or Kaggle manikchitralwar/webmarket-dataset), into a "
    "folder beside; boxes: "
    "`python scripts/fetch_dataset.py webmarket` (annotations/WebMarket of the repository "
    "ParallelDots/generic-sku-detection-benchmark)",
    layout="*.csv   image_name,x1,y1,x2,y2,class with that header\nthe photos in any folder below",
    faults=("some boxes leave their picture by a few pixels", "no official splits", "photos of 2007"),
    source="Zhang et al.: Where's the Weet-Bix?, ACCV 2007; boxes: Varadarajan et al., arXiv 1912.09476",
    downloads=(
        Download("https://github.com/ParallelDots/generic-sku-detection-benchmark/archive/refs/heads/master.zip"),
    ),
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the table. Raises DataError where there is none, or for a row that is not of this format."""
    report = Report()
    tables = [path for path in sorted(source.rglob("*.csv")) if path.is_file() and _is_table(path)]
    # The repository of the boxes holds further sets in the same format.
    tables = [path for path in tables if "webmarket" in str(path.relative_to(source)).lower()] or tables
    if not tables:
        raise DataError(f"{source}: no CSV that starts with {','.join(COLUMNS)}; expected\n{CARD.layout}")
    pictures = NamedPictures(source)
    with CocoSet(output, report, Pictures(source, check), categories={1: "object"}, advance=advance) as made:
        for path in tables:
            report.inputs.append(path)
            made.write("all", _samples(path, pictures, report))
    return report


def _is_table(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline().strip().split(",")[:6] == list(COLUMNS)


def _samples(path: Path, pictures: NamedPictures, report: Report) -> Iterator[Sample]:
    with opened(path) as file:
        rows = ((number, row) for number, row in enumerate(csv.reader(file), start=1) if row and number > 1)
        for name, group in groupby(rows, key=lambda entry: entry[1][0]):
            objects: list[Found] = []
            for number, row in group:
                if len(row) < 6:
                    raise DataError(f"{path}, line {number}: {len(row)} fields; expected {','.join(COLUMNS)}")
                objects.append(Found(row[1:5], row[5], f"{path.name}, line {number}"))
            found = pictures.find(name) or [name]
            if len(found) > 1:
                report.fault("two pictures of one name", f"{name} is {' or '.join(found[:3])}; the first is used")
            yield Sample(found[0], objects)
