"""How often a detector's yes-or-no answers are right. Knows nothing of models."""

from collections.abc import Mapping, Sequence
from typing import Any

from facings.metrics.matching import HEADLINE, Overlaps

FOUND = 0.5


def attribute_metrics(
    ground_truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], *, max_detections: int = HEADLINE
) -> dict[str, float]:
    """`attribute_NAME`: share of the objects found at an IoU of 0.5 whose answer to NAME is right, 0–1.

    Annotations carry `attributes` (name → bool, what is not known left out), predictions name → probability. An object that
    was not found, or whose truth is not known, counts for nothing; a name without any object that counts is left out.

    By hand: two apples found, the first rightly called bagged at 0.8, the second wrongly at 0.6.

    >>> truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "apple"}]}
    >>> boxes = [[0, 0, 10, 10], [50, 50, 10, 10]]
    >>> entry = {"image_id": 1, "category_id": 1}
    >>> truth["annotations"] = [
    ...     entry | {"id": n, "bbox": box, "attributes": {"bagged": n == 0}} for n, box in enumerate(boxes)
    ... ]
    >>> found = [entry | {"bbox": box, "score": p, "attributes": {"bagged": p}} for box, p in zip(boxes, (0.8, 0.6))]
    >>> attribute_metrics(truth, found)
    {'attribute_bagged': 0.5}
    """
    overlaps = Overlaps(ground_truth, predictions, max_detections=max_detections)
    right: dict[str, list[bool]] = {}
    for matches in overlaps.match((FOUND,)):
        for row, place, hit in zip(matches.rows, matches.taken[0], matches.hits[0], strict=True):
            if not hit:
                continue
            known = ground_truth["annotations"][place].get("attributes", {})
            said = predictions[row].get("attributes", {})
            for name in known.keys() & said.keys():
                right.setdefault(name, []).append((said[name] >= 0.5) == bool(known[name]))
    return {f"attribute_{name}": sum(answers) / len(answers) for name, answers in sorted(right.items())}
