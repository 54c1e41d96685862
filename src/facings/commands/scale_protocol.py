"""`facings benchmark protocol=scale`: what a bundle costs as things grow. See docs/benchmark.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.analysis.curve_figures import png
from facings.analysis.scale_figure import draw_scale
from facings.benchmark.rows import row
from facings.benchmark.scale import (
    Curve,
    cameras_curve,
    cameras_per_core,
    crowded_frame,
    default_workers,
    gallery_curve,
    pixels_curve,
    products_curve,
)
from facings.benchmark.steadiness import DISTURBED
from facings.benchmark.turns import median_of
from facings.commands import protocols
from facings.errors import ConfigError
from facings.files import atomic_write
from facings.runtime.recognizer import Recognizer

LABELS = {
    "products": "products in the frame",
    "gallery": "views in the gallery",
    "pixels": "megapixels of the picture",
    "cameras": "frames asked at once",
}


def run(cfg: DictConfig) -> dict[str, float]:
    """Measure, print, and write `scale.json`, `scale.png` and rows. Returns the exponents.

    Raises ConfigError or BundleError for what the user can mend.
    """
    console, own = Console(), cfg.scale
    if cfg.result:
        raise ConfigError("protocol=scale writes no record; its figures stand in scale.json and benchmark.jsonl")
    sizes = sizes_of(cfg)
    bundle = protocols.open_bundle(cfg)
    begun = protocols.begin(cfg, bundle, {}, {name: list(values) for name, values in sizes.items()})
    repeats, seed = int(own.repeats), int(cfg.seed)
    curves: list[Curve] = []
    with Progress(console=console) as progress:
        task = progress.add_task("rounds", total=repeats * len(sizes))
        options: dict[str, Any] = {"repeats": repeats, "seed": seed, "advance": lambda: progress.advance(task)}
        recognizer = Recognizer(bundle, threads=cfg.threads)
        picture, _ = crowded_frame(30, seed=seed)
        for name, values in sizes.items():
            if name == "products":
                curves.append(products_curve(recognizer, [int(v) for v in values], **options))
            elif name == "gallery":
                curves.append(gallery_curve([int(v) for v in values], **options))
            elif name == "pixels":
                curves.append(pixels_curve(recognizer, picture, values, **options))
            else:
                single = Recognizer(bundle, threads=1)
                curves.append(cameras_curve(single, picture, [int(v) for v in values], **options))
    content: dict[str, Any] = {"curves": [entry(curve) for curve in curves], "interval_s": float(own.interval)}
    for curve in curves:
        if curve.name == "cameras":
            content["cameras_per_core"] = cameras_per_core(curve, float(own.interval))
    figure = draw_scale(content["curves"], title=f"{bundle.name}: cost against size")
    atomic_write(begun.folder / "scale.png", png(figure))
    path = protocols.finish(cfg, begun, content, _rows(content))
    console.print(table(content, bundle.name))
    console.print(f"figure: {begun.folder / 'scale.png'}\nall figures: {path}", soft_wrap=True)
    return {curve.name: curve.law.exponent for curve in curves}


def sizes_of(cfg: DictConfig) -> dict[str, Sequence[float]]:
    """Curve → its sizes. Raises ConfigError for an unknown curve, or too few or too small sizes."""
    own = cfg.scale
    every = {"products": own.products, "gallery": own.gallery, "pixels": own.megapixels}
    every |= {"cameras": own.workers or default_workers()}
    chosen: dict[str, Sequence[float]] = {}
    for name in own.curves:
        if name not in every:
            raise ConfigError(f"scale.curves: {name!r} is unknown; known are {', '.join(every)}")
        chosen[name] = sorted({float(value) for value in every[name]})
        least = 0.001 if name == "pixels" else 1
        if len(chosen[name]) < 2 or chosen[name][0] < least:
            raise ConfigError(
                f"scale: {name} has the sizes {list(every[name])}; expected two or more of {least} or more"
            )
    if not chosen:
        raise ConfigError(f"scale.curves is empty; known are {', '.join(every)}")
    if int(own.repeats) < 1:
        raise ConfigError(f"scale.repeats is {own.repeats}; expected 1 or more")
    return chosen


def entry(curve: Curve) -> dict[str, Any]:
    """A curve as JSON and figure want it: medians with their interval over the repeats."""
    middles = [median_of(np.asarray(row_)) for row_ in curve.ms]
    return {
        "name": curve.name,
        "label": LABELS[curve.name],
        "sizes": list(curve.sizes),
        "p50": [middle["value"] for middle in middles],
        "low": [middle["low"] for middle in middles],
        "high": [middle["high"] for middle in middles],
        "law": asdict(curve.law),
        "other_cpu_share": curve.others,
        "disturbed": curve.others > DISTURBED,
    }


def table(content: Mapping[str, Any], name: str) -> Table:
    """Exponents, and the ends of each curve."""
    made = Table("curve", "sizes", "ms", "exponent", "95 %", "r²", title=f"{name}: cost against size")
    for curve in content["curves"]:
        law, (first, *_, last) = curve["law"], curve["sizes"]
        times = f"{curve['p50'][0]:.2f} – {curve['p50'][-1]:.2f}"
        interval = f"{law['low']:.2f} – {law['high']:.2f}" if np.isfinite(law["low"]) else ""
        made.add_row(
            curve["name"], f"{first:g} – {last:g}", times, f"{law['exponent']:.2f}", interval, f"{law['r2']:.3f}"
        )
    notes = [f"{curve['name']}: disturbed by other programs" for curve in content["curves"] if curve["disturbed"]]
    if "cameras_per_core" in content:
        notes.append(f"{content['cameras_per_core']:.0f} cameras a core, a picture each {content['interval_s']:g} s")
    made.caption = "; ".join(notes) or None
    return made


def _rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for curve in content["curves"]:
        part = {"curve": curve["name"], "disturbed": curve["disturbed"]}
        for size, middle, low, high in zip(*(curve[key] for key in ("sizes", "p50", "low", "high")), strict=True):
            rows.append(row("ms", middle, (low, high), unit="ms", size=size, **part))
        law = curve["law"]
        rows.append(row("exponent", law["exponent"], (law["low"], law["high"]), **part))
    if "cameras_per_core" in content:
        rows.append(row("cameras_per_core", content["cameras_per_core"], interval_s=content["interval_s"]))
    return rows
