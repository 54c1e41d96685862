"""Figures of cost and spread: drawn whole, and what they count."""

import doctest
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facings.analysis.cost_figures import draw_differences, draw_frame_cost, draw_networks, draw_stages
from facings.analysis.curve_figures import png
from facings.analysis.mask_agreement import MaskAgreement
from facings.analysis.pareto_figure import Point, draw_pareto
from facings.analysis.spread_figures import draw_agreement, draw_dataset
from facings.benchmark import frame_times
from facings.benchmark.frame_times import cost_of_a_product
from facings.benchmark.turnover_data import synthetic_families
from facings.benchmark.turnover_short import short_turnover
from facings.data.doctor.statistics import crowding, histogram


def test_worked_examples() -> None:
    assert doctest.testmod(frame_times).failed == 0


def verdict(figure: str, value: float) -> Any:
    difference = SimpleNamespace(value=value, low=value - 0.1, high=value + 0.1)
    return SimpleNamespace(figure=figure, first="a", second="b", winner="worse", p=0.01, difference=difference)


@pytest.mark.parametrize(("figures", "panels"), [(["ap", "f1"], 1), (["acd"], 1), (["ap", "acd"], 2)])
def test_shares_and_counts_have_axes_of_their_own(figures: list[str], panels: int) -> None:
    figure = draw_differences([verdict(name, 0.1) for name in figures])
    assert len(figure.axes) == panels and png(figure).startswith(b"\x89PNG")


def test_no_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="a verdict or more"):
        draw_differences([])


def test_costs_are_drawn() -> None:
    times = {name: {"p50": 1.0, "p95": 2.0, "p99": 3.0} for name in ("detect", "total", "decode")}
    figure = draw_stages(times)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["detect", "decode", "total"]
    frames = [{"products": 1.0, "total": 12.0}, {"products": 5.0, "total": 20.0}]
    line = draw_frame_cost(frames, *cost_of_a_product(frames)).axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [10, 20])
    share = {"value": 0.5, "low": 0.4, "high": 0.6}
    timed = [
        SimpleNamespace(name=n, batch=1, over_reference=share, share_of_peak=share) for n in ("reference", "detector")
    ]
    assert len(draw_networks(timed).axes) == 2


def test_frames_of_as_many_products_have_no_slope() -> None:
    frames = [{"products": 3.0, "total": 1.0}] * 2
    fixed, each = cost_of_a_product(frames)
    assert np.isnan((fixed, each)).all()
    [text] = draw_frame_cost(frames, fixed, each).axes[0].get_legend().get_texts()
    assert "no slope" in text.get_text()


@pytest.mark.parametrize("classes", [{"tea": 3}, {f"p{n}": n for n in range(1, 40)}])
def test_a_set_is_drawn(classes: dict[str, int]) -> None:
    split = {"objects_per_image": crowding([3, 3, 3]), "box_size": {"p50": 3.0, "histogram": histogram(np.arange(9.0))}}
    figure = draw_dataset(
        {"objects": {"train": {**split, "classes": classes}}, "table.csv": {"val": {"classes": classes}}}
    )
    assert png(figure).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="a split or more"):
        draw_dataset({})


@pytest.mark.parametrize("count", [0, 1, 30])
def test_agreement_is_drawn_of_any_number(count: int, rng: np.random.Generator) -> None:
    values = rng.uniform(0.5, 1, count).astype(np.float32)
    zero = np.zeros(count, np.int64)
    assert png(draw_agreement(MaskAgreement(values, values, 40 * values, zero, zero), title="x")).startswith(b"\x89PNG")


def test_a_short_turnover_has_its_days_and_refuses_quietly_what_is_too_little() -> None:
    found = short_turnover(synthetic_families(families=6), name="made up", false_accept=0.1, days=2, seeds=1)
    assert found is not None and len(found["days"]["false_accept"]) == 3 and found["protocol"]["views"] == 4
    assert short_turnover(synthetic_families(families=1), name="x", false_accept=0.1, days=2, seeds=1) is None


def test_names_of_runs_in_one_place_stand_above_each_other() -> None:
    points = [Point("a", 75.2, 0.984, 0.978, 0.993), Point("b", 75.1, 0.984, 0.978, 0.993), Point("c", 40, 0.981)]
    texts = draw_pareto(points, cost="MiB", gain="AP50").axes[0].texts
    assert [(text.get_text(), text.get_position()[1]) for text in texts] == [("a", 6), ("b", 20), ("c", 6)]
