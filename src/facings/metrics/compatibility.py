"""Whether queries of a new embedder find their products among views of an old one. Knows nothing of models."""

import numpy as np
from numpy.typing import NDArray

from facings.metrics.nearest import own_pairs, top_k

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]
Values = NDArray[np.float64]


def cross_hits(
    queries: tuple[Vectors, Vectors],
    labels: Labels,
    gallery: tuple[Vectors, Vectors],
    gallery_labels: Labels,
    *,
    own: Labels | None = None,
) -> dict[str, Values]:
    """R@1 of each query (Q,), 1.0 or 0.0, by which embedder made queries and gallery: `old`, old against old; `cross`, new
    against old; `new`, new against new.

    `queries`, `gallery`: old and new unit vectors (Q, D), (G, D) of the same crops. The new embedder is compatible where `cross`
    is right more often than `old`: then it betters a gallery that nobody has embedded again (Shen, Xiong, Xia, Soatto: "Towards
    Backward-Compatible Representation Learning", CVPR 2020, eq. 2).

    By hand: the old embedder takes the query of b for a. The new one exchanges both directions: right by itself, and always
    wrong against the old views.

    >>> a, b = np.eye(2, dtype=np.float32)
    >>> queries, views = (np.stack([a, a]), np.stack([b, a])), (np.stack([a, b]), np.stack([b, a]))
    >>> {name: hits.tolist() for name, hits in cross_hits(queries, np.array([0, 1]), views, np.array([0, 1])).items()}
    {'old': [1.0, 0.0], 'cross': [0.0, 0.0], 'new': [1.0, 1.0]}

    `own`: (Q,) the view that is the query itself and is not found, -1 for none. Where no other view is, nothing is right.

    Raises ValueError for numbers that do not fit, and for embedders whose vectors have different lengths.
    """
    (old_queries, new_queries), (old_views, new_views) = queries, gallery
    shapes = [vectors.shape for vectors in (old_queries, new_queries, old_views, new_views)]
    wanted = [len(labels)] * 2 + [len(gallery_labels)] * 2
    if [shape[0] for shape in shapes] != wanted or len({shape[1] for shape in shapes}) != 1 or 0 in wanted:
        raise ValueError(
            f"queries {shapes[0]} and {shapes[1]}, views {shapes[2]} and {shapes[3]} with {len(labels)} and "
            f"{len(gallery_labels)} labels: expected (Q, D) twice, (G, D) twice, Q and G labels, and none of them empty"
        )
    pairs = {"old": (old_queries, old_views), "cross": (new_queries, old_views), "new": (new_queries, new_views)}
    left_out = own_pairs(own)
    nearest = {name: top_k(asked, views, 1, left_out=left_out).indices[:, 0] for name, (asked, views) in pairs.items()}
    return {
        name: ((first >= 0) & (gallery_labels[first] == labels)).astype(np.float64) for name, first in nearest.items()
    }
