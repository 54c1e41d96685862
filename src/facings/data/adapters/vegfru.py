"""VegFru → recognition table. Hou, Feng, Wang: "VegFru: A Domain-Specific Dataset for Fine-grained Visual
Categorization", ICCV 2017.

`veg200_images/CLASS/*.jpg` and `fru92_images/…`; `veg200_lists/veg_{train,val,test}.txt`, `fru92_lists/fru_{train,val,test}.txt`
with lines `CLASS/PICTURE.jpg id`. Ids start at 0 in both halves, so that 0 is a vegetable and a fruit: the
class is the folder's name, and of two alike in both halves the fruit's product id is `fruit NAME`.
The layout is read from public loaders of it (the authors' repository is `vegfru` of ustc-vim); no archive was at hand.
"""

from collections.abc import Iterator
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.layout import Check, lines_of, locate
from facings.data.adapters.recognition_writer import RecognitionSet
from facings.data.tables import Role
from facings.errors import DataError
from facings.strict_json import shown

HALVES = {"veg": ("veg200", "Vegetable"), "fru": ("fru92", "Fruit")}
SPLITS: tuple[tuple[str, Role], ...] = (("train", "train"), ("val", "query"), ("test", "query"))
CARD = Card(
    name="vegfru",
    title="VegFru",
    task="recognition",
    licence="research only: sign the authors' agreement",
    commercial="no",
    images="29,200 / 14,600 / 116,931",
    objects="one a picture",
    classes="292 (200 vegetables, 92 fruits)",
    get="sign the agreement in the README of the repository ustc-vim/vegfru and ask for the archives; unpack "
    "images and lists into one "
    "folder",
    layout="veg200_images/CLASS/*.jpg\nveg200_lists/veg_{train,val,test}.txt   CLASS/PICTURE.jpg id\n"
    "fru92_images/CLASS/*.jpg\nfru92_lists/fru_{train,val,test}.txt",
    faults=("class ids start at 0 in both halves", "web pictures: raw, cooked and on the plant"),
    source="Hou, Feng, Wang: VegFru, ICCV 2017",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the halves that are there. Raises DataError where neither is, or for a line that is not `path id`."""
    report = Report()
    lists = {half: locate(source, f"{HALVES[half][0]}_lists/{half}_train.txt") for half in HALVES}
    there = {half: path.parent.parent.relative_to(source) for half, path in lists.items() if path is not None}
    if not there:
        raise DataError(f"{source}: neither veg200_lists nor fru92_lists; expected\n{CARD.layout}")
    for half in sorted(HALVES.keys() - there.keys()):
        report.fault("missing half", f"{HALVES[half][0]}_lists is not there; no {HALVES[half][1].lower()}s")
    vegetables: set[str] = set()
    with RecognitionSet(source, output, report, advance=advance, check=check) as made:
        for half, way in there.items():
            _half(made, half, way, vegetables)
    return report


def _half(made: RecognitionSet, half: str, way: Path, vegetables: set[str]) -> None:
    folder, kind = HALVES[half]
    numbers: dict[int, str] = {}
    for split, role in SPLITS:
        path = made.root / way / f"{folder}_lists" / f"{half}_{split}.txt"
        if not path.is_file():
            made.report.fault("missing split", f"{path} is not there; no {kind.lower()}s in {split}")
            continue
        made.report.inputs.append(path)
        for line, name, number in _entries(path):
            where = f"{path.name}, line {line}"
            label = name.split("/")[0]
            if numbers.setdefault(number, label) != label:
                made.report.fault(
                    "label conflict",
                    f"{where}: id {number} is {numbers[number]} and {label}; the folder's name is kept",
                )
            if half == "veg":
                vegetables.add(label)
            product = f"fruit {label}" if half == "fru" and label in vegetables else label
            made.add((way / f"{folder}_images" / name).as_posix(), product, split, role, category=(kind,), where=where)


def _entries(path: Path) -> Iterator[tuple[int, str, int]]:
    for line, text in lines_of(path):
        parts = text.rsplit(maxsplit=1)
        if len(parts) != 2 or not parts[1].isdecimal() or "/" not in parts[0]:
            raise DataError(f"{path}, line {line}: {shown(text)}; expected 'CLASS/PICTURE.jpg id'")
        yield line, parts[0], int(parts[1])
