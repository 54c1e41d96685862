"""Unitail-Det → COCO. Chen et al.: "Unitail: Detecting, Reading, and Matching in Retail Scene", ECCV 2022.

COCO-like JSON whose annotations hold `quad` [x1, y1, …, x4, y4], the product's front (the authors' evaluation code,
Fangyi-Chen/unitail, extends pycocotools by it). No archive was at hand, so every `*.json` with pictures and annotations is read;
its split is told by its name, and `quad` is also found as `segmentation`, as pairs, or one list deeper. What lacks a quad keeps
its upright box, and is a fault.
"""

from pathlib import Path

from facings.data.adapters import coco_source
from facings.data.adapters.base import Advance, Card, Report, made_before, silent
from facings.data.adapters.coco_writer import CocoSet, Found
from facings.data.adapters.layout import Check, NamedPictures, Pictures, below
from facings.data.adapters.quads import around, four_corners
from facings.data.adapters.sku110k import BROKEN
from facings.errors import DataError
from facings.strict_json import shown

CARD = Card(
    name="unitail_det",
    title="Unitail-Det",
    task="detection",
    licence="academic purposes only (its page); most photos are SKU-110K's",
    commercial="no",
    images="8216 / 588 / 2940 (origin domain) and 500 (cross domain)",
    objects="1777108 quadrilaterals in all",
    classes="1",
    get="ask on the authors' page, unitedretail.github.io; photos of the origin domain: SKU-110K",
    layout="*.json   COCO-like, annotations with quad [x1,y1,…,x4,y4]; one file a split\nthe pictures in any folder below",
    faults=("the broken JPEGs of SKU-110K", "no layout is published: fields are found by name"),
    source="Chen et al.: Unitail: Detecting, Reading, and Matching in Retail Scene, ECCV 2022",
)
ANNOTATED = ("images", "annotations")
# Part of a file's name → the split.
NAMED = {"cross": "test_cross", "origin": "test", "train": "train", "val": "val", "test": "test"}


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert every annotation file below `source`. Raises DataError where none is."""
    report = Report()
    files = _files(source, output, report)
    if not files:
        raise DataError(f"{source}: no JSON with images and annotations; expected\n{CARD.layout}")
    pictures = NamedPictures(source)

    def named(name: str) -> str:
        return (pictures.find(name) or [name])[0]

    judge = Pictures(source, check, suspects=BROKEN)
    with CocoSet(output, report, judge, categories={1: "product"}, advance=advance) as made:
        for split, path in sorted(files.items()):
            report.inputs.append(path)
            text = coco_source.CocoText(path, lists=ANNOTATED)

            def found(annotation: coco_source.Record, place: str) -> Found:
                return _found(annotation, place, report)

            made.write(split, coco_source.samples(text, report, found=found, file_name=named))
    return report


def _files(source: Path, output: Path, report: Report) -> dict[str, Path]:
    """The annotation files by split; of two that sound alike the second keeps its own name."""
    found: dict[str, Path] = {}
    made = made_before(output)
    for path in sorted(source.rglob("*.json"), reverse=True):
        if path.resolve() in made:
            continue
        if not coco_source.mentions(path, ANNOTATED):
            report.fault("no annotations", f"{below(source, path)}: lacks images or annotations; not read")
            continue
        split = _split(path)
        if split in found:
            report.fault(
                "two files of one split", f"{below(source, path)}: {found[split].name} is {split}; read as {path.stem}"
            )
            split = path.stem
        if split in found:
            raise DataError(f"{path}: {found[split]} has the same name; rename one")
        found[split] = path
    return found


def _split(path: Path) -> str:
    return next((split for part, split in NAMED.items() if part in path.stem.lower()), path.stem)


def _found(annotation: coco_source.Record, where: str, report: Report) -> Found:
    quad = four_corners(annotation.get("quad")) or four_corners(annotation.get("segmentation"))
    if quad is None:
        given = shown(annotation.get("quad"))
        report.fault("box without quad", f"{where}: quad is {given}; expected eight numbers; bbox is used")
        plain = coco_source.found_box(annotation, where)
        return Found(plain.box, 1, where)
    return Found(around(quad), 1, where, [quad])
