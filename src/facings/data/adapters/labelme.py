"""labelme → COCO: one JSON a picture. Layout: the repository wkentaro/labelme.

`shapes` of `label`, `shape_type` (rectangle, polygon; circle becomes its box), `points`, `group_id`; `imagePath` beside the JSON,
with backslashes from Windows; `imageData` (the picture once more) is not read. Shapes of one label and `group_id` are one object,
as labelme's own exporters read it. Folders named train, val, test are splits, else all is `all`.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facings.data.adapters.base import Advance, Card, Report, made_before, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import SUFFIXES, Check, Pictures, below
from facings.data.adapters.quads import around, floats
from facings.errors import DataError
from facings.files import is_file
from facings.strict_json import shown

KNOWN_SPLITS = ("train", "val", "valid", "test")
CARD = Card(
    name="labelme",
    title="your own annotations of labelme",
    task="detection",
    licence="yours",
    commercial="ask",
    images="yours",
    objects="yours",
    classes="yours",
    get="facings prepare dataset=labelme source=FOLDER name=NAME",
    layout="NAME.json beside NAME.jpg, in folders train, val, test or not",
    faults=("rectangles may be drawn from any corner", "points, lines and strips are no objects"),
    source="the repository wkentaro/labelme",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert every labelme JSON below `source`. Raises DataError where there is none."""
    report = Report()
    splits: dict[str, list[Path]] = {}
    made = made_before(output)
    for path in sorted(source.rglob("*.json")):
        if path.resolve() in made or not path.is_file():
            continue
        parts = [part.lower() for part in path.relative_to(source).parts[:-1]]
        split = next((part for part in parts if part in KNOWN_SPLITS), "all")
        splits.setdefault("val" if split == "valid" else split, []).append(path)
    with CocoSet(output, report, Pictures(source, check), advance=advance) as target:
        for split, paths in splits.items():
            target.write(split, _samples(paths, source, report))
    if not report.images:
        raise DataError(f"{source}: no labelme JSON; {'; '.join(report.faults[:2])}; expected\n{CARD.layout}")
    return report


def _samples(paths: list[Path], source: Path, report: Report) -> Iterator[Sample]:
    for path in paths:
        try:
            content = json.loads(path.read_text("utf-8-sig"))
        except (ValueError, RecursionError) as fault:
            report.fault("unreadable JSON", f"{below(source, path)}: {fault}; left out")
            continue
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            report.fault("no labelme file", f"{below(source, path)}: lacks the list 'shapes'; left out")
            continue
        stated = (content.get("imageWidth"), content.get("imageHeight"))
        size = stated if all(isinstance(side, int) and side > 0 for side in stated) else None
        yield Sample(_picture(content, path, source), list(_objects(content["shapes"], path, report)), size)  # type: ignore[arg-type]


def _picture(content: dict[str, Any], path: Path, source: Path) -> str:
    named = path.parent / str(content.get("imagePath") or "").replace("\\", "/")
    beside = [path.with_suffix(suffix) for suffix in SUFFIXES]
    for candidate in (named, path.parent / named.name, *beside):
        if is_file(candidate) and candidate.resolve().is_relative_to(source.resolve()):
            return candidate.resolve().relative_to(source.resolve()).as_posix()
    return below(source, path.parent / (named.name or f"{path.stem}.jpg"))


def _objects(shapes: list[Any], path: Path, report: Report) -> Iterator[Found]:
    """Shapes, those of a group joined."""
    groups: dict[Any, Found] = {}
    for number, shape in enumerate(shapes, start=1):
        where = f"{path.name}, shape {number}"
        found = _object(shape, where, report)
        if found is None:
            continue
        number_of_group = shape.get("group_id")
        group = (found.category, str(number_of_group))
        if number_of_group is None:
            yield found
        elif group in groups:
            first = groups[group]
            outlines = [*(first.segmentation or []), *(found.segmentation or [])]
            box = around([float(v) for v in (*first.box, *found.box)])
            groups[group] = Found(box, first.category, first.where, outlines or None)
        else:
            groups[group] = found
    yield from groups.values()


def _object(shape: Any, where: str, report: Report) -> Found | None:
    points = shape.get("points") if isinstance(shape, dict) else None
    pairs = [floats(point, 2) for point in points] if isinstance(points, list) else [None]
    if not isinstance(points, list) or None in pairs:
        report.fault("malformed shape", f"{where}: points are {shown(points)}; expected pairs of numbers; left out")
        return None
    kind, flat = str(shape.get("shape_type") or "polygon"), [v for pair in pairs for v in pair or ()]
    label = str(shape.get("label") or "object").strip()
    if kind == "rectangle" and len(points) in (2, 4):
        return Found(around(flat), label, where)
    if kind == "polygon" and len(points) >= 3:
        return Found(around(flat), label, where, [flat])
    if kind == "circle" and len(points) == 2:
        x, y = flat[:2]
        radius = math.dist(flat[:2], flat[2:])
        return Found((x - radius, y - radius, x + radius, y + radius), label, where)
    report.fault("shape that is no object", f"{where}: {kind} of {len(points)} points; left out")
    return None
