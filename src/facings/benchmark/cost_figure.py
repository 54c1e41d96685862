"""Embedders as a figure: R@1 against milliseconds, in float and in eight bits. Knows the record alone; no global state of
matplotlib is touched."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from facings.benchmark.embedder_cost import MOST_MS, PRECISIONS, family_of, names_of
from facings.benchmark.time_axis import time_axis

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008), and by the marker's shape.
STYLES = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"))
FAINT = "#777777"
TITLE, TEXT, SMALL = 15, 12, 10.5
TICKS = (0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50)


def draw_cost(metrics: Mapping[str, Mapping[str, Any]]) -> Figure:
    """R@1 of every network against its time for a crop: a line a family, dashed with hollow marks in float, whole in int8.

    `metrics`: a record's. A size stands at its int8 mark, whose bar is the 95 % interval over products.
    """
    figure = Figure(figsize=(11.5, 7.0), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    families: dict[str, list[str]] = {}
    for name in sorted(names_of(metrics), key=family_of):
        families.setdefault(family_of(name)[0], []).append(name)
    for number, (family, names) in enumerate(families.items()):
        colour, marker = STYLES[number % len(STYLES)]
        for precision, line, fill in zip(PRECISIONS, ("--", "-"), ("white", colour), strict=True):
            ms, r1 = ([metrics[f"{name}_{precision}_{key}"]["value"] for name in names] for key in ("ms", "r1"))
            axis.plot(
                ms, [100 * value for value in r1], marker=marker, linestyle=line, color=colour, markerfacecolor=fill,
                linewidth=1.5, markersize=8, markeredgewidth=1.7, label=f"{family}, {precision}", zorder=3,
            )  # fmt: skip
        for name in names:
            _mark(axis, metrics, name, colour, above=number % 2 == 0)
    times = [metrics[f"{name}_{precision}_ms"]["value"] for name in names_of(metrics) for precision in PRECISIONS]
    _furnish(axis, min(times), max(times))
    return figure


def _mark(axis: Axes, metrics: Mapping[str, Mapping[str, Any]], name: str, colour: str, *, above: bool) -> None:
    """The interval of a network's int8 file, and its size beside it, on the side where the next family's does not stand."""
    ms, r1 = metrics[f"{name}_int8_ms"]["value"], metrics[f"{name}_int8_r1"]
    axis.plot([ms, ms], [100 * r1["low"], 100 * r1["high"]], color=colour, linewidth=1.2, alpha=0.35, zorder=2)
    axis.annotate(
        f"{family_of(name)[1]}", (ms, 100 * r1["value"]), (-6, 5) if above else (6, -5), textcoords="offset points",
        ha="right" if above else "left", va="bottom" if above else "top", fontsize=SMALL, color=colour, zorder=4,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )  # fmt: skip


def _furnish(axis: Axes, fastest: float, slowest: float) -> None:
    """Scales, words, the aim and the legend."""
    time_axis(axis, fastest, slowest, TICKS)
    axis.axvline(MOST_MS, color=FAINT, linewidth=1.4, linestyle=":", label=f"aim: {MOST_MS:g} ms", zorder=1)
    axis.set_xlabel("milliseconds a crop, ONNX Runtime, batch 1, 1 thread (log scale)", fontsize=TEXT)
    axis.set_ylabel("R@1 in %, bars: 95 % over products (int8)", fontsize=TEXT)
    axis.set_title(
        "Test photos among training photos: R@1 against time, size in pixels", loc="left", fontsize=TITLE,
        fontweight="bold", pad=12,
    )  # fmt: skip
    axis.legend(loc="best", fontsize=SMALL, frameon=False)
