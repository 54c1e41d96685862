"""Where a frame's time goes: stage by stage, against its graphs alone, and against a stream that stands still.

Knows nothing of accuracy: thresholds are set so that a frame holds as many products as are asked for.
"""

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.frame_process import holding, shelf_picture
from facings.benchmark.turns import median_of, time_in_turn
from facings.errors import BundleError, ConfigError
from facings.metrics.latency import percentiles
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import STAGES, Recognizer
from facings.runtime.stream import StreamRecognizer, StreamSettings

Picture = NDArray[np.uint8]
METRICS = ("p50_ms", "p95_ms", "host_share", "streaming_speedup", "peak_mib_12mp_500")
# Frames that differ in nothing but the sensor's noise, and its standard deviation in levels of 255.
NOISY, NOISE = 8, 3.0
# 12 megapixels.
LARGE, MANY = (3000, 4000), 500


@dataclass(frozen=True)
class Call:
    """One run of one graph, as a frame made it."""

    role: str
    session: Callable[..., Any]
    inputs: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Budget:
    """`stages`: stage → percentiles in ms; `graphs`: role → median ms of all its runs of one frame; `frame`, `graph_sum`, `stream`:
    ms (rounds,) in the same rounds; `products` of the frame; `others` 0–1: what other programs took of the processor."""

    stages: dict[str, dict[str, float]]
    graphs: dict[str, float]
    frame: NDArray[np.float64]
    graph_sum: NDArray[np.float64]
    stream: NDArray[np.float64]
    products: int
    others: float

    def headline(self) -> dict[str, dict[str, float]]:
        """`p50_ms`, `p95_ms`; `host_share`: the part of the median frame that is not in its graphs; `streaming_speedup`."""
        frame, graphs, stream = (float(np.median(ms)) for ms in (self.frame, self.graph_sum, self.stream))
        return {
            "p50_ms": median_of(self.frame),
            "p95_ms": {"value": float(np.percentile(self.frame, 95))},
            "host_share": {"value": 1 - graphs / frame},
            "streaming_speedup": {"value": frame / stream},
        }


def measure(
    bundle: Path,
    *,
    products: int = 60,
    height: int = 1080,
    width: int = 1920,
    threads: int = 2,
    rounds: int = 50,
    seed: int = 0,
    picture: Picture | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Budget:
    """Frames, their graphs and a still stream in turn. `picture`: what stands before the camera (default: a drawn shelf).

    Raises ConfigError when the bundle's detector gives fewer boxes than `products`.
    """
    recognizer = Recognizer(holding(Bundle.open(bundle), products), threads=threads)
    frames = noisy(shelf_picture(height, width, products, seed) if picture is None else picture, seed)
    found = len(recognizer.run(frames[0]).detections)
    if found < products:
        raise ConfigError(f"{bundle}: its detector gives {found} boxes a frame; ask for {found} products or fewer")
    calls = graph_calls(recognizer, frames[0])
    stages: list[dict[str, float]] = []
    alone: list[dict[str, float]] = []
    still = StreamSettings(refresh_frames=None, refresh_seconds=None)
    stream = StreamRecognizer(recognizer, still)

    def whole(number: int) -> None:
        stages.append(recognizer.run(frames[number % NOISY]).timings)

    def graphs(_: int) -> None:
        alone.append(run_alone(calls))

    def streamed(number: int) -> None:
        stream.run(frames[number % NOISY])

    runs = {"frame": whole, "graphs": graphs, "stream": streamed}
    warmup = 3
    ms, others = time_in_turn(runs, rounds=rounds, warmup=warmup, seed=seed, advance=advance)
    roles = list(dict.fromkeys(call.role for call in calls))
    return Budget(
        stages={stage: percentiles([timing[stage] for timing in stages[warmup:]]) for stage in STAGES},
        graphs={role: float(np.median([times[role] for times in alone[warmup:]])) for role in roles},
        frame=ms["frame"],
        graph_sum=ms["graphs"],
        stream=ms["stream"],
        products=found,
        others=others,
    )


def noisy(picture: Picture, seed: int) -> list[Picture]:
    """The same scene with the noise of a sensor, `NOISY` times."""
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(NOISY):
        noise = generator.standard_normal(picture.shape, dtype=np.float32) * np.float32(NOISE)
        frames.append(np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8))
    return frames


def graph_calls(recognizer: Recognizer, image: Picture) -> list[Call]:
    """Every run of a graph that a frame makes, in order, with its inputs."""
    calls: list[Call] = []
    spy = copy.copy(recognizer)

    def recording(role: str, session: Callable[..., Any]) -> Callable[..., Any]:
        def run(**inputs: NDArray[Any]) -> Any:
            calls.append(Call(role, session, inputs))
            return session(**inputs)

        return run

    spy._sessions = {role: recording(role, session) for role, session in recognizer._sessions.items()}  # type: ignore[misc]
    spy.run(image)
    return calls


def run_alone(calls: list[Call]) -> dict[str, float]:
    """Milliseconds by role of the same runs again, with nothing between them."""
    times: dict[str, float] = {}
    for call in calls:
        start = time.perf_counter()
        call.session(**call.inputs)
        times[call.role] = times.get(call.role, 0.0) + (time.perf_counter() - start) * 1000
    return times


def peak_memory(
    bundle: Path,
    *,
    height: int = LARGE[0],
    width: int = LARGE[1],
    products: int = MANY,
    threads: int = 2,
    seed: int = 0,
) -> dict[str, Any]:
    """`peak_mib` of a fresh process that recognises one such frame, `loaded_mib` before it, `products` found.

    Raises BundleError when the bundle cannot be opened or the process dies.
    """
    request = {"bundle": str(bundle), "height": height, "width": width, "products": products}
    request |= {"threads": threads, "seed": seed}
    words = [sys.executable, "-m", "facings.benchmark.frame_process"]
    done = subprocess.run(words, input=json.dumps(request), capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    if "error" in found:
        raise BundleError(str(found["error"]))
    if done.returncode or not found:
        raise BundleError(f"{bundle}: the process that runs it died (exit code {done.returncode}); out of memory?")
    return found
