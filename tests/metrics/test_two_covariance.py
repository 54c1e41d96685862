"""Goods enrolled from one photo beside goods enrolled from many."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from facings.metrics.nearest import top_k
from facings.metrics.two_covariance import TwoCovariance, fit_two_covariance, likeliest_predictions

DIMENSION = 12


def photos(products: int, each: int, seed: int, scatter: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Made by the model itself: means of variance 1, photos around them, the more the further an axis is."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(products, 1, DIMENSION))
    axes = np.linspace(0.2, 2.0, DIMENSION) * scatter
    return (means + rng.normal(size=(products, each, DIMENSION)) * axes).astype(np.float32), np.arange(products)


def test_scores_are_densities_of_the_predictive_normal() -> None:
    rng = np.random.default_rng(0)
    model = TwoCovariance(np.zeros(3), np.eye(3), np.array([2.0, 1.0, 0.5]))
    views, queries = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    labels = np.array([7, 3, 7, 7, 3])
    found, products = model.scores(queries, views, labels)
    assert products.tolist() == [3, 7]
    for place, product in enumerate(products):
        own = views[labels == product].astype(np.float64)
        left = 1 / (1 / model.between + len(own))
        expected = multivariate_normal(own.sum(axis=0) * left, np.diag(1 + left)).logpdf(queries)
        np.testing.assert_allclose(found[:, place], expected, rtol=1e-6)


def test_one_photo_stands_its_ground_beside_eight() -> None:
    known, names = photos(60, 20, seed=1)
    model = fit_two_covariance(known.reshape(-1, DIMENSION), np.repeat(names, 20))
    shop, _ = photos(40, 28, seed=2)
    many, one, asked = shop[:20, :8].reshape(-1, DIMENSION), shop[20:, 0], shop[20:, 8:].reshape(-1, DIMENSION)
    gallery = np.concatenate([many, one])
    labels = np.concatenate([np.repeat(np.arange(20), 8), np.arange(20, 40)])
    truth = np.repeat(np.arange(20, 40), 20)
    nearest = labels[top_k(asked, gallery, 1).indices[:, 0]]
    assert (model.predictions(asked, gallery, labels) == truth).mean() > (nearest == truth).mean() + 0.1


def test_the_fit_finds_what_the_photos_were_made_by() -> None:
    known, names = photos(400, 30, seed=3)
    model = fit_two_covariance(known.reshape(-1, DIMENSION), np.repeat(names, 30), ridge=0.0)
    within = (np.linspace(0.2, 2.0, DIMENSION) * 0.6) ** 2
    np.testing.assert_allclose(np.sort(model.between), np.sort(1 / within), rtol=0.25)


@pytest.mark.parametrize(
    ("views", "labels", "reason"),
    [
        ([[0.0], [1.0], [2.0]], [0, 0, 1], "with two photos"),
        ([[0.0], [0.0], [2.0], [2.0]], [0, 0, 1, 1], "differ"),
        ([[0.0], [2.0], [0.0], [2.0]], [0, 0, 1, 1], "no more than their photos"),
    ],
)
def test_what_tells_no_covariance_is_refused(views: list[list[float]], labels: list[int], reason: str) -> None:
    gallery, names = np.array(views, np.float32), np.array(labels)
    with pytest.raises(ValueError, match=reason):
        fit_two_covariance(gallery, names)
    assert likeliest_predictions(gallery, gallery, names) is None
