"""What `facings benchmark` asks, read from a configuration."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from facings.benchmark.frames import Data, Frame, Query
from facings.data.coco import read_coco
from facings.data.tables import read_recognition_table
from facings.errors import ConfigError
from facings.files import sha256


def read_data(cfg: DictConfig) -> Data:
    """Frames and query crops of a configuration. Raises DataError or ConfigError."""
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
    if cfg.recognition.table:
        path = Path(cfg.recognition.table)
        rows = read_recognition_table(path).select(split=cfg.recognition.split, role=cfg.recognition.role)
        queries = tuple(Query(row.path, row.product_id, row.corners) for row in rows)[:limit]
        checksums[path.name] = sha256(path)
    if not frames and not queries:
        raise ConfigError("nothing to ask: give data.annotations with data.images, or recognition.table")
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
            i.captured_at,
        )
        for i in table.images[:limit]
    )  # fmt: skip
    return Data(name, frames, table.labels, {Path(annotations).name: table.checksum()}, faults=table.faults)
