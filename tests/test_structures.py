"""What passes between the rooms is checked where it is made."""

import json

import numpy as np
import pytest

from facings.masks import CropMask
from facings.structures import Decision, Detections, Item

BOXES, SCORES, LABELS = (
    np.array([[0, 0, 4, 4], [2, 2, 8, 8]], np.float32),
    np.array([0.9, 0.4], np.float32),
    np.array([1, 0]),
)
MASKS = tuple(CropMask(n, n, np.ones((2, 2), bool)) for n in range(2))
POLYGONS = tuple(np.full((3, 2), n, np.float32) for n in range(2))
ATTRIBUTES = np.array([[0.1, 0.9], [0.5, 0.5]], np.float32)


def test_above_keeps_all_of_a_detection() -> None:
    left = Detections(BOXES, SCORES, LABELS, POLYGONS, MASKS, ATTRIBUTES).above(0.5)
    assert len(left) == 1 and left.labels.tolist() == [1] and left.masks == MASKS[:1]
    assert left.polygons == POLYGONS[:1]
    assert left.attributes is not None and np.array_equal(left.attributes, ATTRIBUTES[:1])
    bare = Detections(BOXES, SCORES, LABELS).above(0.0)
    assert len(bare) == 2 and bare.polygons is bare.masks is bare.attributes is None


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"polygons": POLYGONS[:1]}, "2 boxes, but 1 polygons"),
        ({"masks": MASKS[:1]}, "2 boxes, but 1 masks"),
        ({"attributes": ATTRIBUTES[:1]}, "2 boxes, but 1 attributes"),
    ],
)
def test_counts_that_differ_are_refused(extra: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(BOXES, SCORES, LABELS, **extra)  # type: ignore[arg-type]


def test_decision_with_and_without_attributes() -> None:
    item = Item((0, 0, 4, 4), 0.9, "unknown", None, (), (), ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0)), {"bagged": 0.75})
    decision = Decision(None, (item,))
    assert Decision.from_json(decision.to_json()) == decision
    record = json.loads(decision.to_json())
    assert record["items"][0]["attributes"] == {"bagged": 0.75}
    del record["items"][0]["attributes"]
    assert Decision.from_json(json.dumps(record)).items[0].attributes == {}
