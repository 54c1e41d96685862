"""What `facings benchmark` asks, read from a configuration."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from facings.benchmark.frames import Data, Frame, Query
from facings.config import config_dir
from facings.data.coco import read_coco
from facings.data.tables import read_recognition_table
from facings.errors import ConfigError
from facings.files import sha256
from facings.suggestions import nearest

GROUP = "benchmark_data"
DEFAULTS: Mapping[str, Any] = {"annotations": None, "images": None, "class_agnostic": False, "unknown_products": []}
NO_CROPS: Mapping[str, Any] = {"table": None, "split": None, "role": "query"}


def read_data(cfg: DictConfig, *, crops: bool = True) -> Data:
    """Frames and, unless `crops` is false, query crops of a configuration. Raises DataError or ConfigError."""
    frames: tuple[Frame, ...] = ()
    labels: tuple[str, ...] = ()
    checksums: dict[str, str] = {}
    faults: tuple[str, ...] = ()
    limit = int(cfg.max_images) if cfg.max_images is not None else None
    if cfg.data.annotations:
        if not cfg.data.images:
            raise ConfigError("data.annotations is given without data.images: give the folder of the pictures")
        found = read_frames(
            str(cfg.data.name), cfg.data.annotations, cfg.data.images, agnostic=bool(cfg.data.class_agnostic),
            unknown=cfg.data.unknown_products, limit=limit,
        )  # fmt: skip
        frames, labels, faults = found.frames, found.labels, found.faults
        checksums |= found.checksums
    queries: tuple[Query, ...] = ()
    if crops and cfg.recognition.table:
        path = Path(cfg.recognition.table)
        rows = read_recognition_table(path).select(split=cfg.recognition.split, role=cfg.recognition.role)
        queries = tuple(Query(row.path, row.product_id, row.corners) for row in rows)[:limit]
        checksums[path.name] = sha256(path)
    if not frames and not queries:
        table = ", or recognition.table" if crops else f"; protocol={cfg.protocol} asks no recognition.table"
        raise ConfigError(f"nothing to ask: give data.annotations with data.images{table}")
    return Data(str(cfg.data.name), frames, labels, checksums, queries, faults)


def read_frames(
    name: str, annotations: str, images: str, *, agnostic: bool, unknown: Sequence[str], limit: int | None
) -> Data:
    """The first `limit` frames (None: all) of COCO JSON; `unknown`: product ids that mean "not identified".

    Raises DataError for what `read_coco` refuses.
    """
    table = read_coco(annotations, images, class_agnostic=agnostic)
    hidden = set(unknown)
    frames = tuple(
        Frame(
            i.image_id, i.path, i.boxes, i.labels, tuple(None if p in hidden else p for p in i.product_ids), i.camera_id,
            i.captured_at, tuple((crowd.box, crowd.label) for crowd in i.crowds),
        )
        for i in table.images[:limit]
    )  # fmt: skip
    return Data(name, frames, table.labels, {Path(annotations).name: table.checksum()}, faults=table.faults)


def with_dataset(cfg: DictConfig, entry: Any, key: str = "datasets") -> DictConfig:
    """The configuration, asking one entry of a list of datasets: the name of an option of the group `benchmark_data`, or a mapping
    with `name` and `annotations` with `images`, `recognition` (`table`, `split`, `role`), or both.

    Raises ConfigError, which names the list by `key`, for anything else.
    """
    given = OmegaConf.to_container(entry, resolve=True) if OmegaConf.is_config(entry) else entry
    made = deepcopy(cfg)
    OmegaConf.set_struct(made, False)
    made.recognition = dict(NO_CROPS)
    if isinstance(given, str):
        made.data = _option(given, key)
        return made
    fields = {"name", *DEFAULTS, "recognition"}
    if not isinstance(given, dict) or "name" not in given or set(given) - fields:
        raise ConfigError(f"{key}: {given!r}; expected one of {', '.join(_options())}, or {{name, annotations, images}}, maybe "
                          "class_agnostic, unknown_products, recognition")  # fmt: skip
    crops = given.pop("recognition", None)
    if crops is not None and (not isinstance(crops, dict) or not crops.get("table") or set(crops) - set(NO_CROPS)):
        raise ConfigError(f"{key}: {given['name']}: recognition is {crops!r}; expected {{table, split, role}}")
    if crops is None and not (given.get("annotations") and given.get("images")):
        raise ConfigError(
            f"{key}: {given['name']}: expected annotations with images, or recognition: {{table, split, role}}"
        )
    made.data = {**DEFAULTS, **given, "name": str(given["name"])}
    made.recognition = {**NO_CROPS, **(crops or {})}
    return made


def _option(name: str, key: str) -> Any:
    if name not in _options():
        raise ConfigError(
            f"{key}: {GROUP} has no option {name!r}{nearest(name, _options())}; valid: {', '.join(_options())}"
        )
    return OmegaConf.load(config_dir() / GROUP / f"{name}.yaml")


def _options() -> list[str]:
    return sorted(path.stem for path in (config_dir() / GROUP).glob("*.yaml"))
