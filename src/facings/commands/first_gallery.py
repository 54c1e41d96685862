"""The part of `facings export` that makes the first gallery: which views are enrolled, and which crops calibrate it.

Knows nothing of graphs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import get_method
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from facings.data.coco import read_coco
from facings.data.tables import RecognitionRow, RecognitionTable, read_recognition_table
from facings.data.taxonomy import bare_taxonomy, read_taxonomy
from facings.errors import ConfigError
from facings.export.bundle import FILE_NAMES
from facings.export.enrolment import (
    View,
    create_gallery,
    embed_views,
    limited,
    mated_similarities,
    own_photos,
    views_of_boxes,
    views_of_packshots,
    views_of_rows,
)
from facings.runtime.gallery import Gallery
from facings.runtime.mated_file import MOST_PHOTOS
from facings.runtime.recognizer import Recognizer

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Enrolment:
    """What goes into the first gallery. `photos`: enrolment photos of calibration products that it does not hold; `depth`: photos
    of its own product that a calibration crop is compared with, at most."""

    views: list[View] = field(default_factory=list)
    calibration: list[View] = field(default_factory=list)
    taxonomy: dict[str, dict[str, Any]] = field(default_factory=dict)
    photos: list[View] = field(default_factory=list)
    depth: int = 1


def read_enrolment(cfg: DictConfig) -> Enrolment:
    """Raises ConfigError or DataError for tables and folders that cannot be used."""
    views: list[View] = []
    categories: dict[str, tuple[str, ...]] = {}
    if cfg.gallery.table:
        table = table_reader(str(cfg.gallery.reader), "gallery.reader")(cfg.gallery.table)
        rows = table.select(split=cfg.gallery.split, role=cfg.gallery.role)
        views += views_of_rows(rows, trim=bool(cfg.gallery.trim))
        categories = table.categories()
    if cfg.gallery.packshots:
        views += views_of_packshots(Path(cfg.gallery.packshots))
    calibration: list[View] = []
    photos: Sequence[RecognitionRow] = ()
    if cfg.calibration.table:
        table = read_recognition_table(cfg.calibration.table)
        rows = table.select(split=cfg.calibration.split, role=cfg.calibration.role)
        calibration += views_of_rows(rows)
        # The standard backs off to categories, and wants them of the crops too.
        categories = {row.product_id: row.category for row in rows} | categories
        photos = _photos(cfg, table)
    if cfg.calibration.annotations:
        if not cfg.calibration.images:
            raise ConfigError("calibration.annotations is given without calibration.images, the folder of its pictures")
        table_of_boxes = read_coco(cfg.calibration.annotations, cfg.calibration.images, class_agnostic=True)
        calibration += views_of_boxes(table_of_boxes)
    kept = limited(calibration or views, int(cfg.calibration.limit), int(cfg.seed))
    enrolled = {str(view.product_id) for view in views}
    asked = {view.product_id for view in kept} - enrolled
    depth = min(int(cfg.calibration.views), MOST_PHOTOS)
    return Enrolment(
        views,
        kept,
        read_products(cfg, [*enrolled, *(name for name in asked if name is not None)], categories),
        views_of_rows([row for row in photos if row.product_id in asked], trim=bool(cfg.gallery.trim)),
        depth,
    )


def read_products(
    cfg: DictConfig, products: Sequence[str], categories: Mapping[str, tuple[str, ...]]
) -> dict[str, dict[str, Any]]:
    """taxonomy.json's products: the configured table, and what is known of `products` beside."""
    bare = bare_taxonomy(products, categories)
    return bare | read_taxonomy(cfg.taxonomy) if cfg.taxonomy else bare


def make_gallery(recognizer: Recognizer, enrolment: Enrolment, console: Console) -> Gallery:
    """Version 000001, and `calibration_mated.npy` beside it; the bundle is to be sealed again."""
    views = _embedded(recognizer, enrolment.views, "gallery", console)
    same = enrolment.calibration == enrolment.views
    crops = views if same else _embedded(recognizer, enrolment.calibration, "calibration", console)
    mated = _mated(recognizer, enrolment, views, crops, console)
    np.save(recognizer.bundle.path / FILE_NAMES["calibration"], mated, allow_pickle=False)
    return create_gallery(
        recognizer.bundle.path,
        embedder_sha256=recognizer.bundle.embedder_sha256,
        views=enrolment.views,
        vectors=views,
        calibration=enrolment.calibration,
        calibration_vectors=crops,
    )


def _mated(recognizer: Recognizer, enrolment: Enrolment, views: Vectors, crops: Vectors, console: Console) -> Vectors:
    """(C, V) see `mated_similarities`. Of the photos that are not enrolled only those that count are embedded."""
    chosen = own_photos(enrolment.calibration, [*enrolment.views, *enrolment.photos], enrolment.depth)
    wanted = np.unique(chosen[chosen >= len(views)])
    vectors = views
    if len(wanted):
        more = [enrolment.photos[number - len(views)] for number in wanted.tolist()]
        vectors = np.concatenate([views, _embedded(recognizer, more, "calibration photos", console)])
        chosen = np.where(chosen >= len(views), len(views) + np.searchsorted(wanted, chosen), chosen)
    return mated_similarities(crops, vectors, chosen)


def _photos(cfg: DictConfig, table: RecognitionTable) -> list[RecognitionRow]:
    """Rows of the calibration table that show how a product would be enrolled; a table may have none."""
    split, role = cfg.calibration.photos.split, cfg.calibration.photos.role
    return [row for row in table.rows if split in (None, row.split) and role in (None, row.role)]


def table_reader(name: str, key: str) -> Callable[[str], RecognitionTable]:
    """The function of that name, which the setting `key` gives. Raises ConfigError where there is none."""
    try:
        found: Callable[[str], RecognitionTable] = get_method(name)
    except (ImportError, ValueError) as fault:
        known = "facings.data.tables.read_recognition_table, facings.data.adapters.SET.read_SET"
        raise ConfigError(f"{key}={name!r}: no such function; use e.g. {known}") from fault
    return found


def _embedded(recognizer: Recognizer, views: Sequence[View], what: str, console: Console) -> Vectors:
    with Progress(console=console) as progress:
        task = progress.add_task(f"embedding the {what}", total=len(views))
        return embed_views(recognizer, views, lambda: progress.advance(task))
