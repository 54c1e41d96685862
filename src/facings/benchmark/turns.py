"""Things timed in turn, so that what disturbs the machine disturbs all alike. Knows nothing of what they compute."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from facings.metrics.bootstrap import bootstrap_interval

WARMUP = 5


def time_in_turn(
    runs: Mapping[str, Callable[[int], Any]],
    *,
    rounds: int,
    warmup: int = WARMUP,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Milliseconds (rounds,) of each run, and 0–1, what other programs took of the processor meanwhile.

    A run is called with the number of the round, to take the same picture as all others do. Each round has an order of
    its own, so that a machine that slows down, or does something else for a while, does so to all alike.
    """
    rng = np.random.default_rng(seed)
    for run in runs.values():
        for number in range(warmup):
            run(number)
    ms = {name: np.zeros(rounds) for name in runs}
    psutil.cpu_percent()
    began, worked = time.perf_counter(), time.process_time()
    for number in range(rounds):
        for name in rng.permutation(list(runs)).tolist():
            start = time.perf_counter()
            runs[name](number)
            ms[name][number] = (time.perf_counter() - start) * 1000
        advance()
    wall = (time.perf_counter() - began) * (os.cpu_count() or 1)
    others = psutil.cpu_percent() / 100 - (time.process_time() - worked) / wall
    return ms, min(1.0, max(0.0, others))


def median_of(ms: NDArray[np.float64]) -> dict[str, float]:
    """`value`: the median; `low`, `high`: its 95 % bootstrap interval over the rounds.

    >>> median_of(np.full(3, 2.0))
    {'value': 2.0, 'low': 2.0, 'high': 2.0}
    """
    low, high = bootstrap_interval(lambda index: float(np.median(ms[index])), len(ms))
    return {"value": float(np.median(ms)), "low": low, "high": high}
