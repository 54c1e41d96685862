"""Times summed up. Knows nothing of what was timed."""

from collections.abc import Sequence

import numpy as np


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """`p50`, `p95`, `p99`, `mean`, `min` and `max` of one stage's times, in the unit of `values`; nan without any.

    Percentiles are interpolated linearly between the two nearest values (Hyndman, Fan: "Sample quantiles in statistical
    packages", 1996, type 7).

    By hand: of 10, 20, 30 the median is 20; 95 % of the way over the two gaps is 1.9: 20 + 0.9 · 10 = 29.

    >>> figures = percentiles([30, 10, 20])
    >>> figures["p50"], figures["p95"], round(figures["p99"], 6), figures["mean"]
    (20.0, 29.0, 29.8, 20.0)
    """
    if not len(values):
        return dict.fromkeys(("p50", "p95", "p99", "mean", "min", "max"), float("nan"))
    times = np.asarray(values, np.float64)
    p50, p95, p99 = (float(value) for value in np.percentile(times, [50, 95, 99]))
    return {
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "mean": float(times.mean()),
        "min": float(times.min()),
        "max": float(times.max()),
    }
