"""YOLO → COCO: one text a picture, boxes and polygons. Layout: the Ultralytics documentation, "Object Detection Datasets Overview".

`data.yaml` with `names` (a list, or number → name) and `train`, `val`, `test`: folders or lists of pictures, below `path` or the
YAML's own folder; without it `images/SPLIT` and names in `classes.txt`, if there. The labels of `…/images/x.jpg` are
`…/labels/x.txt`, lines `class cx cy w h` or `class x1 y1 x2 y2 …` (a polygon) in shares of the sides. A picture without
labels has no objects.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import Check, Pictures, is_folder, leaves, lines_of, opened, pictures_below
from facings.data.adapters.quads import around
from facings.errors import DataError
from facings.files import is_file

SPLITS = ("train", "val", "valid", "test")
CARD = Card(
    name="yolo",
    title="your own annotations in YOLO's format",
    task="detection",
    licence="yours",
    commercial="ask",
    images="yours",
    objects="yours",
    classes="yours",
    get="facings prepare dataset=yolo source=FOLDER name=NAME",
    layout="data.yaml   names, train, val, test\nimages/SPLIT/*.jpg, labels/SPLIT/*.txt   class cx cy w h, or class x1 y1 x2 y2 …",
    faults=("boxes are shares of the sides: five or six digits keep a hundredth of a pixel",),
    source="Ultralytics documentation: Object Detection Datasets Overview, Instance Segmentation Datasets Overview",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the splits of `data.yaml`, else of `images/`. Raises DataError where there is no picture folder."""
    report = Report()
    names, splits = _description(source, report)
    judge = Pictures(source, check)
    categories = {number + 1: name for number, name in names.items()}
    with CocoSet(output, report, judge, categories=categories, advance=advance) as made:
        for split, pictures in splits.items():
            made.write(split, _samples(pictures, source, judge, names, report))
    for text in _orphans([picture for pictures in splits.values() for picture in pictures]):
        report.fault("labels without picture", f"{_within(text, source) or text}: left out")
    return report


def _description(source: Path, report: Report) -> tuple[dict[int, str], dict[str, list[Path]]]:
    """Class names by number, and the pictures of each split."""
    described = sorted([*source.glob("*.yaml"), *source.glob("*.yml"), *source.glob("*/data.yaml")])
    # Trainings leave their settings beside: data.yaml first, then whatever names classes.
    described = (
        [p for p in described if p.stem == "data"]
        or [p for p in described if "names" in (_content(p) or {})]
        or described
    )
    if described:
        report.inputs.append(described[0])
        return _from_yaml(described[0], source, report)
    images = source / "images"
    if not images.is_dir():
        raise DataError(f"{source}: neither data.yaml nor a folder images; expected\n{CARD.layout}")
    names, lines = source / "classes.txt", []
    if names.is_file():
        with opened(names) as file:
            lines = file.read().splitlines()
    folders = {split: images / split for split in SPLITS if (images / split).is_dir()} or {"all": images}
    splits = {"val" if s == "valid" else s: list(pictures_below(folder)) for s, folder in folders.items()}
    return {number: line.strip() for number, line in enumerate(lines) if line.strip()}, splits


def _from_yaml(path: Path, source: Path, report: Report) -> tuple[dict[int, str], dict[str, list[Path]]]:
    content = _content(path)
    given = None if content is None else content.get("names")
    if content is None or not isinstance(given, list | dict):
        raise DataError(f"{path}: lacks 'names'; expected a list of class names, or number: name")
    numbered = dict(given.items() if isinstance(given, dict) else enumerate(given))
    if not all(str(number).isdecimal() for number in numbered):
        raise DataError(f"{path}: 'names' has the keys {list(numbered)[:5]}; expected class numbers from 0")
    names = {int(number): str(name) for number, name in numbered.items()}
    home = Path(str(content.get("path") or "."))
    roots = [path.parent / home, path.parent, source]
    splits: dict[str, list[Path]] = {}
    for split in SPLITS:
        entries = content.get(split)
        if entries is None:
            continue
        found: list[Path] = []
        for entry in entries if isinstance(entries, list) else [entries]:
            found += _pictures(str(entry), roots, path, source, report)
        splits["val" if split == "valid" else split] = found
    if not splits:
        raise DataError(f"{path}: names none of train, val, test; expected folders or lists of pictures")
    return names, splits


def _content(path: Path) -> dict[str, Any] | None:
    """What a YAML holds, None where it is no mapping. Raises DataError where it is no YAML."""
    import yaml

    try:
        with opened(path) as file:
            content = yaml.safe_load(file)
    # A date of the 99th is a ValueError, and brackets of a thousand levels are a RecursionError.
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise DataError(f"{path}: not YAML ({' '.join(str(fault).split())[:120]})") from fault
    return content if isinstance(content, dict) else None


def _pictures(entry: str, roots: list[Path], path: Path, source: Path, report: Report) -> list[Path]:
    # Exports of Roboflow say ../train/images, which lies beside the YAML.
    entry = entry.replace("\\", "/")
    for root in roots:
        for candidate in (root / entry, root / entry.removeprefix("../")):
            if is_folder(candidate):
                return list(pictures_below(candidate))
            if is_file(candidate):
                names = [name.replace("\\", "/") for _, name in lines_of(candidate)]
                homes = (source, *roots, candidate.parent)
                return [next((r / n for r in homes if is_file(r / n)), source / n) for n in names]
    report.fault("missing split", f"{path.name}: {entry} is neither a folder nor a list; left out")
    return []


def _samples(
    pictures: list[Path], source: Path, judge: Pictures, names: dict[int, str], report: Report
) -> Iterator[Sample]:
    for picture in pictures:
        name = _within(picture, source)
        if name is None:
            report.fault("picture elsewhere", f"{picture}: not below {source}; left out")
            continue
        size, _ = judge.size(name)
        labels = _labels(picture)
        objects = list(_objects(labels, size, names)) if labels is not None and size is not None else []
        yield Sample(name, objects)


def _within(path: Path, source: Path) -> str | None:
    """The name of a file below `source`, whatever way leads there; None for one elsewhere."""
    name = os.path.relpath(path, source)
    return None if leaves(name) else Path(name).as_posix()


def _labels(picture: Path) -> Path | None:
    """`…/labels/x.txt` of `…/images/x.jpg`, else the text beside it; None where there is none."""
    for folder in (_label_folder(picture.parent), picture.parent):
        if folder is not None and is_file(folder / f"{picture.stem}.txt"):
            return folder / f"{picture.stem}.txt"
    return None


def _label_folder(pictures: Path) -> Path | None:
    """`…/labels/…` of `…/images/…`; None for a folder that is not below one called images."""
    parts = list(pictures.parts)
    places = [i for i, part in enumerate(parts) if part == "images"]
    if not places:
        return None
    parts[places[-1]] = "labels"
    return Path(*parts)


def _orphans(pictures: list[Path]) -> Iterator[Path]:
    """Labels whose picture is not there, of the folders that the pictures' labels lie in."""
    for folder in sorted({picture.parent for picture in pictures}):
        labels = _label_folder(folder)
        if labels is None or not is_folder(labels) or not is_folder(folder):
            continue
        stems = {p.stem for p in folder.iterdir()}
        yield from (
            text for text in sorted(labels.glob("*.txt")) if text.stem not in stems and text.name != "classes.txt"
        )


def _objects(path: Path, size: tuple[int, int], names: dict[int, str]) -> Iterator[Found]:
    width, height = size
    for number, line in lines_of(path):
        label, values = _numbers(line.split(), path, number)
        # A class without a name is one that the set does not define, where it defines any.
        category: int | str = label + 1 if names else f"class {label}"
        where, outline, box = f"{path.name}, line {number}", None, values
        if len(values) == 4:
            x, y, w, h = values
            box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
        else:
            points = [v * (height if i % 2 else width) for i, v in enumerate(values)]
            box, outline = around(points), [[round(v, 3) for v in points]]
        yield Found(box, category, where, outline)


def _numbers(words: list[str], path: Path, number: int) -> tuple[int, list[float]]:
    try:
        label, values = int(float(words[0])), [float(word) for word in words[1:]]
    except (ValueError, OverflowError):
        label, values = -1, []
    if label < 0 or not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
        shown = " ".join(words)
        got = shown if len(shown) < 80 else f"{shown[:77]}…"
        raise DataError(f"{path}, line {number}: {got!r}; expected 'class cx cy w h' or 'class x1 y1 x2 y2 x3 y3 …'")
    return label, values
