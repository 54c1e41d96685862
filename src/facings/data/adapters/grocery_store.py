"""Grocery Store Dataset in its original layout → recognition table.

Klasson, Zhang, Kjellström: "A Hierarchical Grocery Store Image Dataset with Visual and Semantic Labels", WACV 2019.
MIT licence. 81 fine and 43 coarse classes (its README says 42); validation covers 60 of the 81.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Download, Report, silent
from facings.data.adapters.layout import Check, lines_of, locate, opened
from facings.data.adapters.recognition_writer import write_table
from facings.data.tables import RecognitionRow, RecognitionTable
from facings.errors import DataError
from facings.files import is_file
from facings.strict_json import shown

SPLITS = ("train", "val", "test")
COARSE_ID = "Coarse Class ID (int)"
CARD = Card(
    name="grocery_store",
    title="Grocery Store Dataset",
    task="recognition",
    licence="MIT, © 2019 Marcus Klasson",
    commercial="yes",
    images="2640 / 296 / 2485, and 81 packshots",
    objects="one class a picture",
    classes="81 fine, 43 coarse",
    get="`python scripts/fetch_dataset.py grocery_store` (the repository of its first author at commit fc80ba9)",
    layout="dataset/{train,val,test}.txt   path, fine id, coarse id\ndataset/classes.csv\ndataset/{train,val,test}/…   the photos\n"
    "dataset/iconic-images-and-descriptions/…",
    faults=(
        "its README says 42 coarse classes and 292 validation photos, the files hold 43 and 296",
        "validation covers 60 of the 81 classes",
        "labels are a photo's; neighbours are often in the picture",
    ),
    source="Klasson, Zhang, Kjellström: A Hierarchical Grocery Store Image Dataset with Visual and Semantic Labels, WACV 2019",
    downloads=(Download("https://github.com/marcusklasson/GroceryStoreDataset/archive/fc80ba9.zip"),),
    stated={"train": 2640, "val": 292, "test": 2485, "fine": 81, "coarse": 42},
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Write what `read_grocery_store` reads. Raises DataError as it does."""
    table = read_grocery_store(source)
    root = Path(table.source)
    lists = [root / "classes.csv", *(root / f"{split}.txt" for split in SPLITS)]
    return write_table(table, root, output, Report(inputs=lists), advance=advance, check=check)


def read_grocery_store(folder: Path | str) -> RecognitionTable:
    """Read `dataset/{train,val,test}.txt` and `dataset/classes.csv` under `folder` (or `folder` itself as `dataset`).

    Rows: split train has role train, val and test have role query, and the iconic packshots are split `iconic`,
    role gallery. The category path is department / coarse class, e.g. `Fruit/Apple`.

    Raises DataError for a missing file, a line that is not `path, fine, coarse`, or a class id out of range. Pictures
    that a list names but the folder lacks are faults of the table; a split without any picture is an error.
    """
    folder = Path(folder)
    # Unpacked from the repository's archive, all of it lies a folder deeper.
    found = locate(folder, "dataset/classes.csv")
    root = folder if found is None else found.parent
    if not (root / "classes.csv").is_file():
        raise DataError(
            f"{root}/classes.csv: not found; expected the Grocery Store Dataset's own layout (see data/README.md), "
            "and paths.data_dir pointing at the folder that holds grocery_store/"
        )
    names, coarse, iconic, numbers = _read_classes(root / "classes.csv")
    faults: list[str] = []
    rows: list[RecognitionRow] = []
    departments: dict[int, str] = {}
    for split in SPLITS:
        listed = list(_read_split(root / f"{split}.txt", len(names)))
        there = [entry for entry in listed if is_file(root / entry[0])]
        faults += [f"{split}.txt names {path}, which is not there" for path, *_ in set(listed) - set(there)]
        if not there:
            raise DataError(f"{root / split}.txt: none of its {len(listed)} pictures is in {root}")
        for path, fine, number in there:
            if numbers[fine] not in ("", number):
                said = f"coarse class {number} for fine class {fine}, classes.csv {numbers[fine]}"
                faults.append(f"{split}.txt: {path}: says {said}; that of classes.csv is used")
            departments.setdefault(fine, Path(path).parts[1])
            category = (departments[fine], coarse[fine])
            role = "train" if split == "train" else "query"
            rows.append(RecognitionRow(root / path, names[fine], split, role, category))  # type: ignore[arg-type]
    for fine, path in iconic.items():
        if not is_file(root / path):
            faults.append(f"classes.csv names the iconic picture {path}, which is not there")
        else:
            category = (Path(path).parts[1], coarse[fine])
            rows.append(RecognitionRow(root / path, names[fine], "iconic", "gallery", category))
    return RecognitionTable(tuple(rows), source=str(root), faults=tuple(sorted(faults)))


def _read_classes(path: Path) -> tuple[list[str], list[str], dict[int, str], list[str]]:
    """Fine names, the coarse name of each, the iconic picture of each, and its coarse id ("" unknown), by fine class id."""
    with opened(path) as file:
        records = list(csv.DictReader(file))
    fields = ("Class Name (str)", "Class ID (int)", "Coarse Class Name (str)", "Iconic Image Path (str)")
    missing = [name for name in fields if not records or name not in records[0]]
    if missing:
        raise DataError(f"{path}: lacks the column {missing[0]!r}")
    for line, record in enumerate(records, start=2):
        if None in [record[name] for name in fields] or not record[fields[1]].strip().isdecimal():
            raise DataError(
                f"{path}, line {line}: {shown(record, 200)}; expected a class id and a value in every column"
            )
    records.sort(key=lambda record: int(record[fields[1]]))
    ids = [int(record[fields[1]]) for record in records]
    if ids != list(range(len(ids))):
        raise DataError(f"{path}: class ids are not 0 … {len(ids) - 1} without gaps")
    iconic = {number: record[fields[3]].strip().lstrip("/") for number, record in enumerate(records)}
    for number, name in iconic.items():
        if len(Path(name).parts) < 3:
            raise DataError(
                f"{path}: class {number} has the iconic picture {shown(name)}; expected FOLDER/DEPARTMENT/…/PICTURE"
            )
    fine, coarse = ([record[field].strip() for record in records] for field in (fields[0], fields[2]))
    return fine, coarse, iconic, [(record.get(COARSE_ID) or "").strip() for record in records]


def _read_split(path: Path, classes: int) -> Iterator[tuple[str, int, str]]:
    """Picture, fine id, coarse id as it is written."""
    if not path.is_file():
        raise DataError(f"{path}: not found; the Grocery Store Dataset has train.txt, val.txt and test.txt")
    for number, line in lines_of(path):
        parts = [part.strip() for part in line.rsplit(",", 2)]
        if len(parts) != 3 or not parts[1].isdecimal() or len(Path(parts[0]).parts) < 3:
            raise DataError(
                f"{path}, line {number}: {shown(line)}; expected 'SPLIT/DEPARTMENT/…/PICTURE, fine id, coarse id'"
            )
        if int(parts[1]) >= classes:
            raise DataError(f"{path}, line {number}: class id {parts[1]}; classes.csv has 0 … {classes - 1}")
        yield parts[0], int(parts[1]), parts[2]
