"""The truth of a table whose pictures are named so that no two are alike. Judges nothing."""

from typing import Any

from facings.analysis.picture_names import picture_names
from facings.data.coco import CocoTable


def named_truth(table: CocoTable) -> dict[str, Any]:
    """`table.ground_truth()` with file names as in `picture_names`: two of one name in two folders stay apart, and whoever loads an
    export finds them."""
    truth = table.ground_truth()
    names = picture_names([image.path for image in table.images])
    called = {image.image_id: name for image, name in zip(table.images, names, strict=True)}
    for entry in truth["images"]:
        entry["file_name"] = called[entry["id"]]
    return truth
