"""`facings benchmark protocol=segmentation`: a bundle's masks against outlines. See docs/benchmark.md."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.bundle_results import bundle_results
from facings.benchmark.report import share
from facings.benchmark.rows import figure_rows, row
from facings.benchmark.segmentation import check_masks, mask_summary, outlined_objects
from facings.commands import protocols
from facings.data.coco import CocoTable, read_coco
from facings.errors import ConfigError
from facings.files import atomic_write
from facings.runtime.recognizer import Recognizer

SHOWN = {
    "mask_ap": "mask AP",
    "mask_ap50": "mask AP50",
    "mask_ap75": "mask AP75",
    "mask_ar_300": "mask AR, 300 detections",
    "boundary_ap": "boundary AP",
    "boundary_ap50": "boundary AP50",
    "boundary_ap75": "boundary AP75",
}
# Classes in the terminal's table, the worst.
LISTED = 20


def run(cfg: DictConfig) -> dict[str, float]:
    """Measure, print, and write `segmentation.json`, `predictions/detections.json` (with masks) and rows.

    Returns the figures that are shown. Raises ConfigError, DataError or BundleError for what the user can mend.
    """
    console, own = Console(), cfg.segmentation
    if cfg.result:
        raise ConfigError(
            "protocol=segmentation writes no record; its figures stand in segmentation.json and benchmark.jsonl"
        )
    if not 0 <= float(own.score_threshold) < 1:
        raise ConfigError(f"segmentation.score_threshold is {own.score_threshold}; expected 0 or more, below 1")
    bundle, table = protocols.open_bundle(cfg), read_table(cfg)
    recognizer = Recognizer(bundle, threads=cfg.threads)
    check_masks(recognizer, table)
    settings = {"pictures": len(table.images), "class_agnostic": bool(cfg.data.class_agnostic), **dict(own)}
    begun = protocols.begin(cfg, bundle, {table.source.name: table.checksum()}, settings)
    with Progress(console=console) as progress:
        task = progress.add_task("pictures", total=len(table.images))
        results = bundle_results(
            recognizer, table, score_threshold=float(own.score_threshold), advance=lambda: progress.advance(task)
        )
    atomic_write(begun.folder / "predictions" / "detections.json", json.dumps(results))
    summary = mask_summary(table.ground_truth(), results, boundary=bool(own.boundary), seed=int(cfg.seed))
    outlined, objects = outlined_objects(table)
    content = {
        "name": str(cfg.data.name),
        "objects": objects,
        "outlined": outlined,
        "faults": list(table.faults),
        **summary,
    }
    path = protocols.finish(cfg, begun, content, _rows(content))
    for made in tables(content, bundle.name):
        console.print(made)
    console.print(f"all figures: {path}", soft_wrap=True)
    return {name: float(content["figures"][name]) for name in SHOWN if name in content["figures"]}


def read_table(cfg: DictConfig) -> CocoTable:
    """The pictures that are asked, the first `max_images` of them. Raises ConfigError or DataError."""
    if not cfg.data.annotations or not cfg.data.images:
        raise ConfigError("protocol=segmentation wants data.annotations with data.images, whose objects have outlines")
    table = read_coco(cfg.data.annotations, cfg.data.images, class_agnostic=bool(cfg.data.class_agnostic))
    return table if cfg.max_images is None else replace(table, images=table.images[: int(cfg.max_images)])


def tables(content: Mapping[str, Any], name: str) -> list[Table]:
    """The figures, and of several classes each, the worst first."""
    made = Table("figure", "value", "95 % interval", title=f"{name} on {content['name']}: masks")
    for figure, label in SHOWN.items():
        if figure in content["figures"]:
            low_high = content["intervals"].get(figure)
            interval = f"{share(low_high[0])} – {share(low_high[1])}" if low_high else ""
            made.add_row(label, share(content["figures"][figure]), interval)
    if (bare := content["objects"] - content["outlined"]) > 0:
        made.caption = f"{bare} of {content['objects']} objects have no outline and are judged by their box"
    classes = [entry for entry in content["classes"] if entry["objects"]]
    if len(classes) < 2:
        return [made]
    figures = [figure for figure in SHOWN if figure in classes[0]]
    parts = Table("class", "objects", *(SHOWN[figure] for figure in figures), title="by class, the worst first")
    worst = sorted(classes, key=lambda entry: (entry["mask_ap"], entry["name"]))
    for entry in worst[:LISTED]:
        parts.add_row(entry["name"], str(entry["objects"]), *(share(entry[figure]) for figure in figures))
    if len(worst) > LISTED:
        parts.caption = f"and {len(worst) - LISTED} more classes in segmentation.json"
    return [made, parts]


def _rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = figure_rows(content["figures"], content["intervals"])
    for entry in content["classes"]:
        figures = [name for name in SHOWN if name in entry]
        rows += [row(name, entry[name], category=entry["name"], objects=entry["objects"]) for name in figures]
    return rows
