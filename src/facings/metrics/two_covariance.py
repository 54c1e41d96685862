"""Which product a photo shows when some products are enrolled from one photo and others from many.

The nearest view favours products with many views: the best of eight chances beats the best of one. Here a product is not its
views but what they tell of its mean, less surely the fewer there are. Knows nothing of where the vectors come from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class TwoCovariance:
    """A product's mean is drawn around `centre` (D,) with the variance `between` in every direction, its photos around the mean
    with the variance `within`.

    The two-covariance model (Brümmer, de Villiers: "The speaker partitioning problem", Odyssey 2010), a kind of probabilistic
    linear discriminant analysis (Prince, Elder, ICCV 2007), with both covariances multiples of the identity.
    """

    centre: NDArray[np.float64]
    between: float
    within: float

    def scores(self, queries: Vectors, gallery: Vectors, labels: Labels) -> tuple[NDArray[np.float64], Labels]:
        """(Q, P) logarithm of the density of each query (Q, D) under each product, and the products' labels (P,), ascending.

        Of a product with n photos of mean m, the mean lies around centre + s (m - centre), s = between / (between + within / n),
        with the variance between (1 - s); a further photo of it `within` beside that. `gallery` (G, D) are views, `labels` (G,)
        their products. Raises ValueError where there are none, or their lengths differ.

        By hand, centre 0, both variances 1: one photo at 2 leaves s = 1/2, so mean 1 and variance 3/2; two photos of mean 0.5
        leave s = 2/3, mean 1/3, variance 4/3. At 1 the densities' logarithms, less what both share, are -ln(3/2) / 2 = -0.2027
        and -(2/3)² / (8/3) - ln(4/3) / 2 = -0.3105.

        >>> model = TwoCovariance(np.zeros(1), 1.0, 1.0)
        >>> found, _ = model.scores(np.float32([[1]]), np.float32([[2], [0], [1]]), np.array([0, 1, 1]))
        >>> (found + np.log(2 * np.pi) / 2).round(4).tolist()
        [[-0.2027, -0.3105]]
        """
        if not len(gallery) or len(gallery) != len(labels):
            raise ValueError(f"expected views with a label each; got {len(gallery)} views, {len(labels)} labels")
        products, place, views = np.unique(labels, return_inverse=True, return_counts=True)
        sums = np.zeros((len(products), gallery.shape[1]))
        np.add.at(sums, place, gallery.astype(np.float64) - self.centre)
        shrunk = self.between / (self.between + self.within / views)
        means = sums / views[:, None] * shrunk[:, None]
        variance = self.within + self.between * (1 - shrunk)
        moved = queries.astype(np.float64) - self.centre
        squares = (moved**2).sum(axis=1)[:, None] + (means**2).sum(axis=1) - 2 * moved @ means.T
        return -squares / (2 * variance) - queries.shape[1] / 2 * np.log(2 * np.pi * variance), products

    def predictions(self, queries: Vectors, gallery: Vectors, labels: Labels) -> Labels:
        """(Q,) the label of the likeliest product of each query."""
        scores, products = self.scores(queries, gallery, labels)
        likeliest: Labels = products[scores.argmax(axis=1)]
        return likeliest


def fit_two_covariance(vectors: Vectors, labels: Labels) -> TwoCovariance:
    """Both variances from photos (N, D) of products that are known (N,), by the analysis of variance.

    The mean square within products is the one; that between their means, less the share of the first that is in means of few
    photos, the other. Both are means over the directions.

    Raises ValueError where fewer than two products have two photos, photos of a product do not differ, or products do not.

    By hand: photos at -2, 0 and 0, 2: means -1 and 1, within ((1 + 1) + (1 + 1)) / 2 = 2; the means' variance 2, less 2/2, is 1.

    >>> found = fit_two_covariance(np.float32([[-2], [0], [0], [2]]), np.array([0, 0, 1, 1]))
    >>> found.centre.tolist(), found.between, found.within
    ([0.0], 1.0, 2.0)
    """
    photos = vectors.astype(np.float64)
    products, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if (counts > 1).sum() < 2:
        raise ValueError(
            f"{len(products)} products, {(counts > 1).sum()} of them with two photos; expected two or more of these"
        )
    means = np.zeros((len(products), photos.shape[1]))
    np.add.at(means, place, photos)
    means /= counts[:, None]
    within = float(((photos - means[place]) ** 2).sum(axis=0).mean() / (len(photos) - len(products)))
    between = float(means.var(axis=0, ddof=1).mean() - within * (1 / counts).mean())
    if within <= 0 or between <= 0:
        raise ValueError(f"variance {within:.3g} within products and {between:.3g} between them; expected both above 0")
    return TwoCovariance(means.mean(axis=0), between, within)
