"""Products on true boxes, kept picture by picture, so that two bundles can be held against each other on the same crops.

Knows nothing of bundles.
"""

import json
from collections.abc import Iterator, Sequence

from facings.benchmark.judged import Answer

IDENTIFIED = "identified.jsonl"


def identified_lines(answers: Sequence[Answer]) -> Iterator[str]:
    """A line of JSON a picture: its `image` and `image_id`, and of each true box whose product is known `products`, `ranks` (see
    `Answer.ranks`; -2: not enrolled) and `nearest`."""
    for answer in answers:
        known = [number for number, product in enumerate(answer.frame.products) if product is not None]
        line = {
            "image": answer.frame.path.name,
            "image_id": answer.frame.image_id,
            "products": [answer.frame.products[number] for number in known],
            "ranks": [int(answer.ranks[number]) for number in known],
            "nearest": [answer.nearest[number] for number in known],
        }
        yield json.dumps(line) + "\n"
