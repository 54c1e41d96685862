"""Known and unknown goods as figures: where a threshold lies between them, and what it does as a gallery grows."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facings.analysis.curve_figures import COLOURS, INK, SMALL, TITLE, furnish
from facings.analysis.open_set_scores import OpenSetScores


def draw_open_set(scores: OpenSetScores, threshold: float, *, measure: str = "similarity") -> Figure:
    """Left: how sure the nearest product looks, enrolled or not. Right: what any threshold would do; the line is the one in force,
    where it accepts anything. `measure`: what the scores are, in words."""
    figure = Figure(figsize=(13, 4.8), dpi=100, layout="constrained")
    figure.suptitle("Is it enrolled at all?", x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    left, right = figure.subplots(1, 2)
    every = np.concatenate([scores.known, scores.unknown])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-3), 41).tolist()
    groups = (
        (scores.known[scores.right], COLOURS[2], "enrolled, the right product is nearest"),
        (scores.known[~scores.right], COLOURS[1], "enrolled, another is nearest"),
        (scores.unknown, COLOURS[0], "its own product taken out of the gallery"),
    )
    for values, colour, text in groups:
        left.hist(values, edges, color=colour, alpha=0.5, label=f"{text} ({len(values)})")
    if np.isfinite(threshold):
        left.axvline(threshold, color=INK, linewidth=2, label=f"threshold in force: {threshold:.3f}")
    else:
        left.plot(
            [], [], color=INK, linewidth=2, label="threshold in force: accepts " + ("nothing", "all")[threshold < 0]
        )
    _furnish(left, "How sure the nearest product looks", measure, "queries")
    cuts = np.linspace(low, high, 200)
    shares = [scores.at(float(cut)) for cut in cuts]
    for name, colour, text in (
        ("right", COLOURS[2], "known: answered rightly"),
        ("refused", COLOURS[4], "known: refused"),
        ("wrong", COLOURS[1], "known: answered wrongly"),
        ("false_accept", COLOURS[0], "unknown: taken for an enrolled one"),
    ):
        right.plot(cuts, [share[name] for share in shares], color=colour, linewidth=2.2, label=text)
    if np.isfinite(threshold):
        right.axvline(threshold, color=INK, linewidth=2)
    _furnish(right, "What a threshold does", f"least that is called known: {measure}", "share of queries")
    right.set_ylim(0, 1.02)
    return figure


def draw_growth(by_size: Mapping[int, Mapping[str, float]], *, asked: float) -> Figure:
    """As the gallery grows: false accepts at a threshold that stays, and refusals at one that moves. `by_size`: what
    `fnir_by_gallery_size` gives for an FPIR of `asked`."""
    figure = Figure(figsize=(9.5, 4.6), dpi=100, layout="constrained")
    axis = figure.subplots()
    sizes = list(by_size)
    key = f"fnir_{asked:g}"
    axis.plot(sizes, [by_size[n]["fpir_fixed"] for n in sizes], "o-", color=COLOURS[1], linewidth=2.2,
              label="threshold of the smallest gallery kept: unknown goods taken for enrolled ones")  # fmt: skip
    axis.plot(sizes, [by_size[n][key] for n in sizes], "o-", color=COLOURS[0], linewidth=2.2,
              label="threshold taken anew at each size: enrolled goods not answered")  # fmt: skip
    axis.axhline(asked, color=INK, linestyle="--", linewidth=1.4, label=f"error rate asked for: {asked:.0%}")
    _furnish(axis, "What a growing gallery does to a threshold", "products enrolled", "share of queries")
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.set_ylim(0, None)
    return figure


def _furnish(axis: Axes, title: str, below: str, beside: str) -> None:
    furnish(axis, title, below, beside)
    axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16), frameon=False, fontsize=SMALL)
