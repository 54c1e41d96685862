"""Attribute answers: found objects alone count, and only what is known of them."""

from facings.metrics.attributes import attribute_metrics

BOX = {"image_id": 1, "category_id": 1}


def test_unknown_and_missed_objects_do_not_count() -> None:
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "apple"}], "annotations": []}
    boxes = [[0, 0, 10, 10], [20, 0, 10, 10], [40, 0, 10, 10]]
    known = [{"bagged": True}, {}, {"bagged": True, "ripe": False}]
    truth["annotations"] = [
        BOX | {"id": n, "bbox": box, "attributes": attributes}
        for n, (box, attributes) in enumerate(zip(boxes, known, strict=True), start=1)
    ]
    answers = {"bagged": 0.9, "ripe": 0.9}
    found = [BOX | {"bbox": box, "score": 0.9, "attributes": answers} for box in boxes[:2]]
    assert attribute_metrics(truth, found) == {"attribute_bagged": 1.0}
    found += [BOX | {"bbox": boxes[2], "score": 0.8, "attributes": answers}]
    assert attribute_metrics(truth, found) == {"attribute_bagged": 1.0, "attribute_ripe": 0.0}


def test_without_attributes_there_is_nothing() -> None:
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "apple"}]}
    truth |= {"annotations": [BOX | {"id": 1, "bbox": [0, 0, 10, 10]}]}
    assert attribute_metrics(truth, [BOX | {"bbox": [0, 0, 10, 10], "score": 0.9}]) == {}
