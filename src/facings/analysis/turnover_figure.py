"""The turnover benchmark as a figure. Knows the figures by day alone; no global state of matplotlib is touched."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008).
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
INK, GRID = "#222222", "#e8e8e8"
TITLE, HEADING, TEXT, SMALL = 15, 12.5, 11.5, 10.5
Days = Sequence[Mapping[str, float]]


def draw_turnover(content: Mapping[str, Any]) -> Figure:
    """Left: the share of goods not enrolled that were taken for enrolled, day by day, beside the chosen one. Right: coverage
    and what is right. `content`: what `facings benchmark protocol=turnover` writes as turnover.json.

    Raises ValueError where it holds no day.
    """
    days = content["days"]
    if not days["false_accept"]:
        raise ValueError("the turnover figure wants a day or more; the content holds none")
    figure = Figure(figsize=(13.2, 7.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    protocol, seeds = content["protocol"], content["seeds"]
    photos = "1 photo" if protocol["views"] == 1 else f"{protocol['views']} photos"
    figure.suptitle(
        f"{content['data']}: {protocol['share']:.0%} of the goods replaced a day, {photos} each, "
        f"mean of {len(seeds)} shops" + (" (one)" if len(seeds) == 1 else ""),
        x=0.01, ha="left", fontsize=TITLE, fontweight="bold",
    )  # fmt: skip
    chosen = content["rates"]["false_accept"]
    left.axhline(chosen, color=INK, linestyle="--", linewidth=1.5, label=f"chosen: {chosen:.1%}")
    left.axhspan(0.8 * chosen, 1.2 * chosen, color=INK, alpha=0.07, linewidth=0, label="± 20 %")
    for name, text, colour in (
        ("false_accept", "the standard, calibrated at each commit", BLUE),
        ("fixed_false_accept", "fixed cosine threshold, tuned on day 0", ORANGE),
        ("per_class_false_accept", "a threshold for each product, tuned on day 0", PINK),
        ("softmax_false_accept", "classifier trained anew each day, threshold of day 0", GREEN),
    ):
        if name in days:
            _line(left, days[name], text, colour, band=name in ("false_accept", "fixed_false_accept"))
    _furnish(left, "Goods that are not enrolled, taken for one that is", "false-accept rate", days["false_accept"])
    pick = next(name for name in days if name.startswith("picklist"))
    level = content["rates"]["coverage"]
    right.axhline(level, color=INK, linestyle="--", linewidth=1.5, label=f"coverage chosen: {level:.0%}")
    for name, text, colour in (
        ("coverage", "the truth is in the answer set", BLUE),
        ("correct_at_level", "right at the level reported", ORANGE),
        (pick, f"known: right product among the first {pick.removeprefix('picklist')}", GREEN),
        ("accuracy", "known: right product first", PINK),
    ):
        _line(right, days[name], text, colour, band=name == "coverage")
    _furnish(right, "What is answered", "share of crops", days["coverage"])
    right.set_ylim(min(0.5, right.get_ylim()[0]), 1.01)
    left.set_ylim(0, None)
    return figure


def _line(axis: Axes, days: Days, text: str, colour: str, *, band: bool) -> None:
    x = np.arange(len(days))
    value, low, high = (np.array([np.nan if d[k] is None else d[k] for d in days]) for k in ("value", "low", "high"))
    axis.plot(x, value, color=colour, linewidth=2.2, label=text)
    if band and (high > low).any():
        axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0, label="95 % interval of it, over shops")


def _furnish(axis: Axes, title: str, beside: str, days: Days) -> None:
    axis.set_title(title, loc="left", fontsize=HEADING)
    axis.set_xlabel("day (0: the shop opens)", fontsize=TEXT)
    axis.set_ylabel(beside, fontsize=TEXT)
    axis.set_xlim(0, max(len(days) - 1, 1))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    axis.grid(color=GRID)
    axis.tick_params(labelsize=SMALL)
    axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.11), ncols=1, frameon=False, fontsize=SMALL)
