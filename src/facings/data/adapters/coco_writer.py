"""COCO instances written to disk picture by picture: memory does not grow with the boxes.

Adapters hand over samples; this file judges pictures and boxes, lists faults and writes. Knows nothing of any one dataset.
"""

import json
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from facings.data.adapters.base import Advance, Report, silent
from facings.data.adapters.layout import Pictures
from facings.strict_json import shown

# Boxes may leave their picture by so many pixels without a word: annotation tools count borders differently.
BORDER = 1.0
# Of a file name that is not UTF-8: what Python makes of its bytes is written as JSON's own escape.
ESCAPED = "backslashreplace"


@dataclass(slots=True)
class Found:
    """An object as its annotation has it. `box`: xyxy pixels. `category`: a name, or an id of the set's own categories (None: no
    usable one).

    `where`: file and line, for faults. `segmentation`: COCO polygons or RLE. `fields`: what else goes into the annotation.
    """

    box: Sequence[float | str]
    category: int | str | None
    where: str
    segmentation: Any = None
    fields: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Sample:
    """A picture and its objects. `file_name`: relative to the pictures' root; `stated`: width, height if annotated."""

    file_name: str
    objects: list[Found]
    stated: tuple[int, int] | None = None
    image_id: int | None = None
    fields: Mapping[str, Any] | None = None


@dataclass
class _Split:
    """The open files of a split."""

    images: IO[str]
    annotations: IO[str]
    ids: dict[str, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    next_image: int = 1
    next_object: int = 1
    classes: Counter[int] = field(default_factory=Counter)


class CocoSet:
    """Writes `output/instances_SPLIT.json` of every split when the block ends well; all have the same categories.

    `categories`: id → name (or a dict with `name` and more) where the set defines them, also those without an object; names
    that are not among them get the next id in the order in which they are met.

    A picture that is missing or unreadable is left out with its objects; an object whose box is no four finite numbers, is
    turned around, has no area or lies outside is left out; one that leaves its picture is clipped. Each is a fault of `report`.
    """

    def __init__(
        self,
        output: Path,
        report: Report,
        pictures: Pictures,
        *,
        categories: Mapping[int, str | Mapping[str, Any]] | None = None,
        advance: Advance = silent,
    ) -> None:
        self.output, self.report, self.pictures, self.advance = output, report, pictures, advance
        self.categories: dict[int, dict[str, Any]] = {}
        self.number: dict[str, int] = {}
        for identifier, given in (categories or {}).items():
            entry = {"name": given} if isinstance(given, str) else dict(given)
            self.categories[identifier] = {"id": identifier, **entry}
            self.number.setdefault(str(entry["name"]), identifier)
        self.splits: dict[str, _Split] = {}
        self._stack = ExitStack()
        report.pictures = pictures.root

    def __enter__(self) -> "CocoSet":
        self.output.mkdir(parents=True, exist_ok=True)
        self._home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=self.output, prefix=".prepare.")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for split in self.splits.values():
                split.images.close()
                split.annotations.close()
            if kind is None:
                self._finish()
        finally:
            self._stack.close()

    def write(self, split: str, samples: Iterable[Sample]) -> None:
        """Append samples to a split. A picture that comes again gets its further objects."""
        target = self._open(split)
        for sample in samples:
            self._sample(split, target, sample)
            self.advance(1)

    def _open(self, split: str) -> _Split:
        if split not in self.splits:
            parts = [self._home / f"{split}.{part}" for part in ("images", "annotations")]
            images, annotations = (part.open("w", encoding="utf-8", errors=ESCAPED) for part in parts)
            self.splits[split] = _Split(images, annotations)
        return self.splits[split]

    def _sample(self, split: str, target: _Split, sample: Sample) -> None:
        stored = self.pictures.as_stored(sample.file_name)
        if stored != sample.file_name and stored not in target.ids:
            self.report.fault("misnamed picture", f"{split}: {sample.file_name} is not there; {stored} is used")
        sample = replace(sample, file_name=stored)
        size, wrong = self.pictures.size(sample.file_name, sample.stated)
        kind = wrong.partition(" (")[0]
        if size is None:
            self.report.fault(
                kind, f"{split}: {sample.file_name}: {wrong}; left out with its {len(sample.objects)} objects"
            )
            return
        if wrong and sample.file_name not in target.ids:
            self.report.fault(kind, f"{split}: {sample.file_name}: {wrong}; the picture's own size is used")
        image = self._image(split, target, sample, size)
        lines = [line for found in sample.objects if (line := self._object(target, found, image, size))]
        if lines:
            target.annotations.write(("" if target.next_object == len(lines) + 1 else ",\n") + ",\n".join(lines))
            self.report.objects[split] += len(lines)

    def _image(self, split: str, target: _Split, sample: Sample, size: tuple[int, int]) -> int:
        known = target.ids.get(sample.file_name)
        if known is not None:
            return known
        identifier = sample.image_id
        if identifier is None or identifier in target.used:
            if identifier is not None:
                self.report.fault(
                    "repeated image id", f"{split}: {sample.file_name}: id {identifier} is taken; numbered anew"
                )
            while target.next_image in target.used:
                target.next_image += 1
            identifier = target.next_image
        record = {"id": identifier, "file_name": sample.file_name, "width": size[0], "height": size[1]}
        line = json.dumps(record | dict(sample.fields or {}), ensure_ascii=False)
        target.images.write((",\n" if target.used else "") + line)
        target.ids[sample.file_name] = identifier
        target.used.add(identifier)
        self.report.images[split] += 1
        return identifier

    def _object(self, target: _Split, found: Found, image: int, size: tuple[int, int]) -> str | None:
        """The annotation as a line of JSON, or None with a fault noted."""
        category = self._category(found)
        box = None if category is None else self._box(found, size)
        if category is None or box is None:
            return None
        x1, y1, x2, y2 = box
        extra, area = "", (x2 - x1) * (y2 - y1)
        if found.segmentation:
            extra, area = self._outline(found, size, area)
        if found.fields:
            extra += "".join(f', "{k}": {json.dumps(v, ensure_ascii=False)}' for k, v in found.fields.items())
        numbers = ", ".join(map(_plain, (x1, y1, x2 - x1, y2 - y1)))
        line = (
            f'{{"id": {target.next_object}, "image_id": {image}, "category_id": {category}, "bbox": [{numbers}], '
            f'"area": {_plain(area)}, "iscrowd": 0{extra}}}'
        )
        target.next_object += 1
        target.classes[category] += 1
        return line

    def _category(self, found: Found) -> int | None:
        if isinstance(found.category, str):
            number = self.number.get(found.category)
            if number is None:
                number = max(self.categories, default=0) + 1
                self.number[found.category] = number
                self.categories[number] = {"id": number, "name": found.category}
            return number
        if found.category is None or found.category not in self.categories:
            known = f"{min(self.categories)} … {max(self.categories)}" if self.categories else "none"
            self.report.fault(
                "unknown category", f"{found.where}: {shown(found.category)}; defined are {known}; left out"
            )
            return None
        return found.category

    def _box(self, found: Found, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
        try:
            x1, y1, x2, y2 = map(float, found.box)
        except (TypeError, ValueError, OverflowError):
            self.report.fault("malformed box", f"{found.where}: {shown(found.box)}; expected four numbers; left out")
            return None
        width, height = size
        if 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height:
            return x1, y1, x2, y2
        corners = f"({x1:g}, {y1:g}, {x2:g}, {y2:g})"
        if not (math.isfinite(x1) and math.isfinite(y1) and math.isfinite(x2) and math.isfinite(y2)):
            self.report.fault("malformed box", f"{found.where}: {corners}; expected finite numbers; left out")
            return None
        if x2 <= x1 or y2 <= y1:
            kind = "box without area" if x2 == x1 or y2 == y1 else "box turned around"
            self.report.fault(kind, f"{found.where}: {corners}; left out")
            return None
        clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
            self.report.fault("box outside", f"{found.where}: {corners} in a picture of {width} x {height}; left out")
            return None
        if max(abs(a - b) for a, b in zip(clipped, (x1, y1, x2, y2), strict=True)) > BORDER:
            self.report.fault("box leaves its picture", f"{found.where}: {corners} in {width} x {height}; clipped")
        return clipped

    def _outline(self, found: Found, size: tuple[int, int], box_area: float) -> tuple[str, float]:
        # The mask library is not loaded for sets of boxes.
        from facings.data.outlines import checked, mask_area

        usable, wrong = checked(found.segmentation, size[1], size[0])
        if wrong:
            self.report.fault(
                "malformed outline", f"{found.where}: {wrong}; {'the rest' if usable else 'the box alone'} is used"
            )
        if usable is None:
            return "", box_area
        return f', "segmentation": {json.dumps(usable)}', mask_area(usable, size[1], size[0])

    def _finish(self) -> None:
        """Join the parts of each split to one file, beside and then renamed."""
        met: Counter[int] = Counter()
        for name, split in self.splits.items():
            met.update(split.classes)
            self.report.classes[name] = len(split.classes)
            if not split.used:
                self.report.fault("empty split", f"{name}: no usable picture; no file is written")
                continue
            path = self.output / f"instances_{name}.json"
            beside = self._home / path.name
            categories = json.dumps(list(self.categories.values()), ensure_ascii=False)
            with beside.open("w", encoding="utf-8", errors=ESCAPED) as file:
                file.write(f'{{"categories": {categories},\n"images": [\n')
                for part in ("images", "annotations"):
                    with (self._home / f"{name}.{part}").open(encoding="utf-8") as lines:
                        shutil.copyfileobj(lines, file, 1 << 20)
                    file.write('\n],\n"annotations": [\n' if part == "images" else "\n]}\n")
            beside.replace(path)
            self.report.outputs.append(path)
        for identifier in sorted(set(self.categories) - set(met)):
            self.report.fault("empty class", f"{self.categories[identifier]['name']!r} has no object in any split")


def _plain(value: float) -> str:
    """A number with at most three digits behind the point, without any where it is whole.

    >>> _plain(12.0), _plain(12.34567), _plain(-0.0)
    ('12', '12.346', '0')
    """
    if not value.is_integer():
        value = round(value, 3)
    return str(int(value)) if value.is_integer() else str(value)
