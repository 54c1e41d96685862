"""Exact retrieval at the size of a chain of shops: how much memory, how many minutes, and whether it is right.

Run as a module it is the process that is measured: it reads one JSON object from standard input, writes JSON lines
(`{"views": N}` as they are done, last `{"result": {…}}`), and leaves `ranks.npz` beside the vectors. Knows no pictures.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.store_process import peak_mib, say
from facings.errors import ConfigError
from facings.files import sha256
from facings.metrics.nearest import Nearest, top_k
from facings.metrics.rank_figures import query_figures, summary
from facings.metrics.ranking import Ranks, relevant_ranks

METRICS = {"peak_gib": "GiB", "minutes": "min"}
# Spread of a product's views about its centre: many wrong views lie above a product's last right one, and all are counted.
NOISE = 1.5
WRITTEN = 65536


@dataclass(frozen=True)
class Scale:
    """`queries`, `views`: how many; `products` they are of; `dimension` of the vectors; `depth` of the lists kept."""

    queries: int = 50_000
    views: int = 1_000_000
    dimension: int = 128
    products: int = 20_000
    depth: int = 100
    seed: int = 0

    def check(self) -> None:
        """Raises ConfigError for a size below 1."""
        for name, value in asdict(self).items():
            if name != "seed" and value < 1:
                raise ConfigError(f"{name} is {value}; expected 1 or more")


@dataclass(frozen=True)
class Measured:
    """`peak_gib` of the process, `minutes` of ranking; `figures`: R@k and the like, of the made-up vectors."""

    peak_gib: float
    minutes: float
    figures: dict[str, float]


def make_vectors(folder: Path, scale: Scale) -> dict[str, str]:
    """Write `gallery.npy`, `queries.npy` (float32, unit length) and `labels.npz`; returns their checksums.

    Products are random directions, and a view is one plus noise; products come in no order, the hardest case for
    `relevant_ranks`. Written in parts: memory stays small.
    """
    scale.check()
    rng = np.random.default_rng(scale.seed)
    centres = _unit(rng.standard_normal((scale.products, scale.dimension), dtype=np.float32))
    labels: dict[str, NDArray[np.int64]] = {}
    for name, count in (("gallery", scale.views), ("queries", scale.queries)):
        labels[name] = rng.integers(0, scale.products, count)
        array = np.lib.format.open_memmap(
            folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=(count, scale.dimension)
        )
        for low in range(0, count, WRITTEN):
            part = labels[name][low : low + WRITTEN]
            noise = rng.standard_normal((len(part), scale.dimension), dtype=np.float32) / np.sqrt(scale.dimension)
            array[low : low + WRITTEN] = _unit(centres[part] + NOISE * noise)
        array.flush()
    np.savez(folder / "labels.npz", **labels)  # type: ignore[arg-type]
    return {name: sha256(folder / name) for name in ("gallery.npy", "queries.npy")}


def measure(folder: Path, scale: Scale, advance: Callable[[int], None] = lambda _: None) -> Measured:
    """Rank in a process of its own. `advance`: told the views done, three times the gallery in all (three passes).

    Raises ConfigError when the process dies.
    """
    request = json.dumps({"folder": str(folder), "depth": scale.depth})
    words = [sys.executable, "-m", "facings.benchmark.retrieval_scale"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(request)
        process.stdin.close()
        for line in process.stdout:
            content = json.loads(line)
            if "views" in content:
                advance(int(content["views"]))
            else:
                return Measured(**content["result"])
    raise ConfigError(f"the process that ranks died (exit code {process.returncode}); out of memory?")


def differences(folder: Path, scale: Scale, *, sample: int = 32) -> int:
    """How many answers of a random sample of queries differ from brute force in float64 by more than rounding.

    Every right view's place must lie between the numbers of wrong views that are more similar by more, and by not less,
    than the rounding of two sums; the list's similarities must agree with the best of all.
    """
    gallery, queries = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("gallery", "queries"))
    with np.load(folder / "labels.npz") as labels, np.load(folder / "ranks.npz") as found:
        of_view, of_query = labels["gallery"], labels["queries"]
        ranks = Ranks(found["offsets"], found["ranks"])
        nearest = Nearest(found["indices"], found["similarities"])
    chosen = np.random.default_rng(scale.seed).choice(len(queries), min(sample, len(queries)), replace=False)
    asked = np.asarray(queries[chosen], np.float64)
    parts = range(0, len(gallery), WRITTEN)
    exact = np.concatenate([asked @ np.asarray(gallery[low : low + WRITTEN], np.float64).T for low in parts], axis=1)
    apart = 2 * scale.dimension * 2.0**-24
    wrong = 0
    for row, query in enumerate(chosen.tolist()):
        right = of_view == of_query[query]
        scores, others = np.sort(exact[row, right])[::-1], np.sort(exact[row, ~right])
        place = np.arange(1, len(scores) + 1)
        low, high = (place + len(others) - np.searchsorted(others, scores + shift) for shift in (apart, -apart))
        wrong += int(((ranks.of(query) < low) | (ranks.of(query) > high)).sum()) + abs(
            len(scores) - len(ranks.of(query))
        )
        best = np.sort(exact[row])[::-1][: nearest.indices.shape[1]]
        wrong += int((np.abs(best - exact[row, nearest.indices[query]]) > apart).sum())
    return wrong


def main() -> int:
    """Serve one request. Returns 0, or 130 when the caller is gone."""
    request = json.loads(sys.stdin.read())
    try:
        say({"result": asdict(_rank(Path(request["folder"]), int(request["depth"])))})
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


def _rank(folder: Path, depth: int) -> Measured:
    gallery, queries = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("gallery", "queries"))
    with np.load(folder / "labels.npz") as labels:
        of_view, of_query = labels["gallery"], labels["queries"]
    began = time.perf_counter()
    ranks = relevant_ranks(queries, of_query, gallery, of_view, advance=_done)
    nearest = top_k(queries, gallery, depth, advance=_done)
    figures = summary(query_figures(ranks, ks=(1, 5, 10)), of_query)
    minutes = (time.perf_counter() - began) / 60
    peak = peak_mib() / 1024
    stored: dict[str, Any] = {"offsets": ranks.offsets, "ranks": ranks.ranks, **nearest._asdict()}
    np.savez(folder / "ranks.npz", **stored)
    return Measured(peak, minutes, figures)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _done(views: int) -> None:
    say({"views": views})


if __name__ == "__main__":
    sys.exit(main())
