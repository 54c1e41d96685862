"""Faults that were planted and looked for again."""

from typing import Any

import numpy as np
import pytest

from facings.analysis.planted_faults import plant_faults, planted_found


def perfect(truth: dict[str, Any]) -> list[dict[str, Any]]:
    """A detector that is right and sure of everything."""
    return [{**entry, "score": 0.9} for entry in truth["annotations"]]


def apart(pictures: int = 8) -> dict[str, Any]:
    """Twelve objects of two classes a picture, far apart."""
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 400, "height": 300} for n in range(1, pictures + 1)]
    places = [(image["id"], place) for image in images for place in range(12)]
    annotations = [
        {"id": number, "image_id": image, "category_id": 1 + number % 2, "area": 900, "iscrowd": 0,
         "bbox": [10.0 + 100 * (place % 4), 10.0 + 100 * (place // 4), 30.0, 30.0]}
        for number, (image, place) in enumerate(places, start=1)
    ]  # fmt: skip
    categories = [{"id": 1, "name": "tea"}, {"id": 2, "name": "pear"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def test_a_perfect_detector_finds_all_of_them() -> None:
    truth = apart()
    planted = plant_faults(truth, share=0.1)
    found = planted_found(planted, perfect(truth))
    assert found["planted"] == 10 and found["found"] == 1 and found["looked_at"] == 10
    assert abs(found["chance"] - 10 / 96) < 1e-12


def test_what_is_planted_is_what_changed() -> None:
    truth = apart()
    planted = plant_faults(truth, share=0.1, seed=3)
    before = {entry["id"]: entry["category_id"] for entry in truth["annotations"]}
    after = {entry["id"]: entry["category_id"] for entry in planted.truth["annotations"]}
    assert len(before) - len(after) == planted.kinds.count("not labelled") == 5
    assert sum(after[name] != before[name] for name in after) == planted.kinds.count("other class") == 5
    assert np.array_equal(plant_faults(truth, share=0.1, seed=3).boxes, planted.boxes)


def test_the_truth_itself_stays_as_it_is() -> None:
    truth, same = apart(), apart()
    plant_faults(truth, share=0.5)
    assert truth == same


def test_a_blind_detector_finds_none() -> None:
    found = planted_found(plant_faults(apart()), [])
    assert found["found"] == 0 and found["planted"] == 3


def test_one_class_can_only_lose_labels() -> None:
    truth = apart()
    truth["categories"] = truth["categories"][:1]
    for entry in truth["annotations"]:
        entry["category_id"] = 1
    assert set(plant_faults(truth, share=0.2).kinds) == {"not labelled"}


@pytest.mark.parametrize("share", [0.0, 0.6, float("nan")])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(ValueError, match=r"above 0 and at most 0\.5"):
        plant_faults(apart(), share=share)


def test_no_objects() -> None:
    with pytest.raises(ValueError, match="of 0 objects"):
        plant_faults({**apart(), "annotations": []})
