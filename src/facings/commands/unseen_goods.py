"""Goods that training never saw, enrolled from a few photos: `emb-unseen`, and what each part of the answer brings."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.commands.embedding import HEADLINE, REPEATS, Crops, Embedding, among_nearest, average_name, checksums
from facings.commands.kept_vectors import KeptVectors
from facings.commands.run_records import Metrics, Taken
from facings.data.recognition_datamodule import RecognitionDataModule
from facings.data.recognition_selection import limit_views
from facings.data.tables import RecognitionRow
from facings.errors import ConfigError
from facings.metrics.bootstrap import bootstrap_interval
from facings.metrics.two_covariance import fit_two_covariance
from facings.metrics.whitening import fit_whitening, side_by_side
from facings.tasks.crop_views import Averaging

ENROLLED = (1, 2, 4, 8)
# Draws of the photos that a product is enrolled from; each draw of products comes from a training of its own.
PHOTO_DRAWS = 5
# Views of a trained product in the gallery, when goods it never saw are enrolled beside them.
GALLERY_VIEWS = 8
AVERAGES: tuple[Averaging, ...] = ("none", HEADLINE)
# Queries and gallery in, whether each query got the right product out.
Answered = Callable[[Crops, Crops], NDArray[np.bool_]]


def unseen(runs: Sequence[Path]) -> Taken:
    """`emb-unseen`: runs with `data.holdout`, one a draw of products; R@1 of the held-out goods' test photos among all."""
    asked = [Embedding(run) for run in runs]
    for one in asked:
        if not one.data.held_out:
            raise ConfigError(
                f"{one.run}: saw every product in training; train with data.holdout={{count: 20, draw: 0}}"
            )
    kept = KeptVectors(AVERAGES)
    right: dict[str, list[NDArray[np.float64]]] = {}
    for one in asked:
        strangers = set(one.data.held_out)
        for way, (crops, answered) in _ways(one, kept).items():
            for k in ENROLLED:
                shelves = [crops.take(_shelf(one.data, k, draw)) for draw in range(PHOTO_DRAWS)]
                for whose in ("", "seen_"):
                    rows = [row for row in one.data.test_rows if (row.product_id in strangers) != bool(whose)]
                    queries = crops.take(rows)
                    share = np.mean([answered(queries, shelf) for shelf in shelves], axis=0)
                    right.setdefault(f"{whose}{way}r1_k{k}", []).append(_by_product(share, queries.labels))
    metrics: Metrics = {name: _over_draws(values) for name, values in right.items()}
    for k in ENROLLED if len(asked) > 1 else ():
        shares = [float(parts[:, 0].sum() / parts[:, 1].sum()) for parts in right[f"r1_k{k}"]]
        metrics[f"r1_k{k}_run_spread"] = {"value": max(shares) - min(shares)}
    return Taken(metrics, [one.seed for one in asked], checksums(asked))


def _ways(one: Embedding, kept: KeptVectors) -> Mapping[str, tuple[Crops, Answered]]:
    """By the prefix of their figures: the vectors of all photos, and how a product is found by them. The parts of the answer are
    told for one view of each photo.

    Everything is fitted on photos of goods that were trained.
    """
    rows = list(dict.fromkeys([*one.data.train_rows, *one.data.gallery_rows, *one.data.test_rows]))
    views, plain_views, known = kept.trained(one, rows), kept.frozen(one, rows), one.data.train_rows
    joined = {way: joined_crops(one, views[way], plain_views[way]) for way in AVERAGES}
    trained, plain = views["none"], plain_views["none"]
    return {average_name(way, after="_"): (crops, _likeliest(crops.take(known))) for way, crops in joined.items()} | {
        "joined_nearest_": (joined["none"], _nearest),
        "trained_": (trained, _likeliest(trained.take(known))),
        "trained_nearest_": (trained, _nearest),
        "frozen_likeliest_": (plain, _likeliest(plain.take(known))),
        "frozen_": (plain, _nearest),
    }


def joined_crops(one: Embedding, trained: Crops, frozen: Crops) -> Crops:
    """Both vectors of the same rows behind each other, as `facings.models.joined` has them, whitened on the training's rows."""
    known = frozen.take(one.data.train_rows)
    whitened = fit_whitening(known.vectors, [row.product_id for row in known.rows])(frozen.vectors)
    return Crops(trained.rows, trained.labels, side_by_side(trained.vectors, whitened))


def _nearest(queries: Crops, gallery: Crops) -> NDArray[np.bool_]:
    return among_nearest(queries, gallery, 1)


def _likeliest(known: Crops) -> Answered:
    model = fit_two_covariance(known.vectors, known.labels)

    def answered(queries: Crops, gallery: Crops) -> NDArray[np.bool_]:
        return model.predictions(queries.vectors, gallery.vectors, gallery.labels) == queries.labels

    return answered


def _shelf(data: RecognitionDataModule, k: int, draw: int) -> list[RecognitionRow]:
    """`GALLERY_VIEWS` photos of every trained product and `k` of the others, drawn."""
    strangers = set(data.held_out)
    rows = data.gallery_rows
    known = limit_views([row for row in rows if row.product_id not in strangers], GALLERY_VIEWS, draw)
    return known + limit_views([row for row in rows if row.product_id in strangers], k, draw)


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
