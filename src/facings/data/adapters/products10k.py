"""Products-10K → recognition table. Bai, Chen, Yu, Wang, Zhang: "Products-10K: A Large-scale Product Recognition Dataset",
2020 (arXiv 2008.10545).

`train.csv` is `name,class,group`; `test_kaggletest.csv` is `name,class,Usage` (its third column says which part of a
leaderboard, not a group). Pictures lie in `train/` and `test/`. A test picture gets its group from the class in train.csv.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.layout import Check, locate, opened
from facings.data.adapters.recognition_writer import RecognitionSet
from facings.data.tables import Role
from facings.errors import DataError
from facings.strict_json import shown

CARD = Card(
    name="products10k",
    title="Products-10K",
    task="recognition",
    licence="non-commercial research, © JD.com",
    commercial="no",
    images="about 150,000 in train and test together",
    objects="one a picture",
    classes="about 10,000 products",
    get="products-10k.github.io/challenge.html#downloads: train.zip, test.zip, train.csv and test_kaggletest.csv, "
    "into one folder",
    layout="train/*.jpg\ntest/*.jpg\ntrain.csv             name,class,group\ntest_kaggletest.csv   name,class,Usage",
    faults=(
        "the test list has no group",
        "shop pictures of many kinds: packshots, details, in use; mostly not of groceries",
    ),
    source="Bai, Chen, Yu, Wang, Zhang: Products-10K, 2020 (arXiv 2008.10545)",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert both lists. Raises DataError for a missing train.csv, a missing column or an entry that is no number."""
    table = locate(source, "train.csv")
    if table is None:
        raise DataError(f"{source}: no train.csv; expected\n{CARD.layout}")
    root = table.parent
    report = Report(inputs=[table])
    groups: dict[str, str] = {}
    with RecognitionSet(root, output, report, advance=advance, check=check) as made:
        for line, record in _records(table, ("name", "class", "group")):
            groups.setdefault(record["class"], record["group"])
            _add(made, "train", "train", record, record["group"], f"train.csv, line {line}")
        test = root / "test_kaggletest.csv"
        if not test.is_file():
            report.fault("missing split", f"{test} is not there; no test")
            return report
        report.inputs.append(test)
        for line, record in _records(test, ("name", "class")):
            where = f"{test.name}, line {line}"
            if record["class"] not in groups:
                report.fault("class without training pictures", f"{where}: class {record['class']} is not in train.csv")
            _add(made, "test", "query", record, groups.get(record["class"], ""), where)
    return report


def _add(made: RecognitionSet, split: str, role: Role, record: dict[str, str], group: str, where: str) -> None:
    category = (f"group {group}",) if group else ()
    made.add(f"{split}/{record['name']}", record["class"], split, role, category=category, where=where)


def _records(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    with opened(path) as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{path}: lacks the column {missing[0]!r}; got {shown(reader.fieldnames, 200)}")
        for line, record in enumerate(reader, start=2):
            values = {name: (record[name] or "").strip() for name in columns}
            if not values["name"] or not values["class"].isdecimal():
                raise DataError(f"{path}, line {line}: {shown(record, 200)}; expected a file name and a class number")
            yield line, values
