"""Misses at a chosen false-positive rate against the size of the gallery, as a figure. Knows nothing of where they come from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from facings.analysis.curve_figures import COLOURS, INK, SMALL, TITLE, furnish


def draw_fnir(content: Mapping[str, Any], *, name: str) -> Figure:
    """Left: FNIR at each FPIR, hollow where the searches are too few to tell the rate; right: the FPIR at the threshold of the
    smallest gallery, kept. Bands: 95 % of the draws. `content`: see `benchmark.turnover_fnir.fnir_report`.

    Raises ValueError where it holds no size.
    """
    if not content["sizes"]:
        raise ValueError("the figure wants a gallery size or more; the content holds none")
    figure = Figure(figsize=(13.2, 5.6), dpi=110, layout="constrained")
    photos, draws = content["views"], content["draws"]
    title = f"{name}: {photos} photo{'' if photos == 1 else 's'} a product, {draws} draws of the assortment"
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    left, right = figure.subplots(1, 2)
    for share, colour in zip(content["fpirs"], COLOURS, strict=False):
        _line(left, content, f"fnir_{share:g}", f"FPIR {share:.3g}", colour, resolved=f"{share:g}")
    _line(left, content, "rank1_miss", "no threshold: another product is nearest", INK)
    if not all(told for entry in content["sizes"] for told in entry["resolved"].values()):
        left.plot([], [], "o", color=INK, markerfacecolor="white", label="upper bound: too few searches to tell")
    _furnish(left, content, "Enrolled goods that are missed", "FNIR")
    asked = content["fpirs"][0]
    right.axhline(asked, color=INK, linestyle="--", linewidth=1.5, label=f"asked for: {asked:.3g}")
    _line(right, content, "fpir_fixed", "threshold of the smallest gallery, kept", COLOURS[1])
    _furnish(right, content, "Goods not enrolled that are answered", "FPIR")
    return figure


def _line(
    axis: Axes, content: Mapping[str, Any], name: str, text: str, colour: str, *, resolved: str | None = None
) -> None:
    sizes = content["sizes"]
    x = np.array([entry["products"] for entry in sizes])
    value, low, high = (np.array([entry["figures"][name][key] for entry in sizes]) for key in ("value", "low", "high"))
    sure = np.array([resolved is None or entry["resolved"][resolved] for entry in sizes], bool)
    axis.plot(x, value, color=colour, linewidth=2.2, label=text)
    axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.plot(x[sure], value[sure], "o", color=colour)
    axis.plot(x[~sure], value[~sure], "o", color=colour, markerfacecolor="white")


def _furnish(axis: Axes, content: Mapping[str, Any], title: str, beside: str) -> None:
    furnish(axis, title, "products enrolled", beside)
    sizes = [entry["products"] for entry in content["sizes"]]
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.minorticks_off()
    axis.set_ylim(0, None)
    axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14), frameon=False, fontsize=SMALL)
