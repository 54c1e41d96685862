"""How values spread: what a set of pictures holds, and how well outlines fit. Knows nothing of how they were found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from facings.analysis.curve_figures import COLOURS, INK, SMALL, TITLE, furnish
from facings.analysis.mask_agreement import MaskAgreement

# What `facings.data.doctor.statistics` calls it, and how it is told.
COUNTED = {
    "objects_per_image": ("Objects a picture", "objects", "pictures"),
    "box_size": ("Size of objects", "root of the box's area, pixels", "objects"),
    "photos_per_product": ("Photos a product", "photos", "products"),
}
# Classes up to which each has a bar and a name.
NAMED, LONGEST = 8, 30


def draw_dataset(statistics: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """A row a split (of objects, then of crops): what there is a picture, how large, and how even the classes are.

    `statistics`: of an `Examination`, by file, then by split. Raises ValueError for a set without splits.
    """
    splits = [(part, name, values) for part, own in statistics.items() for name, values in own.items()]
    if not splits:
        raise ValueError("the figure wants a split or more")
    figure = Figure(figsize=(13, 2.9 * len(splits) + 0.5), dpi=100, layout="constrained")
    figure.suptitle("What the set holds", x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    for line, (part, name, values) in zip(figure.subplots(len(splits), 3, squeeze=False), splits, strict=True):
        shown = [key for key in COUNTED if values.get(key)]
        # Pictures and single crops have splits of one name.
        called = name if part == "objects" else f"{name} crops"
        for axis in line[len(shown) : 2]:
            axis.set_visible(False)
        for axis, key in zip(line, shown, strict=False):
            title, below, beside = COUNTED[key]
            _bars(axis, values[key].get("histogram") or {})
            middle = f", median {values[key]['p50']:.3g}" if "p50" in values[key] else ""
            _furnish(axis, f"{called}: {title.lower()}{middle}", below, beside)
        _classes(line[2], values["classes"])
        word = "objects" if part == "objects" else "crops"
        kind = "by class" if part == "objects" else "by product"
        _furnish(line[2], f"{name}: {word} {kind} ({len(values['classes'])})", "", word)
    return figure


def draw_agreement(found: MaskAgreement, *, title: str) -> Figure:
    """Left: how the IoU of masks spreads, beside that of the boxes. Right: the same against the object's size."""
    figure = Figure(figsize=(13, 4.6), dpi=100, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    left, right = figure.subplots(1, 2)
    edges = np.linspace(0, 1, 41).tolist()
    for values, colour, text in ((found.boxes, COLOURS[0], "boxes"), (found.masks, COLOURS[1], "masks")):
        middle = f", median {np.median(values):.2f}" if len(values) else ""
        left.hist(values, edges, color=colour, alpha=0.55, label=f"{text}{middle}")
    left.set_xlim(min(0.45, float(found.masks.min(initial=1))), 1)
    _furnish(left, f"{len(found.masks)} objects whose box was found at an IoU of 0.5", "IoU with the truth", "objects")
    left.legend(loc="upper left", frameon=False, fontsize=SMALL)
    right.scatter(found.size, found.masks, s=10, color=COLOURS[1], alpha=0.4, linewidths=0)
    for low, high in zip(*_quarters(found.size), strict=True):
        inside = (found.size >= low) & (found.size <= high)
        right.plot([low, high], [np.median(found.masks[inside])] * 2, color=INK, linewidth=2.4)
    right.set_xscale("log")
    for part in (right.xaxis.set_major_formatter, right.xaxis.set_minor_formatter):
        part(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:g}"[0] in "1235" else ""))
    right.axhline(0.5, color=COLOURS[3], linewidth=1.2, linestyle="--")
    _furnish(
        right, "Mask IoU by size; black: median of each quarter", "root of the box's area, pixels", "IoU of the masks"
    )
    right.set_ylim(0, 1.02)
    return figure


def _quarters(values: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Lower and upper limits of four bins of as many values."""
    if not len(values):
        return [], []
    edges = np.quantile(values, np.linspace(0, 1, 5)).tolist()
    return edges[:-1], edges[1:]


def _bars(axis: Axes, histogram: Mapping[str, Any]) -> None:
    if not histogram:
        return
    low, high = histogram["low"], histogram["high"]
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    edges = np.linspace(low, high, len(histogram["counts"]) + 1)
    if high - low <= 1.001:
        # numpy spreads a single value over a width of 1, which would read as fractions of a photo.
        axis.xaxis.set_major_locator(MaxNLocator(1, integer=True))
    axis.bar(
        edges[:-1],
        histogram["counts"],
        np.diff(edges),
        align="edge",
        color=COLOURS[0],
        edgecolor="white",
        linewidth=0.6,
    )


def _classes(axis: Axes, counts: Mapping[str, int]) -> None:
    """Few by name, of many the curve of the counts."""
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    values = [count for _, count in ranked]
    if len(ranked) <= NAMED:
        axis.bar(range(len(ranked)), values, 0.6, color=COLOURS[2])
        # One class alone is no wall of colour.
        axis.set_xlim(-0.5, max(3, len(ranked)) - 0.5)
        axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        names = [name if len(name) <= LONGEST else f"{name[:LONGEST]}…" for name, _ in ranked]
        axis.set_xticks(range(len(ranked)), names, rotation=20 if len(ranked) > 4 else 0, fontsize=SMALL)
        return
    axis.step(range(1, len(values) + 1), values, where="mid", color=COLOURS[2], linewidth=2)
    axis.fill_between(range(1, len(values) + 1), values, step="mid", color=COLOURS[2], alpha=0.25)
    ends = f"most: {ranked[0][0][:LONGEST]}, {values[0]}\nleast: {ranked[-1][0][:LONGEST]}, {values[-1]}"
    axis.annotate(ends, (0.97, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=SMALL)
    axis.set_ylim(0, max(values) * 1.45)


def _furnish(axis: Axes, title: str, below: str, beside: str) -> None:
    furnish(axis, title, below, beside, grid="y", smaller=1)
