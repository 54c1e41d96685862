"""Pictures of a dataset for the eye: a grid with boxes, outlines and ids, and the worst of each kind of fault."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from facings.analysis.batch_sheets import COLOURS
from facings.analysis.contact_sheet import Mark, MarkedPicture, Plate, jpeg, lay_out
from facings.data.adapters.layout import is_file
from facings.data.doctor.faults import Fault, Findings
from facings.data.doctor.geometry import box_fault, extent_of
from facings.data.doctor.page import FaultPicture, line
from facings.data.doctor.sources import Dataset, RawSplit, key
from facings.data.outlines import checked, to_rle
from facings.data.tables import RecognitionRow
from facings.errors import DataError
from facings.masks import CropMask, trimmed
from facings.runtime.images import MAX_PIXELS, read_image

HEIGHT, FAULT_HEIGHT = 480, 320
BOX, SECOND = "#d55e00", "#56b4e9"
PICTURES_A_KIND = 3


def browse(dataset: Dataset, *, split: str | None, count: int, seed: int) -> Image.Image:
    """A sheet of `count` pictures drawn at random, with what is annotated on each.

    Raises DataError for a split that the set has not got, or where no picture can be read.
    """
    rng = np.random.default_rng(seed)
    plates = list(_object_plates(dataset, split, count, rng)) or list(_crop_plates(dataset, split, count, rng))
    if not plates:
        names = [s.name for s in dataset.splits] + [row.split for table in dataset.tables for row in table.rows]
        raise DataError(
            f"{dataset.name}: no picture to show in split {split!r}; it has {', '.join(dict.fromkeys(names))}"
        )
    return lay_out(plates, f"{dataset.name}{f', {split}' if split else ''}: {len(plates)} pictures as annotated", {})


def worst_pictures(findings: Findings) -> list[FaultPicture]:
    """The first few of each kind that has a picture to show, with the faulty boxes marked."""
    shown = []
    for kind in findings.kinds():
        drawn = 0
        for fault in findings.of(kind):
            if drawn == PICTURES_A_KIND:
                break
            picture = _draw_fault(fault)
            if picture is not None:
                shown.append(picture)
                drawn += 1
    return shown


def _object_plates(dataset: Dataset, split: str | None, count: int, rng: np.random.Generator) -> Iterator[Plate]:
    frames = [(s, record) for s in dataset.splits if split in (None, s.name) for record in s.images]
    groups = {s.name: s.by_picture() for s in dataset.splits}
    for index in rng.permutation(len(frames)).tolist()[:count]:
        part, record = frames[index]
        yield _annotated(part, record, groups[part.name].get(key(record.get("id")), []))


def _annotated(split: RawSplit, record: dict[str, Any], annotations: Sequence[dict[str, Any]]) -> Plate:
    names = {key(c.get("id")): str(c.get("name")) for c in split.categories}
    order = {identifier: number for number, identifier in enumerate(names)}
    image, extent = _picture(split.path(record)), extent_of(record)
    caption = (f"{split.name}: {record.get('file_name')}, id {record.get('id')}, {len(annotations)} objects",)
    if image is None or extent is None:
        return _placeholder(caption)
    canvas = MarkedPicture(image, HEIGHT)
    labels = []
    for annotation in annotations:
        kind, box = box_fault(annotation.get("bbox"), extent)
        if kind in ("box-malformed", "box-no-area", "box-outside"):
            continue
        category = key(annotation.get("category_id"))
        colour = COLOURS[order.get(category, 0) % len(COLOURS)]
        mask = _mask(annotation, extent)
        if mask is not None:
            canvas.fill(mask, colour)
        canvas.box(np.array(box), Mark(colour))
        text = names.get(category, "?") if len(names) > 1 else str(annotation.get("product_id") or "")
        labels.append((box, f"{annotation.get('id')} {text}".strip(), colour))
    for box, text, colour in labels:
        canvas.label(np.array(box), text, colour)
    return Plate(canvas.picture, caption)


def _crop_plates(dataset: Dataset, split: str | None, count: int, rng: np.random.Generator) -> Iterator[Plate]:
    rows = [row for table in dataset.tables for row in table.rows if split in (None, row.split)]
    for index in rng.permutation(len(rows)).tolist()[:count]:
        yield _crop(rows[index])


def _crop(row: RecognitionRow) -> Plate:
    caption = (row.product_id, f"{row.split}/{row.role}, {'/'.join(row.category) or 'no category'}")
    image = _picture(row.path)
    if image is None:
        return _placeholder(caption)
    if row.corners is not None:
        left, top, right, bottom = (max(0, round(value)) for value in row.corners)
        image = np.ascontiguousarray(image[top : max(bottom, top + 1), left : max(right, left + 1)])
    return Plate(MarkedPicture(image, HEIGHT // 2).picture, caption) if image.size else _placeholder(caption)


def _mask(annotation: dict[str, Any], extent: tuple[float, float]) -> CropMask | None:
    width, height = round(extent[0]), round(extent[1])
    if width * height > MAX_PIXELS:
        return None
    usable, _ = checked(annotation.get("segmentation"), height, width)
    if usable is None:
        return None
    bits = np.asarray(coco_mask.decode(to_rle(usable, height, width))).reshape(height, width) > 0
    return trimmed(CropMask(0, 0, bits)) if bits.any() else None


def _draw_fault(fault: Fault) -> FaultPicture | None:
    """The picture of a fault, a twin beside it; None where there is none that can be read."""
    images = [_picture(Path(path)) for path in (fault.picture, fault.other) if path]
    readable = [image for image in images if image is not None]
    if not readable or len(readable) < len(images):
        return None
    drawn = []
    for image in readable:
        canvas = MarkedPicture(image, FAULT_HEIGHT)
        for number, box in enumerate(fault.boxes):
            canvas.box(np.array(box), Mark(BOX if number == 0 else SECOND, "solid" if number == 0 else "dashed"))
        drawn.append(canvas.picture)
    width = sum(picture.width for picture in drawn) + 6 * (len(drawn) - 1)
    sheet = Image.new("RGB", (width, max(picture.height for picture in drawn)), "#ffffff")
    left = 0
    for picture in drawn:
        sheet.paste(picture, (left, 0))
        left += picture.width + 6
    uri = "data:image/jpeg;base64," + base64.b64encode(jpeg(sheet)).decode()
    return FaultPicture(fault.kind, uri, sheet.width, sheet.height, line(fault.record()))


def _placeholder(caption: Sequence[str]) -> Plate:
    """In the place of a picture that cannot be read."""
    blank = Image.new("RGB", (HEIGHT, HEIGHT // 2), "#dddddd")
    ImageDraw.Draw(blank).line((0, 0, blank.width, blank.height), fill="#a3251b", width=3)
    return Plate(blank, [*caption, "cannot be read"])


def _picture(path: Path) -> NDArray[np.uint8] | None:
    try:
        return read_image(path) if is_file(path) else None
    except DataError:
        return None
