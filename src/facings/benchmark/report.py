"""The benchmark as one HTML page that needs nothing else, and as Markdown.

The page holds its pictures, its style and one script, which sorts and hides what is there; its own policy forbids a browser to
load or to run anything more. Knows nothing of how figures are made: all numbers come from the content of `benchmark.json`, so page
and file cannot differ.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from facings.analysis.tide_judgement import ERRORS
from facings.benchmark import report_plots
from facings.benchmark.crop_pictures import CropPlate
from facings.benchmark.pictures import COLOURS, JudgedFrame, data_uri
from facings.benchmark.report_plots import Mark
from facings.files import atomic_write

HERE = Path(__file__).parent
MISSING = "–"
# Of products and frames, the most that the page lists; the file has all.
LISTED = 300
# Of the Markdown's tables.
FEW = 20
OUTCOMES = {
    "right": "box and product right",
    "wrong": "given another product's name",
    "ambiguous": "between two products, no name given",
    "unknown": "called unknown",
    "missed": "box not found",
}
HEADLINE = {
    "end_to_end_f1": ("End-to-end F1", "box and product both right"),
    "end_to_end_accuracy": ("End-to-end accuracy", "enrolled products found and named right"),
    "identification_r1": ("Identification R@1", "products on true boxes"),
    "ap50": ("Detection AP50", "at most 300 boxes a frame"),
    "ap": ("Detection AP", "mean over IoU 0.50–0.95"),
    "recognition_r1": ("Recognition R@1", "crops of the recognition table"),
    "frame_ms_p50": ("Frame, median", "without decoding"),
    "frame_ms_p95": ("Frame, 95th percentile", "without decoding"),
    "peak_mib": ("Peak memory", "store process"),
    "bundle_mib": ("Bundle on disk", "all graphs and the gallery"),
}
# Figures of the terminal's table that the page shows further down.
NOT_AT_THE_HEAD = ("frame_ms_p95",)
# Of the lists of frames, as a till would read them; less is better of the second and third.
CHECKOUT = {
    "cacc": "Frames whose whole list is right (cAcc)",
    "acd": "Wrong counts a frame (ACD)",
    "mccd": "Wrong counts of a product, of its own (mCCD)",
    "mciou": "Counts shared by list and truth (mCIoU)",
}
LEVELS = {"": "all frames", "_easy": "up to 10 products", "_medium": "11 to 15 products", "_hard": "more than 15"}
UNITS = {"frame_ms_p50": "ms", "frame_ms_p95": "ms", "peak_mib": "MiB", "bundle_mib": "MiB"}


@dataclass(frozen=True)
class Plate:
    """One picture of the page, without anything drawn on it. `kind`: `worst` or `typical`; `marks`: what is laid over it; `name`:
    what to call it, where its file's name could be another's."""

    kind: str
    frame: JudgedFrame
    picture: Image.Image
    marks: Sequence[Mark] = ()
    name: str = ""

    @property
    def title(self) -> str:
        return self.name or self.frame.answer.frame.path.name

    def caption(self) -> str:
        """What the frame holds, in words: also what a reader who cannot see the picture gets."""
        counts = ", ".join(f"{count} {name}" for name, count in self.frame.counts.items())
        return f"{len(self.frame.answer.frame.boxes)} products annotated: {counts or 'none found, none missed'}"


def write_report(
    folder: Path, content: Mapping[str, Any], plates: Sequence[Plate], wrong: Sequence[CropPlate] = ()
) -> None:
    """Write `report.html` and `report.md`. `content`: what `benchmark.json` holds; see `facings.commands.benchmark`."""
    atomic_write(folder / "report.html", render(content, plates, wrong))
    atomic_write(folder / "report.md", render_markdown(content))


def render(content: Mapping[str, Any], plates: Sequence[Plate], wrong: Sequence[CropPlate] = ()) -> str:
    """The page as text. `plates`: frames; `wrong`: crops."""
    script = (HERE / "report.js").read_text(encoding="utf-8").strip()
    return _templates(escape=True).get_template("report.html.j2").render(
        **_shared(content),
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(sha256(script.encode()).digest()).decode("ascii"),
        bar=outcome_bar(content.get("end_to_end")),
        stages=stage_rows(content["latency"]) if content.get("latency") else [],
        plates=[(plate, data_uri(plate.picture)) for plate in plates],
        wrong=[(plate.facts, crop_sides(plate)) for plate in wrong],
        colours=COLOURS,
        drawn=[name for name in COLOURS if any(name in plate.frame.counts for plate in plates)],
        plot=report_plots,
        dial=_dial(content),
        listed=LISTED,
    )  # fmt: skip


def render_markdown(content: Mapping[str, Any]) -> str:
    """The figures without pictures, for a pull request or a terminal."""
    return _templates(escape=False).get_template("report.md.j2").render(**_shared(content), few=FEW)


def _templates(*, escape: bool) -> Environment:
    # Products' names come from files of others: on the page everything is escaped.
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "ms": milliseconds, "whole": whole, "percent": percent, "signed": signed}
    return environment


def _shared(content: Mapping[str, Any]) -> dict[str, Any]:
    """What both templates read."""
    return {
        "c": content,
        "cards": cards(content),
        "checkout": checkout_rows(content.get("end_to_end")),
        "findings": _findings(content),
        "kinds": ERRORS,
        "outcomes": [name for name in COLOURS if name != "unjudged"],
    }


def _findings(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    """The errors that cost most: of the chain, else of boxes, else of crops; None where nothing was judged."""
    return next((content[part]["findings"] for part in ("chain", "boxes", "crops") if content[part]), None)


def crop_sides(plate: CropPlate) -> list[dict[str, Any]]:
    """What stands side by side of a crop: `uri`, `width`, `height` (None where there is no picture), `text` below it."""
    facts = plate.facts
    other, found = facts["other_similarity"], "called" if facts["status"] == "known" else "near"
    sides = [
        (plate.asked, f"asked: is {facts['name']}"),
        (plate.other, f"{found}: {facts['other_name'] or 'nothing'}, {share(other, 2)}"),
        (plate.right, f"{facts['name']} in the gallery, {share(facts['right_similarity'], 2)}"),
    ]
    empty = {"uri": None, "width": None, "height": None}
    return [
        {"text": text} | ({"uri": data_uri(p), "width": p.width, "height": p.height} if p is not None else empty)
        for p, text in sides
    ]


def _dial(content: Mapping[str, Any]) -> str:
    """What the script needs to move a dot along the first curve."""
    if not content.get("curves") or not content["curves"][0]["recall"]:
        return ""
    curve = content["curves"][0]
    plot = report_plots
    place = {"left": plot.LEFT, "width": plot.WIDTH - plot.LEFT - plot.RIGHT, "bottom": plot.HEIGHT - plot.BOTTOM}
    place |= {"height": plot.HEIGHT - plot.TOP - plot.BOTTOM, "threshold": content["bundle"]["score_threshold"]}
    return json.dumps(place | {name: curve[name] for name in ("score", "recall", "precision")})


def cards(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """The figures at the head of the page: `name`, `value`, `unit`, `interval`, `note`."""
    found = []
    for key, (name, note) in HEADLINE.items():
        value = content["headline"].get(key)
        if value is None or key in NOT_AT_THE_HEAD:
            continue
        interval = content["headline_intervals"].get(key)
        low_high = f"{share(interval[0])} to {share(interval[1])}" if interval else ""
        text = share(value) if key not in UNITS else milliseconds(value)
        found.append({"name": name, "value": text, "unit": UNITS.get(key, ""), "interval": low_high, "note": note})
    return found


def outcome_bar(end_to_end: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Parts of the bar that says what became of the annotated products: `name`, `text`, `count`, `share`, `start`.

    Objects whose product is not annotated are left out; `unknown` and `ambiguous` here are those on found objects.
    """
    if not end_to_end:
        return []
    counts = {name: int(end_to_end["figures"][name]) for name in OUTCOMES}
    total, start, parts = sum(counts.values()), 0.0, []
    for name, text in OUTCOMES.items():
        if counts[name]:
            part = counts[name] / total
            parts.append({"name": name, "text": text, "count": counts[name], "share": part, "start": start})
            start += part
    return parts


def checkout_rows(end_to_end: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A row a figure of `CHECKOUT`: `name`, and a cell a level of clutter that occurs: `level`, `value`, `interval` or None."""
    if not end_to_end or end_to_end["figures"].get("cacc") is None:
        return []
    figures, intervals = end_to_end["figures"], end_to_end["intervals"]
    levels = {suffix: text for suffix, text in LEVELS.items() if figures.get(f"cacc{suffix}") is not None}
    if len(levels) == 2:
        # All frames are of one level: the same figures need not stand twice.
        levels.popitem()
    return [
        {
            "name": name,
            "cells": [
                {"level": text, "value": figures[key + suffix], "interval": intervals.get(key + suffix)}
                for suffix, text in levels.items()
            ],
        }
        for key, name in CHECKOUT.items()
    ]


def stage_rows(latency: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a stage: its percentiles, and its share of the mean frame."""
    names = {
        "preprocess": "Preprocess",
        "detect": "Detect",
        "embed": "Cut crops and embed",
        "match": "Match and decide",
        "total": "Frame",
        "decode": "Decode the JPEG (not in the frame's time)",
    }
    total = latency["stages"]["total"]["mean"]
    rows = []
    for stage, name in names.items():
        times = latency["stages"][stage]
        part = times["mean"] / total if stage not in ("total", "decode") and total > 0 else None
        rows.append({"stage": stage, "name": name, "times": times, "share": part})
    return rows


def share(value: float | None, digits: int = 3) -> str:
    """A share 0–1 with three digits; a dash for what has no value."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share 0–1 as percent, with the sign; a dash for what has no value."""
    return MISSING if value is None or not math.isfinite(value) else f"{value * 100:.1f}\u202f%"


def signed(value: float | None) -> str:
    """A difference with its sign; a dash for what has no value."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:+.3f}".replace("-", "\u2212")


def milliseconds(value: float | None) -> str:
    """A time or size with the digits that its size deserves."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def whole(value: float | None) -> str:
    """A count with thin spaces between thousands."""
    return MISSING if value is None or not math.isfinite(value) else f"{round(value):,}".replace(",", "\u202f")
