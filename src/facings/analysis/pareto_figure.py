"""What accuracy costs, as a figure: the runs that no other beats in both. Knows nothing of what was run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008).
FRONT, BEATEN, INK, GRID = "#0072b2", "#8c8c8c", "#222222", "#e8e8e8"
TITLE, TEXT, SMALL = 14, 11.5, 10.5
NEAR = 0.05


@dataclass(frozen=True)
class Point:
    """A run: `cost`, less is better; `gain`, more is better; `low`, `high`: 95 % of the gain, or None."""

    name: str
    cost: float
    gain: float
    low: float | None = None
    high: float | None = None


def front(points: Sequence[Point]) -> list[int]:
    """Which points no other beats: none costs less and gains as much, or gains more and costs as much. By rising cost.

    >>> front([Point("a", 1, 0.5), Point("b", 2, 0.4), Point("c", 3, 0.9), Point("d", 3, 0.8)])
    [0, 2]
    """
    order = sorted(range(len(points)), key=lambda place: (points[place].cost, -points[place].gain))
    kept: list[int] = []
    for place in order:
        best = points[kept[-1]] if kept else None
        same = best is not None and (points[place].cost, points[place].gain) == (best.cost, best.gain)
        if best is None or same or points[place].gain > best.gain:
            kept.append(place)
    return kept


def draw_pareto(points: Sequence[Point], *, cost: str, gain: str) -> Figure:
    """Every point with its interval, the front joined. `cost`, `gain`: what the axes show. ValueError without a point."""
    if not points:
        raise ValueError("the figure wants a run or more")
    figure = Figure(figsize=(9.2, 6.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    best = front(points)
    axis.step(
        [points[place].cost for place in best], [points[place].gain for place in best], where="post", color=FRONT,
        linewidth=1.6, alpha=0.6, label="not beaten by any other in both",
    )  # fmt: skip
    for place, point in enumerate(points):
        colour = FRONT if place in best else BEATEN
        if point.low is not None and point.high is not None:
            axis.plot([point.cost] * 2, [point.low, point.high], color=colour, linewidth=1.4, alpha=0.7)
        axis.plot(point.cost, point.gain, "o", color=colour, markersize=8)
        above = 6 + 14 * sum(_near(point, other, points) for other in points[:place])
        axis.annotate(
            point.name, (point.cost, point.gain), (7, above), textcoords="offset points", fontsize=SMALL, color=INK
        )
    costs = np.array([point.cost for point in points])
    axis.set_xlim(0, float(costs.max()) * 1.35 or 1.0)
    axis.set_xlabel(f"{cost}, less is better", fontsize=TEXT)
    axis.set_ylabel(f"{gain}, bars: 95 % over pictures", fontsize=TEXT)
    axis.set_title(f"{gain} against {cost}", loc="left", fontsize=TITLE, fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)
    axis.grid(color=GRID)
    axis.tick_params(labelsize=SMALL)
    axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.09), frameon=False, fontsize=SMALL)
    return figure


def _near(first: Point, second: Point, points: Sequence[Point]) -> bool:
    """Whether their names would lie on each other: both within a twentieth of what the figure shows."""
    ends = [end for p in points for end in (p.gain, p.low, p.high) if end is not None]
    cost, gain = max(p.cost for p in points), max(ends) - min(ends)
    return abs(first.cost - second.cost) <= NEAR * cost and abs(first.gain - second.gain) <= NEAR * gain
