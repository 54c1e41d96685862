"""Who is on the shelf on which day, and who is asked. Knows products by name and photos by number; nothing of vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.turnover_data import Embeddings
from facings.errors import ConfigError, DataError

Order = Literal["random", "season", "recorded"]


@dataclass(frozen=True)
class Protocol:
    """`days`: after day 0, which opens the shop; `share`: of the gallery replaced each day; `views`: enrolment photos a product;
    `calibration_share`: of the products, those whose photos the exporter stored, which never come to the shelf;
    `never_share`: of the others, those that are never enrolled; `gallery_share`: of the rest, those on the shelf on the last
    day, `opening_share`: of these, those on day 0, from which the shelf grows evenly;
    `queries`: at most so many of a product a day; `remember`: the enrolment photos of all
    goods that ever came stay as calibration crops; `order`: "random", or "season": the goods come category after category, so
    that the shelf holds near relatives together, or "recorded": the days are those of `Embeddings.order`, at most `days` after
    the first, and shares of the gallery are not asked; `whiten`: so many of the calibration products fit a linear layer behind the
    embedder instead, see `whitened`; 0 for none."""

    days: int = 20
    share: float = 0.3
    views: int = 4
    calibration_share: float = 0.35
    never_share: float = 0.2
    gallery_share: float = 0.6
    opening_share: float = 1.0
    queries: int = 8
    remember: bool = True
    order: Order = "random"
    whiten: int = 0

    def __post_init__(self) -> None:
        if self.days < 1 or self.views < 1 or self.queries < 1:
            raise ConfigError(
                f"days {self.days}, views {self.views}, queries {self.queries}; expected 1 or more of each"
            )
        for name in ("share", "calibration_share", "never_share", "gallery_share"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a share between 0 and 1")
        if not 0 < self.opening_share <= 1:
            raise ConfigError(f"opening_share is {self.opening_share}; expected above 0 and at most 1")
        if self.whiten < 0:
            raise ConfigError(f"whiten is {self.whiten}; expected 0 or more products")
        if self.order not in get_args(Order):
            raise ConfigError(f"order is {self.order!r}; expected one of {', '.join(get_args(Order))}")


@dataclass(frozen=True)
class Day:
    """`enrolled`: product → the numbers of its enrolment photos; `new`: those that came today; `queries` (Q,) numbers of the
    photos asked, with `kind` (Q,): 0 known (on the shelf), 1 retired (was, is not), 2 never seen."""

    number: int
    enrolled: dict[str, NDArray[np.int64]]
    new: tuple[str, ...]
    queries: NDArray[np.int64]
    kind: NDArray[np.int64]


def split_products(data: Embeddings, protocol: Protocol, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Products for calibration, for the shelf, and never enrolled; drawn anew for each seed. Raises DataError when there are
    too few."""
    products = list(data.usable(protocol.views))
    order = np.random.default_rng(seed).permutation(len(products))
    shuffled = [products[index] for index in order]
    calibration = round(len(products) * protocol.calibration_share)
    never = round((len(products) - calibration) * protocol.never_share)
    shelf = len(products) - calibration - never
    if (
        min(calibration, never, shelf) < 1
        or shelf * protocol.gallery_share < 2
        or shelf * (1 - protocol.gallery_share) < 1
    ):
        raise DataError(
            f"turnover has {len(products)} products with {protocol.views} enrolment photos and a query; too few to divide into "
            f"calibration ({calibration}), shelf ({shelf}) and never seen ({never})"
        )
    return shuffled[:calibration], shuffled[calibration + never :], shuffled[calibration : calibration + never]


def days(data: Embeddings, protocol: Protocol, pool: list[str], never: list[str], seed: int) -> Iterator[Day]:
    """Day 0 to `days`. Each day those longest on the shelf go, and as many come that have been away longest; or as `recorded`.
    Raises DataError for recorded days without products."""
    if protocol.order == "recorded":
        yield from recorded(data, protocol, pool, never, seed)
        return
    rng = np.random.default_rng([seed, 1])
    waiting = list(pool)
    if protocol.order == "season":
        waiting.sort(key=lambda name: (data.categories.get(name, ()), name))
    opening, full = protocol.opening_share, round(len(pool) * protocol.gallery_share)
    sizes = [max(2, round(full * (opening + (1 - opening) * n / protocol.days))) for n in range(protocol.days + 1)]
    shelf: list[str] = []
    enrolled: dict[str, NDArray[np.int64]] = {}
    seen: set[str] = set()
    for number in range(protocol.days + 1):
        swapped = min(max(1, round(len(shelf) * protocol.share)), len(waiting)) if number else 0
        leaving = shelf[:swapped]
        new = waiting[: sizes[number] - len(shelf) + swapped]
        waiting = waiting[len(new) :] + (leaving if protocol.order == "season" else rng.permutation(leaving).tolist())
        shelf = shelf[len(leaving) :] + new
        for name in leaving:
            del enrolled[name]
        for name in new:
            enrolled[name] = _photos(data, name, protocol.views, rng)
        seen.update(new)
        kinds = [*((n, 0) for n in shelf), *((n, 1) for n in sorted(seen - set(shelf))), *((n, 2) for n in never)]
        asked = [(_draw(data.rows(name, enrol=False), protocol.queries, rng), kind) for name, kind in kinds]
        yield _day(number, enrolled, new, asked)


def recorded(data: Embeddings, protocol: Protocol, pool: list[str], never: list[str], seed: int) -> Iterator[Day]:
    """The days on which the queries were seen. A product of the pool is on the shelf from the first day on which it is seen to the
    last, and enrolled in the morning. Asked is what was seen that day, and of goods that are gone what was seen before.

    Raises DataError where nobody noted the day, and for a day on which fewer than two products are on the shelf.
    """
    if data.order is None or (data.order[~data.enrol] < 0).all():
        raise DataError("turnover.order=recorded: nobody noted on which day a query was seen; give turnover.events")
    rng = np.random.default_rng([seed, 1])
    seen = {name: data.order[data.rows(name, enrol=False)] for name in (*pool, *never)}
    noted = {name: days_of[days_of >= 0] for name, days_of in seen.items()}
    last = min(int(data.order[~data.enrol].max()), protocol.days)
    enrolled: dict[str, NDArray[np.int64]] = {}
    came: set[str] = set()
    for number in range(last + 1):
        shelf = [name for name in pool if len(noted[name]) and noted[name].min() <= number <= noted[name].max()]
        if len(shelf) < 2:
            raise DataError(
                f"day {number} has {len(shelf)} products on the shelf that are neither stored nor kept out; expected 2 or more"
            )
        new = [name for name in shelf if name not in enrolled]
        photos = {name: _photos(data, name, protocol.views, rng) for name in new}
        enrolled = {name: photos[name] if name in photos else enrolled[name] for name in shelf}
        came.update(shelf)
        retired = [name for name in pool if name in came and name not in enrolled]
        kinds = [*((n, 0) for n in shelf), *((n, 1) for n in retired), *((n, 2) for n in never)]
        asked = [
            (_draw(_seen(data, name, number, before=kind == 1), protocol.queries, rng), kind) for name, kind in kinds
        ]
        yield _day(number, enrolled, new, asked)


def _photos(data: Embeddings, product: str, views: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of the photos that a product is enrolled from, drawn, in their order."""
    return np.sort(rng.choice(data.rows(product, enrol=True), views, replace=False))


def _day(
    number: int,
    enrolled: dict[str, NDArray[np.int64]],
    new: Sequence[str],
    asked: Sequence[tuple[NDArray[np.int64], int]],
) -> Day:
    """`asked`: rows of queries and their kind."""
    return Day(
        number,
        dict(enrolled),
        tuple(new),
        np.concatenate([rows for rows, _ in asked]),
        np.concatenate([np.full(len(rows), kind) for rows, kind in asked]),
    )


def _seen(data: Embeddings, product: str, number: int, *, before: bool) -> NDArray[np.int64]:
    """Queries of a product on that day, or on all days before it."""
    assert data.order is not None
    rows = data.rows(product, enrol=False)
    days_of = data.order[rows]
    return rows[(days_of >= 0) & (days_of < number) if before else days_of == number]


def _draw(rows: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
