"""The turnover benchmark, short enough to look at: a few days of a few shops on whatever crops there are. See `turnover`."""

from dataclasses import asdict
from typing import Any

import numpy as np

from facings.benchmark.turnover import run_shop, summarise
from facings.benchmark.turnover_data import Embeddings
from facings.benchmark.turnover_days import Protocol
from facings.errors import DataError
from facings.runtime.standard import Rates

MOST_VIEWS = 4


def short_turnover(
    data: Embeddings, *, name: str, false_accept: float, days: int = 10, seeds: int = 3
) -> dict[str, Any] | None:
    """What `draw_turnover` draws: `seeds` shops of `days` days, each product enrolled from as many photos as all have (4 at most).

    None where there are too few products to divide into calibration, shelf and never seen.
    """
    photos = [len(data.rows(str(product), enrol=True)) for product in np.unique(data.product)]
    views = min([MOST_VIEWS, *(count for count in photos if count)])
    protocol, rates = Protocol(days=days, views=views), Rates(false_accept=false_accept)
    try:
        shops = [run_shop(data, protocol, rates, seed=seed, classifier=False) for seed in range(seeds)]
    except DataError:
        return None
    content = {"data": name, "protocol": asdict(protocol), "seeds": list(range(seeds)), **summarise(shops, rates)}
    return content | {"rates": asdict(rates)}
