"""Box and product right together, judged by product: the list of a frame as a till would read it, and AP over products.

Both come from decisions alone. Objects whose product was not annotated, and decisions matched to them, are left out. A product
that is not enrolled still is there: a list without it is wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from facings.benchmark.judged import Answer
from facings.metrics.average_precision import DrawnPrecision
from facings.metrics.checkout import checkout_intervals, checkout_metrics, count_products
from facings.metrics.matching import Overlaps
from facings.structures import Item

Figures = dict[str, float]
Intervals = dict[str, tuple[float, float]]


def checkout_of(answers: Sequence[Answer], *, seed: int = 0) -> tuple[Figures, Intervals]:
    """`cacc`, `acd`, `mccd`, `mciou`, and each by clutter (`cacc_easy`), of frames with annotated products; else nothing.

    A frame's list holds the products that its decisions name (`known`).
    """
    judged = [a for a in answers if a.outcome is not None and any(p is not None for p in a.frame.products)]
    if not judged:
        return {}, {}
    there = [[p for p in a.frame.products if p is not None] for a in judged]
    named = [[i.product_id for i in _counted(a) if i.product_id is not None] for a in judged]
    products = sorted({name for names in (*there, *named) for name in names})
    truth, predicted = count_products(there, products), count_products(named, products)
    return checkout_metrics(predicted, truth), checkout_intervals(predicted, truth, seed=seed)


def product_precision(answers: Sequence[Answer], *, seed: int = 0) -> tuple[Figures, Intervals]:
    """`product_ap`, `product_ap50`: COCO's AP with products as categories, of the boxes that decisions name; else nothing.

    A box is as sure as its detection times its similarity to the product (below 0 as 0). Products without an object in these
    frames have no AP, as in COCO; that they are named costs nothing here, but does in the lists.
    """
    judged = [a for a in answers if a.outcome is not None]
    names = sorted({p for a in judged for p in a.frame.products if p is not None})
    if not names:
        return {}, {}
    number = {name: place for place, name in enumerate(names, start=1)}
    truth = {
        "images": [{"id": a.frame.image_id} for a in judged],
        "categories": [{"id": place, "name": name} for name, place in number.items()],
        "annotations": [entry for a in judged for entry in _objects(a, number)],
    }
    found = [entry for a in judged for entry in _named(a, number)]
    matches = Overlaps(truth, found, max_detections=1000).match()
    drawn = DrawnPrecision.of(matches, [a.frame.image_id for a in judged])
    values = drawn.average_precision()
    intervals = {f"product_{name}": pair for name, pair in drawn.intervals(seed=seed).items()}
    return {"product_ap": float(values.mean()), "product_ap50": float(values[0])}, intervals


def _counted(answer: Answer) -> list[Item]:
    """Decisions that can be judged."""
    assert answer.outcome is not None
    pairs = zip(answer.decision.items, answer.outcome.outcomes, strict=True)
    return [item for item, outcome in pairs if outcome != "unjudged"]


def _objects(answer: Answer, number: dict[str, int]) -> list[dict[str, Any]]:
    found = []
    for (x1, y1, x2, y2), product in zip(answer.frame.boxes.tolist(), answer.frame.products, strict=True):
        if product is not None:
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            found.append({"image_id": answer.frame.image_id, "category_id": number[product], **box})
    return found


def _named(answer: Answer, number: dict[str, int]) -> list[dict[str, Any]]:
    found = []
    for item in _counted(answer):
        if item.product_id is None or item.product_id not in number:
            continue
        x1, y1, x2, y2 = item.box
        similarity = next((c.similarity for c in item.candidates if c.product_id == item.product_id), 1.0)
        found.append(
            {
                "image_id": answer.frame.image_id,
                "category_id": number[item.product_id],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(np.clip(similarity, 0, 1)) * item.detection_score,
            }
        )
    return found
