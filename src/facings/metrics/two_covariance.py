"""Which product a photo shows when some products are enrolled from one photo and others from many.

The nearest view favours products with many views: the best of eight chances beats the best of one. Here a product is not its
views but what they tell of its mean, less surely the fewer there are. Knows nothing of where the vectors come from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]

# Principal directions that are kept; what lies in the others is mostly noise that few products cannot tell from signal.
DIRECTIONS = 256
# Weight of the mean variance beside the estimate of the covariance within products, as in `facings.metrics.whitening`.
RIDGE = 1.0


@dataclass(frozen=True)
class TwoCovariance:
    """Photos of a product scatter around its mean, and means around `centre` (D,), both normally.

    `projection` (D, K) makes the covariance within products the identity and that of the means diagonal, `between` (K,). The
    two-covariance model (Brümmer, de Villiers: "The speaker partitioning problem", Odyssey 2010), a form of probabilistic linear
    discriminant analysis (Prince, Elder: "Probabilistic linear discriminant analysis for inferences about identity", ICCV 2007).
    """

    centre: NDArray[np.float64]
    projection: NDArray[np.float64]
    between: NDArray[np.float64]

    def scores(self, queries: Vectors, gallery: Vectors, labels: Labels) -> tuple[NDArray[np.float64], Labels]:
        """(Q, P) logarithm of the density of each query (Q, D) under each product, and the products' labels (P,), ascending.

        Of a product with n photos of mean m, the mean lies around s m, s = between / (between + 1 / n), with the variance
        between (1 - s); a further photo 1 beside that. `gallery` (G, D) are views, `labels` (G,) their products. Raises
        ValueError where there are none, or their lengths differ.

        By hand, one direction, centre 0, between 1: one photo at 2 leaves s = 1/2, so mean 1 and variance 3/2; two photos of mean
        0.5 leave s = 2/3, mean 1/3, variance 4/3. At 1 the densities' logarithms, less what both share, are -ln(3/2) / 2 = -0.2027
        and -(2/3)² / (8/3) - ln(4/3) / 2 = -0.3105.

        >>> model = TwoCovariance(np.zeros(1), np.eye(1), np.ones(1))
        >>> found, _ = model.scores(np.float32([[1]]), np.float32([[2], [0], [1]]), np.array([0, 1, 1]))
        >>> (found + np.log(2 * np.pi) / 2).round(4).tolist()
        [[-0.2027, -0.3105]]
        """
        if not len(gallery) or len(gallery) != len(labels):
            raise ValueError(f"expected views with a label each; got {len(gallery)} views, {len(labels)} labels")
        products, place, views = np.unique(labels, return_inverse=True, return_counts=True)
        sums = np.zeros((len(products), len(self.between)))
        np.add.at(sums, place, (gallery - self.centre) @ self.projection)
        shrunk = self.between / (self.between + 1 / views[:, None])
        means = shrunk * sums / views[:, None]
        precision = 1 / (1 + self.between * (1 - shrunk))
        moved = (queries - self.centre) @ self.projection
        squares = moved**2 @ precision.T - 2 * moved @ (precision * means).T + (precision * means**2).sum(axis=1)
        return -(squares - np.log(precision / (2 * np.pi)).sum(axis=1)) / 2, products

    def predictions(self, queries: Vectors, gallery: Vectors, labels: Labels) -> Labels:
        """(Q,) the label of the likeliest product of each query."""
        scores, products = self.scores(queries, gallery, labels)
        likeliest: Labels = products[scores.argmax(axis=1)]
        return likeliest


def fit_two_covariance(
    vectors: Vectors, labels: Labels, *, directions: int = DIRECTIONS, ridge: float = RIDGE
) -> TwoCovariance:
    """Both covariances from photos (N, D) of products that are known (N,).

    In the `directions` of most variance, the covariance within products, with `ridge` times its mean variance beside it, becomes
    the identity; of the covariance of the products' means, what photos scattered like that leave in means of so few is taken
    away, and the directions where anything is left are kept.

    Raises ValueError where fewer than two products have two photos, photos of a product do not differ, or products do not.

    By hand, without ridge: photos at -2, 0 and 2, 4 scatter by 1 around means at -1 and 3, whose variance 4, less 1/2, is 3.5.

    >>> found = fit_two_covariance(np.float32([[-2], [0], [2], [4]]), np.array([0, 0, 1, 1]), ridge=0.0)
    >>> found.centre.tolist(), abs(found.projection).tolist(), found.between.round(6).tolist()
    ([1.0], [[1.0]], [3.5])
    """
    photos = vectors.astype(np.float64)
    products, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    pairs = int((counts > 1).sum())
    if pairs < 2:
        raise ValueError(f"{len(products)} products, {pairs} of them with two photos; expected two or more of these")
    centre = photos.mean(axis=0)
    _, _, axes = np.linalg.svd(photos - centre, full_matrices=False)
    main = axes[:directions].T
    moved = (photos - centre) @ main
    means = np.zeros((len(products), main.shape[1]))
    np.add.at(means, place, moved)
    means /= counts[:, None]
    apart = moved - means[place]
    if not apart.any():
        raise ValueError(f"no two photos of one of {len(products)} products differ; expected some that do")
    within, turn = np.linalg.eigh(apart.T @ apart / len(apart))
    whiten = turn * (np.maximum(within, 0) + ridge * within.mean()) ** -0.5
    _, spread, ways = np.linalg.svd((means - means.mean(axis=0)) @ whiten, full_matrices=False)
    between = spread**2 / len(products) - (1 / counts).mean()
    kept = between > 0
    if not kept.any():
        raise ValueError(f"{len(products)} products differ no more than their photos do; expected some that do")
    return TwoCovariance(centre, main @ whiten @ ways[kept].T, between[kept])


def likeliest_predictions(queries: Vectors, gallery: Vectors, labels: Labels) -> Labels | None:
    """(Q,) the label of the likeliest product of each query (Q, D), by both covariances of the gallery (G, D) itself.

    None where its views do not tell them: too few products with two, or no difference within products or between them.
    """
    try:
        model = fit_two_covariance(gallery, labels)
    except ValueError:
        return None
    return model.predictions(queries, gallery, labels)
