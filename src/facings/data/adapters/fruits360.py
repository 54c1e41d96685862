"""fruits-360 → recognition table. Mureşan, Oltean: "Fruit recognition from images using deep learning", 2018.

`Training/CLASS/`, `Test/CLASS/` (the branch in original size has `Validation/` too); files `[r_|r2_|…]INDEX_100.jpg`, or
`[rN_]INDEX.jpg` there. A series is one turn of one fruit on a motor, filmed: `r` is another turn, `r2` one about another
axis. The authors put neighbouring frames of one series into Training and Test, so that a test on their split asks for
pictures that were all but seen in training. Here a whole series goes into one split, whatever folder its frames lie in.
"""

import re
from collections import defaultdict
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Download, Report, silent
from facings.data.adapters.layout import Check, locate, pictures_below
from facings.data.adapters.recognition_writer import RecognitionSet
from facings.errors import DataError

FOLDERS = ("Training", "Validation", "Test")
FILE = re.compile(r"(?:(?P<turn>r\d*)_)?(?P<index>\d+)(?:_100)?", re.IGNORECASE)
CARD = Card(
    name="fruits360",
    title="fruits-360",
    task="recognition",
    licence="CC BY-SA 4.0, © Mihai Oltean",
    commercial="ask",
    images="94,110 in the version with 141 classes; grows with each version",
    objects="one a picture",
    classes="141 in that version",
    get="`python scripts/fetch_dataset.py fruits360` (the authors' repository fruits-360/fruits-360-100x100, as "
    "it is today: classes "
    "grow with each version)",
    layout="Training/CLASS/[r_|r2_|…]INDEX_100.jpg\nTest/CLASS/…",
    faults=(
        "the authors' split puts neighbouring frames of one turn of one fruit into training and test",
        "often one fruit a class: turns of it differ in axis only, so that even whole series are easier than a shop",
        "white background, 100 x 100 pixels",
    ),
    source="Mureşan, Oltean: Fruit recognition from images using deep learning, 2018",
    downloads=(Download("https://github.com/fruits-360/fruits-360-100x100/archive/refs/heads/main.zip"),),
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert; of each class a quarter of the series (one at least) is test, a class with a single one is train only.

    Raises DataError where there is no Training folder.
    """
    training = locate(source, "Training") or locate(source, "*/*/Training")
    if training is None:
        raise DataError(f"{source}: no folder Training; expected\n{CARD.layout}")
    root, report = training.parent, Report()
    series = _series(root, report)
    with RecognitionSet(root, output, report, advance=advance, check=check) as made:
        for name, turns in sorted(series.items()):
            held = held_out(list(turns))
            if not held:
                report.fault("class with a single series", f"{name}: all of it is train, none is test")
            for turn, files in turns.items():
                split = "test" if turn in held else "train"
                for path in files:
                    place = path.relative_to(root).as_posix()
                    role = "query" if split == "test" else "train"
                    made.add(place, name, split, role, category=(re.split(r"[ _]", name)[0],), where=name)  # type: ignore[arg-type]
    return report


def held_out(turns: list[str]) -> set[str]:
    """The series of one class that are test: the last quarter by name, one at least, none of a single one.

    >>> sorted(held_out(["", "r", "r2", "r3", "r4"]))
    ['r4']
    >>> held_out([""])
    set()
    """
    order = sorted(turns, key=lambda turn: (len(turn), turn))
    return set(order[-max(1, round(len(order) / 4)) :]) if len(order) > 1 else set()


def _series(root: Path, report: Report) -> dict[str, dict[str, list[Path]]]:
    """Class → series ("" for the first turn) → its pictures."""
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for folder in FOLDERS:
        if not (root / folder).is_dir():
            if folder != "Validation":
                report.fault("missing folder", f"{root / folder} is not there")
            continue
        for path in pictures_below(root / folder):
            match = FILE.fullmatch(path.stem)
            name = path.relative_to(root / folder).parts[0]
            if match is None or name == path.name:
                place = path.relative_to(root)
                report.fault("file name", f"{place}: expected CLASS/[rN_]INDEX_100.jpg; no series, left out")
                continue
            found[name][(match["turn"] or "").lower()].append(path)
    return found
