"""Box and product together, against frames worked by hand."""

import numpy as np
import pytest

from facings.metrics.end_to_end import end_to_end_intervals, end_to_end_metrics, frame_outcome, match_boxes
from facings.structures import Candidate, Decision, Item

# Four objects side by side, 10 pixels wide.
TRUTH = np.array([[x, 0, x + 10, 10] for x in (0, 20, 40, 60)], np.float32)


def item(x: float, product: str | None, *, status: str = "known", score: float = 0.9, best: str | None = None) -> Item:
    candidate = Candidate(best or product or "other", 0.8, 0.01)
    return Item((x, 0, x + 10, 10), score, status, product, (), (candidate,))  # type: ignore[arg-type]


def decision(*items: Item) -> Decision:
    return Decision("000001", tuple(items))


def test_every_outcome_once() -> None:
    found = decision(
        item(0, "a"),
        item(21, "b"),
        item(40, None, status="unknown", best="c"),
        item(60, None, status="ambiguous", best="x"),
        item(100, "a"),
    )
    result = frame_outcome(found, TRUTH, ("a", "x", "c", "d"))
    assert result.outcomes == ("right", "wrong", "unknown", "ambiguous", "stray")
    assert result.matched.tolist() == [0, 1, 2, 3, -1]
    figures = end_to_end_metrics([result.counts])
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["recall"] == pytest.approx(1 / 4)
    assert figures["f1"] == pytest.approx(2 * (1 / 3) * (1 / 4) / (1 / 3 + 1 / 4))
    assert figures["accuracy_found"] == pytest.approx(1 / 4)
    assert (figures["unknown_share"], figures["ambiguous_share"]) == (0.2, 0.2)
    assert (figures["box_precision"], figures["box_recall"]) == (0.8, 1.0)
    # Were every item to name its best candidate: a and c right of five.
    assert figures["top1_precision"] == pytest.approx(2 / 5)
    assert figures["top1_accuracy_found"] == pytest.approx(2 / 4)


def test_unannotated_products_count_neither_way() -> None:
    result = frame_outcome(decision(item(0, "a"), item(20, "b")), TRUTH[:2], ("a", None))
    assert result.outcomes == ("right", "unjudged")
    figures = end_to_end_metrics([result.counts])
    assert figures["precision"] == figures["recall"] == figures["f1"] == 1.0
    assert figures["box_recall"] == 1.0


def test_goods_outside_the_gallery_should_be_unknown() -> None:
    found = decision(item(0, "a"), item(20, "a"), item(40, None, status="unknown"))
    result = frame_outcome(found, TRUTH[:3], ("a", "new", "new"), enrolled={"a"})
    assert result.outcomes == ("right", "wrong", "unknown")
    figures = end_to_end_metrics([result.counts])
    assert figures["false_accept_share"] == 0.5
    assert (figures["recall"], figures["precision"]) == (1.0, 0.5)


def test_a_second_box_on_the_same_object_is_a_stray() -> None:
    result = frame_outcome(decision(item(0, "a", score=0.5), item(1, "a", score=0.9)), TRUTH[:1], ("a",))
    assert result.outcomes == ("stray", "right")
    assert end_to_end_metrics([result.counts])["precision"] == 0.5


def test_a_box_below_half_overlap_is_no_match() -> None:
    # 10 x 10 boxes shifted by 4: IoU 6 / 14; by 3: 7 / 13.
    scores = np.ones(1, np.float32)
    assert match_boxes(TRUTH[:1] + np.array([4, 0, 4, 0], np.float32), scores, TRUTH).tolist() == [-1]
    assert match_boxes(TRUTH[:1] + np.array([3, 0, 3, 0], np.float32), scores, TRUTH).tolist() == [0]


def test_empty_frames() -> None:
    empty = frame_outcome(decision(), np.zeros((0, 4), np.float32), ())
    missed = frame_outcome(decision(), TRUTH, ("a", "b", "c", "d"))
    assert np.isnan(end_to_end_metrics([empty.counts])["f1"])
    figures = end_to_end_metrics([empty.counts, missed.counts])
    assert (figures["f1"], figures["recall"]) == (0.0, 0.0)
    assert np.isnan(figures["precision"])
    assert np.isnan(end_to_end_metrics([])["f1"])


def test_f1_equals_the_harmonic_mean_and_lies_in_its_interval(rng: np.random.Generator) -> None:
    frames = []
    for _ in range(30):
        names = rng.choice(["a", "b", "c"], 4).tolist()
        items = [item(x, str(rng.choice(["a", "b", "c"]))) for x in (0, 20, 40) if rng.random() < 0.8]
        frames.append(frame_outcome(decision(*items), TRUTH, names).counts)
    figures = end_to_end_metrics(frames)
    harmonic = 2 * figures["precision"] * figures["recall"] / (figures["precision"] + figures["recall"])
    assert figures["f1"] == pytest.approx(harmonic)
    low, high = end_to_end_intervals(frames, repeats=200)["f1"]
    assert low < figures["f1"] < high
