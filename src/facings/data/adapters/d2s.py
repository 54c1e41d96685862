"""D2S → COCO. Follmann et al.: "MVTec D2S: Densely Segmented Supermarket Dataset", ECCV 2018.

`d2s_annotations_v1.1/annotations/D2S_{training,augmented,validation,validation_clutter,validation_random_background}.json`:
COCO with RLE masks (counts as a string) of 60 classes; the pictures of all splits lie in `d2s_images_v1/images`.
"""

from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.coco_source import CocoText, samples, shared
from facings.data.adapters.coco_writer import CocoSet
from facings.data.adapters.layout import Check, Pictures, locate
from facings.errors import DataError

SPLITS = {
    "train": "training",
    "augmented": "augmented",
    "val": "validation",
    "val_clutter": "validation_clutter",
    "val_random_background": "validation_random_background",
}
CARD = Card(
    name="d2s",
    title="MVTec D2S, densely segmented supermarket",
    task="detection",
    licence="CC BY-NC-SA 4.0, © MVTec Software GmbH",
    commercial="no",
    images="4380 / 3600, with those without labels 21000 in all",
    objects="6900 / 15654",
    classes="60",
    get="fill in the form on www.mvtec.com/company/research/datasets/mvtec-d2s; unpack d2s_images_v1.tar.xz into "
    "d2s_images_v1 and "
    "d2s_annotations_v1.1.tar.xz into d2s_annotations_v1.1, side by side",
    layout="d2s_images_v1/images/*.jpg\nd2s_annotations_v1.1/annotations/D2S_{" + ",".join(SPLITS.values()) + "}.json",
    faults=("test has no public labels", "augmented is made of cut-outs of training: do not mix it into validation"),
    source="Follmann et al.: MVTec D2S: Densely Segmented Supermarket Dataset, ECCV 2018",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the splits that are there. Raises DataError where none is, or for a file that is not this set's."""
    report = Report()
    files = {split: _annotations(source, name) for split, name in SPLITS.items()}
    there = {split: path for split, path in files.items() if path is not None}
    if not there:
        raise DataError(f"{source}: no D2S_training.json or the like; expected\n{CARD.layout}")
    for split in [s for s in SPLITS if s not in there]:
        report.fault("missing split", f"D2S_{SPLITS[split]}.json is not there; no {split}")
    images = locate(source, "d2s_images_v1/images") or locate(source, "images")
    if images is None:
        raise DataError(f"{source}: no folder d2s_images_v1/images; expected\n{CARD.layout}")
    texts = {split: CocoText(path) for split, path in there.items()}
    with CocoSet(output, report, Pictures(images, check), categories=shared(texts.values()), advance=advance) as made:
        for split, text in texts.items():
            report.inputs.append(text.path)
            made.write(split, samples(text, report, file_name=str))
    return report


def _annotations(source: Path, name: str) -> Path | None:
    for folder in ("d2s_annotations_v1.1/annotations/", "annotations/", ""):
        found = locate(source, f"{folder}D2S_{name}.json")
        if found is not None:
            return found
    return None
