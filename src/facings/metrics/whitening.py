"""A linear layer behind an embedder, fitted without training: what photos of one product differ in counts less.

Knows nothing of where the vectors come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Weight of the mean variance beside the estimate: fewer photos than dimensions leave directions without any.
RIDGE = 1.0
# The trained vectors' part of the cosine, where frozen ones stand behind them.
SHARE = 0.5


@dataclass(frozen=True)
class Whitening:
    """`centre` (D,) is taken away, then `matrix` (D, D) multiplies from the right, both float64."""

    centre: NDArray[np.float64]
    matrix: NDArray[np.float64]

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) → (N, D) of unit length."""
        moved = (vectors - self.centre) @ self.matrix
        return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


def fit_whitening(vectors: NDArray[np.float32], products: Sequence[str]) -> Whitening:
    """Centred by the photos `vectors` (N, D), and multiplied by the inverse root of the covariance within `products` (N), ridged.

    Within-class covariance normalisation (Hatch, Kajarekar, Stolcke: "Within-class covariance normalization for SVM-based speaker
    recognition", Interspeech 2006).

    Raises ValueError where no product has two photos that differ.

    By hand: what photos of one product differ in is the second axis alone, whose variance is 1, so the ridge is a half of it: the
    axes are multiplied by 0.5 ** -0.5 and 1.5 ** -0.5; the cosine of two photos of a product goes from 0 to (2 - 2/3) / (2 + 2/3).

    >>> photos = np.float32([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    >>> found = fit_whitening(photos, ["a", "a", "b", "b"])(photos)
    >>> round(float(found[0] @ found[1]), 6), round(float(found[0] @ found[3]), 6)
    (0.5, -1.0)
    """
    photos, names = vectors.astype(np.float64), np.asarray(products)
    apart = photos.copy()
    for name in np.unique(names):
        apart[names == name] -= photos[names == name].mean(axis=0)
    scatter = apart.T @ apart / max(len(apart), 1)
    if not scatter.any():
        raise ValueError(f"{len(np.unique(names))} products have no two photos that differ; take more products")
    values, axes = np.linalg.eigh(scatter)
    scale = (np.maximum(values, 0) + RIDGE * values.mean()) ** -0.5
    return Whitening(photos.mean(axis=0), axes * scale)


def side_by_side(
    trained: NDArray[np.float32], whitened: NDArray[np.float32], share: float = SHARE
) -> NDArray[np.float32]:
    """Unit vectors (N, D) and (N, C) of the same photos → (N, D + C) of unit length, whose cosine is `share` (0–1) of the first's
    and the rest of the second's: `facings.models.joined`.

    >>> [round(value, 6) for value in side_by_side(np.float32([[1, 0]]), np.float32([[0, 1]]), share=0.36)[0].tolist()]
    [0.6, 0.0, 0.0, 0.8]
    """
    return np.concatenate([share**0.5 * trained, (1 - share) ** 0.5 * whitened], axis=1)
