"""The shop over many days: goods come and go, nothing is trained, nobody tunes, and the error rates are counted.

Knows nothing of pictures; embeddings come in, figures go out.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.turnover_baselines import Baselines
from facings.benchmark.turnover_data import Embeddings
from facings.benchmark.turnover_days import Day, Protocol, days, split_products
from facings.benchmark.turnover_whitening import whitened
from facings.errors import DataError
from facings.metrics.coverage import answer_figures, backoff_figures, mean_or_nan
from facings.runtime.similarity_tops import item_similarities
from facings.runtime.standard import Rates, Standard
from facings.structures import Matches

Figures = dict[str, float]


@dataclass(frozen=True)
class Calibration:
    """What the exporter stored: `vectors` (C, D) of `items` (C,), and `mated` (C, V), see `Standard.fit`."""

    vectors: NDArray[np.float32]
    items: tuple[str, ...]
    mated: NDArray[np.float32]

    def with_photos(self, data: Embeddings, photos: Mapping[str, NDArray[np.int64]]) -> "Calibration":
        """Together with enrolment photos, product → numbers: they stand for goods that are not enrolled, but meet no views of
        their own (taken in one session, they would be flattered)."""
        rows = np.concatenate(list(photos.values()))
        names = tuple(name for name, own in photos.items() for _ in own)
        unmated = np.full((len(rows), self.mated.shape[1]), np.nan, np.float32)
        return Calibration(
            np.concatenate([self.vectors, data.vectors[rows]]),
            self.items + names,
            np.concatenate([self.mated, unmated]),
        )


def calibration_of(data: Embeddings, products: Sequence[str], views: int, seed: int) -> Calibration:
    """The query photos of the calibration products, each with its similarity to the best of 1 … `views` enrolment photos of
    its own product, drawn as an enrolment draws them."""
    rng = np.random.default_rng([seed, 2])
    vectors, items, mated = [], [], []
    for product in products:
        own, photos = data.rows(product, enrol=False), rng.permutation(data.rows(product, enrol=True))[:views]
        vectors.append(data.vectors[own])
        items += [product] * len(own)
        mated.append(np.maximum.accumulate(data.vectors[own] @ data.vectors[photos].T, axis=1))
    return Calibration(np.concatenate(vectors), tuple(items), np.concatenate(mated))


@dataclass(frozen=True)
class Shop:
    """One seed's run. `per_day`: figures of each day, day 0 first, by name."""

    seed: int
    per_day: tuple[Figures, ...]

    def mean(self, name: str, *, first: int = 1) -> float:
        """Over the days from `first` on, leaving out those that have none."""
        values = [value for day in self.per_day[first:] if not np.isnan(value := day.get(name, np.nan))]
        return float(np.mean(values)) if values else float("nan")


def run_shop(
    data: Embeddings,
    protocol: Protocol,
    rates: Rates,
    *,
    seed: int = 0,
    classifier: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> Shop:
    """All days of one seed. Raises DataError when there are too few products."""
    calibration_products, pool, never = split_products(data, protocol, seed)
    if protocol.whiten:
        fitted, calibration_products = (
            calibration_products[: protocol.whiten],
            calibration_products[protocol.whiten :],
        )
        if not calibration_products:
            raise DataError(f"turnover.whiten={protocol.whiten} leaves none of the {len(fitted)} products to calibrate")
        data = whitened(data, fitted)
    stored = calibration_of(data, calibration_products, protocol.views, seed)
    seen: dict[str, NDArray[np.int64]] = {}
    baselines: Baselines | None = None
    figures = []
    for day in days(data, protocol, pool, never, seed):
        items = tuple(day.enrolled)
        seen |= day.enrolled
        calibration = stored.with_photos(data, seen) if protocol.remember else stored
        rows = np.concatenate(list(day.enrolled.values()))
        vectors, item = data.vectors[rows], np.repeat(np.arange(len(items)), [len(r) for r in day.enrolled.values()])
        start = time.perf_counter()
        standard = Standard.fit(
            rates,
            vectors=vectors,
            item=item,
            items=items,
            calibration_vectors=calibration.vectors,
            calibration_items=calibration.items,
            calibration_mated=calibration.mated,
            categories=data.categories,
        )
        seconds = time.perf_counter() - start
        matches, truth = matched(data, day, vectors, item, items)
        found = judged(data, day, standard, matches, truth) | {"enrolment_seconds": seconds}
        if baselines is None:
            baselines = Baselines.tuned(stored.vectors, stored.items, vectors, item, items, rates.false_accept)
        found |= baselines.day(data.vectors[day.queries], matches, truth, vectors, item, items, classifier=classifier)
        figures.append(found)
        advance()
    return Shop(seed, tuple(figures))


def matched(
    data: Embeddings, day: Day, vectors: NDArray[np.float32], item: NDArray[np.int64], items: Sequence[str]
) -> tuple[Matches, NDArray[np.int64]]:
    """All items for each query, most similar first; and the item that each query shows, -1 where it is not enrolled."""
    parts = [part for _, part in item_similarities(data.vectors[day.queries], vectors, item, len(items))]
    similar = np.concatenate(parts)
    order = np.argsort(-similar, axis=1, kind="stable")
    index = {name: number for number, name in enumerate(items)}
    truth = np.array([index.get(str(name), -1) for name in data.product[day.queries]], np.int64)
    return Matches(order, np.take_along_axis(similar, order, axis=1)), truth


def judged(data: Embeddings, day: Day, standard: Standard, matches: Matches, truth: NDArray[np.int64]) -> Figures:
    """What the standard answered, counted."""
    verdicts = standard.judge(matches)
    known, accepted = truth >= 0, verdicts.status < 2
    right_first = matches.items[:, 0] == truth
    ranked_truth = matches.items == truth[:, None]
    answers = answer_figures(ranked_truth, verdicts.answers, ~accepted, known, pick_list=standard.rates.pick_list)
    paths = [(*data.categories.get(str(n), ()), str(n)) for n in data.product[day.queries]]
    pairs = zip(matches.items[:, 0].tolist(), verdicts.level.tolist(), strict=True)
    reported = [_reported(standard, first, level) for first, level in pairs]
    by_kind = {
        f"false_accept_{name}": mean_or_nan(accepted[day.kind == kind])
        for kind, name in ((1, "retired"), (2, "never_seen"))
    }
    return {
        "accuracy": mean_or_nan(right_first[known]),
        "known_right": mean_or_nan((verdicts.status == 0)[known] & right_first[known]),
        "known_refused": mean_or_nan(~accepted[known]),
        "false_accept": mean_or_nan(accepted[~known]),
        **by_kind,
        **answers,
        **backoff_figures(paths, reported),
        "new_products": float(len(day.new)),
        "gallery_products": float(len(day.enrolled)),
    }


def _reported(standard: Standard, item: int, level: int) -> tuple[str, ...]:
    """The node as a path that ends with the product where the level is the product's."""
    path = standard.path(item, level)
    return (*path, standard.tree.items[item]) if level == standard.tree.depth else path


def summarise(shops: Sequence[Shop], rates: Rates) -> dict[str, Any]:
    """Figures over days 1 … N of all shops: `value`, and over shops the 95 % interval of the mean (normal); and by day.

    `relative_error`: of each shop's mean over its days, then the mean over shops; `…_of_the_mean`: of the mean of all;
    `…_a_day`: of each day by itself, which on some hundred queries is in good part chance.
    """
    names = list(shops[0].per_day[0])
    means: dict[str, Any] = {name: spread([shop.mean(name) for shop in shops]) for name in names}
    for name, source in (("relative_error", "false_accept"), ("fixed_threshold_relative_error", "fixed_false_accept")):
        means[name] = spread([abs(shop.mean(source) / rates.false_accept - 1) for shop in shops])
        together = float(np.nanmean([shop.mean(source) for shop in shops]))
        means[f"{name}_of_the_mean"] = {"value": abs(together / rates.false_accept - 1)}
        daily = np.array([[day[source] for day in shop.per_day[1:]] for shop in shops]) / rates.false_accept - 1
        means[f"{name}_a_day"] = {"value": float(np.nanmean(np.abs(daily)))}
    by_day = {
        name: [
            spread([shop.per_day[number].get(name, np.nan) for shop in shops])
            for number in range(len(shops[0].per_day))
        ]
        for name in names
    }
    return {"rates": {"false_accept": rates.false_accept, "coverage": rates.coverage}, "figures": means, "days": by_day}


def spread(values: Sequence[float]) -> Mapping[str, float]:
    """Mean of the finite values and its 95 % interval from their standard error; nan without any.

    >>> spread([1.0, 1.0, float("nan")])
    {'value': 1.0, 'low': 1.0, 'high': 1.0}
    """
    finite = np.array([v for v in values if np.isfinite(v)])
    if not len(finite):
        return dict.fromkeys(("value", "low", "high"), float("nan"))
    half = 1.96 * float(finite.std(ddof=1)) / len(finite) ** 0.5 if len(finite) > 1 else 0.0
    mean = float(finite.mean())
    return {"value": mean, "low": mean - half, "high": mean + half}
