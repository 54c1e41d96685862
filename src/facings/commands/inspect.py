"""`facings inspect RUN`: what a finished run of a detector did well and badly, as figures, sheets of pictures and a table."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from facings.commands.inspection import Inspection, write_inspection
from facings.data.coco import CocoTable, read_coco
from facings.data.joined_tables import joined
from facings.errors import ConfigError, DataError
from facings.tasks.checkpoint import checkpoint_config

PREDICTIONS = ("predictions/test.json", "predictions/detections.json")
FIELDS = ("image_id", "category_id", "bbox", "score")
WORST_SHOWN = 5


class Source(NamedTuple):
    """What a run was tested on; of several files the first."""

    annotations: str
    images: str
    class_agnostic: bool


def run(cfg: DictConfig) -> dict[str, float]:
    """Write RUN/plots, print the table. Returns `threshold`, `f1`, `precision` and `recall` at the best F1.

    Raises ConfigError, CheckpointError or DataError for what the user can mend.
    """
    if OmegaConf.is_missing(cfg, "run"):
        raise ConfigError("run is not given: facings inspect run=FOLDER, the folder of a finished train or evaluate")
    if bool(cfg.annotations) != bool(cfg.images):
        raise ConfigError("annotations (COCO JSON) and images (the folder of its pictures) are given together")
    folder = Path(cfg.run)
    config = read_run(folder)
    predictions = read_predictions(folder, cfg.predictions)
    table, agnostic = asked_table(cfg, config, folder)
    if agnostic:
        predictions = [{**prediction, "category_id": 1} for prediction in predictions]
    inspection = write_inspection(
        folder,
        table,
        predictions,
        table.labels,
        judged_by=str(cfg.judged_by),  # type: ignore[arg-type]
        pictures=int(cfg.pictures),
        only_predicted=tested_in_part(config),
    )
    console = Console()
    if config.get("max_images") is not None:
        console.print(f"of {len(table.images)} pictures alone: the run was asked about its first (max_images)")
    for part in tables(inspection):
        console.print(part)
    for path in inspection.paths:
        console.print(f"written: {path}", soft_wrap=True)
    best = inspection.best
    return {"threshold": best.threshold, "f1": best.f1, "precision": best.precision, "recall": best.recall}


def read_run(folder: Path) -> dict[str, Any]:
    """The configuration that a run left. Raises ConfigError where the folder is no run's."""
    path = folder / "config.yaml"
    if not path.is_file():
        inside = sorted(str(p.parent) for p in folder.glob("*/config.yaml")) if folder.is_dir() else []
        hint = f"; runs in it: {', '.join(inside[-3:])}" if inside else ""
        raise ConfigError(f"{folder}: no config.yaml, so not the folder of a finished train or evaluate{hint}")
    content = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a configuration of facings")
    return {str(key): value for key, value in content.items()}


def read_predictions(folder: Path, given: str | None) -> list[dict[str, Any]]:
    """COCO results of the run, or of the file `given`. Raises ConfigError where there are none, DataError for other JSON."""
    paths = [Path(given)] if given else [folder / name for name in PREDICTIONS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ConfigError(
            f"{folder}: holds neither {' nor '.join(PREDICTIONS)}; only detectors leave predictions, after their test"
            if not given
            else f"predictions={given}: no such file"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: not JSON ({fault})") from fault
    if not isinstance(content, list) or not all(
        isinstance(entry, dict) and set(FIELDS) <= set(entry) for entry in content
    ):
        raise DataError(f"{path}: expected a list of COCO results, each with {', '.join(FIELDS)}")
    return content


def find_source(cfg: DictConfig, config: Mapping[str, Any], folder: Path) -> Source:
    """The user's annotations and images, or those of the run. Raises ConfigError where they are not to be found."""
    source = next(iter(recorded(config)), None)
    agnostic = bool(source.class_agnostic if source and cfg.class_agnostic is None else cfg.class_agnostic)
    if cfg.annotations:
        return Source(str(cfg.annotations), str(cfg.images), agnostic)
    if source is None:
        raise ConfigError(f"{folder}: its configuration names no pictures; give annotations=FILE.json images=FOLDER")
    if not Path(source.annotations).is_file():
        raise ConfigError(
            f"{folder}: was tested on {source.annotations}, which is not there (relative paths start where the command "
            "runs); give annotations=FILE.json images=FOLDER"
        )
    return source._replace(class_agnostic=agnostic)


def asked_table(cfg: DictConfig, config: Mapping[str, Any], folder: Path) -> tuple[CocoTable, bool]:
    """The pictures of `find_source`, those of all files where a run was tested on several, numbered as its test numbered them, up
    to the run's `max_images`: it was asked about no more. And whether boxes are judged without their class.

    Raises as `find_source` and `read_coco`.
    """
    first = find_source(cfg, config, folder)
    sources = [first] if cfg.annotations else recorded(config)
    table = joined([read_coco(s.annotations, s.images, class_agnostic=first.class_agnostic) for s in sources])
    most = config.get("max_images")
    return (table if most is None else replace(table, images=table.images[: int(most)])), first.class_agnostic


def tables(inspection: Inspection) -> list[Table]:
    """The best cut, and the worst pictures with what went wrong in them."""
    best = inspection.best
    figures = Table("figure", "value", title="best F1, at IoU 0.5")
    for name, value in (("score threshold", best.threshold), ("F1", best.f1), ("precision", best.precision)):
        figures.add_row(name, f"{value:.4f}")
    figures.add_row("recall", f"{best.recall:.4f}")
    worst = Table(title="the worst pictures, at that threshold")
    for column in ("picture", "F1", "objects", "why"):
        worst.add_column(column, overflow="fold")
    for picture in [picture for picture in inspection.judged if picture.errors][:WORST_SHOWN]:
        worst.add_row(picture.pair.name, f"{picture.f1:.2f}", str(len(picture.fates)), picture.reason)
    return [figures, worst]


def recorded(config: Mapping[str, Any]) -> list[Source]:
    """What the configuration of a training, an evaluation or a benchmark says that it was tested on."""
    if config.get("annotations"):
        return [Source(str(config["annotations"]), str(config["images"]), bool(config.get("class_agnostic")))]
    data = config.get("data")
    if data is None and config.get("checkpoint"):
        data = checkpoint_config(str(config["checkpoint"]))[1]["data"]
    if not isinstance(data, Mapping):
        return []
    tested = next((data[name] for name in ("test", "val") if data.get(name)), data)
    parts = [tested] if isinstance(tested, Mapping) else list(tested)
    agnostic = bool(config.get("class_agnostic") or data.get("class_agnostic"))
    return [Source(str(p["annotations"]), str(p["images"]), agnostic) for p in parts if p.get("annotations")]


def tested_in_part(config: Mapping[str, Any]) -> bool:
    """Whether only some batches were asked about, as under debug=fast; one batch is the integer 1, all are 1.0."""
    limit = (config.get("trainer") or {}).get("limit_test_batches")
    return limit is not None and not (isinstance(limit, float) and limit == 1.0)
