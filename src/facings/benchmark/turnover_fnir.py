"""How many enrolled goods are missed at a chosen false-positive rate, as the gallery grows. Knows nothing of pictures.

Embeddings come in, figures with the spread over random assortments go out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from facings.analysis.open_set_scores import doubling_sizes
from facings.benchmark.turnover_data import Embeddings
from facings.errors import ConfigError
from facings.metrics.bootstrap import percentile_interval
from facings.metrics.open_set import fnir_draws

# Identification alone: at FPIR 1 only those are missed whose nearest product is another.
UNASKED = 1.0


def fnir_report(
    data: Embeddings, *, views: int, sizes: Sequence[int] | None, fpirs: Sequence[float], draws: int, seed: int
) -> dict[str, Any]:
    """FNIR at each of `fpirs` against galleries of `sizes` products (None: 4, 8, 16, … below all that there are) of `views`
    photos each; products and photos are drawn `draws` times, queries of all other products are the non-mated.

    An entry of `sizes`: `products`; `non_mated`, searches, in the mean; `figures`, name → `value`, and `low` and `high`, between
    which 95 % of the draws lie: `fnir_…`, `rank1_miss` (without threshold) and `fpir_fixed`, see `fnir_draws`; `resolved`, FPIR →
    whether one or more of so many searches may pass at it. Where none may, the threshold lies above all of them, and the FNIR is
    an upper bound.

    Raises ConfigError for rates outside 0–1, fewer than one draw, and sizes that the data cannot give.
    """
    if draws < 1 or not fpirs or not all(0 < share < 1 for share in fpirs):
        raise ConfigError(
            f"turnover.fnir: draws {draws}, fpirs {list(fpirs)}; expected 1 or more draws and rates between 0 and 1"
        )
    usable = data.usable(views)
    asked = tuple(sizes) if sizes is not None else tuple(doubling_sizes(len(usable)))
    names, label = np.unique(data.product, return_inverse=True)
    known = data.enrol & np.isin(data.product, usable)
    try:
        found = fnir_draws(
            data.vectors[~data.enrol], label[~data.enrol], data.vectors[known], label[known],
            sizes=asked, fpirs=(*fpirs, UNASKED), views=views, draws=draws, seed=seed,
        )  # fmt: skip
    except ValueError as fault:
        raise ConfigError(
            f"turnover.fnir.sizes: {fault}; {len(usable)} of {len(names)} products have {views} photos and a query. "
            "turnover.fnir=null leaves it out"
        ) from fault
    entries = []
    for size, rows in found.items():
        figures = {f"fnir_{share:g}": _spread(rows[f"fnir_{share:g}"]) for share in fpirs}
        figures |= {"rank1_miss": _spread(rows[f"fnir_{UNASKED:g}"]), "fpir_fixed": _spread(rows["fpir_fixed"])}
        fewest = float(rows["non_mated"].min())
        entries.append(
            {
                "products": size,
                "non_mated": float(rows["non_mated"].mean()),
                "figures": figures,
                "resolved": {f"{share:g}": fewest * share >= 1 for share in fpirs},
            }
        )
    return {
        "schema": "facings.fnir/1", "views": views, "draws": draws, "seed": seed, "fpirs": list(fpirs), "sizes": entries,
    }  # fmt: skip


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    low, high = percentile_interval(values)
    return {"value": float(values.mean()), "low": low, "high": high}
