"""Graphs of different input sizes timed in the same rounds. Knows nothing of what they compute."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from facings.benchmark.graph_latency import GraphTimes, multiply_adds
from facings.metrics.bootstrap import bootstrap_interval
from facings.runtime.session import Session


def time_graphs(
    graphs: Mapping[str, tuple[Path, int]],
    *,
    threads: int = 1,
    rounds: int = 60,
    warmup: int = 5,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[str, GraphTimes], float]:
    """Times of every graph (name → file, side of its picture in pixels) on one picture of noise, and 0–1, what other
    programs took of the processor meanwhile.

    As `facings.benchmark.graph_latency.compare_graphs`, where all pictures are of one size: each round runs all graphs in an
    order of its own, so that a machine that slows down does so to all alike.

    Raises ConfigError for a graph whose arithmetic cannot be counted, BundleError for one that cannot be loaded.
    """
    rng = np.random.default_rng(seed)
    gflops = {name: multiply_adds(path, size) * 2 / 1e9 for name, (path, size) in graphs.items()}
    runs = [_run(path, size, threads, rng) for path, size in graphs.values()]
    for run in runs:
        for _ in range(warmup):
            run()
    ms = np.zeros((len(runs), rounds))
    psutil.cpu_percent()
    began, worked = time.perf_counter(), time.process_time()
    for number in range(rounds):
        for index in rng.permutation(len(runs)).tolist():
            start = time.perf_counter()
            runs[index]()
            ms[index, number] = (time.perf_counter() - start) * 1000
        advance()
    wall = (time.perf_counter() - began) * (os.cpu_count() or 1)
    others = psutil.cpu_percent() / 100 - (time.process_time() - worked) / wall
    times = {name: GraphTimes(name, threads, row, gflops[name]) for name, row in zip(graphs, ms, strict=True)}
    return times, min(1.0, max(0.0, others))


def median_time(times: GraphTimes) -> dict[str, float]:
    """`value`: median time in ms; `low`, `high`: its 95 % bootstrap interval over the rounds."""
    low, high = bootstrap_interval(lambda index: float(np.median(times.ms[index])), len(times.ms))
    return {"value": float(np.median(times.ms)), "low": low, "high": high}


def _run(path: Path, size: int, threads: int, rng: np.random.Generator) -> Callable[[], Any]:
    session = Session(path, threads=threads)
    inputs = {session.inputs[0]: rng.random((1, 3, size, size), np.float32)}
    return lambda: session(**inputs)
