"""Where a frame's time goes, and what two runs differ in. Knows nothing of how either was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facings.analysis.curve_figures import COLOURS, HEADING, INK, SMALL, TEXT, TITLE, furnish

WHOLE = "total"
# Figures of a comparison that are no shares.
COUNTED = ("acd",)
VERDICT_COLOURS = {"better": COLOURS[2], "worse": COLOURS[1], "no difference shown": "#8c8c8c"}


def draw_stages(stages: Mapping[str, Mapping[str, float]]) -> Figure:
    """Each stage's median, with a line up to p95 and a tick at p99. `stages`: percentiles in ms by name, `total` among them."""
    figure = Figure(figsize=(11, 0.55 * len(stages) + 1.7), dpi=100, layout="constrained")
    axis = figure.subplots()
    names = [name for name in stages if name != WHOLE] + [name for name in stages if name == WHOLE]
    for place, name in enumerate(names):
        p50, p95, p99 = (stages[name][key] for key in ("p50", "p95", "p99"))
        axis.barh(place, p50, color=INK if name == WHOLE else COLOURS[0], alpha=0.85)
        axis.plot([p50, p95], [place, place], color=COLOURS[1], linewidth=3)
        axis.plot([p99, p99], [place - 0.25, place + 0.25], color=COLOURS[1], linewidth=2)
        axis.annotate(f"{p50:.1f} ms, p99 {p99:.1f}", (max(p99, p95), place), (8, 0), textcoords="offset points", va="center",
                      fontsize=SMALL, color=INK)  # fmt: skip
    axis.set_yticks(range(len(names)), names, fontsize=TEXT)
    axis.invert_yaxis()
    axis.set_xlim(0, max(stages[name]["p99"] for name in names) * 1.25)
    _furnish(axis, "Where a frame's time goes: bar median, line to p95, tick p99", "milliseconds", "")
    return figure


def draw_frame_cost(frames: Sequence[Mapping[str, float]], fixed: float, each: float) -> Figure:
    """A dot a frame: `total` ms against its number of `products`, and where it is known the line `fixed` + `each` · products."""
    figure = Figure(figsize=(9.5, 4.4), dpi=100, layout="constrained")
    axis = figure.subplots()
    products, total = (np.array([frame[name] for frame in frames]) for name in ("products", "total"))
    axis.scatter(products, total, s=26, color=COLOURS[0], alpha=0.7, linewidths=0)
    if np.isfinite(each):
        ends = np.array([0.0, float(products.max(initial=1))])
        text = f"{fixed:.0f} ms and {each:.2f} ms a product"
        axis.plot(ends, fixed + each * ends, color=COLOURS[1], linewidth=2, label=text)
    else:
        axis.plot([], [], color=COLOURS[1], label="all frames hold as many products: no slope to tell")
    _furnish(axis, "What a crowded frame costs", "products found in the frame", "milliseconds a frame")
    axis.set_ylim(0, None)
    axis.legend(frameon=False, fontsize=SMALL, loc="upper left")
    return figure


def draw_differences(verdicts: Sequence[Any]) -> Figure:
    """A row a verdict (`facings.benchmark.verdict`): the difference and its 95 % interval; left of 0 the second has less.

    What is counted in products a picture has an axis of its own. Raises ValueError without a verdict.
    """
    if not verdicts:
        raise ValueError("the figure wants a verdict or more")
    parts = [
        ([v for v in verdicts if v.figure not in COUNTED], "difference (shares, 0–1)"),
        ([v for v in verdicts if v.figure in COUNTED], "difference (products a picture; less is better)"),
    ]
    parts = [(rows, below) for rows, below in parts if rows]
    heights = [len(rows) + 1.6 for rows, _ in parts]
    figure = Figure(figsize=(11, 0.5 * sum(heights) + 0.6), dpi=100, layout="constrained")
    figure.suptitle(
        f"Against {verdicts[0].first}, drawn in pairs over the pictures", x=0.01, ha="left", fontsize=HEADING
    )
    axes = figure.subplots(len(parts), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, (rows, below) in zip(axes, parts, strict=True):
        for place, verdict in enumerate(rows):
            colour, found = VERDICT_COLOURS[verdict.winner], verdict.difference
            axis.plot([found.low, found.high], [place, place], color=colour, linewidth=4, alpha=0.5)
            axis.plot(found.value, place, "o", color=colour, markersize=9)
            axis.annotate(
                f"{verdict.winner}, p = {verdict.p:.3f}", (1.01, place), xycoords=("axes fraction", "data"), va="center",
                fontsize=SMALL, color=INK, annotation_clip=False,
            )  # fmt: skip
        axis.axvline(0, color=INK, linewidth=1.4)
        axis.set_yticks(range(len(rows)), [f"{v.figure}: {v.second}" for v in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        _furnish(axis, "", below, "")
    return figure


def draw_networks(timed: Sequence[Any]) -> Figure:
    """A row a network and batch (`facings.benchmark.throughput.Timed`): time of one picture over the reference graph's, and the
    share of the machine's own peak; lines: 95 %."""
    figure = Figure(figsize=(12, 0.5 * len(timed) + 1.9), dpi=100, layout="constrained")
    figure.suptitle("Beside a reference timed in the same rounds", x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    for axis, key, text in zip(
        figure.subplots(1, 2, sharey=True),
        ("over_reference", "share_of_peak"),
        (
            "time of one picture, as a multiple of the reference graph's",
            "arithmetic a second, as a share of a matrix product's",
        ),
        strict=True,
    ):
        for place, entry in enumerate(timed):
            own = getattr(entry, key)
            axis.barh(place, own["value"], color=COLOURS[0] if place else "#8c8c8c", alpha=0.85)
            axis.plot([own["low"], own["high"]], [place, place], color=COLOURS[1], linewidth=3)
            axis.annotate(f"{own['value']:.2f}", (max(own["value"], own["high"]), place), (6, 0), textcoords="offset points",
                          va="center", fontsize=SMALL)  # fmt: skip
        axis.set_yticks(range(len(timed)), [f"{entry.name} × {entry.batch}" for entry in timed], fontsize=SMALL)
        axis.set_xlim(0, max(max(getattr(e, key)["value"], getattr(e, key)["high"]) for e in timed) * 1.18)
        _furnish(axis, "", text, "")
    figure.axes[0].invert_yaxis()
    return figure


def _furnish(axis: Axes, title: str, below: str, beside: str) -> None:
    furnish(axis, title, below, beside, grid="x")
