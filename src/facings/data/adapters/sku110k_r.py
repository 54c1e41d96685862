"""SKU110K-R → COCO. Pan et al.: "Dynamic Refinement Network for Oriented and Densely Packed Object Detection", CVPR 2020.

The authors' repository (Anymake/DRN_CVPR2020) says: make the pictures of SKU-110K's with its `rotate_augment.py` (each turned
by −45, −30, −15, 15, 30, 45 degrees: `rotate_aug_ANGLE_train_N.jpg`), and take the annotations, "in coco format". Public readers
of them (yangxue0827's TFRecord converter of SKU110K-R, AO2-DETR's configuration) show `sku110k-r_{train,val,test}.json` with a
`rbbox` a box: centre x, centre y, width, height, angle in radians. Kept as the field `rbox`; the outline is its four corners.
"""

import math
from pathlib import Path

from facings.data.adapters import coco_source
from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found
from facings.data.adapters.layout import Check, Pictures, locate
from facings.data.adapters.quads import around, corners_of, floats, four_corners
from facings.errors import DataError
from facings.strict_json import shown

SPLITS = ("train", "val", "test")
CARD = Card(
    name="sku110k_r",
    title="SKU110K-R, rotated",
    task="detection",
    licence="none stated; pictures are SKU-110K's: academic, non-commercial",
    commercial="no",
    images="57533 / 4116 / 20552",
    objects="not stated",
    classes="1",
    get="`python scripts/fetch_dataset.py sku110k`; run rotate_augment.py of the repository Anymake/DRN_CVPR2020 "
    "on its images; download "
    "SKU110K-R-Json, linked in the README of that repository",
    layout="images/rotate_aug_{-45,…,45}_{train,val,test}_N.jpg and the unrotated ones\n"
    "SKU110K-R-Json/sku110k-r_{train,val,test}.json   COCO with rbbox [cx, cy, w, h, radians]",
    faults=("pictures are made by a script: another imgaug release may give other sizes",),
    source="Pan et al.: Dynamic Refinement Network for Oriented and Densely Packed Object Detection, CVPR 2020",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the splits that are there. Raises DataError where none is, or for a file that is not this set's."""
    report = Report()
    files = {
        s: locate(source, f"SKU110K-R-Json/sku110k-r_{s}.json") or locate(source, f"sku110k-r_{s}.json") for s in SPLITS
    }
    there = {split: path for split, path in files.items() if path is not None}
    images = locate(source, "images")
    if not there or images is None:
        raise DataError(f"{source}: no {'images folder' if there else 'sku110k-r_*.json'}; expected\n{CARD.layout}")
    for split in [s for s in SPLITS if s not in there]:
        report.fault("missing split", f"sku110k-r_{split}.json is not there; no {split}")
    texts = {split: coco_source.CocoText(path) for split, path in there.items()}
    known = coco_source.shared(texts.values())
    with CocoSet(output, report, Pictures(images, check), categories=known, advance=advance) as made:
        for split, text in texts.items():
            report.inputs.append(text.path)

            def found(annotation: coco_source.Record, where: str) -> Found:
                return _found(annotation, where, report)

            # Some copies sort pictures into a folder a split.
            folder = f"{split}/" if (images / split).is_dir() else ""
            names = coco_source.samples(text, report, found=found, file_name=lambda n, f=folder: f + n)  # type: ignore[misc]
            made.write(split, names)
    return report


def _found(annotation: coco_source.Record, where: str, report: Report) -> Found:
    rotated = floats(annotation.get("rbbox"), 5)
    if rotated is None:
        given = shown(annotation.get("rbbox"))
        report.fault(
            "box without rotation", f"{where}: rbbox is {given}; expected five numbers; the upright bbox is used"
        )
        return coco_source.found_box(annotation, where)
    if abs(rotated[4]) > 2 * math.pi:
        report.fault("angle beyond a turn", f"{where}: {rotated[4]:g} taken as degrees")
        rotated = [*rotated[:4], math.radians(rotated[4])]
    corners = four_corners(annotation.get("segmentation")) or corners_of(rotated)
    return Found(
        around(corners), coco_source.category_of(annotation), where, [corners], {"rbox": [round(v, 5) for v in rotated]}
    )
