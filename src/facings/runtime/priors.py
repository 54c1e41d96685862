"""What the shop knows beside the picture: which goods are planned for this shelf, or in season. Knows nothing of vectors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facings.structures import Matches


@dataclass(frozen=True)
class Prior:
    """`weights`: product id → how likely beside the most likely one, above 0 to 1; `others`: of a product that is not named;
    `strength`: similarity that a weight of 1/e costs, 0 or more.

    The standard is calibrated with the same prior (`Standard.fit(…, offsets=…)`), so that the rates hold with it as without.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    others: float = 1.0
    strength: float = 0.02

    def __post_init__(self) -> None:
        for name, weight in [*self.weights.items(), ("others", self.others)]:
            if not 0 < weight <= 1:
                raise ValueError(f"the prior of {name!r} is {weight}; expected above 0 and at most 1")
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise ValueError(f"the prior's strength is {self.strength}; expected 0 or more")

    def offsets(self, items: Sequence[str]) -> NDArray[np.float32]:
        """(I,) what each item's similarity is moved by, 0 or less.

        >>> Prior({"4011": 1.0}, others=math.exp(-1), strength=0.02).offsets(["4011", "4062"]).round(6).tolist()
        [0.0, -0.019999999552965164]
        """
        weights = [self.weights.get(name, self.others) for name in items]
        return (self.strength * np.log(np.array(weights, np.float64))).astype(np.float32).reshape(len(items))

    def applied(self, matches: Matches, items: Sequence[str]) -> Matches:
        """The matches with their similarities moved, most similar first again."""
        moved = matches.similarities + self.offsets(items)[matches.items]
        order = np.argsort(-moved, axis=1, kind="stable")
        return Matches(np.take_along_axis(matches.items, order, 1), np.take_along_axis(moved, order, 1))
