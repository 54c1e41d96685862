"""Pictures in folders → recognition table: `SPLIT/PRODUCT/*.jpg`, or `PRODUCT/*.jpg` alone (then all is `train`).

What torchvision and many tools call an image folder. Deeper folders belong to the product above them.
"""

from collections.abc import Iterator
from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.layout import SUFFIXES, Check
from facings.data.adapters.recognition_writer import RecognitionSet
from facings.data.tables import Role
from facings.errors import DataError

# Folder → split and role. A shop's clean pictures are the gallery.
SPLITS: dict[str, tuple[str, Role]] = {
    "train": ("train", "train"),
    "training": ("train", "train"),
    "val": ("val", "query"),
    "valid": ("val", "query"),
    "validation": ("val", "query"),
    "test": ("test", "query"),
    "query": ("test", "query"),
    "gallery": ("test", "gallery"),
}
# Files that systems leave in folders: not a dataset's fault.
LITTER = (".ds_store", "thumbs.db", "desktop.ini")
CARD = Card(
    name="image_folder",
    title="your own pictures in folders",
    task="recognition",
    licence="yours",
    commercial="ask",
    images="any",
    objects="one a picture",
    classes="one a folder",
    get="put the pictures of each product into a folder of its name, below a folder of the split",
    layout="{train,val,test,query,gallery}/PRODUCT/*.jpg\nor PRODUCT/*.jpg (all train)",
    faults=(),
    source="yourself",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the split folders that are there, or `source` as one train split where none is named so.

    Raises DataError where `source` has no folder, or has split folders beside product folders (which is meant?).
    """
    folders = sorted(p.name for p in source.iterdir() if p.is_dir() and not p.name.startswith("."))
    splits = [name for name in folders if name.lower() in SPLITS]
    others = [name for name in folders if name.lower() not in SPLITS]
    if not folders:
        raise DataError(f"{source}: holds no folder; expected\n{CARD.layout}")
    # The tables' own folder may be the source: what is made there is no product.
    others = [name for name in others if next(_files(source / name), None) is not None]
    if splits and others:
        raise DataError(
            f"{source}: has split folders ({', '.join(splits)}) beside others ({others[0]}); move one kind away"
        )
    report = Report()
    with RecognitionSet(source, output, report, advance=advance, check=check) as made:
        if not splits:
            add_folders(made, "", "train", "train")
        for name in splits:
            add_folders(made, name, *SPLITS[name.lower()])
    return report


def add_folders(made: RecognitionSet, name: str, split: str, role: Role, category: tuple[str, ...] = ()) -> None:
    """Every picture below `name`/PRODUCT/ as one row. Files that are no pictures, and folders without any, are faults."""
    top = made.root / name
    for stray in sorted(p for p in top.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES):
        made.report.fault("picture outside a product folder", f"{stray.relative_to(made.root)}; left out")
    for folder in sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith(".")):
        count = 0
        for path in _files(folder):
            place = path.relative_to(made.root).as_posix()
            if path.suffix.lower() not in SUFFIXES:
                made.report.fault("not a picture by its name", f"{place}; left out")
                continue
            count += made.add(place, folder.name, split, role, category=category, where=name or folder.name)
        if not count:
            made.report.fault("empty class", f"{folder.relative_to(made.root)} holds no picture")


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name.lower() not in LITTER)
