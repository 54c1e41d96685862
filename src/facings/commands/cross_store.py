"""`facings benchmark protocol=cross_store`: every bundle on every dataset. See docs/benchmark.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.cross_store import mean_rows
from facings.benchmark.frames import Data, label_numbers
from facings.benchmark.robustness import CLEAN, METRICS, Measured, measure
from facings.benchmark.rows import row
from facings.benchmark.summary import bundle_identity
from facings.commands import protocols
from facings.commands.benchmark_data import read_data, with_dataset
from facings.commands.subject_bundles import EXPORTED, bundle_folder
from facings.errors import ConfigError
from facings.metrics.bootstrap import percentile_interval
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer


def run(cfg: DictConfig) -> dict[str, float]:
    """Measure, print, and write `cross_store.json` and rows. Returns the geometric mean of each bundle.

    Raises ConfigError, DataError or BundleError for what the user can mend.
    """
    console, own = Console(), cfg.cross_store
    figure = str(own.figure)
    if figure not in METRICS:
        raise ConfigError(f"cross_store.figure is {figure!r}; expected one of {', '.join(METRICS)}")
    if cfg.result:
        raise ConfigError(
            "protocol=cross_store writes no record; its figures stand in cross_store.json and benchmark.jsonl"
        )
    asked = own.bundles or cfg.bundles, own.datasets or cfg.datasets
    if not all(asked):
        raise ConfigError("protocol=cross_store wants bundles=[FOLDER,…] and datasets=[NAME,{name: …},…]")
    # Exporting, where a bundle is still a checkpoint, takes pictures of the first dataset.
    listed = OmegaConf.merge(cfg, {"datasets": asked[1]})
    assert isinstance(listed, DictConfig)
    exported = Path(cfg.paths.output_dir) / EXPORTED
    bundles = _apart([Bundle.open(str(bundle_folder(entry, listed, exported))) for entry in asked[0]])
    datasets = [_read(cfg, entry) for entry in asked[1]]
    if len({data.name for data in datasets}) < len(datasets):
        raise ConfigError("datasets: two have one name; give each its own")
    for bundle in bundles.values():
        for data in datasets:
            if bundle.has("detector"):
                label_numbers(bundle.labels, data.labels)
    checksums = {f"{data.name}/{name}": found for data in datasets for name, found in data.checksums.items()}
    settings = {"figure": figure, "max_images": cfg.max_images}
    begun = protocols.begin(cfg, None, checksums, settings)
    table: dict[str, dict[str, Measured]] = {name: {} for name in bundles}
    with Progress(console=console) as progress:
        pictures = sum(len(data.frames) or len({query.path for query in data.queries}) for data in datasets)
        task = progress.add_task("frames", total=len(bundles) * pictures)
        for name, bundle in bundles.items():
            recognizer = Recognizer(bundle, threads=cfg.threads)
            for number, data in enumerate(datasets):
                # Each dataset has draws of its own: shops are independent of each other.
                found = measure(
                    recognizer, data, [CLEAN], seed=int(cfg.seed) + number, advance=lambda: progress.advance(task)
                )[CLEAN]
                if figure not in found:
                    raise ConfigError(
                        f"{bundle.path}: has no {figure} on {data.name}; choose another cross_store.figure"
                    )
                table[name][data.name] = found[figure]
    content = content_of(table, figure, bundles)
    path = protocols.finish(cfg, begun, content, _rows(content))
    console.print(_table(content))
    console.print(f"all figures: {path}", soft_wrap=True)
    return {name: entry["value"] for name, entry in content["geometric_mean"].items()}


def content_of(
    table: Mapping[str, Mapping[str, Measured]], figure: str, bundles: Mapping[str, Bundle]
) -> dict[str, Any]:
    """What `cross_store.json` holds beside the stamp: `table` bundle → dataset → value, low, high; `geometric_mean`."""
    cells = {
        name: {data: {"value": m.value, **_interval(m)} for data, m in found.items()} for name, found in table.items()
    }
    drawn = {name: {data: (m.value, m.drawn) for data, m in found.items()} for name, found in table.items()}
    identities = {name: bundle_identity(bundle) for name, bundle in bundles.items()}
    return {"figure": figure, "bundles": identities, "table": cells, "geometric_mean": mean_rows(drawn)}


def _interval(measured: Measured) -> dict[str, float]:
    low, high = percentile_interval(measured.drawn)
    return {"low": low, "high": high}


def _read(cfg: DictConfig, entry: Any) -> Data:
    """Frames of a dataset, or of one without frames its crops."""
    made = with_dataset(cfg, entry, "cross_store.datasets" if cfg.cross_store.datasets else "datasets")
    return read_data(made, crops=not made.data.annotations)


def _apart(bundles: Sequence[Bundle]) -> dict[str, Bundle]:
    """By name; ConfigError where two have the same."""
    named = {bundle.name: bundle for bundle in bundles}
    if len(named) < len(bundles):
        raise ConfigError("bundles: two have one name and version; export one of them under another")
    return named


def _table(content: Mapping[str, Any]) -> Table:
    datasets = list(next(iter(content["table"].values())))
    made = Table("bundle", *datasets, "geometric mean", title=f"{content['figure']}: trained there, tested here")
    for name, cells in content["table"].items():
        entries = [*(cells[data] for data in datasets), content["geometric_mean"][name]]
        made.add_row(name, *(f"{e['value']:.3f} ({e['low']:.3f} – {e['high']:.3f})" for e in entries))
    return made


def _rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, cells in content["table"].items():
        part = {"bundle": name, "bundle_sha256": content["bundles"][name]["sha256"]}
        rows += [
            row(content["figure"], e["value"], (e["low"], e["high"]), dataset=data, **part) for data, e in cells.items()
        ]
        mean = content["geometric_mean"][name]
        rows.append(row(f"{content['figure']}_geometric_mean", mean["value"], (mean["low"], mean["high"]), **part))
    return rows
