"""`facings analyze RUN`: which errors of a finished run cost most, as figures, sheets of pictures, JSON and a short page."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from facings.analysis.findings import as_markdown
from facings.benchmark.parts import PARTS
from facings.commands.analyze_chain import analyze_chain, read_decisions
from facings.commands.analyze_crops import analyze_crops
from facings.commands.analyze_detector import analyze_detector
from facings.commands.analyzed import Analyzed, together
from facings.commands.asked_pictures import asked_pictures
from facings.commands.inspect import PREDICTIONS, asked_table, read_predictions, read_run
from facings.data.tables import read_recognition_table
from facings.errors import ConfigError
from facings.files import atomic_write
from facings.runtime.bundle import Bundle


def run(cfg: DictConfig) -> dict[str, float]:
    """Write RUN/analysis, print what costs most. Returns the cost of each finding by its name.

    A run folder whose `decisions.jsonl` names products is a chain's, whose recognition table is looked at too, one with predictions
    a detector's, any other an embedder's;
    `predictions=FILE` asks about boxes in any of them.
    Raises ConfigError, CheckpointError, BundleError or DataError for what the user can mend.
    """
    if OmegaConf.is_missing(cfg, "run"):
        raise ConfigError("run is not given: facings analyze run=FOLDER of a finished train, evaluate or benchmark")
    if bool(cfg.annotations) != bool(cfg.images):
        raise ConfigError("annotations (COCO JSON) and images (the folder of its pictures) are given together")
    source = Path(cfg.run)
    config = read_run(source)
    folder = Path(cfg.folder) if cfg.folder else source / "analysis"
    analyzed = _analyze(cfg, config, source, folder)
    content = {
        "run": str(source),
        "kind": analyzed.kind,
        "findings": [asdict(finding) for finding in analyzed.findings],
        **analyzed.content,
    }
    atomic_write(folder / "analysis.json", json.dumps(strict(content), indent=1) + "\n")
    title = f"What went wrong: {source.name}, {analyzed.kind}"
    files = ["analysis.json", *(path.name for path in analyzed.files)]
    atomic_write(folder / "analysis.md", as_markdown(title, analyzed.findings, analyzed.sections, files))
    console = Console()
    for number, finding in enumerate(analyzed.findings, start=1):
        console.print(f"{number}. [bold]{finding.text}[/]. {finding.advice}")
    if not analyzed.findings:
        console.print("no error was found")
    console.print(f"written: {folder / 'analysis.md'}", soft_wrap=True)
    return {finding.name: float(finding.cost) for finding in analyzed.findings}


def strict(value: Any) -> Any:
    """Without NaN and infinity, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [strict(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _analyze(cfg: DictConfig, config: Mapping[str, Any], source: Path, folder: Path) -> Analyzed:
    pictures, protocol = int(cfg.pictures), config.get("protocol")
    if pictures < 1:
        raise ConfigError(f"pictures is {pictures}; expected 1 or more")
    if protocol is not None and protocol not in PARTS and not cfg.predictions:
        raise ConfigError(
            f"{source}: a run of protocol={protocol}, which leaves no answers by picture; its figures stand in {protocol}.json. "
            f"Analyze a run of protocol={' or '.join(PARTS)}"
        )
    boxes = bool(cfg.predictions) or any((source / name).is_file() for name in PREDICTIONS)
    if not cfg.predictions and (source / "decisions.jsonl").is_file():
        decisions = read_decisions(source / "decisions.jsonl")
        if not decisions:
            return _crops(cfg, config, source, folder)
        # Of a bundle without gallery nothing is named: its boxes are what there is to look at.
        if any(decision.gallery_version for _, decision in decisions) or not boxes:
            table, _ = asked_table(cfg, config, source)
            unknown = [str(name) for name in (config.get("data") or {}).get("unknown_products") or ()]
            bundle = cfg.bundle or config.get("bundle")
            chain = analyze_chain(source, table, folder, bundle=bundle, unknown=unknown, pictures=pictures)
            if bundle and (Path(bundle) / "bundle.json").is_file() and _has_photos(config.get("recognition") or {}):
                return together(chain, _crops(cfg, config, source, folder))
            return chain
    if not boxes:
        # torch is loaded for an embedder alone.
        from facings.commands.analyze_embedder import analyze_embedder

        return analyze_embedder(source, config, folder, pictures=pictures)
    predictions = read_predictions(source, cfg.predictions)
    table, agnostic = asked_pictures(cfg, config, source, predictions)
    if agnostic:
        predictions = [{**prediction, "category_id": 1} for prediction in predictions]
    return analyze_detector(table, predictions, folder)


def _crops(cfg: DictConfig, config: Mapping[str, Any], source: Path, folder: Path) -> Analyzed:
    """Of the recognition table that a benchmark was asked about."""
    recognition, bundle = config.get("recognition") or {}, cfg.bundle or config.get("bundle")
    if not recognition.get("table") or not bundle or not (Path(bundle) / "bundle.json").is_file():
        raise ConfigError(
            f"{source}: was asked about crops alone, and its recognition.table {recognition.get('table')} or its bundle "
            f"{bundle} is not there; give bundle=FOLDER, or look at its report.html"
        )
    name = str((config.get("data") or {}).get("name"))
    return analyze_crops(recognition, Bundle.open(str(bundle)), folder, name=name, pictures=int(cfg.pictures))


def _has_photos(recognition: Mapping[str, Any]) -> bool:
    """Whether a table tells what was enrolled, so that what is nearest can be looked at."""
    path = recognition.get("table")
    if not path or not Path(str(path)).is_file():
        return False
    return any(row.role == "gallery" for row in read_recognition_table(Path(str(path))).rows)
