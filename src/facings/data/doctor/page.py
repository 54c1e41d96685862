"""An examination as one HTML page that needs nothing else: no network, no scripts.

Knows nothing of how faults are found. All numbers come from the record that `check.json` holds, so page and file cannot differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

# Faults of one kind that the page lists; the JSON holds more.
LISTED = 12


@dataclass(frozen=True)
class FaultPicture:
    """A picture of one kind's worst. `uri`: data URI; `caption`: file and detail in words."""

    kind: str
    uri: str
    width: int
    height: int
    caption: str


def render(record: Mapping[str, Any], pictures: Sequence[FaultPicture]) -> str:
    """The page as text."""
    # File names and labels come from files of others: everything is escaped.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"whole": whole, "figure": figure, "line": line, "three": three}
    by_kind: dict[str, list[FaultPicture]] = {}
    for picture in pictures:
        by_kind.setdefault(picture.kind, []).append(picture)
    # What stands under a picture is not said twice.
    pictured = {kind: {picture.caption for picture in by_kind.get(kind, [])} for kind in record["kinds"]}
    parts = [{"name": name, "splits": splits} for name, splits in record["statistics"].items()]
    return environment.get_template("page.html.j2").render(
        c=record, parts=parts, pictures=by_kind, pictured=pictured, listed=LISTED, bars=bars, balance=balance
    )


def line(fault: Mapping[str, Any]) -> str:
    """A fault's record in words: split, picture and its twin, detail.

    >>> line({"split": "train", "picture": "x/a.jpg", "other": "y/b.jpg", "detail": "same bytes"})
    'train: a.jpg and b.jpg, same bytes'
    """
    names = " and ".join(Path(fault[key]).name for key in ("picture", "other") if fault.get(key))
    said = ", ".join(part for part in (names, fault.get("detail", "")) if part)
    return f"{fault['split']}: {said}" if fault.get("split") else said


def bars(histogram: Mapping[str, Any] | None) -> list[dict[str, float]]:
    """Bars of a histogram for a drawing 100 wide and 40 high: `x`, `width`, `y`, `height`.

    >>> bars({"counts": [1, 2], "low": 0, "high": 4})[1]
    {'x': 50.0, 'width': 50.0, 'y': 0.0, 'height': 40.0}
    """
    if not histogram:
        return []
    counts = histogram["counts"]
    step, most = 100 / len(counts), max(max(counts), 1)
    return [
        {"x": number * step, "width": step, "y": 40 - 40 * count / most, "height": 40 * count / most}
        for number, count in enumerate(counts)
    ]


def balance(splits: Mapping[str, Mapping[str, Any]], *, most: int = 30) -> dict[str, Any]:
    """Classes with their count in each split, the most frequent first: `rows`, and how many are `left` out."""
    names: dict[str, int] = {}
    for split in splits.values():
        for name, count in split["classes"].items():
            names[name] = names.get(name, 0) + count
    ranked = sorted(names, key=lambda name: -names[name])
    largest = names[ranked[0]] if ranked else 1
    rows = [
        {"name": n, "counts": [s["classes"].get(n, 0) for s in splits.values()], "share": names[n] / max(largest, 1)}
        for n in ranked[:most]
    ]
    return {"rows": rows, "left": len(ranked) - len(rows)}


def whole(value: float) -> str:
    """A count with thin spaces between thousands."""
    return f"{round(value):,}".replace(",", "\u202f")


def three(values: Mapping[str, float]) -> str:
    """First percentile, median and 99th percentile of a spread, a dash for none.

    >>> three({"p1": 2.0, "p50": 10.5, "p99": 400.2}), three({})
    ('2 · 10.5 · 400', '–')
    """
    return " · ".join(figure(values[name]) for name in ("p1", "p50", "p99")) if values else "–"


def figure(value: float | None) -> str:
    """A measure with the digits that its size deserves, a dash for none.

    >>> figure(0.1234), figure(123.4), figure(27.0), figure(None)
    ('0.123', '123', '27', '–')
    """
    if value is None:
        return "–"
    return (
        f"{value:.0f}"
        if abs(value) >= 100 or float(value).is_integer()
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.3g}"
    )
