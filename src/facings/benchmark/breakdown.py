"""What a benchmark's figures are made of: errors by kind, by slice, by product and by frame, and precision against recall.

Knows nothing of pages, models or files.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from facings.analysis.attribution import FATES, attribute_frame, count_stages, errors_of
from facings.analysis.confusions import AnsweredFrame, Confusion, confusions
from facings.analysis.curves import match_split, precision_recall
from facings.analysis.error_slices import chain_slices, picture_slices
from facings.analysis.findings import findings_of_counts, findings_of_gains
from facings.analysis.picture_names import picture_names
from facings.analysis.slices import density_slices, gap_slices, size_slices
from facings.analysis.tide import tide
from facings.benchmark.frames import Data
from facings.benchmark.judged import Answer
from facings.benchmark.pictures import judge_frame
from facings.runtime.bundle import Bundle

Results = Sequence[Mapping[str, Any]]
# A frame holds up to so many of the detections that count.
MOST_DETECTIONS = 1000
# Points of a curve as it is kept.
POINTS = 101
# What became of an object, in the words of the page.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "right": ("right", "rightly unknown"),
    "wrong": ("not enrolled", "sibling", "another product"),
    "unknown": ("rejected as unknown",),
    "ambiguous": ("ambiguous, in the list", "ambiguous, not in the list"),
    "lost": ("not detected", "wrong crop"),
}


@dataclass(frozen=True)
class Catalogue:
    """What the bundle knows of products: `enrolled` ids; id → name, and category from coarse to fine."""

    enrolled: frozenset[str]
    names: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def name(self, product: str) -> str:
        """What to call a product: its id where the bundle has no name for it."""
        return self.names.get(product, product)


def catalogue_of(bundle: Bundle, products: Sequence[str]) -> Catalogue:
    """Of a bundle with a gallery: of what is enrolled, and of these `products`."""
    gallery = bundle.gallery()
    known = {product: bundle.product(product, gallery) for product in sorted({*gallery.items, *products})}
    names = {product: str(entry["name"]) for product, entry in known.items() if entry.get("name")}
    categories = {product: tuple(map(str, entry.get("category") or ())) for product, entry in known.items()}
    return Catalogue(frozenset(gallery.items), names, categories)


def chain_breakdown(answers: Sequence[Answer], catalogue: Catalogue) -> dict[str, Any]:
    """Of a bundle that names products: `chain` (`objects`, `stages`, `errors`, `findings`, the dearest with what to try), `slices`,
    `products`, `taken` (what is called what, siblings named). `objects` are all annotated ones."""
    frames = attributed(answers, catalogue)
    counts = count_stages([frame.attribution for frame in frames])
    errors = errors_of(counts)
    objects = sum(counts[fate] for fate in FATES)
    findings = findings_of_counts(errors, of="objects", whole=objects)
    return {
        "chain": {
            "objects": objects,
            "stages": counts,
            "errors": errors,
            "findings": [asdict(finding) for finding in findings],
        },
        "slices": chain_slices(frames, catalogue.categories),
        "products": product_rows(frames, catalogue),
        "taken": [_pair(pair) for pair in confusions(frames, catalogue.categories)],
    }


def attributed(answers: Sequence[Answer], catalogue: Catalogue) -> list[AnsweredFrame]:
    """The answers, each object and decision blamed on a stage of the chain; `picture` is the frame's path."""
    return [
        AnsweredFrame(
            str(answer.frame.path),
            answer.decision,
            answer.frame.boxes,
            answer.frame.products,
            attribute_frame(
                answer.decision,
                answer.frame.boxes,
                answer.frame.products,
                categories=catalogue.categories,
                enrolled=catalogue.enrolled,
            ),
            answer.frame.camera,
            answer.frame.moment,
        )
        for answer in answers
    ]


def box_breakdown(results: Results, data: Data) -> dict[str, Any]:
    """Of a detector: `boxes` (`ap50`, TIDE's `gains` and `counts`, `findings`), `box_slices`, `curves`. `results`: COCO results."""
    truth = data.ground_truth()
    found = tide(truth, results)
    findings = findings_of_gains(found.gains, found.counts)
    cameras = {frame.image_id: frame.camera for frame in data.frames}
    moments = {frame.image_id: frame.moment for frame in data.frames}
    slices = {
        "objects a frame": density_slices(truth, results, max_detections=MOST_DETECTIONS),
        "gap to the neighbour, in object sizes": gap_slices(truth, results, max_detections=MOST_DETECTIONS),
        "size, pixels": size_slices(truth, results, max_detections=MOST_DETECTIONS),
        **picture_slices(truth, results, cameras, moments, max_detections=MOST_DETECTIONS),
    }
    return {
        "boxes": {
            "ap50": found.ap,
            "gains": dict(found.gains),
            "counts": dict(found.counts),
            "findings": [asdict(finding) for finding in findings],
        },
        "box_slices": slices,
        "curves": curves(truth, results),
    }


def curves(truth: Mapping[str, Any], results: Results) -> list[dict[str, Any]]:
    """Precision against recall at an IoU of 0.5 and 0.75: `iou`, `ap`, and lists of one length, recall rising: `score`, `recall`,
    `precision` of all boxes of that score or more, and `envelope`, the best precision at this recall or any higher."""
    hits = match_split(truth, results, max_detections=MOST_DETECTIONS)
    kept = []
    for row, threshold in enumerate(hits.thresholds):
        curve = precision_recall(hits, row)
        highest = float(curve.recall[-1]) if len(curve.recall) else 0.0
        places = np.unique(np.searchsorted(curve.recall, np.linspace(0, highest, POINTS)))
        places = places[places < len(curve.recall)]
        lists = {"score": curve.score, "recall": curve.recall, "precision": curve.precision, "envelope": curve.envelope}
        points = {name: values[places].round(4).tolist() for name, values in lists.items()}
        kept.append({"iou": threshold, "ap": hits.average_precision(row), **points})
    return kept


def product_rows(frames: Sequence[AnsweredFrame], catalogue: Catalogue) -> list[dict[str, Any]]:
    """A row a product that is annotated, most errors first: `product`, `name`, `category`, `enrolled`, `objects`, how many of
    them are `right`, `wrong`, `unknown`, `ambiguous`, `lost`, their `error_share` 0–1, and `called`, the name that it is given
    most when wrongly."""
    fates: dict[str, Counter[str]] = {}
    called: dict[str, Counter[str]] = {}
    for frame in frames:
        for product, fate, answer in zip(
            frame.products, frame.attribution.fates, frame.attribution.answers.tolist(), strict=True
        ):
            if product is None:
                continue
            fates.setdefault(product, Counter())[fate] += 1
            if fate in COLUMNS["wrong"] and (given := frame.decision.items[answer].product_id) is not None:
                called.setdefault(product, Counter())[given] += 1
    rows = []
    for product, own in fates.items():
        counts = {name: sum(own[fate] for fate in of) for name, of in COLUMNS.items()}
        first = called[product].most_common(1)[0][0] if product in called else None
        row: dict[str, Any] = {
            "product": product,
            "name": catalogue.name(product),
            "category": "/".join(catalogue.categories.get(product, ())),
            "enrolled": product in catalogue.enrolled,
            "objects": own.total(),
        }
        share = 1 - counts["right"] / own.total()
        rows.append(row | counts | {"error_share": share, "called": None if first is None else catalogue.name(first)})
    return sorted(rows, key=lambda row: (row["right"] - row["objects"], row["product"]))


def frame_rows(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """A row a frame, the worst first: `frame` (see `picture_names`), `camera`, `objects`, how many boxes have each outcome, and
    `quality` 0–1, its own F1; see `judge_frame`."""
    names = picture_names([answer.frame.path for answer in answers])
    called = {answer.frame.image_id: name for answer, name in zip(answers, names, strict=True)}
    judged = sorted(map(judge_frame, answers), key=lambda frame: (frame.quality, frame.answer.frame.image_id))
    return [
        {
            "frame": called[frame.answer.frame.image_id],
            "camera": frame.answer.frame.camera,
            "objects": len(frame.answer.frame.boxes),
            "quality": frame.quality,
            "counts": frame.counts,
        }
        for frame in judged
    ]


def _pair(pair: Confusion) -> dict[str, Any]:
    named = ("truth", "answer", "count", "of", "siblings")
    return {key: getattr(pair, key) for key in named}
