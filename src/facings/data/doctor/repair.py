"""A corrected copy of the annotations, and a log of every change. The source is only read; pictures are not copied.

Mended is what has one right answer. What needs a person's judgement (an outline far from its box, one object under two
labels, near-identical pictures) is left as it is and said so in the log.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facings.data.adapters.base import RECORD, readable
from facings.data.doctor.appearance import turn_fault
from facings.data.doctor.examination import Examination
from facings.data.doctor.faults import KINDS
from facings.data.doctor.geometry import box_fault, doubles, extent_of
from facings.data.doctor.identities import folded, whole_number
from facings.data.doctor.leaks import identical_groups, tested
from facings.data.doctor.listing import listing
from facings.data.doctor.pictures import Picture
from facings.data.doctor.sources import RawSplit, key
from facings.data.outlines import checked
from facings.data.tables import RecognitionTable, write_recognition_table
from facings.errors import DataError
from facings.files import atomic_write

SCHEMA = "facings.repair/1"
BY_HAND = ("box-two-labels", "mask-not-in-box", "mask-missing", "label-conflict", "leak-near", "leak-sequence", "image-size-wrong",
           "exif-turned", "class-not-trained", "category-two-paths", "over-capacity", "licence-forbids", "licence-unclear",
           "categories-differ", "image-elsewhere")  # fmt: skip


@dataclass
class Log:
    """`changes`: one line each, in order; `dropped`: picture files that the copy no longer lists, by split."""

    changes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        self.changes.append(f"{kind}: {what}")


def repair(examination: Examination, output: Path) -> Log:
    """Write the corrected copy, `repair.json`, `dropped_images.txt`, `prepare.json` (where the pictures are), the licence.

    Raises DataError where `output` is a folder of the source, or already holds something.
    """
    dataset, output = examination.dataset, output.resolve()
    homes = {split.source.parent.resolve() for split in dataset.splits}
    homes |= {Path(table.source).resolve().parent for table in dataset.tables}
    if output in homes or (output.exists() and not (output.is_dir() and not any(output.iterdir()))):
        raise DataError(f"{output}: --fix writes a copy beside the source; give a folder that is not there yet")
    log = Log()
    leaked = _leaked(examination)
    folders: dict[str, str] = {}
    for split in dataset.splits:
        content = mend(split, examination.pictures, leaked, log)
        atomic_write(output / split.source.name, readable(json.dumps(content, ensure_ascii=False)) + "\n")
        folders[split.name] = str(split.images_folder.resolve())
    for table in dataset.tables:
        write_recognition_table(_mended_rows(table, examination.pictures, leaked, log), output / "recognition.csv")
    found = examination.findings.counts
    by_hand = {kind: found[kind] for kind in BY_HAND if found[kind]}
    record = {"schema": SCHEMA, "dataset": dataset.name, "source": examination.checksums(), "counts": dict(log.counts)}
    record |= {"left_for_a_person": {k: f"{n} ({KINDS[k].advice})" for k, n in by_hand.items()}, "changes": log.changes}
    atomic_write(output / "repair.json", readable(json.dumps(record, indent=1, ensure_ascii=False)) + "\n")
    lines = [f"{split}\t{name}" for split, names in log.dropped.items() for name in names]
    atomic_write(output / "dropped_images.txt", readable("".join(f"{line}\n" for line in lines)))
    # The copy is known by the card of what it is a copy of, and under its licence.
    card = None if dataset.card is None else asdict(dataset.card)
    about = {"schema": "facings.prepare/1", "images": folders or None, "card": card}
    atomic_write(output / RECORD, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    if dataset.licence:
        atomic_write(output / "LICENSE", readable(dataset.licence) + "\n")
    return log


def mend(split: RawSplit, pictures: Mapping[Path, Picture], leaked: set[tuple[str, Path]], log: Log) -> dict[str, Any]:
    """The content of one split, corrected. `leaked`: pictures to take out, by split and file."""
    categories, merged = _categories(split, log)
    images = _images(split, pictures, leaked, log)
    groups = split.by_picture()
    for identifier in groups.keys() - {key(record.get("id")) for record in split.images}:
        for annotation in groups[identifier]:
            log.note("image-unknown", f"{split.name}: annotation {annotation.get('id')} dropped")
    annotations: list[dict[str, Any]] = []
    for record in images:
        own = groups.get(key(record.get("id")), [])
        annotations += _annotations(own, record, split, merged, pictures.get(split.path(record)), log)
    ids = Counter(key(annotation.get("id")) for annotation in annotations)
    if any(count > 1 for count in ids.values()) or not all(whole_number(i) for i in ids):
        log.note("annotation-id-repeated", f"{split.name}: {len(annotations)} annotations numbered anew from 1")
        annotations = [a | {"id": number} for number, a in enumerate(annotations, start=1)]
    sized = [_sized(record, pictures.get(split.path(record))) for record in images]
    return {**split.content, "images": sized, "annotations": annotations, "categories": categories}


def _categories(split: RawSplit, log: Log) -> tuple[list[dict[str, Any]], dict[Any, Any]]:
    """The categories without doubles, and for each id the one that stands for it."""
    kept: dict[str, dict[str, Any]] = {}
    merged: dict[Any, Any] = {}
    for record in split.categories:
        identifier = key(record.get("id"))
        if not whole_number(identifier) or identifier in merged:
            kind = "category-id-repeated" if identifier in merged else "id-not-whole"
            log.note(kind, f"{split.name}: category {record.get('name')!r} of id {identifier!r} dropped")
            continue
        first = kept.setdefault(folded(record.get("name")), record)
        if first is not record:
            log.note("category-name-twice", f"{split.name}: category id {identifier} joined to {first['id']}")
        merged[identifier] = first["id"]
    return list(kept.values()), merged


def _images(
    split: RawSplit, pictures: Mapping[Path, Picture], leaked: set[tuple[str, Path]], log: Log
) -> list[dict[str, Any]]:
    """The records of usable pictures. Which boxes belong to which of two pictures of one id nobody can say: both go."""
    ids = Counter(key(record.get("id")) for record in split.images)
    files: set[str] = set()
    kept = []
    for record in split.images:
        name, picture = str(record.get("file_name", "")), pictures.get(split.path(record))
        kind = ""
        if not whole_number(record.get("id")):
            kind = "id-not-whole"
        elif ids[key(record.get("id"))] > 1:
            kind = "image-id-repeated"
        elif name in files:
            kind = "file-listed-twice"
        elif picture is not None and picture.state != "read":
            kind = f"image-{picture.state}"
        elif (split.name, split.path(record)) in leaked:
            kind = "leak-identical"
        if kind:
            log.note(kind, f"{split.name}: picture {name} (id {record.get('id')!r}) dropped with its boxes")
            log.dropped.setdefault(split.name, []).append(name)
            continue
        files.add(name)
        kept.append(record)
    return kept


def _annotations(
    own: list[dict[str, Any]],
    record: Mapping[str, Any],
    split: RawSplit,
    merged: Mapping[Any, Any],
    picture: Picture | None,
    log: Log,
) -> list[dict[str, Any]]:
    """The usable annotations of one picture, clipped, each object once."""
    extent = extent_of(_sized(record, picture))
    rotated = picture is not None and _is_rotated(record, picture)
    kept: list[dict[str, Any]] = []
    corners: list[tuple[float, float, float, float]] = []
    for annotation in own:
        name = f"{split.name}: annotation {annotation.get('id')}"
        if key(annotation.get("category_id")) not in merged:
            log.note("category-unknown", f"{name} dropped")
            continue
        made = {**annotation, "category_id": merged[key(annotation["category_id"])]}
        if rotated and picture is not None:
            made = _turn(made, picture)
            log.note("exif-rotated", f"{name} turned as EXIF says")
        kind, clipped = ("", (0.0,) * 4) if extent is None else box_fault(made.get("bbox"), extent)
        if kind in ("box-malformed", "box-no-area", "box-outside"):
            log.note(kind, f"{name} dropped, bbox {annotation.get('bbox')}")
            continue
        if kind == "box-leaves":
            made["bbox"] = [clipped[0], clipped[1], clipped[2] - clipped[0], clipped[3] - clipped[1]]
            log.note(kind, f"{name} clipped from {annotation.get('bbox')} to {made['bbox']}")
        if extent is not None:
            _mend_outline(made, extent, name, log)
            _mend_area(made, name, log)
        kept.append(made)
        corners.append((clipped[0], clipped[1], clipped[2], clipped[3]))
    labels = [annotation["category_id"] for annotation in kept]
    whole = [i for i, annotation in enumerate(kept) if not annotation.get("iscrowd")]
    boxes = np.array([corners[i] for i in whole], np.float32).reshape(-1, 4)
    doubled = {whole[second] for _, second, same in doubles(boxes, [labels[i] for i in whole]) if same}
    for index in sorted(doubled):
        log.note(
            "box-duplicate", f"{split.name}: annotation {kept[index].get('id')} dropped, its object has another box"
        )
    return [annotation for index, annotation in enumerate(kept) if index not in doubled]


def _mend_outline(annotation: dict[str, Any], extent: tuple[float, float], name: str, log: Log) -> None:
    """Drop what cannot be read of an outline, clip what leaves the picture."""
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return
    usable, fault = checked(segmentation, round(extent[1]), round(extent[0]))
    if fault:
        log.note("mask-malformed", f"{name}: {fault}, {'that part' if usable else 'the outline'} dropped")
    if isinstance(usable, list):
        limits = np.array(extent)
        clipped = [np.clip(np.reshape(polygon, (-1, 2)), 0, limits).ravel().tolist() for polygon in usable]
        if clipped != [[float(v) for v in polygon] for polygon in usable]:
            log.note("mask-outside", f"{name}: outline clipped to the picture")
            usable = clipped
    annotation["segmentation"] = usable if usable is not None else []


def _mend_area(annotation: dict[str, Any], name: str, log: Log) -> None:
    """An area beyond its box's becomes the box's; without one it stays without."""
    area, (_, _, width, height) = annotation.get("area"), annotation["bbox"]
    if area is not None and not (isinstance(area, int | float) and 0 < area <= width * height):
        annotation["area"] = width * height
        log.note("area-wrong", f"{name}: area {area} becomes that of its box")


def _is_rotated(record: Mapping[str, Any], picture: Picture) -> bool:
    extent = extent_of(record)
    return extent is not None and turn_fault(picture, (round(extent[0]), round(extent[1]))) == "exif-rotated"


def _sized(record: Mapping[str, Any], picture: Picture | None) -> dict[str, Any]:
    """The record with the size as EXIF turns it; other wrong sizes stay, for nobody knows what the boxes are of."""
    if picture is None or picture.state != "read" or not _is_rotated(record, picture):
        return dict(record)
    return {**record, "width": picture.shown[0], "height": picture.shown[1]}


def _turn(annotation: dict[str, Any], picture: Picture) -> dict[str, Any]:
    """Box and polygons of the stored picture → of the picture as EXIF shows it. RLE outlines are dropped."""
    made = dict(annotation)
    box = annotation.get("bbox")
    if isinstance(box, list) and len(box) == 4:
        x, y, width, height = box
        ends = _turned([x, y, x + width, y + height], picture)
        left, top = min(ends[0], ends[2]), min(ends[1], ends[3])
        made["bbox"] = [left, top, abs(ends[2] - ends[0]), abs(ends[3] - ends[1])]
    outline = annotation.get("segmentation")
    if isinstance(outline, list):
        made["segmentation"] = [_turned(p, picture) if isinstance(p, list) and len(p) % 2 == 0 else p for p in outline]
    elif outline:
        made["segmentation"] = []
    return made


def _turned(points: list[float], picture: Picture) -> list[float]:
    """x, y, x, y … in the stored picture → as shown, for the orientations that swap width and height."""
    width, height = picture.width, picture.height
    maps = {
        5: lambda x, y: (y, x),
        6: lambda x, y: (height - y, x),
        7: lambda x, y: (height - y, width - x),
        8: lambda x, y: (y, width - x),
    }
    turn = maps[picture.orientation]
    return [value for x, y in zip(points[::2], points[1::2], strict=True) for value in turn(x, y)]


def _leaked(examination: Examination) -> set[tuple[str, Path]]:
    """Of pictures that are in several splits, those to take out: training's, so that tests stay comparable; within a split
    all but the first."""
    found: set[tuple[str, Path]] = set()
    for part in listing(examination.dataset) if examination.pictures else []:
        for group in identical_groups(part, examination.pictures):
            order = sorted(group, key=lambda entry: (entry.split == "train", entry.role == "train"))
            first = order[0]
            for other in order[1:]:
                if (other.split != first.split and tested(first, other)) or (
                    other.split == first.split and other.path != first.path
                ):
                    found.add((other.split, other.path))
    return found


def _mended_rows(
    table: RecognitionTable, pictures: Mapping[Path, Picture], leaked: set[tuple[str, Path]], log: Log
) -> list[Any]:
    """The rows of readable pictures that are in no other split, each once, with paths that hold wherever the copy lies."""
    rows, seen = [], set()
    for row in table.rows:
        picture = pictures.get(row.path)
        kind = ""
        if picture is not None and picture.state != "read":
            kind = f"image-{picture.state}"
        elif (row.split, row.path) in leaked:
            kind = "leak-identical"
        elif (row.path, row.box, row.split, row.role, row.product_id) in seen:
            kind = "row-repeated"
        elif picture is not None and row.box:
            fault, _ = box_fault(list(row.box), picture.shown)
            kind = fault if fault in ("box-malformed", "box-no-area", "box-outside") else ""
        if kind:
            log.note(kind, f"{row.split}: row of {row.path.name} ({row.product_id}) dropped")
            log.dropped.setdefault(row.split, []).append(row.path.name)
            continue
        seen.add((row.path, row.box, row.split, row.role, row.product_id))
        rows.append(type(row)(**{**row.__dict__, "path": row.path.resolve()}))
    return rows
