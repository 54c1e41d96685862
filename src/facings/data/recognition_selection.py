"""Which rows of a recognition table serve as what, and which products are kept from training.

Knows nothing of pictures.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from facings.data.tables import RecognitionRow, RecognitionTable
from facings.errors import ConfigError
from facings.suggestions import nearest

Selection = Mapping[str, str]
Rows = tuple[RecognitionRow, ...]


def select_rows(table: RecognitionTable, selection: Selection | Sequence[Selection]) -> Rows:
    """Rows of one `{split, role}`, or of several put together, each row once. Raises DataError where one has none."""
    several = [selection] if isinstance(selection, Mapping) else list(selection)
    if not several:
        raise ConfigError("a selection of rows is empty: expected {split: …, role: …} or a list of them")
    found: dict[int, RecognitionRow] = {}
    for part in several:
        found |= {id(row): row for row in table.select(**{str(key): value for key, value in part.items()})}
    return tuple(found.values())


def trained_products(
    products: Sequence[str], *, train_products: Sequence[str] | None, holdout: Mapping[str, int] | None
) -> list[str]:
    """The products of `products` (sorted ids) that training sees.

    `train_products`: these alone. `holdout`: `{count, draw}`: `count` products drawn by the seed `draw` are kept away; of one
    draw, a smaller count is part of a larger.

    Raises ConfigError where both are given, a product is not there, or fewer than two are left.
    """
    if train_products is not None and holdout is not None:
        raise ConfigError("data.train_products and data.holdout both say what is trained: give one of them")
    if train_products is not None:
        for product in train_products:
            if product not in products:
                raise ConfigError(
                    f"data.train_products: {product!r} is not among the {len(products)} products of the training rows"
                    + nearest(product, products)
                )
        return sorted(set(train_products))
    if holdout is None:
        return list(products)
    unknown = sorted(set(holdout) - {"count", "draw"})
    if unknown or "count" not in holdout:
        raise ConfigError(f"data.holdout={dict(holdout)}: expected {{count: …, draw: …}}")
    count, draw = int(holdout["count"]), int(holdout.get("draw", 0))
    if not 0 <= count <= len(products) - 2 or draw < 0:
        raise ConfigError(
            f"data.holdout={dict(holdout)}: expected a count of 0 to {len(products) - 2} (training needs 2 of the "
            f"{len(products)} products) and a draw of 0 or more"
        )
    order = np.random.default_rng([draw, len(products)]).permutation(len(products))
    return sorted(products[place] for place in order[count:])


def limit_views(rows: Sequence[RecognitionRow], limit: int, draw: int | None = None) -> list[RecognitionRow]:
    """At most `limit` rows of each product (0 or less: all), evenly spread over its rows, or drawn by the seed `draw`.

    Of one draw, fewer views are part of more, whatever other products there are.
    """
    if limit <= 0:
        return list(rows)
    views: dict[str, list[RecognitionRow]] = {}
    for row in rows:
        views.setdefault(row.product_id, []).append(row)
    kept: list[RecognitionRow] = []
    for product, of_product in views.items():
        count = min(limit, len(of_product))
        if draw is None:
            picked = np.linspace(0, len(of_product) - 1, count).round().astype(int)
        else:
            rng = np.random.default_rng([draw, *product.encode()])
            picked = np.sort(rng.permutation(len(of_product))[:count])
        kept += [of_product[i] for i in picked]
    return kept
