"""Freiburg Groceries → recognition table. Jund, Abdo, Eitel, Burgard: "The Freiburg Groceries Dataset", 2016 (arXiv 1611.05799).

`images/CLASS/CLASS0000.png`; `splits/{train,test}{0-4}.txt` are five folds with lines `BEANS/BEANS0008.png 15`;
`classid.txt` has lines `NAME id`. Class 24 is named TUNA in some versions and FISH in others: the lists, the folders and
classid.txt of one copy may differ, so an entry is found by either name, and the product id is always `TUNA`.
"""

from collections.abc import Iterator
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Download, Report, silent
from facings.data.adapters.layout import Check, lines_of, locate, required
from facings.data.adapters.recognition_writer import RecognitionSet
from facings.data.tables import Role
from facings.errors import ConfigError, DataError
from facings.files import is_file
from facings.strict_json import shown

FOLDS = 5
TWINS = {"FISH": "TUNA", "TUNA": "FISH"}
CARD = Card(
    name="freiburg",
    title="Freiburg Groceries",
    task="recognition",
    licence="none stated",
    commercial="ask",
    images="about 5,000, in five folds",
    objects="one class a picture",
    classes="25",
    get="`python scripts/fetch_dataset.py freiburg` (the pictures from the University of Freiburg, splits and "
    "classid.txt from the "
    "repository PhilJd/freiburg_groceries_dataset)",
    layout="images/CLASS/CLASS0000.png\nsplits/{train,test}{0-4}.txt   BEANS/BEANS0008.png 15\nclassid.txt   NAME id",
    faults=("class 24 is TUNA or FISH by version", "labels are a picture's, not a product's: 25 kinds of goods"),
    source="Jund, Abdo, Eitel, Burgard: The Freiburg Groceries Dataset, 2016 (arXiv 1611.05799)",
    downloads=(
        Download(
            "http://aisdatasets.informatik.uni-freiburg.de/freiburg_groceries_dataset/freiburg_groceries_dataset.tar.gz"
        ),
        Download("https://github.com/PhilJd/freiburg_groceries_dataset/archive/refs/heads/master.zip"),
    ),
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail", fold: int = 0) -> Report:
    """Convert one of the five folds. Raises ConfigError for a fold out of range, DataError for a missing or wrong list."""
    if fold not in range(FOLDS):
        raise ConfigError(f"fold={fold}: expected 0 … {FOLDS - 1}")
    train = required(source, f"splits/train{fold}.txt", CARD.title)
    root = train.parent.parent
    # The archive of pictures may be unpacked beside the repository that holds the lists.
    images = locate(root, "images") or locate(source, "images")
    if images is None:
        raise DataError(f"{root}: no folder images; expected\n{CARD.layout}")
    report = Report()
    names = _class_ids(root / "classid.txt", report)
    roles: tuple[tuple[str, Role], ...] = (("train", "train"), ("test", "query"))
    with RecognitionSet(images, output, report, advance=advance, check=check) as made:
        for split, role in roles:
            path = root / "splits" / f"{split}{fold}.txt"
            if not path.is_file():
                report.fault("missing split", f"{path} is not there; no {split}")
                continue
            report.inputs.append(path)
            for line, name, number in _entries(path):
                where = f"{path.name}, line {line}"
                product = _product(name)
                if number in names and names[number] != product:
                    report.fault(
                        "label conflict", f"{where}: {name} is class {number}, which classid.txt names {names[number]}"
                    )
                made.add(_there(images, name), product, split, role, where=where)
    return report


def _product(name: str) -> str:
    folder = name.split("/")[0]
    return "TUNA" if folder == "FISH" else folder


def _there(images: Path, name: str) -> str:
    """`name`, or the same picture under class 24's other name where that is what the folder has."""
    folder = name.split("/")[0]
    if folder in TWINS and not is_file(images / name):
        other = name.replace(folder, TWINS[folder])
        mixed = f"{TWINS[folder]}/{name.partition('/')[2]}"
        return next((n for n in (other, mixed) if is_file(images / n)), name)
    return name


def _class_ids(path: Path, report: Report) -> dict[int, str]:
    if not path.is_file():
        report.fault("missing file", f"{path} is not there; class numbers were not checked")
        return {}
    report.inputs.append(path)
    found = {}
    for line, text in lines_of(path):
        parts = text.split()
        if len(parts) != 2 or not parts[1].isdecimal():
            raise DataError(f"{path}, line {line}: {shown(text)}; expected 'NAME id'")
        found[int(parts[1])] = _product(parts[0])
    return found


def _entries(path: Path) -> Iterator[tuple[int, str, int]]:
    for line, text in lines_of(path):
        parts = text.rsplit(maxsplit=1)
        if len(parts) != 2 or not parts[1].isdecimal() or "/" not in parts[0]:
            raise DataError(f"{path}, line {line}: {shown(text)}; expected 'CLASS/PICTURE.png id'")
        yield line, parts[0], int(parts[1])
