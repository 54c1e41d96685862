"""How others know the unknown, on the same days: a fixed cosine threshold, one for each product, and a retrained classifier.

Knows nothing of p-values. All thresholds are tuned on day 0 to the same rate, from the same stored crops.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facings.runtime.conformal import Reference
from facings.runtime.similarity_tops import item_similarities
from facings.structures import Matches

Vectors = NDArray[np.float32]
STEPS, RATE, TEMPERATURE = 150, 0.05, 0.07


@dataclass(frozen=True)
class Baselines:
    """`fixed`: cosine that day 0 asks for the chosen rate; `per_item`: product → its own; `confidence`: of the classifier, tuned
    on its own day 0; `crops` and the rate for what is trained anew."""

    fixed: float
    per_item: dict[str, float]
    confidence: float

    @classmethod
    def tuned(
        cls,
        crops: Vectors,
        owners: Sequence[str],
        views: Vectors,
        item: NDArray[np.int64],
        items: Sequence[str],
        rate: float,
    ) -> "Baselines":
        """On day 0. `crops` (C, D) are not of the gallery's products (`owners` that are, are left out)."""
        apart = [owner not in set(items) for owner in owners]
        others, groups = crops[apart], [owner for owner, kept in zip(owners, apart, strict=True) if kept]
        similar = np.concatenate([part for _, part in item_similarities(others, views, item, len(items))])

        def cut(scores: Vectors, share: float) -> float:
            # Each product weighs the same, as it does for the standard.
            return Reference.of(scores, groups, unit="views").threshold(share)

        fixed, nearest, highest = cut(similar.max(axis=1), rate), similar.argmax(axis=1), similar.max(axis=1)
        own = {}
        for number, name in enumerate(items):
            drawn = highest[nearest == number]
            # Of fewer crops than this nobody can read the quantile: such a product takes the common threshold.
            own[name] = float(np.quantile(drawn, 1 - rate)) if len(drawn) >= 1 / rate else fixed
        weights = train(views, item, len(items))
        return cls(fixed, own, cut(confidences(weights, others)[1], rate))

    def day(
        self,
        queries: Vectors,
        matches: Matches,
        truth: NDArray[np.int64],
        views: Vectors,
        item: NDArray[np.int64],
        items: Sequence[str],
        *,
        classifier: bool = True,
    ) -> dict[str, float]:
        """Figures of one day; products that came later have the common threshold of day 0."""
        known, best, first = truth >= 0, matches.items[:, 0], matches.similarities[:, 0]
        own = np.array([self.per_item.get(name, self.fixed) for name in items])
        figures: dict[str, float] = {}
        for name, accepted in (("fixed", first > self.fixed), ("per_class", first > own[best])):
            figures |= _counted(name, accepted, best, truth, known)
        if classifier:
            start = time.perf_counter()
            weights = train(views, item, len(items))
            seconds = time.perf_counter() - start
            guess, sure = confidences(weights, queries)
            figures |= _counted("softmax", sure > self.confidence, guess, truth, known)
            figures |= {"softmax_accuracy": float((guess == truth)[known].mean()), "softmax_seconds": seconds}
        return figures


def train(views: Vectors, item: NDArray[np.int64], classes: int) -> Vectors:
    """(classes, D) unit weights of a cosine softmax, by full-batch gradient descent with momentum from the classes' means."""
    means = np.stack([views[item == number].mean(axis=0) for number in range(classes)])
    weights = means / np.linalg.norm(means, axis=1, keepdims=True)
    target = np.eye(classes, dtype=np.float32)[item]
    speed = np.zeros_like(weights)
    for _ in range(STEPS):
        share = softmax(views @ weights.T / TEMPERATURE)
        speed = 0.9 * speed - RATE * (share - target).T @ views / len(views)
        weights = weights + speed
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return weights.astype(np.float32)


def confidences(weights: Vectors, crops: Vectors) -> tuple[NDArray[np.int64], Vectors]:
    """The most probable class of each crop, and its probability."""
    share = softmax(crops @ weights.T / TEMPERATURE)
    return share.argmax(axis=1).astype(np.int64), share.max(axis=1)


def softmax(logits: Vectors) -> Vectors:
    """Rows that sum to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Vectors = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _counted(
    name: str, accepted: NDArray[np.bool_], guess: NDArray[np.int64], truth: NDArray[np.int64], known: NDArray[np.bool_]
) -> dict[str, float]:
    return {
        f"{name}_false_accept": float(accepted[~known].mean()) if (~known).any() else float("nan"),
        f"{name}_known_right": float((accepted & (guess == truth))[known].mean()) if known.any() else float("nan"),
    }
