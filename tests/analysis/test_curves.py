"""Curves against COCO's evaluator, and against counting picture by picture."""

import numpy as np
import pytest

from facings.analysis.comparison import KINDS, Kind, has_masks, pair_pictures
from facings.analysis.curves import match_split, precision_recall
from facings.analysis.detection_errors import judge
from facings.metrics.average_precision import RECALLS
from facings.metrics.detection import coco_metrics
from tests.analysis.conftest import Shelf


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_area_under_the_envelopes_is_coco_s_average_precision(
    kind: Kind, shelf: Shelf, rng: np.random.Generator
) -> None:
    truth, found = shelf(rng, pictures=12, masks=True)
    hits = match_split(truth, found, kind=kind, thresholds=(0.5, 0.75))
    expected = coco_metrics(truth, found, iou_type=KINDS[kind], max_detections=(1000,))
    for row, name in enumerate(("ap50", "ap75")):
        areas = []
        for label in range(2):
            curve = precision_recall(hits.of_class(label), row)
            reached = [curve.envelope[curve.recall >= recall - 1e-12] for recall in RECALLS]
            areas.append(np.mean([best[0] if len(best) else 0.0 for best in reached]))
        # Where scores tie COCO lets the order of the file decide; a curve keeps or leaves out equals together.
        assert np.mean(areas) == pytest.approx(expected[name], abs=0.03)
        assert hits.average_precision(row) == pytest.approx(expected[name], abs=1e-6)


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_every_point_of_a_curve_is_what_counting_the_pictures_gives(
    kind: Kind, shelf: Shelf, rng: np.random.Generator
) -> None:
    truth, found = shelf(rng, pictures=10, masks=True)
    curve = precision_recall(match_split(truth, found, kind=kind))
    pairs = pair_pictures(truth, found)
    assert len(curve.score) == len({record["score"] for record in found})
    for precision, recall, f1, score in zip(curve.precision, curve.recall, curve.f1, curve.score, strict=True):
        judged = [judge(pair, score=float(np.float32(score)), kind=kind) for pair in pairs]
        right, kept = sum(p.right for p in judged), sum(len(p.outcomes) for p in judged)
        assert precision == pytest.approx(right / kept)
        assert recall == pytest.approx(right / len(truth["annotations"]))
        assert f1 == pytest.approx(2 * right / (kept + len(truth["annotations"])))


def test_best_cut_is_the_curve_s_highest_f1(shelf: Shelf, rng: np.random.Generator) -> None:
    truth, found = shelf(rng)
    hits = match_split(truth, found)
    curve, best = precision_recall(hits), hits.best()
    assert best.f1 == pytest.approx(curve.f1.max())
    assert best.threshold == curve.score[curve.f1.argmax()]


def test_crowded_pictures_are_not_cut_short() -> None:
    """400 objects, all found: a limit of 300 detections would call 100 of them missed."""
    boxes = [[float(x) * 10, float(y) * 10, 8.0, 8.0] for x in range(20) for y in range(20)]
    record = {"image_id": 1, "category_id": 1}
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 200, "height": 200}],
        "categories": [{"id": 1, "name": "tin"}],
        "annotations": [record | {"id": n, "bbox": box, "area": 64, "iscrowd": 0} for n, box in enumerate(boxes, 1)],
    }
    found = [record | {"bbox": box, "score": 0.9} for box in boxes]
    assert match_split(truth, found).best().recall == 1
    assert judge(pair_pictures(truth, found)[0], score=0.5).f1 == 1


def test_without_detections_or_objects(shelf: Shelf, rng: np.random.Generator) -> None:
    truth, found = shelf(rng)
    nothing = match_split(truth, [])
    assert len(precision_recall(nothing).score) == 0 and np.isnan(nothing.best().threshold)
    assert nothing.average_precision() == 0
    empty = match_split({**truth, "annotations": []}, found)
    assert np.isnan(empty.average_precision()) and precision_recall(empty).recall.max() == 0


def test_masks_are_only_there_when_everything_has_one(shelf: Shelf, rng: np.random.Generator) -> None:
    truth, found = shelf(rng, masks=True)
    assert has_masks(truth, found)
    assert not has_masks(truth, [])
    assert not has_masks(truth, [*found, {**found[0], "segmentation": None}])
