"""Do the cameras still see what the standard was calibrated on? Alarms with a chosen rate of false ones.

Knows nothing of galleries: it is fed numbers, for instance the highest similarity of each crop, in the order they come.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# The gambler's ways to bet: on p near 0, near 1, near both ends, and not at all.
POWERS = (0.2, 0.5, 0.8)
SWITCH = 0.01
MOST = 20_000


class DriftAlarm:
    """A conformal test martingale (Vovk, Nouretdinov, Gammerman: "Testing exchangeability on-line", ICML 2003).

    Each score is ranked among all before it (and a reference). While the scores are exchangeable the ranks are uniform and
    independent, and no way of betting on them makes money: by Ville's inequality the capital ever reaches 1/α with a
    probability of α at most, however long one watches. A capital of 20 is evidence at 5 %.

    The bets are a mixture of ε p^(ε - 1) and its mirror over a few ε, in which a small share of the capital is dealt anew at
    each step (as the jumpers of Vovk: "Testing randomness online", Statistical Science 2021), so that a late change is met by
    a gambler who has not lost everything before.
    """

    def __init__(self, reference: Iterable[float] = (), *, false_alarms: float = 0.01, seed: int = 0) -> None:
        """`reference`: scores from when all was well, exchangeable with what is to come; `false_alarms`: α, 0–1."""
        if not 0 < false_alarms < 1:
            raise ValueError(f"false_alarms is {false_alarms}; expected a share between 0 and 1")
        self.false_alarms = false_alarms
        self._seed = seed
        self.reset(reference)

    def reset(self, reference: Iterable[float] = ()) -> None:
        """Begin again, as after the gallery changed: what was seen is forgotten, the alarm is off. Raises ValueError for a
        reference that is not finite."""
        self._seen = sorted(float(score) for score in reference)
        if not np.isfinite(self._seen).all():
            raise ValueError("a drift reference must be finite")
        self._rng = np.random.default_rng(self._seed)
        self._shares = np.full(2 * len(POWERS) + 2, 1 / (2 * len(POWERS) + 2))
        self._log_capital = self._log_highest = 0.0
        self.count = 0

    @property
    def alarmed(self) -> bool:
        """True from the first time that the capital reached 1/α, until `reset`."""
        return self._log_highest >= -np.log(self.false_alarms)

    @property
    def log10_capital(self) -> float:
        """Evidence against exchangeability now: 2 is a hundredfold capital."""
        return float(self._log_capital / np.log(10))

    def update(self, score: float) -> float:
        """Take one score; returns its p-value, uniform on 0–1 while nothing drifts. Raises ValueError for nan or infinity."""
        if not np.isfinite(score):
            raise ValueError(f"drift was asked of the score {score}; expected a finite number")
        higher = len(self._seen) - bisect_right(self._seen, score)
        ties = len(self._seen) - bisect_left(self._seen, score) - higher + 1
        p = (higher + self._rng.random() * ties) / (len(self._seen) + 1)
        self._bet(min(max(p, 1e-9), 1 - 1e-9))
        insort(self._seen, float(score))
        if len(self._seen) > MOST:
            # Which one goes is drawn without looking, so that those left are still exchangeable.
            del self._seen[int(self._rng.integers(len(self._seen)))]
        self.count += 1
        return p

    def watch(self, scores: Iterable[float]) -> bool:
        """Take scores in order; whether the alarm is on."""
        for score in scores:
            self.update(score)
        return self.alarmed

    def _bet(self, p: float) -> None:
        powers = np.array(POWERS)
        low, high = powers * p ** (powers - 1), powers * (1 - p) ** (powers - 1)
        ends = 0.5 * (low[1] + high[1])
        gains = np.concatenate([low, high, [ends, 1.0]])
        capital = self._shares * gains
        total = float(capital.sum())
        self._log_capital += float(np.log(total))
        self._log_highest = max(self._log_highest, self._log_capital)
        self._shares = (1 - SWITCH) * capital / total + SWITCH / len(capital)


def two_sample_p_value(
    before: NDArray[np.floating], now: NDArray[np.floating], *, permutations: int = 999, seed: int = 0
) -> float:
    """Permutation p-value that both samples are of one source, by the largest distance of their distribution functions.

    Exact for exchangeable scores (Phipson, Smyth: "Permutation p-values should never be zero", 2010: (1 + #) / (1 + B)), and
    made for one look, say yesterday against today; `DriftAlarm` may be looked at as often as one likes.

    Raises ValueError for an empty sample, or one that is not finite.
    """
    if not len(before) or not len(now):
        raise ValueError(f"two samples are compared; got {len(before)} and {len(now)} scores")
    joint = np.concatenate([before, now]).astype(np.float64)
    if not np.isfinite(joint).all():
        raise ValueError("the scores of both samples must be finite")
    order = np.argsort(joint, kind="stable")
    # The distance is read after the last of equal scores only.
    last = np.append(np.diff(joint[order]) > 0, True)
    steps = np.where(np.arange(len(joint)) < len(before), 1 / len(before), -1 / len(now))

    def distance(step: NDArray[np.float64]) -> float:
        return float(np.abs(np.cumsum(step)[last]).max())

    found = distance(steps[order])
    rng = np.random.default_rng(seed)
    as_far = sum(distance(rng.permutation(steps)) >= found - 1e-12 for _ in range(permutations))
    return (1 + as_far) / (1 + permutations)
