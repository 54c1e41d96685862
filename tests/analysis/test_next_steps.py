"""What the ends of the notebooks say, out of figures that are made for it."""

import doctest
from types import SimpleNamespace
from typing import Any

import pytest

from facings.analysis import next_steps
from facings.analysis.findings import ADVICE, findings_of_gains
from facings.analysis.next_steps import (
    steps_as_markdown,
    steps_of_drift,
    steps_of_label_faults,
    steps_of_latency,
    steps_of_masks,
    steps_of_open_set,
    steps_of_turnover,
    steps_of_verdicts,
)


def test_worked_examples() -> None:
    assert doctest.testmod(next_steps).failed == 0


def test_no_advice_names_a_file_that_a_notebook_has_not_got() -> None:
    gains = dict.fromkeys(list(ADVICE)[:6], 0.1)
    text = steps_as_markdown(findings_of_gains(gains, dict.fromkeys(gains, 1), most=6))
    assert ".jpg" not in text and ".png" not in text and text.count("\n") == 5


def test_nothing_found_says_so() -> None:
    assert "Nothing stands out" in steps_as_markdown([])


@pytest.mark.parametrize(("reached", "word"), [(0.2, "unlike these goods"), (0.05, "holds"), (0.01, "Stricter")])
def test_a_rate_is_judged_by_what_was_asked(reached: float, word: str) -> None:
    first = steps_of_open_set({"false_accept": reached, "refused": 0, "wrong": 0}, 0.05, 100)[0]
    assert word in first.advice and f"{reached:.1%}" in first.text


def test_what_is_refused_and_wrong_is_told_only_where_there_is_some() -> None:
    steps = steps_of_open_set({"false_accept": float("nan"), "refused": 0.2, "wrong": 0.0}, 0.05, 10)
    assert [step.name for step in steps] == ["refused"]


@pytest.mark.parametrize(("moved", "fixed", "word"), [(0.06, 0.3, "Export"), (0.4, 0.1, "no nearer")])
def test_the_standard_must_earn_its_praise(moved: float, fixed: float, word: str) -> None:
    figures = {"false_accept": {"value": moved}, "fixed_false_accept": {"value": fixed}}
    assert word in steps_of_turnover(figures, 0.05).advice


def latency(**changes: Any) -> dict[str, Any]:
    def times(p50: float, p99: float) -> dict[str, float]:
        return {"p50": p50, "p95": p99, "p99": p99}

    stages = {"detect": times(10, 12), "embed": times(60, 70), "total": times(70, 80), "decode": times(200, 200)}
    return {"stages": stages, "other_cpu_share": 0.0} | changes


def test_the_dearest_stage_is_one_of_the_frame() -> None:
    """Decoding is not part of the total, however long it takes."""
    steps = steps_of_latency(latency(), 20.0, 2.0)
    assert [step.name for step in steps] == ["embed", "products"] and "490 products" in steps[1].advice


def test_a_disturbed_measurement_is_told_last_and_an_unknown_slope_not_at_all() -> None:
    steps = steps_of_latency(latency(other_cpu_share=0.6), float("nan"), float("nan"), others=0.05)
    assert [step.name for step in steps] == ["embed", "disturbed"] and "60%" in steps[-1].text


def test_verdicts_put_what_is_shown_first() -> None:
    def verdict(figure: str, winner: str, p: float) -> Any:
        return SimpleNamespace(
            figure=figure, second="b", winner=winner, p=p, difference=SimpleNamespace(value=0.1, low=0, high=1)
        )

    steps = steps_of_verdicts(
        [verdict("ap", "no difference shown", 0.4), verdict("f1", "worse", 0.01)], ["only 3 pictures: x"]
    )
    assert [step.name for step in steps] == ["f1", "ap", "note"] and "Do not take it" in steps[0].advice
    assert steps[-1].text == "Only 3 pictures: x"


def test_masks() -> None:
    assert "No box fits" in steps_of_masks(0.0, 0.0, 0, 0, has_masks=True)[0].text
    assert "no masks" in steps_of_masks(0.9, 0.7, 3, 9, has_masks=False)[0].text
    assert "Train longer" in steps_of_masks(0.9, 0.7, 3, 9, has_masks=True)[0].advice
    assert "not what costs" in steps_of_masks(0.9, 0.9, 0, 9, has_masks=True)[0].advice


def test_trust_in_suspicions_is_measured_against_chance() -> None:
    good = {"planted": 20.0, "looked_at": 20.0, "found": 0.8, "chance": 0.03}
    steps = steps_of_label_faults({"loose box": 4, "other class": 0}, good)
    assert [step.name for step in steps] == ["planted", "loose box"] and "from the top" in steps[0].advice
    assert "too unsure" in steps_of_label_faults({}, good | {"found": 0.05})[0].advice


def test_drift_names_what_changed() -> None:
    change = SimpleNamespace(name="brightness", before=0.2, after=0.6, p_value=0.0001)
    assert "brightness 0.2 → 0.6" in steps_of_drift(0.5, [change]).text
    assert "look alike" in steps_of_drift(0.5, [SimpleNamespace(**{**vars(change), "p_value": 0.9})]).text
