"""Errors as bars. Knows nothing of how they were found or where figures are kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facings.analysis.comparison import Kind
from facings.analysis.curve_figures import COLOURS, GRID, HEADING, INK, SMALL, TEXT, TITLE
from facings.analysis.tide import Tide
from facings.analysis.tide_judgement import ERRORS

MOST_ROWS = 12
# Of the longest bar: what lies beyond is for its number.
ROOM = 1.18


def draw_tide(found: Mapping[Kind, Tide]) -> Figure:
    """What AP would gain without each kind of error, and how many there are; a row a kind (`boxes`, `masks`)."""
    figure = _figure("What AP would gain without one kind of error", len(found) * 3.6)
    for line, (kind, result) in zip(figure.subplots(len(found), 2, squeeze=False), found.items(), strict=True):
        gains = {
            **result.gains,
            "all false ones last": result.false_positives,
            "all lost ones away": result.false_negatives,
        }
        colours = [COLOURS[0]] * len(ERRORS) + [COLOURS[4]] * 2
        _bars(line[0], {name: 100 * value for name, value in gains.items()}, colours, "{:.1f}")
        line[0].set_title(f"{kind}: AP at IoU 0.5 is {100 * result.ap:.1f}", fontsize=HEADING)
        line[0].set_xlabel("points of AP gained", fontsize=TEXT)
        _bars(
            line[1], {name: float(count) for name, count in result.counts.items()}, [COLOURS[1]] * len(ERRORS), "{:.0f}"
        )
        line[1].set_title(f"{kind}: how many", fontsize=HEADING)
        line[1].set_xlabel("detections; of missed, objects", fontsize=TEXT)
    return figure


def draw_counts(counts: Mapping[str, int], *, title: str, below: str) -> Figure:
    """A bar a name, in the order given."""
    figure = _figure(title, max(2.2, 0.42 * len(counts) + 1.2))
    axis = figure.subplots()
    _bars(
        axis,
        {name: float(count) for name, count in counts.items()},
        [COLOURS[0]] * len(counts),
        "{:.0f}",
    )
    axis.set_xlabel(below, fontsize=TEXT)
    return figure


def draw_slices(tables: Mapping[str, Sequence[Mapping[str, Any]]], *, value: str, title: str, below: str) -> Figure:
    """A panel a table of slices: `value` (0–1) of each row, with its number of objects. Of many rows those of most objects are
    shown, and the panel says so; a table of one row compares nothing, and is left out where another has more."""
    shown = {name: _largest(rows, value) for name, rows in tables.items()}
    several = {name: rows for name, rows in shown.items() if len(rows) > 1}
    shown = several or {name: rows for name, rows in shown.items() if rows}
    # Panels of about as many bars stand side by side, so that none is half empty.
    shown = dict(sorted(shown.items(), key=lambda table: len(table[1])))
    lines = _in_lines(list(shown), {name: len(rows) for name, rows in shown.items()})
    columns = 2 if len(shown) > 1 else 1
    # Bars are equally high in all panels: a line is as high as its longest table.
    most = [max((len(shown[name]) for name in line), default=1) for line in lines] or [1]
    heights = [1.1 + 0.5 * count for count in most]
    figure = _figure(title, sum(heights))
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    # One scale for all panels: bars of two are held against each other.
    longest = max((float(row[value]) for rows in shown.values() for row in rows), default=0.0)
    for number, line in enumerate(lines):
        for column, name in enumerate(line):
            rows = shown[name]
            # One of many bars takes the line; one that is only left over does not.
            alone = len(line) < columns and number > 0 and most[number] > 2 * most[number - 1]
            axis = figure.add_subplot(grid[number, :] if alone else grid[number, column])
            values = {f"{row['slice']} ({row['objects']})": float(row[value]) for row in rows}
            _bars(axis, values, [COLOURS[2]] * len(rows), "{:.2f}")
            whole = len(_known(tables[name], value))
            few = f": {len(rows)} of {whole}, those of most objects" if len(rows) < whole else ""
            axis.set_title(f"by {name}{few}", fontsize=HEADING)
            axis.set_ylim(most[number] - 0.5, -0.5)
            axis.set_xlim(0, longest * ROOM if longest > 0 else 1)
            axis.set_xlabel(below, fontsize=TEXT)
    return figure


def _in_lines(names: Sequence[str], bars: Mapping[str, int]) -> list[list[str]]:
    """Two panels a line; one that has more than twice as many bars as its neighbour stands alone."""
    lines: list[list[str]] = []
    for name in names:
        fits = lines and len(lines[-1]) == 1 and bars[name] <= 2 * bars[lines[-1][0]]
        if fits:
            lines[-1].append(name)
        else:
            lines.append([name])
    return lines


def _known(rows: Sequence[Mapping[str, Any]], value: str) -> list[Mapping[str, Any]]:
    """Rows that have a value."""
    return [row for row in rows if row["objects"] and not np.isnan(row[value])]


def _largest(rows: Sequence[Mapping[str, Any]], value: str) -> list[Mapping[str, Any]]:
    """Rows that have a value; all in their order, or of many those of most objects."""
    known = _known(rows, value)
    if len(known) <= MOST_ROWS:
        return known
    kept = sorted(known, key=lambda row: -row["objects"])[:MOST_ROWS]
    return [row for row in known if row in kept]


def _figure(title: str, height: float) -> Figure:
    figure = Figure(figsize=(12.5, height + 0.5), dpi=100, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    return figure


def _bars(axis: Axes, values: Mapping[str, float], colours: Sequence[str], form: str) -> None:
    """Horizontal, first on top, the number at its end; what is not defined says so."""
    names = list(values)
    widths = np.nan_to_num(np.array([values[name] for name in names], np.float64))
    places = np.arange(len(names))
    axis.barh(places, widths, color=list(colours))
    for place, name, width in zip(places, names, widths, strict=True):
        text = "not defined" if np.isnan(values[name]) else form.format(values[name])
        axis.annotate(
            text, (max(width, 0), place), (4, 0), textcoords="offset points", va="center", fontsize=SMALL, color=INK
        )
    axis.set_yticks(places, names, fontsize=SMALL)
    axis.invert_yaxis()
    top = float(max(widths.max(initial=0), 0))
    axis.set_xlim(min(0.0, float(widths.min(initial=0))), top * ROOM if top > 0 else 1)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    axis.grid(axis="x", color=GRID)
