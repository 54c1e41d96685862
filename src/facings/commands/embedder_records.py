"""The embedder's headline records, taken again from checkpoints: figures with intervals, the frozen backbone beside them.

Knows how rows of a recognition table are embedded; the training itself is a matter of `facings train`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from facings.commands.composition import compose_verb
from facings.commands.evaluate import checkpoint_data
from facings.commands.run_files import run_minutes, run_seed
from facings.commands.run_records import Metrics, RunRecord, Taken
from facings.commands.train import best_checkpoint
from facings.data.adapters.snack_shelves import read_snack_shelves
from facings.data.recognition_datamodule import RecognitionDataModule
from facings.data.recognition_selection import limit_views
from facings.data.tables import RecognitionRow
from facings.errors import ConfigError
from facings.metrics.bootstrap import bootstrap_interval
from facings.metrics.nearest import top_k
from facings.metrics.retrieval import prototype_predictions
from facings.tasks.crop_views import Averaging, crop_views

Vectors = NDArray[np.float32]
REPEATS = 1000
ENROLLED = (1, 2, 4, 8)
# Draws of the photos that a product is enrolled from; each draw of products comes from a training of its own.
PHOTO_DRAWS = 5
# Views of a trained product in the gallery, when goods it never saw are enrolled beside them.
GALLERY_VIEWS = 8

# The frozen backbone that stands beside the synthetic embedder, and the side of its input.
FLOOR, FLOOR_SIZE = "tf_efficientnet_lite2", 260


@dataclass(frozen=True)
class Crops:
    """Rows with their vectors (N, D) of unit length and labels (N,): places in the data's list of products."""

    rows: Sequence[RecognitionRow]
    labels: NDArray[np.int64]
    vectors: Vectors

    def take(self, rows: Sequence[RecognitionRow]) -> "Crops":
        """Those of `rows`, which are among mine."""
        place = {id(row): number for number, row in enumerate(self.rows)}
        index = [place[id(row)] for row in rows]
        return Crops(rows, self.labels[index], self.vectors[index])


class FrozenVectors:
    """Crops through the frozen backbone that runs started from, each once, however many runs ask for it."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], dict[RecognitionRow, NDArray[np.float32]]] = {}

    def crops(self, one: "Embedding", rows: Sequence[RecognitionRow]) -> Crops:
        """`rows` of the run's data as its frozen backbone sees them, under its labels: runs number products each their own way."""
        data = one.data
        view = (one.backbone, data.image_size, tuple(data.mean), tuple(data.std), data.crop_margin)
        known = self._known.setdefault(view, {})
        if missing := [row for row in dict.fromkeys(rows) if row not in known]:
            known |= zip(missing, one.crops(missing, model=one.frozen()).vectors, strict=True)
        return Crops(rows, one.labels(rows), np.stack([known[row] for row in rows]))


class Embedding:
    """A finished run's model, and the frozen backbone that it started from, asked about its data."""

    def __init__(self, run: Path) -> None:
        cfg = compose_verb("evaluate", [f"checkpoint={best_checkpoint(run)}"])
        self.run = run
        self.model, data, self.config = checkpoint_data(cfg)
        if not isinstance(data, RecognitionDataModule):
            raise ConfigError(f"{run}: not an embedder's run")
        self.data = data
        self.seed, self.minutes = run_seed(run), run_minutes(run)

    @property
    def backbone(self) -> str:
        """timm's name of it."""
        return str(self.config["model"]["backbone"])

    def frozen(self) -> nn.Module:
        """The mean feature of the ImageNet backbone, as weights.md's floor."""
        return frozen_backbone(self.backbone, self.data.image_size)

    def labels(self, rows: Sequence[RecognitionRow]) -> NDArray[np.int64]:
        """(N,) places of the rows' products in the data's list."""
        place = {product: number for number, product in enumerate(self.data.products)}
        return np.array([place[row.product_id] for row in rows], np.int64)

    def crops(
        self,
        rows: Sequence[RecognitionRow],
        *,
        model: nn.Module | None = None,
        tta: Averaging = "none",
        data: RecognitionDataModule | None = None,
    ) -> Crops:
        """`rows` of `data` through `model` (the trained one by default)."""
        labels: list[NDArray[np.int64]] = []
        vectors: list[Vectors] = []
        with torch.inference_mode():
            for batch in (data or self.data).loader(rows):
                views = [self._embed(model or self.model, view) for view in crop_views(batch["crops"], tta)]
                vectors.append(F.normalize(torch.stack(views).mean(dim=0), dim=1).numpy())
                labels.append(batch["labels"].numpy())
        return Crops(rows, np.concatenate(labels), np.concatenate(vectors))

    @staticmethod
    def _embed(model: nn.Module, crops: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(crops.contiguous(memory_format=torch.channels_last))
        return found.float()


def frozen_backbone(name: str, image_size: int) -> nn.Module:
    """timm's backbone `name` with packaged ImageNet weights as an embedder: its mean feature as unit vector.

    `image_size`: side of its square input in pixels. Raises ConfigError where no package has its weights.
    """
    model: nn.Module = instantiate(
        {
            "_target_": "facings.models.embedder.PooledBackbone",
            "backbone": name,
            "image_size": image_size,
            "pretrained": "offline",
        }
    )
    return model.eval()


def grocery(runs: Sequence[Path]) -> Taken:
    """`emb-grocery`: one run, or several that differ by seed alone; the first is the record, the rest the spread."""
    asked = [Embedding(run) for run in runs]
    metrics: Metrics = {}
    for tta in ("none", "flip"):
        gallery, queries = (
            asked[0].crops(rows, tta=tta) for rows in (asked[0].data.gallery_rows, asked[0].data.test_rows)
        )
        suffix = "" if tta == "none" else f"_{tta}"
        metrics |= {
            f"{name}{suffix}": right_share(right) for name, right in _classified(asked[0], gallery, queries).items()
        }
    metrics["minutes"] = {"value": asked[0].minutes}
    others = [metrics["fine_top1"]["value"]]
    for one in asked[1:]:
        gallery, queries = one.crops(one.data.gallery_rows), one.crops(one.data.test_rows)
        others.append(float(_classified(one, gallery, queries)["fine_top1"].mean()))
    if len(others) > 1:
        metrics["fine_top1_seed_spread"] = {"value": max(others) - min(others)}
    return Taken(metrics, [one.seed for one in asked], _checksums(asked))


def packshot(runs: Sequence[Path]) -> Taken:
    """`emb-packshot`: one run; the iconic pictures are the gallery, the test photos the queries."""
    one = Embedding(runs[0])
    iconic = [row for row in one.data.table.rows if row.split == "iconic"]
    metrics: Metrics = {}
    for prefix, model in (("", one.model), ("frozen_", one.frozen())):
        gallery, queries = one.crops(iconic, model=model), one.crops(one.data.test_rows, model=model)
        for k in (1, 5):
            metrics[f"{prefix}r{k}"] = right_share(among_nearest(queries, gallery, k), groups=queries.labels)
    return Taken(metrics, [one.seed], _checksums([one]))


def unseen(runs: Sequence[Path]) -> Taken:
    """`emb-unseen`: runs with `data.holdout`, one a draw of products; R@1 of the held-out goods' test photos among all."""
    asked = [Embedding(run) for run in runs]
    for one in asked:
        if not one.data.held_out:
            raise ConfigError(
                f"{one.run}: saw every product in training; train with data.holdout={{count: 20, draw: 0}}"
            )
    metrics: Metrics = {}
    frozen = FrozenVectors()
    for prefix in ("", "frozen_"):
        right: dict[int, list[NDArray[np.float64]]] = {k: [] for k in ENROLLED}
        for one in asked:
            strangers = set(one.data.held_out)
            asking = [row for row in one.data.test_rows if row.product_id in strangers]
            photos, queries = (
                frozen.crops(one, rows) if prefix else one.crops(rows) for rows in (one.data.gallery_rows, asking)
            )
            for k in ENROLLED:
                draws = [
                    among_nearest(queries, photos.take(_shelf(one.data, k, draw)), 1) for draw in range(PHOTO_DRAWS)
                ]
                right[k].append(_by_product(np.mean(draws, axis=0), queries.labels))
        for k, values in right.items():
            metrics[f"{prefix}r1_k{k}"] = _over_draws(values)
    return Taken(metrics, [one.seed for one in asked], _checksums(asked))


def snack(runs: Sequence[Path]) -> Taken:
    """`emb-snack`: one run of an embedder, trained on whatever; snack_shelves val crops against packshots, then train crops."""
    one = Embedding(runs[0])
    data = snack_data(one, one.data.image_size)
    queries = one.crops(data.test_rows, data=data)
    metrics: Metrics = {}
    for name, split in (("r1_packshot", "packshot"), ("r1_crops", "train")):
        metrics[name] = _known_right(queries, one.crops(_of_splits(data, split), data=data))
    return Taken(metrics, [one.seed], _snack_checksums(data))


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
    return Taken(metrics, [one.seed], _checksums([one]) | _snack_checksums(data))


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


def _shelf(data: RecognitionDataModule, k: int, draw: int) -> list[RecognitionRow]:
    """`GALLERY_VIEWS` photos of every trained product and `k` of the others, drawn."""
    strangers = set(data.held_out)
    rows = data.gallery_rows
    known = limit_views([row for row in rows if row.product_id not in strangers], GALLERY_VIEWS, draw)
    return known + limit_views([row for row in rows if row.product_id in strangers], k, draw)


def _classified(one: Embedding, gallery: Crops, queries: Crops) -> dict[str, NDArray[np.bool_]]:
    """By the nearest product mean: which queries got the right product, and which the right category."""
    predicted = prototype_predictions(queries.vectors, gallery.vectors, gallery.labels)
    coarse = one.data.coarse_labels()
    return {"fine_top1": predicted == queries.labels, "coarse_top1": coarse[predicted] == coarse[queries.labels]}


def among_nearest(queries: Crops, gallery: Crops, k: int) -> NDArray[np.bool_]:
    """(Q,) whether a view of the query's product is among the `k` nearest."""
    nearest = top_k(queries.vectors, gallery.vectors, k).indices
    right: NDArray[np.bool_] = (gallery.labels[nearest] == queries.labels[:, None]).any(axis=1)
    return right


def right_share(
    right: NDArray[np.bool_] | NDArray[np.float64], groups: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """The share of right answers, or the mean of a difference of such; the interval draws queries, or whole groups of them.

    By hand: of two products' queries one product's are all right, the other's all wrong: 0.5, from 0 to 1.

    >>> right_share(np.array([True, True, False, False]), groups=np.array([0, 0, 1, 1]))
    {'value': 0.5, 'low': 0.0, 'high': 1.0}
    """
    if groups is None:
        low, high = bootstrap_interval(lambda index: float(right[index].mean()), len(right), repeats=REPEATS)
        return {"value": float(right.mean()), "low": low, "high": high}
    _, place = np.unique(groups, return_inverse=True)
    hits, sizes = np.bincount(place, weights=right), np.bincount(place)
    low, high = bootstrap_interval(
        lambda index: float(hits[index].sum() / sizes[index].sum()), len(sizes), repeats=REPEATS
    )
    return {"value": float(right.mean()), "low": low, "high": high}


def _by_product(right: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """(products, 2): right answers and queries of each product."""
    _, place = np.unique(labels, return_inverse=True)
    return np.stack([np.bincount(place, weights=right), np.bincount(place)], axis=1)


def _over_draws(draws: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Right share over all draws of products; the interval draws products out of all of them."""
    parts = np.concatenate(draws)

    def share(index: NDArray[np.int64]) -> float:
        return float(parts[index, 0].sum() / parts[index, 1].sum())

    low, high = bootstrap_interval(share, len(parts), repeats=REPEATS)
    return {"value": share(np.arange(len(parts))), "low": low, "high": high}


def _checksums(asked: Sequence[Embedding]) -> dict[str, str]:
    return {f"{one.run.name}/{name}": value for one in asked for name, value in one.data.checksums().items()}


RECORDS: Mapping[str, RunRecord] = {
    "emb-grocery": RunRecord(1, grocery, more=True),
    "emb-packshot": RunRecord(1, packshot, more=True),
    "emb-unseen": RunRecord(1, unseen, more=True),
    "emb-snack": RunRecord(1, snack, more=True),
    "synth-reid": RunRecord(1, synthetic),
}
