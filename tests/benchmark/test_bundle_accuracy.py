"""Figures of the shop in miniature, each worked out by hand.

10 objects: 9 painted, 1 (the last blue) not. Of the painted, one blue is annotated as red, one green is not identified.
"""

from dataclasses import replace

import numpy as np
import pytest

from facings.benchmark.accuracy import (
    answer_frames,
    answer_queries,
    coco_results,
    confusions,
    detection_figures,
    end_to_end_figures,
    identification_figures,
    operating_point,
)
from facings.benchmark.frames import Data, Frame, Query, label_numbers
from facings.benchmark.robustness import spoiled_frame
from facings.data.coco import read_coco
from facings.errors import DataError
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer


def shop_data(shop) -> Data:
    table = read_coco(shop.annotations, shop.images)
    frames = tuple(
        Frame(i.image_id, i.path, i.boxes, i.labels, tuple(None if p == "unknown" else p for p in i.product_ids))
        for i in table.images
    )
    return Data("shop", frames, table.labels, {"instances_val.json": table.checksum()})


@pytest.fixture(scope="module")
def answers(shop):
    return answer_frames(Recognizer(Bundle.open(shop.bundle), threads=1), shop_data(shop).frames)


def test_boxes(shop, answers) -> None:
    data = shop_data(shop)
    figures, intervals = detection_figures(coco_results(answers, data, ("product",)), data)
    # 9 of 10 are found and nothing else: precision 1 at the recall points 0.00 to 0.90, which are 91 of 101.
    assert figures["ar_300"] == pytest.approx(0.9)
    assert figures["ap50"] == figures["ap_1000"] == pytest.approx(91 / 101)
    assert intervals["ap50"][0] <= figures["ap50"] <= intervals["ap50"][1]
    assert operating_point(answers) == {"box_precision": 1.0, "box_recall": pytest.approx(9 / 10)}


def test_finds_in_a_crowd_region_are_neither_right_nor_wrong(shop) -> None:
    recognizer, data = Recognizer(Bundle.open(shop.bundle), threads=1), shop_data(shop)
    first, rest = data.frames[0], data.frames[1:]
    region = tuple((first.boxes[0] + np.array([-5, -5, 5, 5])).tolist())
    less = {"boxes": first.boxes[1:], "labels": first.labels[1:], "products": first.products[1:]}
    unknown = replace(data, frames=(replace(first, **less), *rest))
    crowded = replace(data, frames=(replace(first, **less, crowds=((region, 0),)), *rest))
    figures = {}
    for name, asked in (("unknown", unknown), ("crowded", crowded)):
        answers = answer_frames(recognizer, asked.frames)
        boxes, _ = detection_figures(coco_results(answers, asked, ("product",)), asked)
        figures[name] = boxes | operating_point(answers) | end_to_end_figures(answers)[0]
    assert figures["unknown"]["box_precision"] == pytest.approx(8 / 9) and figures["crowded"]["box_precision"] == 1.0
    assert (figures["unknown"]["stray"], figures["crowded"]["stray"]) == (1.0, 0.0)
    # 8 of 9 objects: precision 1 at the recall points 0.00 to 0.88.
    assert figures["unknown"]["ap50"] < figures["crowded"]["ap50"] == pytest.approx(89 / 101)
    # Objects in a crowd region are judged as any other.
    whole = replace(data, frames=(replace(first, crowds=((region, 0),)), *rest))
    assert operating_point(answer_frames(recognizer, whole.frames)) == {
        "box_precision": 1.0,
        "box_recall": pytest.approx(9 / 10),
    }


def test_crowd_regions_move_with_the_picture(shop) -> None:
    frame = shop_data(shop).frames[0]
    region = (tuple(frame.boxes[0].tolist()), 0)
    image = read_image(frame.path)
    _, moved = spoiled_frame(image, replace(frame, crowds=(region,)), ("tilt", 3), index=0, seed=0)
    assert len(moved.boxes) == len(frame.boxes) and moved.crowds[0][1] == 0
    np.testing.assert_allclose(moved.crowds[0][0], moved.boxes[0], atol=1e-3)


def test_products_on_true_boxes(answers) -> None:
    figures, intervals = identification_figures([answer.ranks for answer in answers])
    # Identified and enrolled: 9; of these the blue annotated as red is wrong, and the unpainted one is grey.
    assert (figures["queries"], figures["left_out"]) == (9.0, 1.0)
    grey_right = int(answers[2].ranks[2] == 0)
    assert figures["r1"] == pytest.approx((7 + grey_right) / 9)
    assert figures["r5"] == 1.0
    assert intervals["r1"][0] <= figures["r1"] <= intervals["r1"][1]
    assert {"truth": "red", "answer": "blue", "count": 1, "of": 5} in confusions(answers)


def test_box_and_product(answers) -> None:
    figures, intervals = end_to_end_figures(answers)
    # Named and judged: 8, of which 7 right; identified truth: 9.
    assert figures["precision"] == pytest.approx(7 / 8)
    assert figures["recall"] == pytest.approx(7 / 9)
    assert figures["f1"] == pytest.approx(14 / 17)
    assert figures["accuracy_found"] == pytest.approx(7 / 8)
    counted = {name: figures[name] for name in ("right", "wrong", "missed", "unjudged", "stray", "unknown", "objects")}
    assert counted == {
        "right": 7, "wrong": 1, "missed": 1, "unjudged": 1, "stray": 0, "unknown": 0, "objects": 10,
    }  # fmt: skip
    assert figures["not_enrolled"] == 0
    assert intervals["f1"][0] <= figures["f1"] <= intervals["f1"][1]


def test_query_crops(shop) -> None:
    recognizer = Recognizer(Bundle.open(shop.bundle), threads=1)
    path = shop.images / "001.png"
    queries = [Query(path, "red", (0, 0, 24, 24)), Query(path, "blue", (0, 0, 24, 24)), Query(path, "new", None)]
    seen = []
    ranks = answer_queries(recognizer, queries, lambda: seen.append(1))
    assert ranks[0] == 0 and ranks[1] > 0 and ranks[2] == -2
    assert len(seen) == 3


def test_a_detector_alone(shop, detector_only) -> None:
    answers = answer_frames(Recognizer(Bundle.open(detector_only), threads=1), shop_data(shop).frames)
    assert operating_point(answers)["box_precision"] == 1.0
    assert all(answer.outcome is None and (answer.ranks == -2).all() for answer in answers)


def test_nothing_to_identify_is_not_a_number() -> None:
    figures, intervals = identification_figures([np.full(3, -2)])
    assert np.isnan(figures["r1"]) and intervals == {}


def test_classes_are_joined_by_name() -> None:
    assert label_numbers(("produce", "packaged"), ("packaged", "produce", "sign")) == (1, 0)
    assert label_numbers(("a", "b"), ("product",)) == (0, 0)
    with pytest.raises(DataError, match=r"class 'product' is not among .* packaged, produce; data.class_agnostic=true"):
        label_numbers(("product",), ("packaged", "produce"))
