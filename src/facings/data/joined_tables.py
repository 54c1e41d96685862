"""Several COCO tables as one: a test on all splits of a set, a training on several sets."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from facings.data.coco import CocoTable
from facings.errors import ConfigError


def joined(tables: Sequence[CocoTable]) -> CocoTable:
    """All pictures of the tables, in their order. Where two tables use one image id, all pictures are numbered anew from 1.

    The result's `source` names every file and is none itself. Raises ConfigError where the categories differ.
    """
    first, *others = tables
    if not others:
        return first
    for table in others:
        if table.labels != first.labels:
            raise ConfigError(
                f"{table.source}: has the categories {list(table.labels)}, {first.source} has {list(first.labels)}; tables "
                "that are joined must have the same, or set class_agnostic=true"
            )
    images = [image for table in tables for image in table.images]
    if len({image.image_id for image in images}) < len(images):
        images = [replace(image, image_id=number) for number, image in enumerate(images, 1)]
    return CocoTable(
        source=Path(" + ".join(str(table.source) for table in tables)),
        images=tuple(images),
        labels=first.labels,
        faults=tuple(f"{table.source.name}: {fault}" for table in tables for fault in table.faults),
    )
