"""Nearest failures and confusions, against plain loops, and drawn."""

import numpy as np
import pytest
from PIL import Image

from facings.analysis.attribution import attribute_frame
from facings.analysis.confusions import AnsweredFrame, confusions, cut, draw_confusions
from facings.analysis.nearest_failures import draw_failures, nearest_failures
from facings.structures import Decision, Item


def test_failures_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    views, queries = (rng.normal(0, 1, (count, 5)) for count in (40, 30))
    views, queries = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (views, queries))
    view_labels, labels = rng.integers(0, 6, 40), rng.integers(0, 8, 30)
    found = nearest_failures(queries.astype(np.float32), labels, views.astype(np.float32), view_labels)
    expected = {}
    for query, label in enumerate(labels):
        likeness = queries[query] @ views.T
        if view_labels[likeness.argmax()] != label:
            own = np.flatnonzero(view_labels == label)
            expected[query] = (int(likeness.argmax()), int(own[likeness[own].argmax()]) if len(own) else -1)
    assert {f.query: (f.nearest, f.right) for f in found} == expected
    with_views = [f.margin for f in found if f.right >= 0]
    assert with_views == sorted(with_views, reverse=True)
    assert all(f.right >= 0 for f in found[: len(with_views)])


def test_a_query_is_not_its_own_view() -> None:
    views = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    [first, _] = nearest_failures(views[:2], np.array([0, 1]), views, np.array([0, 1, 2]), same=np.array([0, 1]))
    assert first.right == -1 and nearest_failures(views[:0], np.zeros(0, np.int64), views, np.arange(3)) == []
    with pytest.raises(ValueError, match="gallery is empty"):
        nearest_failures(views, np.arange(3), views[:0], np.zeros(0, np.int64))


def test_pairs_are_counted_and_drawn() -> None:
    def named(x: float, product: str) -> Item:
        return Item((x, 0, x + 10, 10), 0.9, "known", product, (), ())

    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
    categories = {"fuji": ("Apple",), "gala": ("Apple",)}
    frames = []
    for number, answers in enumerate((("gala", "gala", "pear"), ("gala", "fuji", "pear"))):
        decision = Decision("1", tuple(named(20 * place, name) for place, name in enumerate(answers)))
        products = ("fuji", "fuji", "pear")
        found = attribute_frame(decision, boxes, products, categories=categories)
        frames.append(AnsweredFrame(f"{number}.jpg", decision, boxes, products, found))
    [pair] = confusions(frames, categories)
    assert (pair.truth, pair.answer, pair.count, pair.of, pair.siblings) == ("fuji", "gala", 3, 4, True)
    # The one that was named rightly is shown as what it is; the other is nowhere in truth.
    assert pair.truth_seen is not None and pair.truth_seen.picture == "1.jpg" and pair.answer_seen is None
    picture = np.random.default_rng(0).integers(0, 255, (20, 60, 3), dtype=np.uint8)
    assert draw_confusions([pair], lambda name: picture, title="pairs").width > 500
    assert draw_confusions([], lambda name: picture, title="none").height > 0
    assert cut(picture, (-5, -5, -2, -2)).height == cut(picture, (0, 0, 500, 500)).height == 260
    failures = nearest_failures(
        np.eye(2, dtype=np.float32)[:1], np.array([1]), np.eye(2, dtype=np.float32), np.array([0, 2])
    )
    crop = Image.fromarray(picture)
    assert draw_failures(failures, lambda _: crop, lambda _: crop, ["b"], ["a", "c"], title="failures").width > 500
