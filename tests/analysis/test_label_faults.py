"""Suspected label errors: planted ones are found first; the exports hold what they should."""

from typing import Any

import numpy as np
import pytest

from facings.analysis.comparison import pair_pictures
from facings.analysis.label_faults import (
    detection_label_faults,
    embedding_label_faults,
    faults_as_coco,
    faults_as_fiftyone,
)

NAMES = ("apple", "pear")


def scene() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Twelve objects that are found as they are labelled, then one fault of each kind at x = 400 and after."""
    truth: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "shelf.jpg", "width": 1000, "height": 100}],
        "categories": [{"id": 1, "name": "apple"}, {"id": 2, "name": "pear"}],
    }
    boxes = [([30.0 * n, 0.0, 20.0, 20.0], 1 + n % 2) for n in range(12)]
    labels = [*boxes, ([450.0, 0, 20, 20], 1), ([500.0, 0, 20, 26], 2), ([550.0, 0, 20, 20], 1)]
    truth["annotations"] = [{"image_id": 1, "category_id": c, "bbox": box, "iscrowd": 0} for box, c in labels]
    answers = [(box, c, 0.8) for box, c in boxes]
    # Not labelled (twice found), another class, loose, and at 550 nothing.
    answers += [([400.0, 0, 20, 20], 1, 0.95), ([401.0, 0, 20, 20], 1, 0.9), ([450.0, 0, 20, 20], 2, 0.9)]
    answers += [([500.0, 0, 20, 20], 2, 0.85), ([700.0, 0, 20, 20], 1, 0.1)]
    return truth, [{"image_id": 1, "category_id": c, "bbox": box, "score": score} for box, c, score in answers]


def test_planted_faults_are_found_and_nothing_else() -> None:
    truth, found = scene()
    faults = detection_label_faults(pair_pictures(truth, found), NAMES)
    places = {fault.fault: (fault.box[0], fault.labelled, fault.suggested) for fault in faults}
    assert len(faults) == 4
    assert places == {
        "not labelled": (400, None, "apple"),
        "other class": (450, "apple", "pear"),
        "loose box": (500, "pear", "pear"),
        "nothing there": (550, "apple", None),
    }
    assert [fault.suspicion for fault in faults] == sorted((f.suspicion for f in faults), reverse=True)
    assert all(0 <= fault.suspicion <= 1 for fault in faults)


def test_right_labels_of_nothing_and_of_no_detections() -> None:
    truth, found = scene()
    sound = truth | {"annotations": truth["annotations"][:12]}
    assert detection_label_faults(pair_pictures(sound, found[:12]), NAMES) == []
    assert detection_label_faults([], NAMES) == []
    blind = detection_label_faults(pair_pictures(sound, []), NAMES)
    # A detector that finds nothing at all says nothing against the labels.
    assert {fault.suspicion for fault in blind} == {0.0}


def test_exports() -> None:
    truth, found = scene()
    faults = detection_label_faults(pair_pictures(truth, found), NAMES)
    coco = faults_as_coco(faults, truth)
    assert [entry["suspicion"] for entry in coco["annotations"]] == [fault.suspicion for fault in faults]
    again = pair_pictures(coco, [])
    assert len(again[0].truth) == len(faults)
    fiftyone = faults_as_fiftyone(faults, truth)
    assert list(fiftyone["labels"]) == ["shelf"]
    [entry] = [e for e in fiftyone["labels"]["shelf"] if e["label"] == "not labelled"]
    assert entry["bounding_box"] == pytest.approx([0.4, 0, 0.02, 0.2])
    assert all(0 <= value <= 1 for e in fiftyone["labels"]["shelf"] for value in e["bounding_box"])


def test_a_wrong_name_among_its_like_is_found() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 8)
    labels = np.repeat([4, 5, 9], 20)
    vectors = centres[np.repeat([0, 1, 2], 20)] + rng.normal(0, 0.05, (60, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels[7], labels[50] = 5, 4
    found = embedding_label_faults(vectors, labels)
    assert {(fault.index, fault.labelled, fault.suggested) for fault in found} == {(7, 5, 4), (50, 4, 9)}


def test_few_crops() -> None:
    vectors = np.eye(2, dtype=np.float32)
    assert embedding_label_faults(vectors[:0], np.zeros(0, np.int64)) == []
    assert embedding_label_faults(vectors[:1], np.zeros(1, np.int64)) == []
    # Each is the only one of its product.
    assert embedding_label_faults(vectors, np.array([0, 1])) == []
    with pytest.raises(ValueError, match="1 labels for 2 vectors"):
        embedding_label_faults(vectors, np.zeros(1, np.int64))
