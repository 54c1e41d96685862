"""The store's process, timed: nothing is loaded here but what a shop's machine loads. Run by `latency.py` as a module.

Reads one JSON object from standard input (`bundle`, `images`, `threads`, `warmup`, `repeats`, `spawned`), writes JSON
lines to standard output: `{"run": N}` after each run, and last `{"result": {…}}`. Knows nothing of accuracy.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import FacingsError
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image
from facings.runtime.recognizer import FrameResult, Recognizer
from facings.structures import Decision, Detections, Matches


class PartRecognizer(Recognizer):
    """A recogniser that tells two parts of its stages as well: `crop`, of embedding, and `decide`, of matching. `spent`: ms of
    the last frame; of one frame at a time."""

    spent: dict[str, float]

    def run_parts(self, image: NDArray[np.uint8]) -> tuple[FrameResult, dict[str, float]]:
        """The frame's answer, and milliseconds of every part (`PARTS`), none of which holds another."""
        self.spent = {"crop": 0.0, "decide": 0.0}
        result = self.run(image)
        times, crop, decided = result.timings, self.spent["crop"], self.spent["decide"]
        parts = {"preprocess": times["preprocess"], "detector": times["detect"], "crop": crop}
        parts |= {"embedder": times["embed"] - crop, "match": times["match"] - decided, "decide": decided}
        return result, parts

    def _crop_pixels(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._part("crop"):
            return super()._crop_pixels(image, boxes)

    def decide(self, detections: Detections, matches: Matches | None) -> Decision:
        with self._part("decide"):
            return super().decide(detections, matches)

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[name] += (time.perf_counter() - start) * 1000


def main() -> int:
    """Serve one request. Returns 0, 2 after a line `{"error": message}`, or 130 when the caller is gone."""
    request = json.loads(sys.stdin.read())
    try:
        result = measure(request)
    except FacingsError as fault:
        say({"error": str(fault)})
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        # The caller was stopped, and says so itself.
        return 130
    say({"result": result})
    return 0


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """`runs` (one a run: stage → ms, with `decode`, `parts`, and `products`), `cold_start` (ms), `peak_mib`, `cpu_s`."""
    images, repeats, warmup = request["images"], int(request["repeats"]), int(request["warmup"])
    # The checksums are read anew by every opening: part of a cold start, as in the shop.
    recognizer = PartRecognizer(Bundle.open(request["bundle"]), threads=request["threads"])
    recognizer.run_parts(read_image(images[0]))
    # From before this interpreter was started: the caller's clock and this one are the same system's.
    cold = (time.time() - float(request["spawned"])) * 1000
    for number in range(warmup):
        recognizer.run_parts(read_image(images[number % len(images)]))
    runs = []
    for number in range(repeats * len(images)):
        began = time.perf_counter()
        image = read_image(images[number % len(images)])
        decode = (time.perf_counter() - began) * 1000
        result, parts = recognizer.run_parts(image)
        runs.append({"decode": decode, **result.timings, "parts": parts, "products": len(result.detections)})
        say({"run": number + 1})
    return {"runs": runs, "cold_start": cold, "peak_mib": peak_mib(), "cpu_s": time.process_time()}


def peak_mib() -> float:
    """The largest memory this process held, in MiB; nan where the system does not tell.

    On Linux from /proc: `getrusage` would also count what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        import resource
    except ModuleNotFoundError:
        return float("nan")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def say(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
