"""A synthetic dataset on disk: frames, COCO truth, packshots, enrolment photos, recognition table, taxonomy.

Knows nothing of training. The same parameters give the same files: every frame has a seed of its own, so that neither the
number of workers nor an interruption changes anything.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import scipy

from facings.data.synthetic.camera import CAMERAS
from facings.data.synthetic.joining import drawn_crops, write_coco
from facings.data.synthetic.parameters import Parameters as Parameters
from facings.data.synthetic.parameters import difference
from facings.data.synthetic.scenes import SPLITS as SPLITS
from facings.data.synthetic.scenes import Scenes, cameras_of, cutouts_of, divide, forget, goods_of, renderer_of
from facings.data.synthetic.sequence import SPLIT as SEQUENCE
from facings.data.synthetic.sequence import SequenceFrames, timeline_of
from facings.data.synthetic.shards import Source, read_shards, write_shards
from facings.data.synthetic.views import write_views
from facings.data.tables import RecognitionRow, Role, write_recognition_table
from facings.data.taxonomy import taxonomy_content
from facings.errors import ConfigError, DataError
from facings.files import atomic_folder, atomic_write, sha256

# Moves with every change of what is drawn: 2 has printed packs, bags, trays and multipacks; 3 nets and bags of produce, pegs,
# cabinets, promotion cards and people.
SCHEMA = "facings.synthetic/4"
# What draws: shards of other versions are not mixed.
DRAWERS = {module.__name__: module.__version__ for module in (np, cv2, PIL, scipy)}


def synthesize(
    folder: Path,
    parameters: Parameters,
    *,
    overwrite: bool = False,
    workers: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> bool:
    """Write the dataset to `folder`, whole or not at all. Returns False where it is there already, unchanged.

    What was drawn before an interruption lies in `.NAME.shards` beside it and is used by the next call with the same
    parameters. Raises ConfigError for parameters out of range, or where the folder (or what was begun) is something else and
    `overwrite` is false.
    """
    parameters.check()
    if parameters.cutouts is not None:
        forget()
        timeline_of.cache_clear()
    if not overwrite and folder.exists() and any(folder.iterdir()):
        _same_or_refuse(folder, parameters)
        return False
    work = folder.with_name(f".{folder.name}.shards")
    _begin(work, parameters, overwrite)
    sources: list[Source] = [Scenes(parameters, split) for split in SPLITS]
    if parameters.sequence is not None:
        sources.append(SequenceFrames(parameters))
    write_shards(sources, work, workers=workers, advance=advance)
    with atomic_folder(folder, replace=True) as beside:
        _join(work, beside, sources, parameters)
        # Last: until here a fault leaves the pictures where the next call finds them.
        (work / "images").rename(beside / "images")
    shutil.rmtree(work)
    return True


def _join(work: Path, beside: Path, sources: list[Source], parameters: Parameters) -> None:
    """Everything but the pictures."""
    products = goods_of(parameters)
    trained, new = divide(products, parameters)
    category = {product.product_id: product.category for product in products}
    rows: list[RecognitionRow] = []
    for source in sources:
        _write_truth(work, beside, source, parameters)
        limit = parameters.crops_per_product if source.split == "train" else parameters.queries_per_product
        rows += _crops(work, beside, source, parameters, limit, category)
    seed, photos = parameters.seed, parameters.enrol_photos
    ids = {p.product_id for p in trained}
    views = write_views(beside, products, ids, renderer_of(parameters), photos=photos, seed=seed)
    rows += views
    if parameters.sequence:
        rows += [replace(row, split=SEQUENCE) for row in views if row.role == "gallery"]
    write_recognition_table(rows, beside / "recognition.csv")
    _write_json(beside / "taxonomy.json", taxonomy_content({p.product_id: p.taxonomy() for p in products}))
    names = [f"instances_{source.split}.json" for source in sources] + ["recognition.csv", "taxonomy.json"]
    names += ["events.jsonl"] if parameters.sequence else []
    record = {
        "schema": SCHEMA,
        "parameters": parameters.record(),
        "new_products": sorted(p.product_id for p in new),
        "cameras": list(parameters.cameras or (camera.camera_id for camera in CAMERAS)),
        "files": {name: sha256(beside / name) for name in names},
        **_cutouts(parameters),
    }
    _write_json(beside / "synthesize.json", record)


def _write_truth(work: Path, beside: Path, source: Source, parameters: Parameters) -> None:
    path = beside / f"instances_{source.split}.json"
    description = f"synthetic shelves, {source.split}"
    sequence = parameters.sequence if source.split == SEQUENCE else None
    names = sequence.cameras if sequence else parameters.cameras
    more = {"cameras": cameras_of(parameters, names)} if names else {}
    write_coco(path, lambda: read_shards(source, work), description=description, more=more)
    if sequence:
        lines = (json.dumps(event) + "\n" for event in timeline_of(parameters).record())
        atomic_write(beside / "events.jsonl", "".join(lines))


def _crops(
    work: Path, beside: Path, source: Source, parameters: Parameters, limit: int, category: dict[str, tuple[str, ...]]
) -> Iterator[RecognitionRow]:
    """The rows of a split's frames, at most `limit` a product."""
    role: Role = "train" if source.split == "train" else "query"
    home = beside / "images" / source.split
    drawn = drawn_crops(
        lambda: read_shards(source, work),
        visibility=parameters.query_visibility,
        limit=limit,
        seed=parameters.seed,
    )
    for name, entry in drawn:
        product, (x, y, width, height) = entry["product_id"], entry["bbox"]
        box = (x, y, width, height)
        yield RecognitionRow(home / name, product, source.split, role, category[product], box, entry["camera_id"])


def _cutouts(parameters: Parameters) -> dict[str, str]:
    """Checksum of the real goods, where there are any."""
    cutouts = cutouts_of(parameters)
    return {"cutouts": cutouts.checksum} if cutouts else {}


def _begin(work: Path, parameters: Parameters, overwrite: bool) -> None:
    """Make the folder of the shards, or take the one that an interrupted call left."""
    path = work / "begun.json"
    begun = {"schema": SCHEMA, "parameters": parameters.record(), "versions": DRAWERS, **_cutouts(parameters)}
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            found = {}
        if found == begun:
            return
        changed = difference(found.get("parameters", {}), parameters)
        if changed and not overwrite:
            raise ConfigError(
                f"{work}: an interrupted call had {changed[0]}={changed[1]}, asked is {changed[0]}={changed[2]}; finish it "
                "with its own settings, choose another name, or give it up with --overwrite"
            )
    if work.exists():
        shutil.rmtree(work)
    atomic_write(path, json.dumps(begun) + "\n")


def _same_or_refuse(folder: Path, parameters: Parameters) -> None:
    path = folder / "synthesize.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: exists and was not made by `facings synthesize`; choose another name")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["parameters"]
        altered = [name for name, digest in content["files"].items() if sha256(folder / name) != digest]
    except (json.JSONDecodeError, KeyError, OSError) as fault:
        raise DataError(f"{path}: damaged ({fault}); make the set anew with --overwrite") from fault
    if content.get("schema") != SCHEMA:
        raise ConfigError(
            f"{path}: schema: drawn by another version of facings ({content.get('schema')}, here {SCHEMA}); choose another name, "
            "or --overwrite"
        )
    if altered:
        raise DataError(f"{folder / altered[0]}: changed since it was made; make the set anew with --overwrite")
    if content.get("cutouts") not in (None, _cutouts(parameters).get("cutouts")):
        raise DataError(f"{folder}: its cut-outs changed since it was made; choose another name, or --overwrite")
    changed = difference(found, parameters)
    if changed:
        name, was, asked = changed
        raise ConfigError(
            f"{folder}: was made with {name}={was}, asked is {name}={asked}; choose another name, or --overwrite"
        )


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
