"""Seconds of enrolment, commit, opening and search against the size of the gallery, as a figure. Measures nothing."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from facings.analysis.curve_figures import COLOURS, INK, SMALL, TITLE, furnish

# Figure of a point → what it is called, and how many of its units a second has.
LINES = {
    "enroll8_p95_seconds": ("enrolling a product from 8 photos, 95th percentile", 1),
    "enroll8_p50_seconds": ("the same, median", 1),
    "commit_seconds": ("commit of one change", 1),
    "open_seconds": ("opening the gallery, every byte checked", 1),
    "search_ms": ("one search", 1000),
}
# What an enrolment may take, see docs/gallery.md.
BUDGET = 1.0


def draw_enrolment(points: Sequence[Mapping[str, float]], *, title: str) -> Figure:
    """`points`: each `views` and the figures of `LINES`, as `SpeedPoint.to_dict` gives them. Raises ValueError without a point."""
    if not points:
        raise ValueError("the figure wants a gallery or more")
    figure = Figure(figsize=(9.6, 6.4), dpi=110, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    axis = figure.subplots()
    ordered = sorted(points, key=lambda point: point["views"])
    views = np.array([point["views"] for point in ordered])
    for (name, (text, per_second)), colour in zip(LINES.items(), COLOURS, strict=False):
        seconds = np.array([point[name] for point in ordered]) / per_second
        axis.plot(views, seconds, "o-", color=colour, linewidth=2.2, label=text)
    axis.axhline(BUDGET, color=INK, linestyle="--", linewidth=1.4, label="chosen limit of an enrolment")
    furnish(axis, "", "views in the gallery", "seconds")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.1), ncols=2, frameon=False, fontsize=SMALL)
    return figure
