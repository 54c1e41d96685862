"""`facings benchmark protocol=robustness`: what a bundle loses when pictures are spoiled. See docs/benchmark.md."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.claims import claim_of
from facings.benchmark.corruptions import CORRUPTIONS, STRENGTHS
from facings.benchmark.frames import label_numbers
from facings.benchmark.robustness import METRICS, cells, measure, summarise
from facings.benchmark.rows import row
from facings.commands import protocols
from facings.commands.benchmark_data import read_data
from facings.errors import ConfigError
from facings.runtime.recognizer import Recognizer

NAMES = {"ap50": "detection AP50", "ap": "detection AP", "r1": "identification R@1"}
WORST = 10


def run(cfg: DictConfig) -> dict[str, float]:
    """Measure, print, and write `robustness.json` and rows. Returns the mean relative losses.

    Raises ConfigError, DataError or BundleError for what the user can mend.
    """
    console = Console()
    if cfg.result:
        claim_of(str(cfg.result), available=_available(METRICS))
    asked = cells(list(cfg.robustness.corruptions or CORRUPTIONS), list(cfg.robustness.strengths or STRENGTHS))
    if len(asked) < 2:
        raise ConfigError("robustness.corruptions and robustness.strengths leave nothing to ask; null takes all")
    bundle = protocols.open_bundle(cfg)
    data = read_data(cfg)
    if data.frames and bundle.has("detector"):
        label_numbers(bundle.labels, data.labels)
    settings = {"pictures": len(data.frames) or len(data.queries), "class_agnostic": bool(cfg.data.class_agnostic)}
    begun = protocols.begin(cfg, bundle, data.checksums, settings)
    recognizer = Recognizer(bundle, threads=cfg.threads)
    pictures = len(data.frames) or len({query.path for query in data.queries})
    with Progress(console=console) as progress:
        task = progress.add_task("pictures", total=pictures * len(asked))
        measured = measure(recognizer, data, asked, seed=int(cfg.seed), advance=lambda: progress.advance(task))
    if not measured[asked[0]]:
        raise ConfigError(f"{bundle.path}: neither its detector nor its gallery has anything to answer in these data")
    content = summarise(measured)
    path = protocols.finish(cfg, begun, content, _rows(content))
    for table in tables(content, bundle.name):
        console.print(table)
    console.print(f"all figures: {path}", soft_wrap=True)
    losses = {f"{metric}_loss_{name}": entry for metric, of in content["means"].items() for name, entry in of.items()}
    if cfg.result:
        claim, names, _ = claim_of(str(cfg.result), available=list(losses))
        console.print(f"result: {protocols.record(cfg, begun, claim, {name: losses[name] for name in names})}")
    return {name: float(entry["value"]) for name, entry in losses.items()}


def tables(content: Mapping[str, Any], name: str) -> list[Table]:
    """Mean losses by corruption, and the worst slices, the worst first."""
    made = []
    for metric, losses in content["means"].items():
        clean = content["clean"][metric]["value"]
        means = Table("corruption", "mean relative loss", "95 %", title=f"{name}: {NAMES[metric]}, clean {clean:.3f}")
        for corruption, entry in losses.items():
            means.add_row(corruption, f"{entry['value']:.1%}", f"{entry['low']:.1%} – {entry['high']:.1%}")
        made.append(means)
    worst = Table("figure", "corruption", "strength", "value", "relative loss", "95 %", title="worst slices")
    for entry in content["slices"][:WORST]:
        interval = f"{entry['loss_low']:.1%} – {entry['loss_high']:.1%}"
        cells_ = (NAMES[entry["metric"]], entry["corruption"], str(entry["strength"]), f"{entry['value']:.3f}")
        worst.add_row(*cells_, f"{entry['loss']:.1%}", interval)
    return [*made, worst]


def _rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    def between(entry: Mapping[str, float], prefix: str = "") -> tuple[float, float]:
        return entry[f"{prefix}low"], entry[f"{prefix}high"]

    rows = [
        row(metric, entry["value"], between(entry), corruption="clean") for metric, entry in content["clean"].items()
    ]
    for entry in content["slices"]:
        part = {"corruption": entry["corruption"], "strength": entry["strength"]}
        rows.append(row(entry["metric"], entry["value"], between(entry), **part))
        rows.append(row(f"{entry['metric']}_loss", entry["loss"], between(entry, "loss_"), **part))
    for metric, losses in content["means"].items():
        rows += [
            row(f"{metric}_mean_loss", entry["value"], between(entry), corruption=n) for n, entry in losses.items()
        ]
    return rows


def _available(metrics: tuple[str, ...]) -> list[str]:
    return [f"{metric}_loss_{name}" for metric in metrics for name in (*CORRUPTIONS, "mean")]
