"""Stanford Online Products → recognition table. Oh Song, Xiang, Jegelka, Savarese: "Deep Metric Learning via Lifted Structured
Feature Embedding", CVPR 2016.

`Ebay_train.txt` and `Ebay_test.txt`, with the header `image_id class_id super_class_id path`. The classes of train and test are
disjoint: it asks for products that came after training. In the paper every test picture asks all others; here the first picture
of each test product is the gallery and the others are queries, as when a shop enrols a product from one photo.
"""

from collections.abc import Iterator
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Download, Report, silent
from facings.data.adapters.layout import Check, lines_of, required
from facings.data.adapters.recognition_writer import RecognitionSet
from facings.data.tables import Role
from facings.errors import DataError
from facings.strict_json import shown

HEADER = ["image_id", "class_id", "super_class_id", "path"]
CARD = Card(
    name="stanford_online_products",
    title="Stanford Online Products",
    task="recognition",
    licence="research only",
    commercial="no",
    images="59,551 / 60,502",
    objects="one a picture",
    classes="11,318 / 11,316, none in both; 12 super classes",
    get="`python scripts/fetch_dataset.py stanford_online_products` (3.1 GB, the authors' server)",
    layout="Ebay_train.txt, Ebay_test.txt   image_id class_id super_class_id path\nNAME_final/*.JPG",
    faults=("household goods, no groceries", "pictures of one offer may show different sides, a detail or the box"),
    source="Oh Song, Xiang, Jegelka, Savarese: Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016",
    downloads=(
        Download(
            "http://ftp.cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",
            "b04fa78210e69fab050ce73939550e1cd0f96890bdd98ec9fee732c3b756ef48",
        ),
    ),
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert both lists. Raises DataError for a missing list, or a line that is not three numbers and a path."""
    train = required(source, "Ebay_train.txt", CARD.title)
    root, report = train.parent, Report()
    trained: set[int] = set()
    with RecognitionSet(root, output, report, advance=advance, check=check) as made:
        for split in ("train", "test"):
            path = root / f"Ebay_{split}.txt"
            if not path.is_file():
                report.fault("missing split", f"{path} is not there; no {split}")
                continue
            report.inputs.append(path)
            enrolled: set[int] = set()
            for line, product, name in _entries(path):
                where = f"{path.name}, line {line}"
                if split == "train":
                    trained.add(product)
                elif product in trained:
                    report.fault("product in two splits", f"{where}: class {product} is in train and test")
                role: Role = "train" if split == "train" else "query" if product in enrolled else "gallery"
                kind = name.split("/")[0].removesuffix("_final")
                if made.add(name, str(product), split, role, category=(kind,), where=where):
                    enrolled.add(product)
    return report


def _entries(path: Path) -> Iterator[tuple[int, int, str]]:
    for line, text in lines_of(path):
        parts = text.split(maxsplit=3)
        if parts == HEADER:
            continue
        if len(parts) != 4 or not all(part.isdecimal() for part in parts[:3]):
            raise DataError(f"{path}, line {line}: {shown(text)}; expected '{' '.join(HEADER)}'")
        yield line, int(parts[1]), parts[3]
