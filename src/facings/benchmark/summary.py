"""All that a benchmark found, as the one content of `benchmark.json`: report, table and record are made from it.

Knows nothing of pages or terminals.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256 as sha256_of
from typing import Any

import numpy as np

from facings.benchmark.accuracy import (
    coco_results,
    confusions,
    detection_figures,
    end_to_end_figures,
    identification_figures,
    operating_point,
)
from facings.benchmark.breakdown import box_breakdown, catalogue_of, chain_breakdown, frame_rows
from facings.benchmark.claims import claim_of
from facings.benchmark.crop_breakdown import crop_breakdown, picture_groups
from facings.benchmark.crops import CropAnswers
from facings.benchmark.frames import Data
from facings.benchmark.judged import Answer
from facings.benchmark.parts import PARTS, has_gallery
from facings.benchmark.record import git_state, machine
from facings.benchmark.rows import PROTOCOLS
from facings.runtime.bundle import Bundle

SCHEMA = "facings.benchmark/1"
# What the figures are made of; see `facings.benchmark.breakdown`.
DETAILS = ("chain", "slices", "products", "taken", "boxes", "box_slices", "curves", "frames", "crops")
# Headline name → where it stands: part, figure.
HEADLINES = {
    "ap": ("detection", "ap"),
    "ap50": ("detection", "ap50"),
    "identification_r1": ("identification", "r1"),
    "recognition_r1": ("recognition", "r1"),
    "end_to_end_f1": ("end_to_end", "f1"),
    "end_to_end_accuracy": ("end_to_end", "recall"),
}


def summarise(
    bundle: Bundle,
    data: Data,
    answers: Sequence[Answer],
    crops: CropAnswers | None,
    latency: Mapping[str, Any] | None,
    *,
    command: str,
    seed: int = 0,
    protocol: str = "frames",
) -> dict[str, Any]:
    """The content. `crops`: what was said of the queries of `data`, None where nothing was asked; parts that `protocol` does not
    ask (see `PARTS`), or that the bundle or the data have nothing for, are None.

    Figures that have no value (a share of nothing) are None, so that the file is plain JSON.
    """
    parts: dict[str, Any] = dict.fromkeys(("detection", "identification", "end_to_end", "recognition"))
    names, asked = has_gallery(bundle), PARTS[protocol]
    details: dict[str, Any] = dict.fromkeys(DETAILS)
    if answers and bundle.has("detector") and {"detection", "end_to_end"} & set(asked):
        details["frames"] = frame_rows(answers)
    if answers and bundle.has("detector") and "detection" in asked:
        results = coco_results(answers, data, bundle.labels)
        details |= box_breakdown(results, data)
        figures, intervals = detection_figures(results, data, seed=seed)
        figures |= operating_point(answers)
        parts["detection"] = {"figures": figures, "intervals": intervals, "classes": list(data.labels)}
    if answers and names and "identification" in asked:
        parts["identification"] = _part(identification_figures([answer.ranks for answer in answers], seed=seed))
    if answers and names and bundle.has("detector") and "end_to_end" in asked:
        parts["end_to_end"] = _part(end_to_end_figures(answers, seed=seed))
        noted = [product for answer in answers for product in answer.frame.products if product is not None]
        details |= chain_breakdown(answers, catalogue_of(bundle, noted))
    if crops is not None and len(crops):
        groups = [crops.ranks[places] for places in picture_groups(crops)]
        parts["recognition"] = _part(identification_figures(groups, seed=seed))
        gallery = bundle.gallery()
        views = np.bincount(gallery.item, minlength=len(gallery.items)).tolist()
        details["crops"] = crop_breakdown(crops, dict(zip(gallery.items, views, strict=True)), seed=seed)
    content = {
        "schema": SCHEMA,
        "protocol": protocol,
        "protocol_version": PROTOCOLS[protocol],
        "bundle": bundle_identity(bundle),
        "data": {
            "name": data.name,
            "frames": len(data.frames),
            "objects": sum(len(frame.boxes) for frame in data.frames),
            "queries": len(data.queries),
            "checksums": data.checksums,
            "faults": list(data.faults),
        },
        **parts,
        **details,
        "confusions": _named(confusions(answers), bundle) if names else [],
        "latency": dict(latency) if latency is not None else None,
        "command": command,
        "commit": git_state(),
        "seed": seed,
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    content |= _headline(content)
    plain: dict[str, Any] = _plain(content)
    return plain


def bundle_identity(bundle: Bundle) -> dict[str, Any]:
    """What bundle this is: `sha256` of its SHA256SUMS, which covers all but the gallery; the gallery's own; size."""
    size = sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
    identity: dict[str, Any] = {
        "name": bundle.name,
        "sha256": sha256_of((bundle.path / "SHA256SUMS").read_bytes()).hexdigest(),
        "mib": size / 2**20,
        "score_threshold": bundle.postprocess.score_threshold,
        "gallery_version": None,
        "gallery_sha256": None,
        "products": None,
        "views": None,
    }
    pointer = bundle.path / "gallery" / "CURRENT"
    if bundle.has("embedder") and pointer.is_file():
        gallery = bundle.gallery()
        identity["gallery_version"], identity["gallery_sha256"] = pointer.read_text(encoding="utf-8").split()
        identity |= {"products": len(gallery.items), "views": len(gallery.vectors)}
    return identity


def claim_metrics(identifier: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """`claim` and `metrics` of a record. Raises ConfigError for an unknown ID or a figure that was not measured."""
    headline = {name: value for name, value in content["headline"].items() if value is not None}
    claim, names, units = claim_of(identifier, available=sorted(headline))
    metrics: dict[str, dict[str, Any]] = {}
    for name in names:
        metrics[name] = {"value": headline[name]}
        if interval := content["headline_intervals"].get(name):
            metrics[name] |= {"low": interval[0], "high": interval[1]}
        if name in units:
            metrics[name]["unit"] = units[name]
    return {"claim": claim, "metrics": metrics}


def _part(figures_and_intervals: tuple[dict[str, float], dict[str, tuple[float, float]]]) -> dict[str, Any]:
    figures, intervals = figures_and_intervals
    return {"figures": figures, "intervals": intervals}


def _headline(content: Mapping[str, Any]) -> dict[str, Any]:
    """The few figures that a person asks first, and the intervals of those that have one."""
    values: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for name, (part, figure) in HEADLINES.items():
        if content[part] is not None:
            values[name] = content[part]["figures"][figure]
            if figure in content[part]["intervals"]:
                intervals[name] = content[part]["intervals"][figure]
    if content["latency"] is not None:
        total = content["latency"]["stages"]["total"]
        values |= {"frame_ms_p50": total["p50"], "frame_ms_p95": total["p95"]}
        values["peak_mib"] = content["latency"]["peak_mib"]
    values["bundle_mib"] = content["bundle"]["mib"]
    return {"headline": values, "headline_intervals": intervals}


def _named(rows: Sequence[Mapping[str, Any]], bundle: Bundle) -> list[dict[str, Any]]:
    gallery = bundle.gallery()

    def name(product: str) -> str:
        return str(bundle.product(product, gallery).get("name") or product)

    return [{**row, "truth_name": name(row["truth"]), "answer_name": name(row["answer"])} for row in rows]


def _plain(value: Any) -> Any:
    """Without what JSON cannot say: numbers that are not finite become None; an interval without ends goes."""
    if isinstance(value, Mapping):
        plain = {str(key): _plain(entry) for key, entry in value.items()}
        return {key: entry for key, entry in plain.items() if entry != [None, None]}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
