"""COCO JSON of your own → the project's tables: checked, splits named, pictures found. Lin et al.: "Microsoft COCO", ECCV 2014.

Every `*.json` below the folder that holds images, annotations and categories is a split, by name (`instances_train.json`,
`train.json`, `train/_annotations.coco.json`). Outlines (polygons, RLE), `product_id`, `camera_id` and `attributes` are kept.
"""

from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, made_before, silent
from facings.data.adapters.coco_source import LISTS, CocoText, mentions, samples, shared
from facings.data.adapters.coco_writer import CocoSet
from facings.data.adapters.layout import Check, NamedPictures, Pictures, below
from facings.errors import DataError
from facings.files import is_file

CARD = Card(
    name="coco",
    title="your own annotations in COCO's format",
    task="detection",
    licence="yours",
    commercial="ask",
    images="yours",
    objects="yours",
    classes="yours",
    get="facings prepare dataset=coco source=FOLDER name=NAME",
    layout="*.json with images, annotations, categories: a split each\nthe pictures in any folder below",
    faults=("crowd regions are left out",),
    source="Lin et al.: Microsoft COCO: Common Objects in Context, ECCV 2014",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert every annotation file below `source`. Raises DataError where none is, or where files define a class differently."""
    report = Report()
    files = _files(source, output)
    if not files:
        raise DataError(f"{source}: no JSON with images, annotations and categories; expected\n{CARD.layout}")
    texts = {split: CocoText(path) for split, path in files.items()}
    where = _Names(source, report)
    with CocoSet(output, report, Pictures(source, check), categories=shared(texts.values()), advance=advance) as made:
        for split, text in texts.items():
            report.inputs.append(text.path)
            names = where.of(split, text.path.parent)
            made.write(split, samples(text, report, file_name=names, fields=KEPT))
    return report


KEPT = ("camera_id", "captured_at", "level")


def _files(source: Path, output: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    made = made_before(output)
    for path in sorted(source.rglob("*.json")):
        if path.resolve() not in made and mentions(path, LISTS):
            split = _split(path)
            if split in found:
                raise DataError(
                    f"{path}: names the split {split!r}, as {found[split]} does; rename one, or move it away"
                )
            found[split] = path
    return found


def _split(path: Path) -> str:
    if path.name == "_annotations.coco.json":
        return "val" if path.parent.name == "valid" else path.parent.name
    stem = path.stem
    for word in (
        "instances_",
        "annotations_",
        "_annotations",
        "_instances",
        ".coco",
        "_coco",
        "instances",
        "annotations",
    ):
        stem = stem.replace(word, "")
    return stem.strip("._-") or "all"


class _Names:
    """From a file's own name of a picture to the one below the source."""

    def __init__(self, source: Path, report: Report) -> None:
        self.source, self.report, self.pictures = source, report, NamedPictures(source)

    def of(self, split: str, beside: Path) -> "_Finder":
        return _Finder(self, split, beside)


class _Finder:
    """The names of one split."""

    def __init__(self, names: _Names, split: str, beside: Path) -> None:
        self.names, self.split, self.beside = names, split, beside

    def __call__(self, name: str) -> str:
        name = name.replace("\\", "/")
        source = self.names.source
        for folder in (
            self.beside,
            self.beside / "images",
            self.beside / "images" / self.split,
            source,
            source / "images",
        ):
            # Where a name leads out of its folder, the picture is none of this set's.
            if is_file(folder / name) and ".." not in name.split("/") and (folder / name).is_relative_to(source):
                return below(source, folder / name)
        candidates = self.names.pictures.find(name)
        found = [c for c in candidates if f"/{self.split}/" in f"/{c}"] or candidates or [name]
        if len(found) > 1:
            self.names.report.fault(
                "two pictures of one name", f"{self.split}: {name} is {' or '.join(found[:3])}; the first is used"
            )
        return found[0]
