"""Snack shelves: the set's own `reid.csv` as a recognition table. Knows nothing of boxes in frames (those are COCO)."""

import csv
from collections.abc import Mapping
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.layout import Check, opened
from facings.data.adapters.recognition_writer import write_table
from facings.data.tables import RecognitionRow, RecognitionTable, Role
from facings.errors import DataError
from facings.files import is_file
from facings.strict_json import shown

COLUMNS = ("image", "label", "coarse_label", "split")
# Its split → the split and role of the contract. Packshots are named by file, but labelled by identity: two files of one
# brand and flavour in different sizes have one label.
ROLES: Mapping[str, tuple[str, Role]] = {
    "train": ("train", "train"),
    "val": ("val", "query"),
    "promo": ("promo", "query"),
    "packshot": ("packshot", "gallery"),
}
CARD = Card(
    name="snack_shelves",
    title="snack shelves",
    task="recognition",
    licence="none stated by its source; not to be redistributed",
    commercial="ask",
    images="11 / 6 / 12 frames 1080 × 1920, crops of their boxes, 49 packshots",
    objects="301 / 183 / 124 boxes",
    classes="one in the boxes; 48 identities of packshots",
    get="not published: it is given by hand",
    layout="images/*.jpg\ninstances_{train,val,promo}.json\npackshots/PRODUCT_ID.jpg\n"
    "products.csv   product_id,brand,name,has_packshot\nreid.csv, crops/   image,label,coarse_label,split",
    faults=(
        "one identity is brand and flavour: pack size is not told apart",
        "packs cut by the frame and in the second row are often unlabelled",
        "val is a second pass of much the same shelves; promo is too incomplete for recall",
    ),
    source="video frames of Estonian snack shelves",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Write what `read_snack_shelves` reads from `source/reid.csv`. The boxes are COCO already (`data=coco`)."""
    table = read_snack_shelves(source / "reid.csv")
    return write_table(table, source, output, Report(inputs=[source / "reid.csv"]), advance=advance, check=check)


def read_snack_shelves(path: Path | str) -> RecognitionTable:
    """Read `reid.csv` (`image,label,coarse_label,split`); pictures are relative to its folder, the brand is the category.

    Pictures that are missing are left out and listed in `faults`. Raises DataError for a missing file or column, an
    unknown split, or a table of which no picture is there.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such table; expected snack_shelves/reid.csv with {', '.join(COLUMNS)}")
    rows: list[RecognitionRow] = []
    faults: list[str] = []
    with opened(path) as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{path}: lacks the column {missing[0]!r}; got {shown(reader.fieldnames, 200)}")
        for line, record in enumerate(reader, start=2):
            if record["split"] not in ROLES:
                raise DataError(
                    f"{path}, line {line}: split is {shown(record['split'])}; expected one of {', '.join(ROLES)}"
                )
            if not all(record[name] for name in ("image", "label")):
                raise DataError(f"{path}, line {line}: {shown(record, 200)}; expected a picture and a label")
            split, role = ROLES[record["split"]]
            picture = path.parent / record["image"]
            if not is_file(picture):
                faults.append(f"line {line}: {record['image']} is missing")
                continue
            category = (record["coarse_label"],) if record["coarse_label"] else ()
            rows.append(RecognitionRow(picture, record["label"], split, role, category))
    if not rows:
        raise DataError(f"{path}: none of its {len(faults)} pictures is there")
    return RecognitionTable(tuple(rows), str(path), tuple(faults))
