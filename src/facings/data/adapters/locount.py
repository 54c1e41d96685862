"""Locount → COCO. Cai et al.: "Rethinking Object Detection in Retail Stores", AAAI 2021.

Folders `Locount_{ImagesTrain,ImagesTest,GtTxtsTrain,GtTxtsTest}`, each of which may hold itself once more. One text a picture,
lines `x1,y1,x2,y2,ClassName,count`; names hold spaces and commas, so a line is split four times from the left and once from
the right. A box may cover several pieces: `count` is kept.
"""

from collections.abc import Iterator
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import SUFFIXES, Check, Pictures, below, lines_of, locate
from facings.errors import DataError
from facings.strict_json import shown

SPLITS = {"train": "Train", "test": "Test"}
CARD = Card(
    name="locount",
    title="Locount",
    task="detection",
    licence="none stated",
    commercial="ask",
    images="34022 / 16372 (train / test)",
    objects="about 1.9 million",
    classes="140",
    get="follow the links on isrc.iscas.ac.cn/gitlab/research/locount-dataset to its four archives; unpack them side by side",
    layout="Locount_Images{Train,Test}/*.jpg (may be nested twice)\nLocount_GtTxts{Train,Test}/*.txt   x1,y1,x2,y2,ClassName,count",
    faults=(
        "class names hold spaces and commas",
        "folders are doubled by some unpackers",
        "a box may cover several pieces",
    ),
    source="Cai et al.: Rethinking Object Detection in Retail Stores, AAAI 2021",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the splits that are there. Raises DataError where none is, or for a line that is not of this format."""
    report = Report()
    folders = {
        s: (_innermost(source, f"Locount_GtTxts{n}"), _innermost(source, f"Locount_Images{n}"))
        for s, n in SPLITS.items()
    }
    with CocoSet(output, report, Pictures(source, check), advance=advance) as made:
        for split, (texts, images) in folders.items():
            if texts is None or images is None:
                lacking = f"Locount_{'GtTxts' if texts is None else 'Images'}{SPLITS[split]}"
                report.fault("missing split", f"{lacking} is not there; no {split}")
                continue
            made.write(split, _samples(texts, images, source, report))
    if not report.images:
        raise DataError(f"{source}: no split of Locount; {'; '.join(report.faults[:2])}; expected\n{CARD.layout}")
    return report


def _innermost(source: Path, name: str) -> Path | None:
    found = locate(source, name)
    while found is not None and (found / name).is_dir():
        found = found / name
    return found


def _samples(texts: Path, images: Path, root: Path, report: Report) -> Iterator[Sample]:
    pictures = {p.stem: p for p in images.iterdir() if p.suffix.lower() in SUFFIXES}
    for text in sorted(texts.glob("*.txt")):
        picture = pictures.pop(text.stem, None)
        name = below(root, picture) if picture else f"{below(root, images)}/{text.stem}.jpg"
        yield Sample(name, list(_objects(text)))
    for left in sorted(pictures):
        report.fault("picture without labels", f"{pictures[left].name}: no {left}.txt; left out")


def _objects(text: Path) -> Iterator[Found]:
    for number, line in lines_of(text):
        left = line.split(",", 4)
        name, _, count = left[4].rpartition(",") if len(left) == 5 else ("", "", "")
        if not name.strip() or not count.strip().isdecimal():
            raise DataError(f"{text}, line {number}: {shown(line)}; expected x1,y1,x2,y2,ClassName,count")
        yield Found(left[:4], name.strip(), f"{text.name}, line {number}", None, {"count": int(count)})
