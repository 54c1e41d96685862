"""Who gets which object, against pycocotools picture by picture."""

import contextlib
import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as reference_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from facings.metrics.matching import IouType, Overlaps, box_overlap

Scenes = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize(("crowd", "ties"), [(False, False), (True, True)])
def test_equals_pycocotools(masked_scenes: Scenes, iou_type: IouType, crowd: bool, ties: bool) -> None:
    rng = np.random.default_rng(21)
    truth, results = masked_scenes(rng, pictures=3, objects=15, detections=40, crowd=crowd, ties=ties)
    packed_truth, packed = copy.deepcopy((truth, results))
    for record in (*packed_truth["annotations"], *packed):
        record["segmentation"] = reference_mask.frPyObjects(record["segmentation"], 120, 160)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = packed_truth
        reference.createIndex()
        evaluator = COCOeval(reference, reference.loadRes(packed), iou_type)
        evaluator.params.areaRng = [[0, 1e10]]
        evaluator.evaluate()
    expected = {}
    for entry in (entry for entry in evaluator.evalImgs if entry is not None):
        for number, row in enumerate(entry["dtIds"]):  # pycocotools numbers detections from 1
            ids, ignored = entry["dtMatches"][:, number], entry["dtIgnore"][:, number]
            expected[row - 1] = (ids.astype(int).tolist(), ignored.astype(bool).tolist())
    found = {}
    for matches in Overlaps(truth, results, iou_type=iou_type, max_detections=100).match():
        ids = np.where(matches.taken >= 0, matches.taken + 1, 0)  # annotations have their place + 1 for id
        for number, row in enumerate(matches.rows.tolist()):
            found[row] = (ids[:, number].tolist(), matches.ignored[:, number].tolist())
    assert found == expected


@given(
    st.lists(st.tuples(*[st.integers(0, 20)] * 4), min_size=1, max_size=6),
    st.lists(st.tuples(*[st.integers(0, 20)] * 4, st.booleans()), min_size=1, max_size=6),
)
def test_box_overlap_equals_pycocotools(found: list[tuple[int, ...]], truth: list[tuple[int, ...]]) -> None:
    first = np.array(found, np.float64)
    second, crowd = np.array([entry[:4] for entry in truth], np.float64), np.array([entry[4] for entry in truth])
    expected = np.nan_to_num(reference_mask.iou(first, second, crowd.astype(np.uint8)))
    np.testing.assert_allclose(box_overlap(first, second, crowd), expected, atol=1e-15)


def test_ignored_objects_are_taken_last_and_count_for_nothing() -> None:
    box = {"image_id": 1, "category_id": 1}
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "product"}]}
    truth["annotations"] = [box | {"id": n, "bbox": [n, 0, 10, 10]} for n in (0, 3)]
    results = [box | {"bbox": [0, 0, 10, 10], "score": s} for s in (0.9, 0.8)] + [
        box | {"bbox": [80, 0, 10, 10], "score": 0.7}
    ]
    overlaps = Overlaps(truth, results)
    plain = overlaps.match((0.5,))[0]
    assert plain.taken.tolist() == [[0, 1, -1]] and plain.hits.tolist() == [[True, True, False]]
    # The best detection now takes the second object, which it overlaps less: the first is ignored.
    less = overlaps.match((0.5,), ignored=np.array([True, False]), ignored_alone=np.array([False, False, True]))[0]
    assert less.taken.tolist() == [[1, 0, -1]] and less.hits.tolist() == [[True, False, False]]
    assert less.ignored.tolist() == [[False, True, True]] and less.objects.tolist() == [1]
    assert overlaps.nearest().tolist() == [0, 0, -1]


def test_nothing_matches_nothing() -> None:
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "product"}], "annotations": []}
    found = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5}]
    (matches,) = Overlaps(truth, found).match()
    assert matches.taken.tolist() == [[-1]] * 10 and not matches.ignored.any()
    (matches,) = Overlaps(truth, []).match()
    assert matches.hits.shape == (10, 0) and matches.objects.tolist() == [0]
    assert Overlaps({"images": [], "annotations": []}, []).match() == []
