"""Whether a machine was the same from the first to the last round: its clock, and what others took. Knows no graphs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Others' share of the processor, and slowdown of the same matrix product, above which times are marked.
DISTURBED, THROTTLED = 0.1, 0.1
RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Steadiness:
    """`others` (0–1): what other programs took of the processor. `slowdown`: how much longer the same matrix product took in
    the last third of the rounds than in the first, in the median; 0.1 is a tenth. `unsteady`: the middle half of its times
    over their median."""

    others: float
    slowdown: float
    unsteady: float

    @property
    def disturbed(self) -> bool:
        """Another process took part of the machine."""
        return self.others > DISTURBED

    @property
    def throttled(self) -> bool:
        """The machine grew slower though nobody else took it: its clock went down. Undecided (False) where it was disturbed."""
        return self.slowdown > THROTTLED and not self.disturbed


def steadiness(product_ms: NDArray[np.float64], others: float) -> Steadiness:
    """`product_ms` (R,): times of the same work, in the order of the rounds; `others`: 0–1.

    By hand: 10 ms in the first third of six rounds, 12 in the last: a fifth slower, and nobody else was there.

    >>> found = steadiness(np.array([10.0, 10, 10, 12, 12, 12]), 0.0)
    >>> round(found.slowdown, 6), found.throttled, found.disturbed
    (0.2, True, False)

    Raises ValueError for fewer than 3 rounds.
    """
    if len(product_ms) < 3:
        raise ValueError(f"{len(product_ms)} rounds; to see a machine slow down takes 3 or more")
    third = len(product_ms) // 3
    first, last = float(np.median(product_ms[:third])), float(np.median(product_ms[-third:]))
    quarter, middle, three = np.quantile(product_ms, [0.25, 0.5, 0.75])
    return Steadiness(others, last / first - 1, float((three - quarter) / middle))


def jitter(p50: float, p95: float) -> float:
    """How much longer than the median one run in twenty takes, relative to it.

    >>> round(jitter(10.0, 12.0), 6)
    0.2
    """
    return p95 / p50 - 1 if p50 > 0 else float("nan")


def energy_meter() -> Callable[[], float] | None:
    """Gives the joules that the processor used since any fixed time, or None where the machine does not tell.

    Linux tells (RAPL) where its counters may be read, which on most machines only the administrator may.
    """
    counters = sorted(RAPL.glob("intel-rapl:[0-9]/energy_uj"))
    try:
        for counter in counters:
            counter.read_text()
    except OSError:
        return None
    return (lambda: sum(int(counter.read_text()) for counter in counters) / 1e6) if counters else None
