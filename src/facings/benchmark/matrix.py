"""Many bundles on many datasets as one table: each protocol's headline, and its geometric mean. Measures nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facings.benchmark.cross_store import geometric_mean

Row = Mapping[str, Any]
# Protocol → its headline figures as rows name them, the most telling first: the first one that all pairs have is shown.
HEADLINES: Mapping[str, tuple[str, ...]] = {
    "frames": ("end_to_end_f1", "ap50", "identification_r1", "recognition_r1"),
    "detection": ("ap",),
    "segmentation": ("mask_ap",),
    "recognition": ("identification_r1", "recognition_r1"),
    "end_to_end": ("end_to_end_f1",),
    "turnover": ("relative_error",),
    "robustness": ("ap50_mean_loss", "r1_mean_loss"),
    "latency": ("frame_ms_p50",),
    "scale": ("exponent",),
}
# Of a figure that a run has for several slices, the one that stands for all.
WHOLE: tuple[Mapping[str, str], ...] = ({}, {"corruption": "mean"}, {"corruption": "clean"})
LESS = ("relative_error", "fixed_threshold_relative_error", "set_size", "exponent", "acd", "mccd")


@dataclass(frozen=True)
class Cell:
    """What a pair gave: its `rows` (see `facings.benchmark.rows`), or the `fault` that ended it, in words."""

    rows: Sequence[Row] = ()
    fault: str | None = None


Cells = Mapping[str, Mapping[str, Cell]]


def shown_figure(cells: Cells, candidates: Sequence[str]) -> str | None:
    """The first candidate that every pair has which was finished, else the first that one has; None where none does.

    >>> cell = lambda *names: Cell([{"metric": name, "value": 0.5, "slice": {}} for name in names])
    >>> shown_figure({"a": {"x": cell("f1", "ap")}, "b": {"x": cell("ap")}}, ["f1", "ap"])
    'ap'
    """
    done = [cell for row in cells.values() for cell in row.values() if cell.fault is None]
    for enough in (all, any):
        for name in candidates:
            if done and enough(figure_row(cell.rows, name) is not None for cell in done):
                return name
    return None


def figure_row(rows: Sequence[Row], figure: str) -> Row | None:
    """The row of a figure that has a value: of no slice, or the slice that stands for all, else the first; None without one."""
    found = [row for row in rows if row["metric"] == figure and row["value"] is not None]
    whole = [row for part in WHOLE for row in found if row["slice"] == part]
    return next(iter([*whole, *found]), None)


def means(cells: Cells, figure: str) -> dict[str, float | None]:
    """Bundle → geometric mean of the figure over its datasets; of a relative loss, which can be 0 or below, 1 minus that of what is
    left. None where one is missing or below 0.

    >>> cell = lambda value: Cell([{"metric": "ap", "value": value, "slice": {}}])
    >>> means({"a": {"x": cell(0.2), "y": cell(0.8)}, "b": {"x": cell(0.2), "y": Cell(fault="no such file")}}, "ap")
    {'a': 0.4, 'b': None}
    """
    loss = figure.endswith("_loss")
    found: dict[str, float | None] = {}
    for bundle, row in cells.items():
        entries = [figure_row(cell.rows, figure) for cell in row.values()]
        values = [float(entry["value"]) for entry in entries if entry is not None]
        values = [1 - value for value in values] if loss else values
        fits = values and len(values) == len(entries) and min(values) >= 0
        mean = geometric_mean(values) if fits else math.nan
        found[bundle] = round(1 - mean if loss else mean, 12) if math.isfinite(mean) else None
    return found


def less_is_better(figure: str) -> bool:
    """Whether the smaller value is the better one."""
    return figure in LESS or figure.endswith("_loss") or "_ms_" in figure or figure.endswith("_mib")
