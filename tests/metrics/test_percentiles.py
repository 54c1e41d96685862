"""Percentiles against the statistics module."""

import math
import statistics

import numpy as np
import pytest

from facings.metrics.latency import percentiles


def test_equals_the_statistics_module(rng: np.random.Generator) -> None:
    values = rng.exponential(20, 57).tolist()
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    figures = percentiles(values)
    assert (figures["p50"], figures["p95"], figures["p99"]) == pytest.approx((cuts[49], cuts[94], cuts[98]))
    assert figures["mean"] == pytest.approx(statistics.fmean(values))
    assert (figures["min"], figures["max"]) == (min(values), max(values))


def test_no_times_are_not_a_number() -> None:
    assert all(math.isnan(value) for value in percentiles([]).values())
