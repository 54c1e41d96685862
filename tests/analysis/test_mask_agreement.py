"""Mask IoU of what the boxes agree on, against pycocotools' and what is known by hand."""

import doctest
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from facings.analysis import mask_agreement as module
from facings.analysis.comparison import pair_pictures
from facings.analysis.mask_agreement import boxes_as_masks, mask_agreement, worst_outlines


def test_worked_examples() -> None:
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0


def test_agrees_with_pycocotools(shelf: Any, rng: np.random.Generator) -> None:
    """Every pair's mask IoU is pycocotools' IoU of two masks of that picture, and each object is taken once."""
    truth, found = shelf(rng, masks=True)
    pairs = pair_pictures(truth, found)
    agreement = mask_agreement(pairs, score=0.0)
    assert len(agreement.masks) > 10 and (agreement.boxes >= 0.5).all()
    for pair in pairs:
        own = agreement.masks[agreement.image_id == pair.image_id]
        assert len(own) <= min(len(pair.found), len(pair.truth))
        if len(own):
            sides = (pair.found.segmentations, pair.truth.segmentations)
            assert sides[0] is not None and sides[1] is not None
            table = coco_mask.iou(list(sides[0]), list(sides[1]), [0] * len(pair.truth))
            assert all(np.isclose(table, value, atol=1e-6).any() for value in own)


def test_perfect_answers_lose_nothing(shelf: Any, rng: np.random.Generator) -> None:
    truth, _ = shelf(rng, masks=True)
    perfect = [{**entry, "score": 0.9} for entry in truth["annotations"]]
    agreement = mask_agreement(pair_pictures(truth, perfect), score=0.5)
    assert len(agreement.masks) == len(perfect) and (agreement.masks == 1).all() and not agreement.lost.any()
    assert sum(row["objects"] for row in agreement.by_class(["tea", "pear"])) == len(perfect)


def test_boxes_instead_of_ellipses(shelf: Any, rng: np.random.Generator) -> None:
    """An ellipse fills pi / 4 of its box, so that a box taken as an outline fits by about that much."""
    truth, _ = shelf(rng, masks=True)
    boxes = boxes_as_masks([{**entry, "score": 0.9} for entry in truth["annotations"]])
    agreement = mask_agreement(pair_pictures(truth, boxes), score=0.5)
    assert abs(float(np.median(agreement.masks)) - np.pi / 4) < 0.06


def test_nothing_found_and_nothing_there(shelf: Any, rng: np.random.Generator) -> None:
    truth, found = shelf(rng, masks=True)
    agreement = mask_agreement(pair_pictures(truth, found), score=2.0)
    assert len(agreement.masks) == 0 and agreement.by_class(["tea", "pear"]) == []
    assert worst_outlines(pair_pictures(truth, found), agreement, 3) == []


def test_the_worst_come_first(shelf: Any, rng: np.random.Generator) -> None:
    truth, found = shelf(rng, masks=True)
    pairs = pair_pictures(truth, found)
    agreement = mask_agreement(pairs, score=0.0)
    order = [pair.image_id for pair in worst_outlines(pairs, agreement, 10)]
    lost = [int(agreement.lost[agreement.image_id == image].sum()) for image in order]
    assert lost == sorted(lost, reverse=True)


def test_boxes_alone_are_refused(shelf: Any, rng: np.random.Generator) -> None:
    truth, found = shelf(rng)
    with pytest.raises(ValueError, match="no masks"):
        mask_agreement(pair_pictures(truth, found), score=0.0)
