"""The analysis of a benchmark's run: which stage of the chain lost each product, and what is taken for what."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facings.analysis.attribution import FATES, attribute_frame, count_stages, errors_of
from facings.analysis.confusions import AnsweredFrame, Confusion, confusions, draw_confusions
from facings.analysis.contact_sheet import jpeg
from facings.analysis.curve_figures import png
from facings.analysis.error_figures import draw_counts, draw_slices
from facings.analysis.error_slices import chain_slices, glare_share
from facings.analysis.findings import findings_of_counts
from facings.analysis.slices import laplacian_variance
from facings.commands.analyzed import Analyzed, table_of
from facings.commands.camera_drift import camera_drift, drift_section
from facings.data.coco import CocoImage, CocoTable
from facings.errors import ConfigError, DataError
from facings.files import atomic_write
from facings.runtime.bundle import Bundle
from facings.runtime.gallery import Gallery
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

    Raises DataError for decisions that are not of the table's pictures, and what `refuse_no_detector` and `catalogue` raise.
    """
    refuse_no_detector(source)
    decisions = read_decisions(source / "decisions.jsonl")
    enrolled, categories = catalogue(bundle, decisions, table)
    frames = answered_frames(
        source / "decisions.jsonl", decisions, table, unknown=unknown, enrolled=enrolled, categories=categories
    )
    judged = [frame.attribution for frame in frames]
    counts = count_stages(judged)
    errors = errors_of(counts)
    pairs = confusions(frames, categories)
    slices = chain_slices(frames, categories, of_frames=picture_values(frames))
    title = "What is taken for what: the crop, the product that it is, the one that it was called"
    title = title if pairs else "Nothing is taken for anything else"
    content = {
        "stages.png": png(draw_counts(errors or {"no error": 0}, title="Where products are lost", below="errors")),
        "stage_slices.png": png(
            draw_slices(
                slices, value="error_share", title="Share of objects lost, by kind", below="share of objects lost"
            )
        ),
        "confusions.jpg": jpeg(draw_confusions(pairs[:pictures], lambda path: read_image(Path(path)), title=title)),
    }
    paths = tuple(folder / name for name in content)
    for path, data in zip(paths, content.values(), strict=True):
        atomic_write(path, data)
    objects = sum(counts[name] for name in FATES)
    drift = camera_drift([(Path(frame.picture), frame.camera, frame.moment) for frame in frames])
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
            "drift": drift,
        },
        sections=(
            _stage_section(counts, objects),
            _pair_section(pairs, enrolled is not None),
            *drift_section(drift),
        ),
        files=paths,
    )


def picture_values(frames: Sequence[AnsweredFrame]) -> dict[str, list[float]]:
    """What the pictures themselves are like, a number a frame; they are read once, one at a time. Raises DataError for one that is
    damaged or gone."""
    sharp, glare = [], []
    for frame in frames:
        pixels = read_image(Path(frame.picture))
        sharp.append(laplacian_variance(pixels))
        glare.append(100 * glare_share(pixels))
    return {"sharpness of the picture": sharp, "burnt-out part of the picture, %": glare}


def read_summary(source: Path) -> dict[str, Any]:
    """The `benchmark.json` of a run. Raises DataError for other JSON."""
    path = source / "benchmark.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise DataError(f"{path}: not JSON ({fault})") from fault
    if not isinstance(content, dict) or "detection" not in content:
        raise DataError(f"{path}: not what `facings benchmark` writes; it lacks 'detection'")
    return content


def refuse_no_detector(source: Path) -> None:
    """Raise ConfigError for a benchmark whose bundle takes each frame for one product; one that did not come to say so passes."""
    if not (source / "benchmark.json").is_file():
        return
    summary = read_summary(source)
    if summary["detection"] is None and summary.get("end_to_end") is None:
        raise ConfigError(
            f"{source}: its bundle has no detector and takes each frame for one product, so no chain can be followed; analyze the "
            "run that trained its embedder"
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
    """The enrolled products (None: not known), and the category of each product: of the gallery version that decided, where the
    bundle's gallery has moved on since. Raises BundleError, or GalleryError where its history lacks that version."""
    categories = {
        item.product_id: item.category for _, decision in decisions for item in decision.items if item.product_id
    }
    if path is None or not (Path(path) / "bundle.json").is_file():
        return None, categories
    bundle = Bundle.open(path)
    gallery = bundle.gallery()
    decided = next((decision.gallery_version for _, decision in decisions if decision.gallery_version), gallery.version)
    if decided != gallery.version:
        gallery = Gallery.open(gallery.folder, embedder_sha256=bundle.embedder_sha256, version=decided)
    named = {product for image in table.images for product in image.product_ids if product is not None}
    for product in sorted(named | set(gallery.items)):
        category = bundle.product(product, gallery).get("category")
        if category:
            categories[product] = tuple(str(name) for name in category)
    return frozenset(gallery.items), categories


def answered_frames(
    source: Path,
    decisions: Sequence[tuple[str, Decision]],
    table: CocoTable,
    *,
    unknown: Collection[str],
    enrolled: frozenset[str] | None,
    categories: Mapping[str, tuple[str, ...]],
) -> list[AnsweredFrame]:
    """The decisions of the file `source` beside the truth of their pictures; `unknown`: as in `answered`.

    Raises DataError for a picture that the table does not list, and for a name that could be any of several.
    """
    names = [name for name, _ in decisions]
    images = list(table.images[: len(names)])
    # A benchmark asks the pictures in their order, and two folders may hold a picture of one name.
    if names != [image.path.name for image in images]:
        known: dict[str, list[CocoImage]] = {}
        for image in table.images:
            known.setdefault(image.path.name, []).append(image)
        for name in names:
            if len(known.get(name, ())) != 1:
                number = len(known.get(name, ()))
                word = "does not list" if not number else f"lists {number} times; give the annotations that were asked"
                raise DataError(f"{source}: tells of {name}, which {table.source} {word}")
        images = [known[name][0] for name in names]
    hidden = frozenset(unknown)
    return [
        answered(image, decision, hidden, enrolled, categories)
        for image, (_, decision) in zip(images, decisions, strict=True)
    ]


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
        str(image.path), decision, image.boxes, products, attribution, image.camera_id, image.captured_at
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
    told = table_of(["is", "called", "times", "of named", "siblings"], rows) if rows else "Nothing for anything else."
    lines = ["## What is taken for what", "", told]
    if not bundle_read:
        lines += ["", "The bundle was not found: all products count as enrolled. Give bundle=FOLDER."]
    return "\n".join(lines)
