"""What training asks before it starts: faults that would spoil it in silence, found without opening a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facings.data.coco import CocoTable
from facings.data.doctor.geometry import doubles
from facings.data.tables import RecognitionRow

Crop = tuple[Path, tuple[float, float, float, float] | None]

# A few doubled boxes are noise; from this share on a detector learns to answer twice.
DOUBLED_SHARE = 0.02


def cheap_checks(table: CocoTable, *, test: CocoTable | None = None) -> list[str]:
    """Reasons not to train on a table, one line each; none for a sound one. `test`: what the training will be judged by.

    Looked at: labels that occur nowhere in training though the judged split holds them, doubled and doubly labelled boxes,
    boxes that are all alike, pictures listed in both splits, and a split most of whose boxes could not be used.
    """
    reasons = [*_missing_labels(table, test), *_doubled(table), *_constant(table), *_unusable(table)]
    if test is not None and test.source != table.source:
        shared = {image.path.resolve() for image in table.images} & {image.path.resolve() for image in test.images}
        if shared:
            reasons.append(
                f"{len(shared)} pictures are in training and in {test.source.name} (first {min(shared).name}): figures on "
                "them would be of pictures seen in training; take them out of one"
            )
    return reasons


def cheap_row_checks(rows: Sequence[RecognitionRow], *, judged: Sequence[RecognitionRow] = ()) -> list[str]:
    """Reasons not to train an embedder on `rows`, one line each. `judged`: the queries that it will be judged by.

    Looked at: crops that are listed as two products, and crops that are in training and asked for too.
    """
    products: dict[Crop, set[str]] = {}
    for row in rows:
        products.setdefault(_crop(row), set()).add(row.product_id)
    reasons = []
    torn = [crop for crop, names in products.items() if len(names) > 1]
    if len(torn) > DOUBLED_SHARE * len(products):
        names = ", ".join(sorted(products[torn[0]]))
        reasons.append(
            f"{len(torn)} of {len(products)} crops are listed as several products (first {torn[0][0].name}: {names}): decide on one"
        )
    if seen := [row for row in judged if _crop(row) in products]:
        reasons.append(
            f"{len(seen)} of {len(judged)} queries are crops of the training too (first {seen[0].path.name}, split "
            f"{seen[0].split!r}): figures on them would be of pictures seen in training; take them out of one"
        )
    return reasons


def _crop(row: RecognitionRow) -> Crop:
    return row.path.resolve(), row.box


def _missing_labels(table: CocoTable, test: CocoTable | None) -> list[str]:
    if test is None or test.labels != table.labels:
        return []
    trained, judged = table.class_counts(), test.class_counts()
    return [
        f"no box of {name!r} in training, but {there} in {test.source.name}: it cannot be learned; add pictures of it"
        for name, here, there in zip(table.labels, trained, judged, strict=True)
        if there and not here
    ]


def _doubled(table: CocoTable) -> list[str]:
    """Doubled boxes count once each; two labels on one object count whatever their share is above."""
    same = conflicts = 0
    for image in table.images:
        found = doubles(image.boxes, image.labels.tolist())
        same += len({second for _, second, alike in found if alike})
        conflicts += len({second for _, second, alike in found if not alike})
    total = sum(len(image.labels) for image in table.images)
    reasons = []
    for count, what in ((same, "lie on another box of the same class"), (conflicts, "lie on a box of another class")):
        if total and count / total > DOUBLED_SHARE:
            reasons.append(f"{count} of {total} boxes {what}: mend the annotations (facings data check … --fix FOLDER)")
    return reasons


def _constant(table: CocoTable) -> list[str]:
    """All boxes the same, over several pictures: a converter that wrote one box everywhere."""
    boxes = np.concatenate([image.boxes for image in table.images])
    if len(boxes) >= 10 and len(table.images) > 1 and bool((boxes == boxes[0]).all()):
        return [f"all {len(boxes)} boxes are {boxes[0].tolist()}: nothing can be learned from where things are"]
    return []


def _unusable(table: CocoTable) -> list[str]:
    """Most annotations left out: usually boxes in the wrong unit, or pictures of another size."""
    left_out = sum("left out" in fault or "expected four numbers" in fault for fault in table.faults)
    usable = sum(len(image.labels) for image in table.images)
    if left_out > usable:
        return [f"{left_out} boxes could not be used, {usable} could; first: {table.faults[0]}"]
    return []
