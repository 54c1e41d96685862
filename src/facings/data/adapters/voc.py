"""Pascal VOC → COCO: one XML a picture. Everingham et al.: "The Pascal Visual Object Classes Challenge", IJCV 2010.

`Annotations/*.xml`, `JPEGImages/`, splits in `ImageSets/Main/SPLIT.txt` (first word of a line: a stem). Without lists, folders
named train, val, test are splits, else all is `all`. Pixels of VOC count from 1 and both ends are inside: x1 = xmin − 1, x2 = xmax;
`one_based=false` for files whose tool counts from 0.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.coco_writer import CocoSet, Found, Sample
from facings.data.adapters.layout import Check, Pictures, below, lines_of, locate, pictures_below
from facings.errors import DataError

CORNERS = ("xmin", "ymin", "xmax", "ymax")
KNOWN_SPLITS = ("train", "val", "valid", "test")
CARD = Card(
    name="voc",
    title="your own boxes in Pascal VOC's format",
    task="detection",
    licence="yours",
    commercial="ask",
    images="yours",
    objects="yours",
    classes="yours",
    get="facings prepare dataset=voc source=FOLDER name=NAME",
    layout="Annotations/*.xml\nJPEGImages/*.jpg (or the pictures beside the XML)\nImageSets/Main/{train,val,test}.txt (optional)",
    faults=("tools differ on whether pixels count from 0 or 1: dataset.one_based",),
    source="Everingham et al.: The Pascal Visual Object Classes Challenge, IJCV 2010",
)


def convert(
    source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail", one_based: bool = True
) -> Report:
    """Convert every XML below `source`. Raises DataError where there is none, or for a list that names no XML at all."""
    return convert_voc(source, output, CARD, advance=advance, check=check, one_based=one_based)


def convert_voc(
    source: Path,
    output: Path,
    card: Card,
    *,
    advance: Advance,
    check: Check,
    one_based: bool,
    fields: Callable[[str], dict[str, object] | None] = lambda _: None,
) -> Report:
    """For sets that are laid out so. `fields`: from an object's name to what else its annotation holds."""
    report = Report()
    files = sorted(path for path in source.rglob("*.xml") if path.is_file())
    if not files:
        raise DataError(f"{source}: no XML; expected\n{card.layout}")
    pictures: dict[str, list[str]] = {}
    for path in pictures_below(source):
        for name in {path.name, path.stem}:
            pictures.setdefault(name, []).append(below(source, path))
    with CocoSet(output, report, Pictures(source, check), advance=advance) as made:
        for split, texts in _splits(source, files, report).items():
            made.write(split, _samples(texts, source, pictures, report, one_based, fields))
    return report


def _splits(source: Path, paths: list[Path], report: Report) -> dict[str, list[Path]]:
    """The XML files of each split: by the lists that name their stems, else by their folders."""
    lists = locate(source, "ImageSets/Main")
    found: dict[str, list[Path]] = {}
    if lists is not None:
        files: dict[str, Path] = {}
        for path in paths:
            if files.setdefault(path.stem, path) != path:
                report.fault(
                    "two XML of one name", f"{below(source, path)}: the lists mean {below(source, files[path.stem])}"
                )
        names = {path.stem for path in lists.glob("*.txt")}
        # trainval repeats train and val; CLASS_train.txt says which pictures hold a class.
        wanted: list[str] = [n for n in ("train", "val", "test") if n in names]
        wanted = wanted or [n for n in ("trainval",) if n in names]
        for name in wanted:
            entries = [line for _, line in lines_of(lists / f"{name}.txt")]
            # A stem may hold spaces; the lists of one class have a 1 or -1 behind it.
            stems = [line if line in files else line.rsplit(None, 1)[0] for line in entries]
            report.inputs.append(lists / f"{name}.txt")
            for stem in [s for s in stems if s not in files]:
                report.fault("listed without labels", f"{name}.txt: {stem} has no XML; left out")
            found[name] = [files[s] for s in stems if s in files]
        listed = {path for texts in found.values() for path in texts}
        for path in [p for p in files.values() if p not in listed] if wanted else ():
            report.fault("in no split", f"{path.name}: no list of {lists} names it; left out")
        if any(found.values()):
            return found
    for path in paths:
        parts = [part.lower() for part in path.relative_to(source).parts[:-1]]
        split = next((part for part in parts if part in KNOWN_SPLITS), "all")
        found.setdefault("val" if split == "valid" else split, []).append(path)
    return found


def _nearest(candidates: list[str], xml: Path) -> str | None:
    """Of pictures of one name the one whose folders are most like the XML's: two splits may number their pictures alike."""
    folders = set(xml.parts[:-1])
    return max(candidates, key=lambda name: len(folders & set(name.split("/")[:-1])), default=None)


def _samples(
    files: Iterable[Path],
    source: Path,
    pictures: dict[str, list[str]],
    report: Report,
    one_based: bool,
    fields: Callable[[str], dict[str, object] | None],
) -> Iterator[Sample]:
    for path in files:
        try:
            root = ElementTree.parse(path).getroot()
        # The parser knows few encodings, and names those that it lacks by errors of other kinds.
        except (ElementTree.ParseError, LookupError, ValueError) as fault:
            report.fault("unreadable XML", f"{path.name}: {fault}; left out")
            continue
        stated_name = Path((root.findtext("filename") or "").strip().replace("\\", "/")).name
        candidates = pictures.get(stated_name) or pictures.get(path.stem, [])
        name = _nearest(candidates, path.relative_to(source))
        if stated_name and stated_name not in pictures and name:
            report.fault("misnamed picture", f"{path.name} names {stated_name}, which is not there; {name} is used")
        size = [(root.findtext(f"size/{side}") or "").strip() for side in ("width", "height")]
        known = all(s.isdecimal() and len(s) < 10 and int(s) for s in size)
        stated = (int(size[0]), int(size[1])) if known else None
        objects = [
            _object(node, f"{path.name}, object {n}", one_based, fields)
            for n, node in enumerate(root.iter("object"), 1)
        ]
        yield Sample(name or stated_name or path.stem, objects, stated)


def _object(
    node: ElementTree.Element, where: str, one_based: bool, fields: Callable[[str], dict[str, object] | None]
) -> Found:
    name = (node.findtext("name") or "").strip() or "object"
    texts = [node.findtext(f"bndbox/{corner}") for corner in CORNERS]
    box: list[object] = list(texts)
    try:
        numbers = [float(str(text)) for text in texts]
        box = [numbers[0] - one_based, numbers[1] - one_based, numbers[2], numbers[3]]
    except ValueError:
        pass  # the writer says what is malformed
    kept = fields(name) or {}
    if (node.findtext("difficult") or "").strip() == "1":
        kept = kept | {"difficult": True}
    return Found(box, name, where, None, kept or None)  # type: ignore[arg-type]
