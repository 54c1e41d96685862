"""What is counted as which error."""

from collections import Counter

import numpy as np
import pytest

from facings.analysis.comparison import Kind, Objects, PicturePair, pair_pictures
from facings.analysis.detection_errors import JudgedPicture, best_pictures, judge, worst_first, worst_pictures
from tests.analysis.conftest import Shelf, ellipse


def picture(truth: list[tuple[int, int]], found: list[tuple[int, int, float]], image_id: int = 1) -> PicturePair:
    """Objects and detections (place on a line, class, score): two of one place overlap fully, else not at all."""

    def objects(entries: list[tuple[int, int, float]]) -> Objects:
        places = np.array([entry[0] for entry in entries], np.float32).reshape(-1)
        boxes = np.stack([places * 20, places * 0, places * 20 + 10, places * 0 + 10], axis=1)
        labels = np.array([entry[1] for entry in entries], np.int64)
        return Objects(20, 400, boxes, labels, np.array([entry[2] for entry in entries], np.float32))

    return PicturePair(image_id, f"{image_id}.jpg", objects([(p, c, 1.0) for p, c in truth]), objects(found))


@pytest.mark.parametrize("kind", ["boxes", "masks"])
@pytest.mark.parametrize("seed", range(5))
def test_everything_is_counted_once(kind: Kind, seed: int, shelf: Shelf) -> None:
    truth, found = shelf(np.random.default_rng(seed), masks=True)
    for pair in pair_pictures(truth, found):
        judged = judge(pair, score=0.25, kind=kind)
        outcomes, fates = Counter(judged.outcomes), Counter(judged.fates)
        assert len(judged.outcomes) == len(judged.pair.found) == int((pair.found.scores >= 0.25).sum())
        assert len(judged.fates) == len(pair.truth)
        assert outcomes["right"] == fates["found"] == judged.right
        assert outcomes["wrong class"] == fates["misnamed"]
        taken = judged.matched[judged.matched >= 0]
        assert len(set(taken.tolist())) == len(taken) == outcomes["right"] + outcomes["wrong class"]
        for number, outcome in enumerate(judged.outcomes):
            if outcome in ("right", "wrong class"):
                same = judged.pair.found.labels[number] == pair.truth.labels[judged.matched[number]]
                assert same == (outcome == "right")


def test_a_box_of_the_right_class_goes_before_a_better_one_of_another() -> None:
    judged = judge(picture([(0, 0)], [(0, 1, 0.9), (0, 0, 0.5)]), score=0.1)
    assert judged.outcomes == ("doubled", "right") and judged.fates == ("found",)


def test_two_wrong_names_for_one_object_are_one_wrong_class_and_one_doubled() -> None:
    judged = judge(picture([(0, 0)], [(0, 1, 0.9), (0, 2, 0.5)]), score=0.1)
    assert judged.outcomes == ("wrong class", "doubled") and judged.fates == ("misnamed",)
    assert judged.reason == "doubled 1, wrong class 1" and judged.f1 == 0


def test_the_score_decides_what_counts() -> None:
    pair = picture([(0, 0), (1, 0)], [(0, 0, 0.9), (1, 0, 0.4)])
    assert judge(pair, score=0.4).errors == {}
    assert judge(pair, score=0.41).errors == {"missed": 1}
    assert judge(pair, score=0.41).reason == "missed 1" and judge(pair, score=0.4).reason == "no error"


def test_masks_may_differ_where_boxes_agree() -> None:
    """An ellipse against the empty corners of its box: the boxes are one, the masks have nothing in common."""
    box = np.array([[0, 0, 40, 40]], np.float32)
    corners = [[[0, 0, 5, 0, 0, 5]], [[40, 40, 35, 40, 40, 35]]]
    truth = Objects(120, 120, box, np.zeros(1, np.int64), np.ones(1, np.float32), (ellipse([0, 0, 40, 40]),))
    found = Objects(120, 120, box, np.zeros(1, np.int64), np.ones(1, np.float32), ([*corners[0], *corners[1]],))
    pair = PicturePair(1, "1.jpg", truth, found)
    assert judge(pair, score=0.5).outcomes == ("right",)
    assert judge(pair, score=0.5, kind="masks").outcomes == ("false",)


def test_ranking() -> None:
    """By F1, then by how much there was to get wrong or right; empty pictures without detections are neither."""
    pictures = {
        "few missed": picture([(0, 0)], [], 1),
        "many missed": picture([(n, 0) for n in range(5)], [], 2),
        "half": picture([(0, 0), (1, 0)], [(0, 0, 0.9), (5, 0, 0.9)], 3),
        "one right": picture([(0, 0)], [(0, 0, 0.9)], 4),
        "all right": picture([(n, 0) for n in range(5)], [(n, 0, 0.9) for n in range(5)], 5),
        "empty": picture([], [], 6),
    }
    judged = {name: judge(pair, score=0.5) for name, pair in pictures.items()}
    names = {picture.pair.image_id: name for name, picture in judged.items()}

    def named(chosen: list[JudgedPicture]) -> list[str]:
        return [names[p.pair.image_id] for p in chosen]

    assert judged["half"].f1 == 0.5 and judged["empty"].f1 == 1
    assert named(worst_pictures(list(judged.values()), 9)) == ["many missed", "few missed", "half"]
    assert named(worst_first(list(judged.values()))[:3]) == ["many missed", "few missed", "half"]
    assert named(best_pictures(list(judged.values()), 9)) == ["all right", "one right", "half"]
    assert named(best_pictures(list(judged.values()), 1)) == ["all right"]


def test_foreign_predictions_are_refused(shelf: Shelf, rng: np.random.Generator) -> None:
    truth, found = shelf(rng)
    with pytest.raises(ValueError, match="image_id 99, which the truth does not list"):
        pair_pictures(truth, [{**found[0], "image_id": 99}])
    with pytest.raises(ValueError, match=r"category_id 7; the truth has \[1, 2\]"):
        pair_pictures(truth, [{**found[0], "category_id": 7}])
    with pytest.raises(ValueError, match="there are no masks"):
        judge(pair_pictures(truth, found)[0], score=0, kind="masks")
