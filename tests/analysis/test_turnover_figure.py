"""The figure of a run: it is drawn, says what was run, and is the same for the same figures."""

import io

import numpy as np
import pytest
from PIL import Image

from facings.analysis.curve_figures import png
from facings.analysis.turnover_figure import draw_turnover

NAMES = ("false_accept", "fixed_false_accept", "coverage", "correct_at_level", "picklist3", "accuracy")


def content(days: int, seeds: int = 2) -> dict:  # type: ignore[type-arg]
    entry = [{"value": 0.05 + 0.01 * d, "low": 0.04, "high": 0.1} for d in range(days)]
    return {
        "data": "apples", "protocol": {"share": 0.3, "views": 4}, "seeds": list(range(seeds)),
        "rates": {"false_accept": 0.05, "coverage": 0.95}, "days": {name: entry for name in NAMES},
    }  # fmt: skip


@pytest.mark.parametrize("days", [1, 21])
def test_draws_the_chosen_rate_and_both_curves(days: int) -> None:
    figure = draw_turnover(content(days))
    left, right = figure.axes
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    # The standard and the fixed threshold have bands, which are told.
    assert labels[0] == "chosen: 5.0%" and len(labels) == 6 and sum("interval" in text for text in labels) == 2
    curve = left.get_lines()[1]
    assert np.allclose(curve.get_ydata(), [0.05 + 0.01 * d for d in range(days)])
    assert "apples: 30% of the goods replaced a day, 4 photos each, mean of 2 shops" in figure.get_suptitle()
    assert right.get_ylim()[1] == 1.01
    first = png(figure)
    assert first == png(draw_turnover(content(days))) and Image.open(io.BytesIO(first)).size == (1452, 792)


def test_days_without_a_figure_leave_a_gap_and_no_day_is_refused() -> None:
    made = content(3)
    made["days"] = made["days"] | {"fixed_false_accept": [{"value": None, "low": None, "high": None}] * 3}
    assert np.isnan(draw_turnover(made).axes[0].get_lines()[2].get_ydata()).all()
    with pytest.raises(ValueError, match="a day or more"):
        draw_turnover(content(0))
