"""`facings data check | browse | augment | export`: what a dataset holds, what is wrong with it, what it looks like."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from facings.data.adapters.base import RECORD, readable
from facings.data.doctor.examination import Examination, examine, picture_count
from facings.data.doctor.faults import KINDS, SEVERITIES
from facings.data.doctor.page import three
from facings.data.doctor.sources import Dataset, find_card, licence_text, open_dataset, read_raw, read_table
from facings.errors import ConfigError, DataError
from facings.files import atomic_write, is_file

# What a writer of another format cannot make sense of.
UNWRITABLE = ("image-id-repeated", "category-id-repeated", "id-not-whole", "image-unknown", "category-unknown", "categories-differ",
              "box-malformed", "box-no-area", "box-outside", "file-listed-twice", "image-size-wrong",
              "image-elsewhere")  # fmt: skip
# Modules of `data/formats`, each with a function `write_NAME`.
FORMATS = ("coco", "yolo", "voc", "datumaro", "fiftyone")
# What a split's figures are called.
SIZES = {
    "image_width": "picture width",
    "image_height": "picture height",
    "box_width": "box width",
    "box_height": "box height",
    "aspect": "width : height",
    "neighbour_gap": "gap to the nearest",
    "mask_size": "outline's side",
    "mask_share_of_box": "outline in its box",
}
STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def main(words: Sequence[str]) -> int:
    """Run one of the four. Returns 0, or 1 where the check found errors (with --strict: warnings).

    Raises ConfigError or DataError for what the user can mend, a folder that may not be read or written among it.
    """
    try:
        if list(words[:1]) == ["augment"] and "-h" not in words and "--help" not in words:
            from facings.commands.data_augment import augment

            sys.stdout.write(f"{augment(words[1:])}\n")
            return 0
        options = _parser().parse_args(list(words))
        run = {"check": _check, "browse": _browse, "export": _export}[options.action]
        return run(options)
    except OSError as fault:
        if fault.strerror is None:
            raise
        where = f"{fault.filename}: " if fault.filename else ""
        raise DataError(f"{where}{fault.strerror}") from fault


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="facings data", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="check|browse|augment|export")
    check = actions.add_parser("check", help="figures and faults; exits with 1 where a fault spoils training")
    _add_source(check)
    check.add_argument(
        "--use", choices=["research", "commercial"], default="research", help="what it shall be used for"
    )
    check.add_argument("--capacity", type=int, default=1000, help="objects that a detector reports in a picture")
    check.add_argument("--no-pixels", action="store_true", help="do not open the pictures: seconds instead of minutes")
    check.add_argument("--workers", type=int, default=1, help="threads that decode pictures")
    check.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    check.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found")
    check.add_argument("--html", type=Path, metavar="FILE", help="write a page with the pictures of the worst")
    check.add_argument("--fix", type=Path, metavar="FOLDER", help="write a corrected copy of the annotations and a log")
    browse = actions.add_parser("browse", help="a sheet of pictures with boxes, outlines and ids")
    _add_source(browse)
    browse.add_argument("--split", help="only this one")
    browse.add_argument("--count", type=int, default=12, help="pictures on the sheet")
    browse.add_argument("--seed", type=int, default=0, help="which pictures")
    browse.add_argument("--output", type=Path, metavar="FILE", help="default: NAME_browse.jpg")
    augment = actions.add_parser(
        "augment", help="what training sees: facings data augment NAME, or experiment=detection/quickstart"
    )
    augment.add_argument("name", nargs="?", help="a folder below paths.data_dir, seen through the usual transforms")
    augment.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for facings train; output=FILE.jpg")
    augment.add_argument("--data-dir", type=Path, help="the same as paths.data_dir=DIR")
    augment.add_argument("--output", type=Path, metavar="FILE", help="the same as output=FILE; default: augmented.jpg")
    export = actions.add_parser("export", help="write a detection set in another format, with its pictures")
    _add_source(export)
    export.add_argument("--format", choices=[*FORMATS], required=True)
    export.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    export.add_argument(
        "--pictures", choices=["copy", "link", "none"], default="copy", help="what becomes of the pictures"
    )
    export.add_argument("--polygons", action="store_true", help="yolo: outlines instead of boxes")
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a folder below --data-dir")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--annotations", type=Path, nargs="+", metavar="FILE", help="COCO files instead, one a split")
    parser.add_argument("--images", type=Path, metavar="DIR", help="their pictures")
    parser.add_argument("--table", type=Path, metavar="CSV", help="a recognition table instead")


def _source(options: argparse.Namespace) -> Dataset:
    """What the options name. Raises ConfigError unless it is one thing."""
    given = [bool(options.name), bool(options.annotations), bool(options.table)]
    if sum(given) != 1 or bool(options.annotations) != bool(options.images):
        raise ConfigError("give a NAME below --data-dir, or --annotations FILE --images DIR, or --table CSV")
    if options.table:
        table = read_table(options.table)
        home = options.table.parent
        return Dataset(options.table.stem, (), (table,), find_card(home.name, home), licence_text(home))
    if options.annotations:
        splits = tuple(read_raw(path, options.images) for path in options.annotations)
        names = [split.name for split in splits]
        if len(set(names)) < len(names):
            raise ConfigError(f"--annotations: two files are of the split {names[0]!r}; name them instances_SPLIT.json")
        home = options.annotations[0].parent
        return Dataset(home.resolve().name, splits, (), find_card(home.name, home), licence_text(home))
    return open_dataset(options.data_dir / options.name, Path(options.name).name)


def _check(options: argparse.Namespace) -> int:
    if options.fix and options.no_pixels:
        raise ConfigError("--fix with --no-pixels: pictures that cannot be read would stay; leave one out")
    if options.capacity < 1 or options.workers < 1:
        raise ConfigError("--capacity and --workers: expected 1 or more")
    dataset = _source(options)
    for target in filter(None, (options.json, options.html)):
        _spare(dataset, target)
    console = Console()
    count = 0 if options.no_pixels else picture_count(dataset)
    with Progress(console=console, transient=True, disable=not console.is_terminal or not count) as progress:
        task = progress.add_task("opening pictures", total=count)
        found = examine(
            dataset,
            use=options.use,
            capacity=options.capacity,
            pixels=not options.no_pixels,
            workers=options.workers,
            advance=lambda: progress.advance(task),
        )
    show(found, console)
    if options.json:
        atomic_write(options.json, readable(json.dumps(found.record(), indent=1, ensure_ascii=False)) + "\n")
        _say(console, f"record: {options.json}")
    if options.html:
        _write_page(found, options.html)
        _say(console, f"page: {options.html}")
    if options.fix:
        _fix(found, options.fix, console)
    return int(found.findings.failed(strict=options.strict))


def _spare(dataset: Dataset, target: Path) -> None:
    """Raises ConfigError where a report would replace what is examined."""
    sources = [split.source for split in dataset.splits] + [Path(table.source) for table in dataset.tables]
    if target.resolve() in [source.resolve() for source in sources]:
        raise ConfigError(f"{target}: holds the set's annotations; give another file")


def show(found: Examination, console: Console) -> None:
    """Figures and faults, for people."""
    for part, splits in found.statistics.items():
        objects = part == "objects"
        columns = (
            "split",
            "pictures",
            "objects" if objects else "rows",
            "classes",
            "mean",
            "p50",
            "p99",
            "p99.9",
            "most",
        )
        table = Table(
            *columns,
            title=Text(readable(f"{found.dataset.name}: {part}")),
            caption="mean … most: a picture" if objects else "a product",
        )
        for split, figures in splits.items():
            counts = figures["objects_per_image" if objects else "photos_per_product"]
            shown = [f"{counts[k]:g}" for k in ("mean", "p50", "p99", "p99.9", "max")] if counts else ["–"] * 5
            number = figures["objects" if objects else "rows"]
            row = (str(figures["images"]), str(number), str(len(figures["classes"])), *shown)
            table.add_row(Text(readable(split)), *row)
        console.print(table)
        console.print(_sizes(splits))
    findings = found.findings
    if findings.counts:
        table = Table("severity", "code", "count", "what", "first", title="faults")
        for kind in findings.kinds():
            about, first = KINDS[kind], findings.of(kind)[0]
            where = f"{Path(first.picture).name}: " if first.picture else ""
            styled = Text(about.severity, STYLES[about.severity])
            table.add_row(styled, kind, str(findings.counts[kind]), about.title, _short(f"{where}{first.detail}"))
        console.print(table)
    if found.dataset.prepared:
        met = ", ".join(f"{count} {kind}" for kind, count in found.dataset.prepared.items())
        _say(console, f"when it was prepared: {met}; see {RECORD}")
    counts = ", ".join(f"{findings.count(severity)} {severity}s" for severity in SEVERITIES)
    _say(console, f"{found.dataset.name}: {counts}; licence: {_short(found.licence.licence, 80)}")


def _sizes(splits: Mapping[str, Mapping[str, Any]]) -> Table:
    """Sizes and balance, a column a split; what no split has is left out."""
    table = Table("", caption="p1 · p50 · p99; lengths in pixels")
    for split in splits:
        table.add_column(Text(readable(split)))
    for key, title in SIZES.items():
        if any(figures.get(key) for figures in splits.values()):
            table.add_row(title, *(three(figures.get(key) or {}) for figures in splits.values()))
    if any(figures["image_sizes"] for figures in splits.values()):
        table.add_row("most frequent size", *(_first(figures["image_sizes"]) for figures in splits.values()))
    # The classes come in the order of their counts.
    table.add_row("most frequent class", *(_first(figures["classes"]) for figures in splits.values()))
    table.add_row("rarest class", *(_first(dict([*figures["classes"].items()][-1:])) for figures in splits.values()))
    return table


def _first(counts: Mapping[str, int]) -> Text:
    return _short(next((f"{name}: {count}" for name, count in counts.items()), "–"), 40)


def _write_page(found: Examination, path: Path) -> None:
    from facings.commands.data_pictures import worst_pictures
    from facings.data.doctor.page import render

    atomic_write(path, readable(render(found.record(), worst_pictures(found.findings))))


def _fix(found: Examination, output: Path, console: Console) -> None:
    from facings.data.doctor.repair import repair

    log = repair(found, output)
    dropped = sum(len(names) for names in log.dropped.values())
    _say(console, f"{len(log.changes)} changes, {dropped} pictures dropped: {output}/repair.json")


def _browse(options: argparse.Namespace) -> int:
    from facings.analysis.contact_sheet import jpeg
    from facings.commands.data_pictures import browse

    if options.count < 1:
        raise ConfigError(f"--count {options.count}: expected 1 or more")
    dataset = _source(options)
    output = options.output or Path(f"{dataset.name}_browse.jpg")
    atomic_write(output, jpeg(browse(dataset, split=options.split, count=options.count, seed=options.seed)))
    sys.stdout.write(f"{output}\n")
    return 0


def _export(options: argparse.Namespace) -> int:
    """Write the splits in a format; a set whose boxes cannot be said in it is refused first."""
    from facings.data.formats.instances import Split
    from facings.data.formats.yolo import write_yolo

    dataset = _source(options)
    if not dataset.splits:
        raise ConfigError(f"{dataset.name}: holds no boxes; a recognition table is a CSV already")
    if options.polygons and options.format != "yolo":
        raise ConfigError(f"--polygons is of --format yolo; {options.format} was asked for")
    if options.output.exists() and not (options.output.is_dir() and not any(options.output.iterdir())):
        raise ConfigError(f"--output {options.output}: is there and not an empty folder; give a new one")
    found = examine(dataset, pixels=False).findings
    bad = [kind for kind in UNWRITABLE if found.counts[kind]]
    if bad:
        detail = found.of(bad[0])[0].detail
        raise DataError(f"{dataset.name}: {bad[0]} ({detail}); mend it first: facings data check … --fix FOLDER")
    paths = [split.path(record) for split in dataset.splits for record in split.images]
    missing = [path for path in paths if options.pictures != "none" and not is_file(path)]
    if missing:
        raise DataError(f"{missing[0]}: is not there, as {len(missing)} of {len(paths)} pictures; nothing was written")
    splits = {split.name: Split(split.source, split.images_folder) for split in dataset.splits}
    if options.format == "yolo":
        written = write_yolo(splits, options.output, copy=options.pictures, polygons=options.polygons)
    else:
        write = getattr(import_module(f"facings.data.formats.{options.format}"), f"write_{options.format}")
        written = write(splits, options.output, copy=options.pictures)
    crowds = found.counts["crowd"] if options.format != "coco" else 0
    left = f"; {crowds} crowd regions were left out, which {options.format} cannot say" if crowds else ""
    sys.stdout.write(f"{len(written)} files: {options.output}{left}\n")
    return 0


def _say(console: Console, text: str) -> None:
    console.print(readable(text), soft_wrap=True, highlight=False, markup=False)


def _short(text: str, most: int = 90) -> Text:
    """A line of a table; labels of others are not read as markup."""
    return Text(readable(text if len(text) <= most else f"{text[:most]}…"))
