"""Embrapa WGISD → COCO. Santos et al.: "Grape detection, segmentation, and tracking using deep neural networks and
three-dimensional association", Computers and Electronics in Agriculture 170, 2020.

Source of the layout: the datasheet in the repository thsant/wgisd. `data/NAME.jpg`, `data/NAME.txt` in YOLO's format (class 0,
shares of the sides), for 137 of the 300 pictures `data/NAME.npz`: H × W × clusters whose i-th mask belongs to the i-th line.
Lists `train.txt`, `test.txt` of stems (`*_masked.txt`: those with masks). The name's prefix is the variety, kept on the picture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.data.adapters.base import Advance, Card, Download, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import SUFFIXES, Check, Pictures, lines_of, required
from facings.errors import DataError
from facings.files import is_file
from facings.masks import CropMask, to_rle
from facings.strict_json import shown

SPLITS = ("train", "test")
VARIETIES = {
    "CDY": "Chardonnay",
    "CFR": "Cabernet Franc",
    "CSV": "Cabernet Sauvignon",
    "SVB": "Sauvignon Blanc",
    "SYH": "Syrah",
}
CARD = Card(
    name="wgisd",
    title="Embrapa WGISD, wine grapes",
    task="detection",
    licence="CC BY-NC 4.0",
    commercial="no",
    images="242 / 58 (train / test)",
    objects="3582 / 850 boxes, 1612 / 408 masks",
    classes="1 (5 varieties)",
    get="`python scripts/fetch_dataset.py wgisd` (the repository thsant/wgisd at commit 6910edc; also Zenodo record 3361736)",
    layout="data/NAME.jpg, NAME.txt (YOLO), NAME.npz (masks H x W x clusters, 137 pictures)\ntrain.txt, test.txt   stems",
    faults=(
        "clusters far behind are not labelled",
        "only 137 of 300 pictures have masks",
        "two picture heights: 1365, 1536",
    ),
    source="Santos et al.: Grape detection, segmentation, and tracking …, Computers and Electronics in Agriculture 170, 2020",
    downloads=(Download("https://github.com/thsant/wgisd/archive/6910edc5ae3aae8c20062941b1641821f0c30127.zip"),),
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the listed pictures. Raises DataError where the lists are missing."""
    report = Report()
    root = required(source, "train.txt", CARD.title).parent
    judge = Pictures(root / "data", check)
    with CocoSet(output, report, judge, categories={1: "grape"}, advance=advance) as made:
        for split in SPLITS:
            path = root / f"{split}.txt"
            if not path.is_file():
                report.fault("missing split", f"{path.name} is not there; no {split}")
                continue
            report.inputs.append(path)
            stems = [line for _, line in lines_of(path)]
            made.write(split, _samples(stems, root / "data", judge, report))
    return report


def _samples(stems: list[str], folder: Path, judge: Pictures, report: Report) -> Iterator[Sample]:
    there = {p.stem: p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES} if folder.is_dir() else {}
    for stem in stems:
        name, text = there.get(stem, f"{stem}.jpg"), folder / f"{stem}.txt"
        size, _ = judge.size(name)
        listed = is_file(text)
        if not listed:
            report.fault("missing labels", f"{stem}.txt is not there; the picture has no objects")
        labelled = listed and size is not None
        rows = [(number, line.split()) for number, line in (lines_of(text) if labelled else [])]
        masks = _masks(folder / f"{stem}.npz", size, len(rows), report) if size is not None else None
        objects = []
        for index, (number, row) in enumerate(rows):
            assert size is not None
            x, y, w, h = _numbers(row, text, number)
            box = [(x - w / 2) * size[0], (y - h / 2) * size[1], (x + w / 2) * size[0], (y + h / 2) * size[1]]
            outline = None if masks is None else _rle(masks[:, :, index], f"{stem}.npz, mask {index}", report)
            objects.append(Found(box, 1, f"{stem}.txt, line {number}", outline))
        variety = VARIETIES.get(stem.partition("_")[0])
        yield Sample(name, objects, fields={"variety": variety} if variety else None)


def _numbers(row: list[str], path: Path, number: int) -> list[float]:
    try:
        values = [float(value) for value in row[1:]]
    except ValueError:
        values = []
    if len(values) != 4 or row[0] != "0":
        raise DataError(f"{path}, line {number}: {shown(' '.join(row))}; expected '0 CX CY W H' in shares of the sides")
    return values


def _masks(path: Path, size: tuple[int, int], count: int, report: Report) -> NDArray[Any] | None:
    """(H, W, clusters), or None where there is no file or it does not fit (a fault)."""
    if not is_file(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            masks: NDArray[Any] = archive[archive.files[0]]
    # Archives meet damage with errors of many kinds.
    except Exception as fault:
        report.fault("unreadable masks", f"{path.name}: {fault}; boxes alone are used")
        return None
    if masks.shape != (size[1], size[0], count) or masks.dtype.kind not in "biuf":
        want, got = (size[1], size[0], count), f"{masks.dtype} {masks.shape}"
        report.fault("masks that do not fit", f"{path.name}: {got}, expected numbers {want}; boxes alone are used")
        return None
    return masks


def _rle(mask: NDArray[Any], where: str, report: Report) -> dict[str, Any] | None:
    if not mask.any():
        report.fault("empty mask", f"{where}: the box alone is used")
        return None
    return to_rle(CropMask(0, 0, mask > 0), *mask.shape)
