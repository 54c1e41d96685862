"""Ids and names of a COCO file: repeated, out of range, pointing nowhere. Knows nothing of boxes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from facings.data.adapters.layout import leaves
from facings.data.coco import MOST
from facings.data.doctor.faults import Findings
from facings.data.doctor.sources import RawSplit, key

NAMES = {"images": "image", "annotations": "annotation", "categories": "category"}


def check_identities(split: RawSplit, findings: Findings) -> None:
    """Add what is wrong with the ids of one split."""
    for entry, word in NAMES.items():
        records = getattr(split, entry)
        counts = Counter(key(record.get("id")) for record in records)
        for identifier, count in counts.items():
            if not whole_number(identifier):
                findings.add("id-not-whole", f"{word} id {repr(identifier)[:60]}", split=split.name)
            elif count > 1:
                findings.add(f"{word}-id-repeated", f"{word} id {identifier} is used {count} times", split=split.name)
        for _ in range(len(split.content[entry]) - len(records)):
            findings.add("id-not-whole", f"an entry of {entry!r} is no record", split=split.name)
    _check_references(split, findings)
    files = Counter(str(record.get("file_name", "")) for record in split.images)
    for name, count in files.items():
        if count > 1:
            findings.add(
                "file-listed-twice", f"listed {count} times", split=split.name, picture=split.images_folder / name
            )
        if leaves(name):
            findings.add("image-elsewhere", name, split=split.name, picture=split.images_folder / name)
    names = Counter(folded(record.get("name")) for record in split.categories)
    for name, count in names.items():
        if count > 1:
            ids = [record.get("id") for record in split.categories if folded(record.get("name")) == name]
            findings.add("category-name-twice", f"{name!r} has the ids {ids}", split=split.name)


def check_categories_agree(splits: Sequence[RawSplit], findings: Findings) -> None:
    """Add where a split defines other categories than the first."""
    if not splits:
        return
    first = _definitions(splits[0])
    for split in splits[1:]:
        other = _definitions(split)
        if other != first:
            apart = sorted(str(entry) for entry in first ^ other)
            findings.add(
                "categories-differ", f"{split.name} and {splits[0].name} differ in {apart[:4]}", split=split.name
            )


def whole_number(identifier: Any) -> bool:
    """Whether an id is a whole number from 0 to 2^53, as readers take it."""
    return isinstance(identifier, int) and not isinstance(identifier, bool) and 0 <= identifier <= MOST


def folded(name: Any) -> str:
    """A category name without what people mistype: case, spaces at the ends, doubled spaces.

    >>> folded(" Red  Apple")
    'red apple'
    """
    return " ".join(str(name).casefold().split())


def _check_references(split: RawSplit, findings: Findings) -> None:
    images = {key(record.get("id")): record for record in split.images}
    categories = {key(record.get("id")) for record in split.categories}
    for annotation in split.annotations:
        name = f"annotation {annotation.get('id')}"
        image = images.get(key(annotation.get("image_id")))
        if image is None:
            findings.add("image-unknown", f"{name}: image_id {annotation.get('image_id')!r}", split=split.name)
        if key(annotation.get("category_id")) not in categories:
            picture = split.path(image) if image is not None else ""
            detail = f"{name}: category_id {annotation.get('category_id')!r}"
            findings.add("category-unknown", detail, split=split.name, picture=picture)


def _definitions(split: RawSplit) -> set[tuple[Any, str]]:
    return {(key(record.get("id")), str(record.get("name"))) for record in split.categories}
