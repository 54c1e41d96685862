"""The study as a figure: AP against milliseconds. Knows the record alone; no global state of matplotlib is touched."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from facings.benchmark.detector_study import VARIANTS, Variant, front_of
from facings.benchmark.time_axis import time_axis

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008), and by the marker's shape.
FAMILIES = {
    "lite0": ("#0072b2", "o"),
    "lite2": ("#d55e00", "s"),
    "small": ("#009e73", "^"),
    "nano": ("#cc79a7", "D"),
}
INK, FRONT = "#222222", "#777777"
TITLE, TEXT, SMALL = 15, 12, 10.5
TICKS = (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500)
# Where a label may stand: rings around its point in typographic points, the nearest first, and steps around the ring.
RINGS, STEPS = (13, 20, 30, 42, 56, 72, 90, 110, 132), 24
# Room in pixels that a label keeps to anything else.
ROOM = 2.0


def draw_study(metrics: Mapping[str, Mapping[str, Any]], *, threads: int = 1) -> Figure:
    """AP (with its 95 % interval) of every variant against its time, the Pareto front as a line. `metrics`: a record's."""
    figure = Figure(figsize=(11.5, 7.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    points = {name: _figures(metrics, name) for name in VARIANTS}
    for name, (ms, ap, low, high) in points.items():
        colour, marker = FAMILIES[family(VARIANTS[name])]
        fill = "white" if from_scratch(VARIANTS[name]) else colour
        axis.plot([ms, ms], [low, high], color=colour, linewidth=1.3, alpha=0.55, zorder=2)
        axis.plot(ms, ap, marker, color=colour, markerfacecolor=fill, markersize=9, markeredgewidth=1.8, zorder=4)
    line = np.array([points[name][:2] for name in front_of(metrics)])
    axis.plot(line[:, 0], line[:, 1], color=FRONT, linewidth=1.8, linestyle="--", zorder=1)
    _furnish(axis, points, threads)
    place_labels(axis, {VARIANTS[name].label: point for name, point in points.items()}, line)
    return figure


def family(variant: Variant) -> str:
    """The backbone: lite0, lite2, small or nano."""
    return variant.name.split("_")[0]


def from_scratch(variant: Variant) -> bool:
    """True where the training began without ImageNet weights."""
    return "model.pretrained=none" in variant.training.settings


def place_labels(
    axis: Axes, points: Mapping[str, tuple[float, float, float, float]], line: np.ndarray[Any, Any]
) -> list[Annotation]:
    """Write each label beside its point (ms, ap, low, high), over no other label, marker, interval or piece of the front.

    The nearest free place is taken; a thin line leads from the point to a label that stands apart. `line` (F, 2): the front.
    """
    figure = axis.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    inside = axis.get_window_extent(renderer)
    taken = [*_obstacles(axis, list(points.values()), line)]
    if (legend := axis.get_legend()) is not None:
        taken.append(legend.get_window_extent(renderer))
    made = []
    # Crowded points choose first: those apart find a place anyway.
    for label in sorted(points, key=lambda one: _distance(axis, points, one)):
        note = axis.annotate(
            label,
            points[label][:2],
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
            zorder=5,
            arrowprops={"arrowstyle": "-", "color": FRONT, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 6},
        )
        for dx, dy, align in _places():
            note.set(position=(dx, dy), ha=align, va="center")
            own = text_box(note, renderer)
            if _within(own, inside) and not any(own.overlaps(other) for other in taken):
                break
        taken.append(text_box(note, renderer))
        if np.hypot(*note.get_position()) <= RINGS[1]:
            note.arrow_patch.set_visible(False)  # type: ignore[union-attr]
        made.append(note)
    return made


def _figures(metrics: Mapping[str, Mapping[str, Any]], name: str) -> tuple[float, float, float, float]:
    """ms, AP, and the interval of AP."""
    ap = metrics[f"{name}_ap"]
    return metrics[f"{name}_ms"]["value"], ap["value"], ap["low"], ap["high"]


def _furnish(axis: Axes, points: Mapping[str, tuple[float, float, float, float]], threads: int) -> None:
    """Scales, words and the legend."""
    times = [point[0] for point in points.values()]
    time_axis(axis, min(times), max(times), TICKS)
    axis.set_ylim(min(0.0, *(point[2] for point in points.values())) - 0.02, max(p[3] for p in points.values()) * 1.08)
    words = "1 thread" if threads == 1 else f"{threads} threads"
    axis.set_xlabel(f"milliseconds a frame, ONNX Runtime, batch 1, {words} (log scale)", fontsize=TEXT)
    axis.set_ylabel("AP (IoU 0.50–0.95), one-to-one branch, 95 % interval", fontsize=TEXT)
    axis.set_title(
        "Snack shelves, short trainings: AP against time", loc="left", fontsize=TITLE, fontweight="bold", pad=12
    )
    for name, (colour, marker) in FAMILIES.items():
        axis.plot([], [], marker, color=colour, markersize=8, label=name)
    axis.plot([], [], "o", color=INK, markerfacecolor="white", markersize=8, label="from scratch: no ImageNet weights")
    axis.plot([], [], "--", color=FRONT, linewidth=1.8, label="Pareto front")
    axis.legend(loc="lower right", fontsize=SMALL, frameon=False)


def _places() -> Iterator[tuple[float, float, str]]:
    """Offsets in typographic points with the text's alignment, the nearest first; to the right before elsewhere."""
    for ring in RINGS:
        for step in sorted(range(STEPS), key=lambda one: min(one, STEPS - one)):
            angle = 2 * np.pi * step / STEPS
            dx, dy = ring * float(np.cos(angle)), ring * float(np.sin(angle))
            yield dx, dy, "center" if abs(dx) < 0.3 * ring else "left" if dx > 0 else "right"


def _obstacles(
    axis: Axes, points: Sequence[tuple[float, float, float, float]], line: np.ndarray[Any, Any]
) -> Iterator[Bbox]:
    """Boxes in pixels of the markers, the intervals, and short pieces of the front."""
    for ms, ap, low, high in points:
        (x, y), (_, bottom), (_, top) = axis.transData.transform([(ms, ap), (ms, low), (ms, high)])
        yield Bbox.from_extents(x - 9, y - 9, x + 9, y + 9)
        yield Bbox.from_extents(x - 2, bottom, x + 2, top)
    corners = axis.transData.transform(line)
    for start, end in pairwise(corners):
        count = max(2, int(np.hypot(*(end - start)) / 6))
        for x, y in start + np.linspace(0, 1, count)[:, None] * (end - start):
            yield Bbox.from_extents(x - 2, y - 2, x + 2, y + 2)


def text_box(note: Annotation, renderer: Any) -> Bbox:
    """Pixels that the words alone take, without the line that leads to them, and a little room."""
    note.update_positions(renderer)
    box = Text.get_window_extent(note, renderer)
    return Bbox.from_extents(box.x0 - ROOM, box.y0 - ROOM, box.x1 + ROOM, box.y1 + ROOM)


def _within(box: Bbox, other: Bbox) -> bool:
    return bool(box.x0 >= other.x0 and box.x1 <= other.x1 and box.y0 >= other.y0 and box.y1 <= other.y1)


def _distance(axis: Axes, points: Mapping[str, tuple[float, float, float, float]], label: str) -> float:
    """Pixels from a label's point to the nearest other point."""
    own = axis.transData.transform(points[label][:2])
    others = [axis.transData.transform(point[:2]) for name, point in points.items() if name != label]
    return min(float(np.hypot(*(other - own))) for other in others)
