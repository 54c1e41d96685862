"""Vectors of the turnover benchmark through a linear layer. Knows nothing of days.

It is fitted on goods that are neither on the shelf nor among those that calibrate, so that the standard holds as before.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facings.benchmark.turnover_data import Embeddings
from facings.errors import DataError
from facings.metrics.whitening import fit_whitening


def whitened(data: Embeddings, products: Sequence[str]) -> Embeddings:
    """All vectors (N, D) through `fit_whitening` of the photos of `products`; unit length again.

    Raises DataError where no product has two photos that differ.
    """
    own = np.isin(data.product, list(products))
    try:
        layer = fit_whitening(data.vectors[own], data.product[own].tolist())
    except ValueError as fault:
        raise DataError(f"turnover.whiten: {fault}") from fault
    return replace(data, vectors=layer(data.vectors))
