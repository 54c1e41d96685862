"""The embedder's headline records, taken again from checkpoints: figures with intervals, the frozen backbone beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from facings.commands.embedding import (
    HEADLINE,
    Crops,
    Embedding,
    among_nearest,
    average_name,
    checksums,
    frozen_backbone,
    right_share,
)
from facings.commands.kept_vectors import KeptVectors
from facings.commands.run_records import Metrics, RunRecord, Taken
from facings.commands.unseen_goods import unseen
from facings.data.adapters.snack_shelves import read_snack_shelves
from facings.data.recognition_datamodule import RecognitionDataModule
from facings.data.tables import RecognitionRow
from facings.metrics.retrieval import prototype_predictions
from facings.tasks.crop_views import VIEWS

# The frozen backbone that stands beside the synthetic embedder, and the side of its input.
FLOOR, FLOOR_SIZE = "tf_efficientnet_lite2", 260


def grocery(runs: Sequence[Path]) -> Taken:
    """`emb-grocery`: one run, or several that differ by seed alone; the first is the record, the rest the spread."""
    asked = [Embedding(run) for run in runs]
    first, metrics, kept = asked[0], Metrics(), KeptVectors(tuple(VIEWS))
    seen = [kept.trained(first, rows) for rows in (first.data.gallery_rows, first.data.test_rows)]
    for tta in VIEWS:
        suffix = average_name(tta, before="_")
        sides = [crops[tta] for crops in seen]
        for ending, crops in ((suffix, sides), (f"{suffix}_alone", first.alone(*sides))):
            right = _classified(first, *crops) if crops else {}
            metrics |= {f"{name}{ending}": right_share(hits) for name, hits in right.items()}
    metrics["minutes"] = {"value": first.minutes}
    others = [
        _classified(one, *(kept.trained(one, rows)[HEADLINE] for rows in (one.data.gallery_rows, one.data.test_rows)))
        for one in asked[1:]
    ]
    for name in ("fine_top1", "coarse_top1"):
        metrics |= _spread(name, metrics, [float(other[name].mean()) for other in others])
    return Taken(metrics, [one.seed for one in asked], checksums(asked))


def packshot(runs: Sequence[Path]) -> Taken:
    """`emb-packshot`: one run, or several that differ by seed; the iconic pictures are the gallery, the test photos the queries."""
    asked = [Embedding(run) for run in runs]
    metrics: Metrics = {}
    for prefix, model in (("", asked[0].model), ("frozen_", asked[0].frozen())):
        queries, gallery = _against_iconic(asked[0], model)
        for k in (1, 5):
            metrics[f"{prefix}r{k}"] = right_share(among_nearest(queries, gallery, k), groups=queries.labels)
        if not prefix and (own := asked[0].alone(queries, gallery)):
            metrics["r1_alone"] = right_share(among_nearest(own[0], own[1], 1), groups=queries.labels)
    others = [float(among_nearest(*_against_iconic(one, one.model), 1).mean()) for one in asked[1:]]
    metrics |= _spread("r1", metrics, others)
    return Taken(metrics, [one.seed for one in asked], checksums(asked))


def _against_iconic(one: Embedding, model: nn.Module) -> tuple[Crops, Crops]:
    """Test photos and iconic pictures."""
    rows = one.data.test_rows, _of_splits(one.data, "iconic")
    return one.crops(rows[0], model=model), one.crops(rows[1], model=model)


def snack(runs: Sequence[Path]) -> Taken:
    """`emb-snack`: one run of an embedder, trained on whatever, or several that differ by seed; snack_shelves val crops against
    packshots, then train crops."""
    asked = [Embedding(run) for run in runs]
    found: dict[str, list[dict[str, Any]]] = {"r1_packshot": [], "r1_crops": []}
    alone: Metrics = {}
    for one in asked:
        data = snack_data(one, one.data.image_size)
        queries = one.crops(data.test_rows, data=data)
        for name, split in zip(found, ("packshot", "train"), strict=True):
            gallery = one.crops(_of_splits(data, split), data=data)
            found[name].append(_known_right(queries, gallery))
            if one is asked[0] and (own := one.alone(queries, gallery)):
                alone[f"{name}_alone"] = _known_right(own[0], own[1])
    metrics: Metrics = {name: values[0] for name, values in found.items()} | alone
    for name, values in found.items():
        metrics |= _spread(name, metrics, [value["value"] for value in values[1:]])
    return Taken(metrics, [one.seed for one in asked], _snack_checksums(data))


def synthetic(runs: Sequence[Path]) -> Taken:
    """`synth-reid`: one run on synthetic products alone; all crops of snack_shelves' train and val frames against packshots."""
    one = Embedding(runs[0])
    metrics: Metrics = {}
    frozen = frozen_backbone(FLOOR, FLOOR_SIZE)
    for name, model, size in (("frozen_r1", frozen, FLOOR_SIZE), ("r1", one.model, one.data.image_size)):
        data = snack_data(one, size)
        queries, gallery = (
            one.crops(_of_splits(data, *splits), model=model, data=data) for splits in (("train", "val"), ("packshot",))
        )
        metrics[name] = _known_right(queries, gallery)
    return Taken(metrics, [one.seed], checksums([one]) | _snack_checksums(data))


def _spread(name: str, metrics: Metrics, others: Sequence[float]) -> Metrics:
    """`NAME_seed_spread`: how far the figure lies apart over runs that differ by seed; nothing where there is one."""
    values = [metrics[name]["value"], *others]
    return {f"{name}_seed_spread": {"value": float(max(values) - min(values))}} if others else {}


def _known_right(queries: Crops, gallery: Crops) -> dict[str, Any]:
    """R@1 of the queries whose product is in the gallery; the interval draws products."""
    known = np.isin(queries.labels, gallery.labels)
    return right_share(among_nearest(queries, gallery, 1)[known], groups=queries.labels[known])


def _of_splits(data: RecognitionDataModule, *splits: str) -> list[RecognitionRow]:
    return [row for row in data.table.rows if row.split in splits]


def _snack_checksums(data: RecognitionDataModule) -> dict[str, str]:
    return {"snack_shelves/" + name: value for name, value in data.checksums().items()}


def snack_data(one: Embedding, image_size: int) -> RecognitionDataModule:
    """snack_shelves beside the run's own data, cut as that is and scaled to `image_size` pixels."""
    like = one.data
    return RecognitionDataModule(
        table=read_snack_shelves(Path(one.config["paths"]["data_dir"]) / "snack_shelves" / "reid.csv"),
        train={"split": "train", "role": "train"},
        gallery={"split": "packshot", "role": "gallery"},
        val={"split": "val", "role": "query"},
        test={"split": "val", "role": "query"},
        transform=like.transform,
        image_size=image_size,
        mean=like.mean,
        std=like.std,
        products_per_batch=like.products_per_batch,
        views_per_product=like.views_per_product,
        seed=like.seed,
        crop_margin=like.crop_margin,
    )


def _classified(one: Embedding, gallery: Crops, queries: Crops) -> dict[str, NDArray[np.bool_]]:
    """By the nearest product mean: which queries got the right product, and which the right category."""
    predicted = prototype_predictions(queries.vectors, gallery.vectors, gallery.labels)
    return {f"{level}_top1": right for level, right in one.judged(predicted, queries.labels).items()}


RECORDS: Mapping[str, RunRecord] = {
    "emb-grocery": RunRecord(1, grocery, more=True),
    "emb-packshot": RunRecord(1, packshot, more=True),
    "emb-unseen": RunRecord(1, unseen, more=True),
    "emb-snack": RunRecord(1, snack, more=True),
    "synth-reid": RunRecord(1, synthetic),
}
