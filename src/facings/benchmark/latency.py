"""How fast a bundle is in the store's process: stages, percentiles, cold start, memory.

Knows nothing of accuracy. The bundle runs in a process of its own that loads only the store runtime, so that memory and
start are what a shop would see, and nothing of this program's libraries or threads disturbs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from facings.benchmark.record import cores
from facings.errors import BundleError
from facings.metrics.latency import percentiles
from facings.runtime.recognizer import STAGES

# Above this share of the processor taken by others, times are marked as disturbed.
DISTURBED = 0.1
# What a frame is made of, in its order; what is left of the total is keeping count.
PARTS = ("preprocess", "detector", "crop", "embedder", "match", "decide")


def measure_latency(
    bundle: Path,
    images: Sequence[Path],
    *,
    threads: int | None = None,
    warmup: int = 5,
    repeats: int = 3,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run `images` through the bundle `repeats` times after `warmup` runs. `threads` None: as many as there are cores.

    Returns `stages` (stage → percentiles in ms; `total` is the frame without decoding, `decode` the JPEG), `parts` (the same of
    `PARTS`, which tell cropping from embedding and deciding from matching), `runs`, `threads`, `products_mean` (detections a
    frame), `cold_start_ms` (from the start of the process over opening and checking the bundle to the first frame's decision),
    `peak_mib`, `other_cpu_share` (0–1: what other programs took of the processor meanwhile) and `disturbed`.

    Raises BundleError when the bundle cannot be opened or the process dies.
    """
    request = {"bundle": str(bundle), "images": [str(path) for path in images], "threads": threads}
    before, began = _busy_seconds(), time.perf_counter()
    result = _ask(request | {"warmup": warmup, "repeats": repeats, "spawned": time.time()}, advance)
    wall = time.perf_counter() - began
    others = (_busy_seconds() - before - result["cpu_s"]) / (wall * (os.cpu_count() or 1))
    runs = result["runs"]
    return {
        "stages": {stage: percentiles([run[stage] for run in runs]) for stage in (*STAGES, "decode")},
        "parts": {part: percentiles([run["parts"][part] for run in runs]) for part in PARTS},
        "runs": len(runs),
        "frames": len(images),
        "warmup": warmup,
        "threads": threads or cores(),
        "products_mean": sum(run["products"] for run in runs) / len(runs),
        "cold_start_ms": result["cold_start"],
        "peak_mib": result["peak_mib"],
        "other_cpu_share": min(1.0, max(0.0, others)),
        "disturbed": others > DISTURBED,
    }


def _ask(request: dict[str, Any], advance: Callable[[], None]) -> dict[str, Any]:
    """The result of the store's process; `advance` is called after each of its runs."""
    words = [sys.executable, "-m", "facings.benchmark.store_process"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        for line in process.stdout:
            content = json.loads(line)
            if "run" in content:
                advance()
            elif "error" in content:
                raise BundleError(str(content["error"]))
            else:
                found: dict[str, Any] = content["result"]
                return found
    raise BundleError(
        f"{request['bundle']}: the process that runs it died (exit code {process.returncode}); out of memory?"
    )


def _busy_seconds() -> float:
    """Seconds of work of all processors since the machine started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
