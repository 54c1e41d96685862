"""A linear layer behind an embedder, fitted without training: what photos of one product differ in counts less.

Knows nothing of days. It is fitted on goods that are neither on the shelf nor among those that calibrate, so that the standard's
statements hold as before.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facings.benchmark.turnover_data import Embeddings
from facings.errors import DataError
from facings.runtime.gallery import unit

# Weight of the mean variance beside the estimate: fewer photos than dimensions leave directions without any.
RIDGE = 1.0


def whitened(data: Embeddings, products: Sequence[str]) -> Embeddings:
    """All vectors (N, D), centred by the photos of `products` and multiplied by the inverse root of the covariance within these
    products, ridged; unit length again.

    Within-class covariance normalisation (Hatch, Kajarekar, Stolcke: "Within-class covariance normalization for SVM-based speaker
    recognition", Interspeech 2006).

    Raises DataError where no product has two photos that differ.
    """
    own = np.isin(data.product, list(products))
    photos, names = data.vectors[own].astype(np.float64), data.product[own]
    apart = photos.copy()
    for name in np.unique(names):
        apart[names == name] -= photos[names == name].mean(axis=0)
    scatter = apart.T @ apart / max(len(apart), 1)
    if not scatter.any():
        raise DataError(f"turnover.whiten: {len(products)} products have no two photos that differ; take more products")
    values, axes = np.linalg.eigh(scatter)
    scale = (np.maximum(values, 0) + RIDGE * values.mean()) ** -0.5
    moved = (data.vectors - photos.mean(axis=0)) @ (axes * scale)
    return replace(data, vectors=unit(moved.astype(np.float32)))
