"""What every adapter shares: the card of a dataset, the report of a conversion, and the record beside its tables.

An adapter is a module of this package with a `CARD` and a function `convert(source, output, *, advance, **options) -> Report`.
Knows nothing of any one dataset.
"""

import importlib
import json
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import facings.data.adapters
from facings.errors import ConfigError, DataError
from facings.files import atomic_write, sha256

Task = Literal["detection", "recognition"]
Commercial = Literal["yes", "no", "ask"]
Advance = Callable[[int], None]
KEPT_FAULTS = 1000
RECORD = "prepare.json"


@dataclass(frozen=True)
class Download:
    """One file of a set. `sha256`: as published, None where the source publishes none: then the first fetch writes it down."""

    url: str
    sha256: str | None = None


@dataclass(frozen=True)
class Card:
    """What a dataset is, as its authors say it. The table of data/README.md is made of these.

    `name`: folder below `paths.data_dir` and name of the Hydra option. `commercial`: whether a model trained on it may be
    sold. `images`, `objects`, `classes`: in words or numbers, by split ("8219 / 588 / 2936"). `get`: the exact steps.
    `layout`: what lies on disk, several lines. `faults`: those that are known. `source`: paper, authors. `downloads`: what
    `scripts/fetch_dataset.py NAME` fetches, where the source lets anyone. `stated`: figures that the authors write and the files
    may not hold: `SPLIT` (pictures), `coarse` and `fine` (classes of a recognition table).
    """

    name: str
    title: str
    task: Task
    licence: str
    commercial: Commercial
    images: str
    objects: str
    classes: str
    get: str
    layout: str
    faults: tuple[str, ...]
    source: str
    downloads: tuple["Download", ...] = ()
    stated: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Report:
    """What a conversion met and made.

    `faults`: the first thousand, one line each; `fault_counts`: all of them by kind. `images`, `objects`: by split.
    `pictures`: the folder that the tables' file names start at. `inputs`: the annotation files read; `outputs`: the tables.
    """

    faults: list[str] = field(default_factory=list)
    fault_counts: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    classes: dict[str, int] = field(default_factory=dict)
    pictures: Path | None = None
    inputs: list[Path] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)

    def fault(self, kind: str, message: str) -> None:
        """Note one: `kind` in a few words that are the same for all of its kind, `message` with file, line, and what was done."""
        self.fault_counts[kind] += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(readable(f"{kind}: {message}"))

    def as_json(self) -> dict[str, Any]:
        """Counts and faults, for the record."""
        splits = {
            split: {"images": self.images[split], "objects": self.objects[split], "classes": self.classes.get(split)}
            for split in sorted(set(self.images) | set(self.objects))
        }
        return {"splits": splits, "fault_counts": dict(self.fault_counts), "faults": self.faults}


def readable(text: str) -> str:
    """Text that can be printed and written: what is not UTF-8 in a file's name is shown as an escape.

    >>> readable("caf\udce9.jpg")
    'caf\\\\udce9.jpg'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Convert(Protocol):
    """The one function of an adapter: reads `source`, writes tables into `output`, never touches `source`.

    Calls `advance(n)` after each n pictures. Raises DataError for what cannot be read as this dataset.
    """

    def __call__(self, source: Path, output: Path, *, advance: Advance) -> Report: ...


def silent(_: int) -> None:
    """For `advance` where nobody watches."""


def prepare(
    convert: Convert, card: Card, source: Path, output: Path, *, advance: Advance = silent, overwrite: bool = False
) -> Report:
    """Run an adapter and write `output/prepare.json`: card, counts, faults, where pictures lie, sha256 of what was read and made.

    Raises DataError for a missing source, a conversion that found no picture, and for tables in `output` that an earlier
    `prepare` did not make (unless `overwrite`).
    """
    source, output = Path(source), Path(output)
    if not source.is_dir():
        raise DataError(
            f"{source}: no such folder; expected {card.title} laid out as\n{card.layout}\nTo get it: {card.get}"
        )
    before = made_before(output)
    tables = sorted([*output.glob("instances_*.json"), *output.glob("recognition.csv")])
    others = [path for path in tables if path.resolve() not in before]
    if others and not overwrite:
        raise DataError(
            f"{others[0]} is there and was not made by `facings prepare`: give another output=FOLDER, or --overwrite"
        )
    output.mkdir(parents=True, exist_ok=True)
    report = convert(source, output, advance=advance)
    if not sum(report.images.values()):
        raise DataError(
            f"{source}: no picture of {card.title} was found; {'; '.join(report.faults[:3]) or 'no fault either'}"
        )
    write_record(card, report, source, output)
    # A split that the source no longer has would be taken for one of the new conversion.
    for path in before - made_before(output):
        path.unlink(missing_ok=True)
    return report


def made_before(output: Path) -> set[Path]:
    """The record and the tables in `output` that a `prepare` made, resolved; none where it left no record."""
    if not (output / RECORD).is_file():
        return set()
    made = read_record(output).get("outputs")
    names = [str(name) for name in made] if isinstance(made, dict) else []
    # What a record says is no reason to touch a file elsewhere.
    return {(output / name).resolve() for name in [RECORD, *names] if Path(name).name == name}


def write_record(card: Card, report: Report, source: Path, output: Path) -> None:
    """Write `output/prepare.json`."""
    record = {
        "schema": "facings.prepare/1",
        "card": asdict(card),
        "source": str(source),
        # Whole, for whoever reads it does so from another folder.
        "images": None if report.pictures is None else str(report.pictures.resolve()),
        **report.as_json(),
        "inputs": _checksums(report.inputs, source),
        "outputs": _checksums(report.outputs, output),
    }
    atomic_write(output / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _checksums(paths: list[Path], root: Path) -> dict[str, str]:
    return {(p.relative_to(root).as_posix() if p.is_relative_to(root) else p.name): sha256(p) for p in paths}


def read_record(folder: Path) -> dict[str, Any]:
    """The `prepare.json` of a prepared folder. Raises DataError where there is none or it is not one."""
    path = folder / RECORD
    if not path.is_file():
        raise DataError(f"{path}: not found; `facings prepare` writes it")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:
        raise DataError(f"{path}: not JSON ({fault})") from fault
    if not isinstance(record, dict) or record.get("schema") != "facings.prepare/1":
        raise DataError(f"{path}: expected the schema facings.prepare/1")
    return record


def adapters() -> Iterator[tuple[str, Card]]:
    """Every module of this package that has a CARD, by name."""
    for found in pkgutil.iter_modules(facings.data.adapters.__path__):
        module = importlib.import_module(f"facings.data.adapters.{found.name}")
        if isinstance(getattr(module, "CARD", None), Card):
            yield found.name, module.CARD


def cards() -> Mapping[str, Card]:
    """All cards by the dataset's name."""
    return {card.name: card for _, card in adapters()}


def card_of(convert: Callable[..., Any]) -> Card:
    """The card beside a `convert`. Raises ConfigError for a function of a module without one."""
    module = importlib.import_module(convert.__module__)
    card = getattr(module, "CARD", None)
    if not isinstance(card, Card):
        raise ConfigError(f"{convert.__module__} has no CARD; an adapter needs one beside its `convert`")
    return card
