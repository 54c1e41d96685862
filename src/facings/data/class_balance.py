"""How much an object of each class counts in training. Knows nothing of losses."""

from collections.abc import Sequence

import numpy as np


def balanced_weights(counts: Sequence[int]) -> list[float]:
    """A weight for each class: one over the root of its objects, 1 on the mean over all objects.

    The root, because the plain inverse lets a class of three objects outshout the rest (Mahajan et al.: "Exploring the
    Limits of Weakly Supervised Pretraining", ECCV 2018, sec. 2.2, sample in the same proportion). A class without an object
    counts like one with a single object.

    By hand: 1 and 4 objects: 1 and 1/2, on the mean over the five objects 3/5; divided by it 5/3 and 5/6.

    >>> [round(weight, 4) for weight in balanced_weights([1, 4])]
    [1.6667, 0.8333]
    """
    present = np.maximum(np.asarray(counts, np.float64), 1)
    raw = present**-0.5
    mean = float((raw * present).sum() / present.sum())
    return [float(weight) for weight in raw / mean]
