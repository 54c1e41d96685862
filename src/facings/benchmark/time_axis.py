"""The axis of figures that set accuracy against milliseconds."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from facings.analysis.curve_figures import GRID, SMALL


def time_axis(axis: Axes, fastest: float, slowest: float, ticks: Sequence[float]) -> None:
    """Milliseconds on a logarithmic scale, with room beside `fastest` and `slowest`; a grid, no frame above and at the right."""
    axis.set_xscale("log")
    axis.set_xlim(fastest / 1.25, slowest * 1.25)
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    axis.grid(color=GRID)
    axis.tick_params(labelsize=SMALL)
