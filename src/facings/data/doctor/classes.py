"""Classes by split: empty ones, those that are tested but not trained, and labels that name nothing.

Knows nothing of pixels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from facings.data.doctor.faults import Findings
from facings.data.doctor.geometry import box_fault, extent_of
from facings.data.doctor.identities import folded
from facings.data.doctor.sources import RawSplit, key
from facings.data.tables import RecognitionTable

PLACEHOLDERS = {
    "",
    "unknown",
    "other",
    "others",
    "none",
    "null",
    "nan",
    "misc",
    "n/a",
    "?",
    "unlabeled",
    "unlabelled",
    "todo",
}
TRAIN = "train"


def check_classes(splits: Sequence[RawSplit], findings: Findings) -> None:
    """Add what is wrong with the classes of a detection set as a whole."""
    counts = {split.name: category_counts(split) for split in splits}
    names = list(dict.fromkeys(str(record.get("name")) for split in splits for record in split.categories))
    for name in names:
        if not any(found[name] for found in counts.values()):
            findings.add("class-empty", name)
        if folded(name) in PLACEHOLDERS:
            findings.add("label-placeholder", f"category {name!r}")
    _check_coverage(counts, findings)
    for split in splits:
        records = {key(record.get("id")): record for record in split.images}
        for annotation in split.annotations:
            product = annotation.get("product_id")
            if product is not None and folded(product) in PLACEHOLDERS:
                record = records.get(key(annotation.get("image_id")))
                box = annotation.get("bbox")
                extent = extent_of(record) if record else None
                kind, shown = box_fault(box, extent) if extent else ("box-malformed", (0.0,) * 4)
                corners = [] if kind == "box-malformed" else [shown]
                picture = split.path(record) if record else ""
                detail = f"annotation {annotation.get('id')}: product {product!r}"
                findings.add("label-placeholder", detail, split=split.name, picture=picture, boxes=corners)


def check_table(table: RecognitionTable, findings: Findings) -> None:
    """Add what is wrong with the labels of a recognition table.

    Products that are queried but not trained are what recognition is for, and no fault.
    """
    for fault in table.faults:
        findings.add("source-fault", fault)
    paths: dict[str, set[tuple[str, ...]]] = {}
    for row in table.rows:
        paths.setdefault(row.product_id, set()).add(row.category)
    for product, categories in paths.items():
        if len(categories) > 1:
            shown = " and ".join(sorted("/".join(category) or "none" for category in categories))
            findings.add("category-two-paths", f"{product}: {shown}")
        if folded(product) in PLACEHOLDERS:
            findings.add("label-placeholder", f"product {product!r}")
    counts: dict[str, Counter[str]] = {}
    for row in table.rows:
        counts.setdefault(row.split, Counter())[row.product_id] += 1
    if any(row.role == "query" for row in table.rows):
        queried = {row.split for row in table.rows if row.role == "query"} - {TRAIN}
        _check_coverage({s: c for s, c in counts.items() if s in queried | {TRAIN}}, findings, open_set=True)
    _check_rows(table, findings)


def category_counts(split: RawSplit) -> Counter[str]:
    """Objects of each category name."""
    names = {key(record.get("id")): str(record.get("name")) for record in split.categories}
    return Counter(names[i] for a in split.annotations if (i := key(a.get("category_id"))) in names)


def _check_coverage(counts: Mapping[str, Counter[str]], findings: Findings, *, open_set: bool = False) -> None:
    trained = {name for name, count in counts.get(TRAIN, Counter()).items() if count}
    if not trained:
        return
    for split, found in counts.items():
        if split == TRAIN or not found:
            continue
        present = {name for name, count in found.items() if count}
        missing = sorted(trained - present)
        if missing:
            shown = (
                f"{split} covers {len(trained) - len(missing)} of {len(trained)} classes, not {', '.join(missing[:5])}"
            )
            findings.add("class-not-tested", shown, split=split)
        for name in sorted(present - trained) if not open_set else ():
            findings.add("class-not-trained", f"{name}: {found[name]} objects in {split}, none in {TRAIN}", split=split)


def _check_rows(table: RecognitionTable, findings: Findings) -> None:
    """The same crop twice: one row too many, or two labels."""
    labels: dict[tuple[object, ...], tuple[str, str]] = {}
    for row in table.rows:
        crop = (row.path, row.box)
        if crop not in labels:
            labels[crop] = (row.product_id, f"{row.split}/{row.role}")
            continue
        product, role = labels[crop]
        boxes = [row.corners] if row.corners else []
        if product != row.product_id:
            detail = f"{product} and {row.product_id}"
            findings.add("label-conflict", detail, split=row.split, picture=row.path, boxes=boxes)
        elif role == f"{row.split}/{row.role}":
            findings.add("row-repeated", product, split=row.split, picture=row.path, boxes=boxes)
