"""The curves as figures. Knows nothing of where they are kept; no global state of matplotlib is touched."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from facings.analysis.comparison import Kind
from facings.analysis.curves import Curve, ScoredHits, precision_recall
from facings.metrics.calibration import reliability

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, FAINT, GRID = "#222222", "#c4c4c4", "#e8e8e8"
TITLE, HEADING, TEXT, SMALL = 16, 13, 12, 10.5
# Classes up to which each has a colour and a name; of more, the weakest few alone.
NAMED_CLASSES, WEAKEST = 6, 3
LONGEST_NAME = 26
BELOW: dict[str, Any] = {
    "loc": "upper left", "bbox_to_anchor": (-0.02, -0.11), "ncols": 2, "frameon": False, "fontsize": SMALL,
}  # fmt: skip


def draw_precision_recall(found: Mapping[Kind, ScoredHits]) -> Figure:
    """Precision against recall: a row a kind (`boxes`, `masks`), a column an IoU; each class, and all together.

    Precision is the best at this recall or any higher, as average precision reads it. The dot is where F1 is best.
    """
    first = next(iter(found.values()))
    shown = _named_classes(first)
    figure, axes = _panels("Precision against recall", [6.2] * len(found), len(first.thresholds))
    for line, (kind, hits) in zip(axes, found.items(), strict=True):
        for row, (axis, threshold) in enumerate(zip(line, hits.thresholds, strict=True)):
            axis.set_title(f"{kind}, right at IoU ≥ {threshold:g}: mean AP {hits.average_precision(row):.3f}")
            if len(hits.names) > 1:
                _draw_classes(axis, hits, row, shown)
            curve = precision_recall(hits, row)
            label = "all classes together" if len(hits.names) > 1 else _short(hits.names[0])
            _draw_steps(axis, curve, label, color=INK, linewidth=2.6)
            best = hits.best(row)
            if not np.isnan(best.threshold):
                text = f"best F1: {best.f1:.2f}, at score {best.threshold:.3g}"
                axis.plot(best.recall, best.precision, "o", color=INK, markersize=9, label=text)
            _finish(axis, "recall (share of the objects found)", "precision (share of detections right)")
    return figure


def draw_f1_score(found: Mapping[Kind, ScoredHits]) -> Figure:
    """Precision, recall and F1 against the score that a detection must have; a column a kind (`boxes`, `masks`)."""
    figure, axes = _panels("What a score threshold gives", [6.4], len(found))
    for axis, (kind, hits) in zip(axes[0], found.items(), strict=True):
        curve = precision_recall(hits)
        if len(hits.names) > 1:
            for label in np.flatnonzero(hits.objects).tolist():
                own = precision_recall(hits.of_class(label))
                axis.plot(own.score, own.f1, color=FAINT, linewidth=0.9)
            axis.plot([], [], color=FAINT, label="F1 of each class")
        lines = (
            ("precision", COLOURS[0], curve.precision),
            ("recall", COLOURS[1], curve.recall),
            ("F1", INK, curve.f1),
        )
        for text, colour, values in lines:
            axis.plot(curve.score, values, color=colour, linewidth=2.4, label=text)
        for row, threshold in enumerate(hits.thresholds[1:], start=1):
            stricter = precision_recall(hits, row).f1
            text = f"F1 at IoU ≥ {threshold:g}"
            axis.plot(curve.score, stricter, color=INK, linewidth=1.6, linestyle="--", label=text)
        best = hits.best()
        reached = "nothing is right"
        if not np.isnan(best.threshold):
            text = f"F1 is best at score {best.threshold:.3g}"
            axis.axvline(best.threshold, color=COLOURS[2], linewidth=1.8, label=text)
            reached = f"precision {best.precision:.2f}, recall {best.recall:.2f} at the best F1"
        axis.set_title(f"{kind}, right at IoU ≥ {hits.thresholds[0]:g}: {reached}")
        _finish(axis, "least score that a detection must have", "share")
    return figure


def draw_calibration(found: Mapping[Kind, ScoredHits]) -> Figure:
    """How often detections of a score are right, and how many have it; a column a kind (`boxes`, `masks`)."""
    figure, axes = _panels("Is a score the chance of being right?", [5.4, 2.2], len(found))
    for column, (kind, hits) in enumerate(found.items()):
        bins = reliability(hits.scores, hits.hits[0].astype(np.float64))
        centres, width = (bins.edges[1:] + bins.edges[:-1]) / 2, 0.9 * float(bins.edges[1] - bins.edges[0])
        upper, lower = axes[0][column], axes[1][column]
        upper.bar(centres, np.nan_to_num(bins.accuracy), width, color=COLOURS[5], label="share right in the bin")
        upper.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1.6, label="perfect: score = share right")
        text = "share right at the bin's mean score"
        upper.plot(bins.confidence, bins.accuracy, "o", color=COLOURS[1], markersize=6, label=text)
        upper.set_title(f"{kind}, right at IoU ≥ {hits.thresholds[0]:g}: calibration error {bins.error:.3f}")
        _finish(upper, "", "share right", legend=False)
        lower.bar(centres, bins.count, width, color=COLOURS[5])
        if bins.count.any():
            lower.set_yscale("log")
        lower.set_ylim(0.7, 2.0 * max(5, int(bins.count.max())))
        lower.set_xlim(0, 1)
        lower.set_xlabel("score of the detection", fontsize=TEXT)
        lower.set_ylabel("detections", fontsize=TEXT)
        # Below both: inside it would lie on the bars.
        lower.legend(*upper.get_legend_handles_labels(), **BELOW | {"bbox_to_anchor": (-0.02, -0.3)})
    return figure


def png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file, the same for the same figure."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def furnish(
    axis: Axes, title: str, below: str, beside: str, *, grid: Literal["both", "x", "y"] = "both", smaller: float = 0.0
) -> None:
    """Title and labels of an axis without a frame; `grid`: lines across which; `smaller`: points off the texts' sizes."""
    axis.set_title(title, loc="left", fontsize=HEADING - smaller)
    axis.set_xlabel(below, fontsize=TEXT - smaller)
    axis.set_ylabel(beside, fontsize=TEXT - smaller)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    axis.grid(axis=grid, color=GRID)
    axis.tick_params(labelsize=SMALL)


def _panels(title: str, heights: Sequence[float], columns: int) -> tuple[Figure, list[list[Axes]]]:
    """A figure under a title: a row of axes for each of `heights` (inches)."""
    figure = Figure(figsize=(7.6 * columns, sum(heights) + 0.5), dpi=110, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    axes = figure.subplots(len(heights), columns, squeeze=False, gridspec_kw={"height_ratios": list(heights)})
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_axisbelow(True)
        axis.grid(color=GRID)
        axis.tick_params(labelsize=SMALL)
    return figure, [list(line) for line in axes]


def _named_classes(hits: ScoredHits) -> list[int]:
    """The classes that are named, lowest AP first: all when they are few, else the weakest."""
    classes = np.flatnonzero(hits.objects).tolist()
    order = sorted(classes, key=lambda label: (hits.of_class(label).average_precision(), label))
    return order if len(order) <= NAMED_CLASSES else order[:WEAKEST]


def _draw_classes(axis: Axes, hits: ScoredHits, row: int, shown: Sequence[int]) -> None:
    """A thin line a class: coloured and named for those `shown`, grey for the others."""
    others = [label for label in np.flatnonzero(hits.objects).tolist() if label not in shown]
    for label in others:
        _draw_steps(axis, precision_recall(hits.of_class(label), row), None, color=FAINT, linewidth=0.9)
    for colour, label in zip(COLOURS, shown, strict=False):
        own = hits.of_class(label)
        text = f"{_short(hits.names[label])}: AP {own.average_precision(row):.2f}"
        _draw_steps(axis, precision_recall(own, row), text, color=colour, linewidth=1.8)
    if others:
        axis.plot([], [], color=FAINT, label=f"the other {len(others)} classes")


def _draw_steps(axis: Axes, curve: Curve, label: str | None, *, color: str, linewidth: float) -> None:
    """The envelope from recall 0 to the last recall reached, and down to 0 there."""
    if not len(curve.score):
        axis.plot([], [], label=label, color=color, linewidth=linewidth)
        return
    precision = np.concatenate([curve.envelope[:1], curve.envelope, [0.0]])
    recall = np.concatenate([[0.0], curve.recall, curve.recall[-1:]])
    axis.plot(recall, precision, drawstyle="steps-pre", label=label, color=color, linewidth=linewidth)


def _finish(axis: Axes, below: str, beside: str, *, legend: bool = True) -> None:
    axis.set_xlim(0, 1.005)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel(below, fontsize=TEXT)
    axis.set_ylabel(beside, fontsize=TEXT)
    axis.title.set_fontsize(HEADING)
    if legend:
        axis.legend(**BELOW)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
