"""Whitening within products, against the covariance that it should leave, and in a shop."""

from dataclasses import replace

import numpy as np
import pytest

from facings.benchmark.turnover import run_shop
from facings.benchmark.turnover_data import Embeddings, synthetic_families
from facings.benchmark.turnover_days import Protocol
from facings.benchmark.turnover_whitening import whitened
from facings.errors import ConfigError, DataError
from facings.metrics.whitening import RIDGE
from facings.runtime.standard import Rates

PROTOCOL = Protocol(days=2, views=3, queries=4)


@pytest.fixture(scope="module")
def lit() -> Embeddings:
    """Families of goods whose photos differ most in eight directions that tell nothing, as light would."""
    data = synthetic_families(families=15, products_per_family=3, photos=5, queries=6, dimension=32)
    light = np.zeros_like(data.vectors)
    light[:, :8] = np.random.default_rng(0).normal(0, 0.35, (len(light), 8))
    moved = data.vectors + light
    return replace(data, vectors=(moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32))


def test_scatter_within_products_becomes_what_the_ridge_leaves(lit: Embeddings) -> None:
    """Before the length is taken: W C W = C / (C + ridge), direction by direction."""
    names = list(lit.usable(3))[:20]
    found = whitened(lit, names)
    own = np.isin(lit.product, names)
    photos = lit.vectors[own].astype(np.float64)
    apart = np.concatenate([p - p.mean(axis=0) for p in (photos[lit.product[own] == name] for name in names)])
    covariance = apart.T @ apart / len(apart)
    ridged = covariance + RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    # A second way to the same likenesses: Mahalanobis by a solver instead of a root by eigenvectors.
    centred = lit.vectors - photos.mean(axis=0)
    products = centred[:40] @ np.linalg.solve(ridged, centred[:40].T)
    wanted = products / np.sqrt(np.outer(np.diag(products), np.diag(products)))
    np.testing.assert_allclose(found.vectors[:40] @ found.vectors[:40].T, wanted, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    assert (found.product == lit.product).all() and found.categories == lit.categories


def test_what_tells_nothing_counts_less(lit: Embeddings) -> None:
    plain, white = (run_shop(lit, replace(PROTOCOL, whiten=count), Rates(), classifier=False) for count in (0, 8))
    assert white.mean("accuracy") > plain.mean("accuracy") + 0.05


def test_too_few_products_are_refused(lit: Embeddings) -> None:
    with pytest.raises(ConfigError, match="whiten is -1"):
        Protocol(whiten=-1)
    with pytest.raises(DataError, match="leaves none of the 16 products to calibrate"):
        run_shop(lit, replace(PROTOCOL, whiten=99), Rates())
    with pytest.raises(DataError, match="no two photos that differ"):
        whitened(replace(lit, vectors=np.tile(lit.vectors[:1], (len(lit.vectors), 1))), list(lit.usable(3)))
