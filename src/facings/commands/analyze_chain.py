"""The analysis of a benchmark's run: which stage of the chain lost each product, and what is taken for what."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facings.analysis.attribution import FATES, attribute_frame, count_stages, errors_of
from facings.analysis.confusions import AnsweredFrame, Confusion, confusions, draw_confusions
from facings.analysis.contact_sheet import jpeg
from facings.analysis.curve_figures import png
from facings.analysis.error_figures import draw_counts, draw_slices
from facings.analysis.error_slices import chain_slices
from facings.analysis.findings import findings_of_counts
from facings.commands.analyzed import Analyzed, table_of
from facings.data.coco import CocoImage, CocoTable
from facings.errors import DataError
from facings.files import atomic_write
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image
from facings.structures import Decision

LISTED = 100


def analyze_chain(
    source: Path,
    table: CocoTable,
    folder: Path,
    *,
    bundle: str | None = None,
    unknown: Sequence[str] = (),
    pictures: int = 12,
) -> Analyzed:
    """Write `stages.png`, `stage_slices.png` and `confusions.jpg` into `folder`.

    `bundle`: tells which products are enrolled, and the category of each; where it is gone all are taken for enrolled, and the
    categories are those that the decisions name. `unknown`: product ids that say that nobody noted the product.

    Raises DataError for decisions that are not of the table's pictures.
    """
    decisions = read_decisions(source / "decisions.jsonl")
    images = {image.path.name: image for image in table.images}
    if strange := [name for name, _ in decisions if name not in images]:
        raise DataError(f"{source / 'decisions.jsonl'}: tells of {strange[0]}, which {table.source} does not list")
    enrolled, categories = catalogue(bundle, decisions, table)
    frames = [
        answered(images[name], decision, frozenset(unknown), enrolled, categories) for name, decision in decisions
    ]
    judged = [frame.attribution for frame in frames]
    counts = count_stages(judged)
    errors = errors_of(counts)
    pairs = confusions(frames, categories)
    slices = chain_slices(frames, categories)
    where = {image.path.name: image.path for image in table.images}
    title = "What is taken for what: the crop, the product that it is, the one that it was called"
    content = {
        "stages.png": png(draw_counts(errors or {"no error": 0}, title="Where products are lost", below="errors")),
        "stage_slices.png": png(
            draw_slices(
                slices, value="error_share", title="Share of objects lost, by kind", below="share of objects lost"
            )
        ),
        "confusions.jpg": jpeg(draw_confusions(pairs[:pictures], lambda name: read_image(where[name]), title=title)),
    }
    paths = tuple(folder / name for name in content)
    for path, data in zip(paths, content.values(), strict=True):
        atomic_write(path, data)
    objects = sum(counts[name] for name in FATES)
    return Analyzed(
        kind="the whole chain",
        findings=tuple(findings_of_counts(errors, of="objects", whole=objects)),
        content={
            "objects": objects,
            "decisions": sum(len(frame.decision.items) for frame in frames),
            "stages": dict(counts),
            "errors": sum(errors.values()),
            "bundle_read": enrolled is not None,
            "slices": slices,
            "confusions": [_pair(pair) for pair in pairs[:LISTED]],
        },
        sections=(_stage_section(counts, objects), _pair_section(pairs, enrolled is not None)),
        files=paths,
    )


def read_decisions(path: Path) -> list[tuple[str, Decision]]:
    """Picture name and decision of each line. Raises DataError for a line that is none."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append((str(json.loads(line)["image"]), Decision.from_json(line)))
        except (ValueError, KeyError, TypeError) as fault:
            raise DataError(f"{path}, line {number}: no decision of a picture ({fault})") from fault
    return found


def catalogue(
    path: str | None, decisions: Sequence[tuple[str, Decision]], table: CocoTable
) -> tuple[frozenset[str] | None, dict[str, tuple[str, ...]]]:
    """The enrolled products (None: not known), and the category of each product."""
    categories = {
        item.product_id: item.category for _, decision in decisions for item in decision.items if item.product_id
    }
    if path is None or not (Path(path) / "bundle.json").is_file():
        return None, categories
    bundle = Bundle.open(path)
    gallery = bundle.gallery()
    named = {product for image in table.images for product in image.product_ids if product is not None}
    for product in sorted(named | set(gallery.items)):
        category = bundle.product(product, gallery).get("category")
        if category:
            categories[product] = tuple(str(name) for name in category)
    return frozenset(gallery.items), categories


def answered(
    image: CocoImage,
    decision: Decision,
    unknown: frozenset[str],
    enrolled: frozenset[str] | None,
    categories: Mapping[str, tuple[str, ...]],
) -> AnsweredFrame:
    """One picture's decision beside its truth, attributed; `unknown`: product ids that say that nobody noted the product."""
    products = tuple(None if product in unknown else product for product in image.product_ids)
    attribution = attribute_frame(decision, image.boxes, products, categories=categories, enrolled=enrolled)
    return AnsweredFrame(
        image.path.name, decision, image.boxes, products, attribution, image.camera_id, image.captured_at
    )


def _pair(pair: Confusion) -> dict[str, Any]:
    return {key: value for key, value in asdict(pair).items() if not key.endswith("_seen")}


def _stage_section(counts: Mapping[Any, int], objects: int) -> str:
    rows = [
        [name, count, f"{count / objects:.1%}" if objects and name in FATES else ""] for name, count in counts.items()
    ]
    head = ["what became of it", "how many", "of the objects"]
    return "\n".join(["## The chain, stage by stage", "", table_of(head, [row for row in rows if row[1]])])


def _pair_section(pairs: Sequence[Confusion], bundle_read: bool) -> str:
    rows = [[pair.truth, pair.answer, pair.count, pair.of, "yes" if pair.siblings else "no"] for pair in pairs[:10]]
    lines = ["## What is taken for what", "", table_of(["is", "called", "times", "of named", "siblings"], rows)]
    if not bundle_read:
        lines += ["", "The bundle was not found: all products count as enrolled. Give bundle=FOLDER."]
    return "\n".join(lines)
