"""Cost against size on logarithmic axes, one panel a curve, with the law fitted. Knows nothing of what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008).
MEASURED, FITTED, GRID = "#0072b2", "#d55e00", "#e8e8e8"
TITLE, HEADING, TEXT, SMALL = 14, 12, 11, 10


def draw_scale(curves: Sequence[Mapping[str, Any]], *, title: str) -> Figure:
    """`curves`: each `name`, `label` (of the sizes), `sizes` (P,), `p50`, `low`, `high` (P,) ms, and `law` (`exponent`, `low`,
    `high`, `factor`, `r2`). Raises ValueError without a curve."""
    if not curves:
        raise ValueError("the figure wants a curve or more")
    columns = min(2, len(curves))
    lines = -(-len(curves) // columns)
    figure = Figure(figsize=(6.4 * columns, 4.6 * lines + 0.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE, fontweight="bold")
    for place, curve in enumerate(curves):
        axis = figure.add_subplot(lines, columns, place + 1)
        sizes, middle = np.array(curve["sizes"]), np.array(curve["p50"])
        low, high = np.array(curve["low"]), np.array(curve["high"])
        spread = np.stack([middle - low, high - middle])
        axis.errorbar(
            sizes, middle, yerr=spread, fmt="o", color=MEASURED, markersize=7, capsize=3, label="median, 95 %"
        )
        law = curve["law"]
        line = np.geomspace(sizes.min(), sizes.max(), 50)
        text = f"size^{law['exponent']:.2f}"
        if law["low"] is not None and np.isfinite(law["low"]):
            text += f" ({law['low']:.2f} to {law['high']:.2f})"
        axis.plot(line, law["factor"] * line ** law["exponent"], "--", color=FITTED, linewidth=1.8, label=text)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(curve["name"], loc="left", fontsize=HEADING)
        axis.set_xlabel(curve["label"], fontsize=TEXT)
        axis.set_ylabel("ms", fontsize=TEXT)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(color=GRID, which="both")
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=SMALL)
        axis.legend(frameon=False, fontsize=SMALL, loc="upper left")
    return figure
