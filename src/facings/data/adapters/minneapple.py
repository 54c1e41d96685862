"""MinneApple (detection part) → COCO. Häni, Roy, Isler: "MinneApple: A Benchmark Dataset for Apple Detection and Segmentation",
IEEE Robotics and Automation Letters 5, 2020.

Source of the layout: the authors' loader (`apple_dataset.py` of nicolaihaeni/MinneApple): `images/*.png`, `masks/*.png` in the same
order, below `detection/train`; a mask's pixel value is the apple's number, 0 is ground. `detection/test/images` has no public
masks. Boxes are the masks' bounds; the loader leaves out masks one pixel wide or high, here they are faults.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facings.data.adapters.base import Advance, Card, Download, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import Check, Pictures, below, locate, pictures_below
from facings.errors import DataError
from facings.masks import CropMask, to_rle

SPLITS = ("train", "val", "test")
CARD = Card(
    name="minneapple",
    title="MinneApple",
    task="detection",
    licence="CC BY-NC-SA 3.0 US (Data Repository of the University of Minnesota; check there)",
    commercial="no",
    images="670 (331 of test without public labels)",
    objects="41325 in all",
    classes="1",
    get="`python scripts/fetch_dataset.py minneapple` (Data Repository of the University of Minnesota, doi 10.13020/8ecp-3r13)",
    layout="detection/train/images/*.png, detection/train/masks/*.png   pixel value = number of the apple\ndetection/test/images",
    faults=("test has no public masks", "masks may be as small as a pixel"),
    source="Häni, Roy, Isler: MinneApple, IEEE Robotics and Automation Letters 5, 2020",
    downloads=(Download("https://conservancy.umn.edu/bitstream/handle/11299/206575/detection.tar.gz"),),
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the splits that have masks. Raises DataError where none has."""
    report = Report()
    found = {s: locate(source, f"detection/{s}/images") or locate(source, f"{s}/images") for s in SPLITS}
    with CocoSet(output, report, Pictures(source, check), categories={1: "apple"}, advance=advance) as made:
        for split, images in found.items():
            if images is None:
                continue
            masks = images.parent / "masks"
            if masks.is_dir():
                made.write(split, _samples(images, masks, source, report))
            else:
                report.fault("split without labels", f"{below(source, images.parent)} has no masks; no {split}")
    if not report.images:
        raise DataError(f"{source}: no split with images and masks; expected\n{CARD.layout}")
    return report


def _samples(images: Path, masks: Path, root: Path, report: Report) -> Iterator[Sample]:
    named = {path.stem: path for path in pictures_below(masks)}
    for picture in pictures_below(images):
        mask = named.pop(picture.stem, None)
        if mask is None:
            report.fault("picture without mask", f"{below(root, picture)}: left out")
            continue
        yield Sample(below(root, picture), *_objects(mask, report))
    for left in named.values():
        report.fault("mask without picture", f"{below(root, left)}: left out")


def _objects(path: Path, report: Report) -> tuple[list[Found], tuple[int, int] | None]:
    """The apples of a mask, and its width and height."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            numbers = np.asarray(picture)
    # Decoders meet damage with errors of many kinds.
    except Exception as fault:
        report.fault("unreadable masks", f"{path.name}: {fault}; its picture has no objects")
        return [], None
    if numbers.ndim != 2:
        raise DataError(f"{path}: a picture of {numbers.shape}; expected one number a pixel, 0 for ground")
    height, width = numbers.shape
    objects = []
    for number in np.unique(numbers[numbers > 0]).tolist():
        rows, columns = np.nonzero(numbers == number)
        x1, y1, x2, y2 = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
        where = f"{path.name}, apple {number}"
        if x2 - x1 == 1 or y2 - y1 == 1:
            report.fault("mask one pixel thin", f"{where}: {x2 - x1} x {y2 - y1} pixels; left out")
            continue
        outline = to_rle(CropMask(x1, y1, numbers[y1:y2, x1:x2] == number), height, width)
        objects.append(Found((x1, y1, x2, y2), 1, where, outline))
    return objects, (width, height)
