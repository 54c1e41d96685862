"""Tracks and events, on boxes alone."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from facings.boxes import iou
from facings.errors import ConfigError, DataError
from facings.runtime.track_events import Appeared, Event, Gone, Moved, event_from_json, to_lines
from facings.runtime.tracking import UNTRACKED, Patience, Tracker, assign


def row(*lefts: float, width: float = 10) -> np.ndarray:
    """Boxes of a shelf's row, 20 high, that begin at these columns."""
    return np.array([[left, 0, left + width, 20] for left in lefts], np.float32).reshape(-1, 4)


def play(tracker: Tracker, frames: list[tuple[np.ndarray, list[str | None]]]) -> list[tuple[Event, ...]]:
    return [tracker.update(boxes, products)[1] for boxes, products in frames]


@given(st.integers(0, 2**32 - 1))
def test_greedy_is_as_good_as_the_hungarian_method_on_shelves(seed: int) -> None:
    generator = np.random.default_rng(seed)
    lefts = np.arange(12) * 11.0
    before = row(*lefts[generator.random(12) < 0.8])
    now = row(*(lefts + generator.uniform(-1.5, 1.5, 12))[generator.permutation(12)][: generator.integers(0, 13)])
    ours = assign(before, now, 0.3)
    overlaps = np.where(iou(before, now) >= 0.3, iou(before, now), 0)
    theirs = [(r, c) for r, c in zip(*linear_sum_assignment(-overlaps), strict=True) if overlaps[r, c] > 0]
    assert sorted(ours) == sorted(theirs)


def test_appearing_needs_its_time_and_numbers_never_come_back() -> None:
    tracker = Tracker(Patience(confirm=3, hidden=2))
    numbers = [tracker.update(row(0), ["a"])[0].tolist() for _ in range(3)]
    assert numbers == [[UNTRACKED], [UNTRACKED], [0]]
    assert play(tracker, [(row(), []), (row(), [])])[1] == (Gone(4, 0, "a", (0, 0, 10, 20)),)
    # Twice for two frames is not once for three.
    assert play(tracker, [(row(0), ["a"])] * 2 + [(row(), [])] + [(row(0), ["a"])] * 2) == [()] * 5
    assert tracker.update(row(0), ["a"])[1] == (Appeared(10, 1, "a", (0, 0, 10, 20)),)


def test_what_is_hidden_is_not_gone() -> None:
    tracker = Tracker(Patience(confirm=1, hidden=3))
    play(tracker, [(row(0, 20), ["a", "b"])])
    for _ in range(5):
        assert play(tracker, [(row(20), ["b"]), (row(20), ["b"]), (row(0, 20), ["a", "b"])]) == [()] * 3
    gone = play(tracker, [(row(20), ["b"])] * 4)
    assert [len(events) for events in gone] == [0, 0, 1, 0] and gone[2][0].product_id == "a"


def test_a_move_in_small_steps_is_one_event_and_jitter_none() -> None:
    tracker = Tracker(Patience(confirm=1, move=0.5))
    generator = np.random.default_rng(0)
    jitter = [(row(0) + generator.normal(0, 0.5, (1, 4)).astype(np.float32), ["a"]) for _ in range(30)]
    assert [len(events) for events in play(tracker, jitter)] == [1] + [0] * 29
    # A side is the root of 10 × 20: past 7.07 pixels from the anchor it has moved.
    tracker = Tracker(Patience(confirm=1, move=0.5))
    events = play(tracker, [(row(left), ["a"]) for left in range(0, 10)])
    assert [len(e) for e in events] == [1, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    assert events[8] == (Moved(8, 0, "a", (8, 0, 18, 20), (0, 0, 10, 20)),)


def test_put_back_elsewhere_is_moved_and_strangers_are_not_followed() -> None:
    def taken_and_back(product: str | None) -> list[str]:
        tracker = Tracker(Patience(confirm=2, hidden=5))
        frames = [(row(0), [product])] * 2 + [(row(), [])] * 2 + [(row(100), [product])] * 6
        return [event.kind for events in play(tracker, frames) for event in events]

    assert taken_and_back("a") == ["appeared", "moved"]
    assert taken_and_back(None) == ["appeared", "appeared", "gone"]


def test_another_product_in_its_place() -> None:
    tracker = Tracker(Patience(confirm=2, hidden=4))
    play(tracker, [(row(0), ["a"])] * 2)
    # Once is chance; nothing known may be a hand, until it lasts.
    assert play(tracker, [(row(0), ["b"]), (row(0), ["a"])] + [(row(0), [None])] * 3 + [(row(0), ["a"])]) == [()] * 6
    assert play(tracker, [(row(0), ["b"]), (row(0), ["c"]), (row(0), ["b"])]) == [()] * 3
    (gone, appeared) = tracker.update(row(0), ["b"])[1]
    assert (gone.kind, gone.track, appeared.kind, appeared.track) == ("gone", 0, "appeared", 1)
    events = play(tracker, [(row(0), [None])] * 4)
    assert [len(e) for e in events] == [0, 0, 0, 2] and events[3][1].product_id is None
    # What was unknown gets a name without an event; so does everything when the gallery is another.
    assert play(tracker, [(row(0), ["d"])] * 3) == [()] * 3
    assert tracker.update(row(0), ["e"], relabel=True)[1] == ()
    assert play(tracker, [(row(0), ["e"])] * 3) == [()] * 3


def test_nothing_and_much() -> None:
    tracker = Tracker(Patience(confirm=1))
    assert tracker.update(row(), [])[0].shape == (0,)
    many = row(*np.arange(800) * 11.0)
    numbers, events = tracker.update(many, ["a"] * 800)
    assert len(events) == 800 and sorted(numbers.tolist()) == list(range(800))
    order = np.random.default_rng(0).permutation(800)
    assert tracker.update(many[order], ["a"] * 800)[0].tolist() == numbers[order].tolist()
    with pytest.raises(ValueError, match="2 boxes, but 1 products"):
        tracker.update(row(0, 20), ["a"])
    for words, message in (
        ({"confirm": 0}, "confirm is 0"),
        ({"least_iou": 1.0}, "least_iou is 1.0"),
        ({"move": 0}, "move 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            Patience(**words)


def test_events_as_lines() -> None:
    events: list[Event] = [
        Appeared(0, 1, "4011", (0, 0, 1, 1)), Gone(3, 1, None, (0, 0, 1, 1)), Moved(4, 2, "a", (5, 0, 6, 1), (0, 0, 1, 1)),
    ]  # fmt: skip
    text = to_lines(events)
    assert [event_from_json(line) for line in text.splitlines()] == events
    assert json.loads(text.splitlines()[2])["before"] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "facings.event/2"}, "schema is 'facings.event/2'"),
        ({"event": "flown"}, "event is 'flown'; expected one of appeared, gone, moved"),
        ({"event": ["gone"]}, "event is"),
        ({"box": [0, 0, 1]}, "missing or wrong"),
        ({"box": [0, 0, 1, float("nan")]}, "not finite"),
        ({"before": [0, 0, 1, 1]}, "missing or wrong"),
        ({"frame": -1}, "whole numbers"),
        ({"track": 1.5}, "whole numbers"),
        ({"product_id": 4011}, "product_id is 4011"),
    ],
)
def test_lines_that_are_no_event(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        event_from_json(json.dumps(Gone(3, 1, None, (0, 0, 1, 1)).to_dict() | change))
    with pytest.raises(DataError, match="not a line of JSON"):
        event_from_json("{")
