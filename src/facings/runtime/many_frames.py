"""Many frames through one recogniser: in order, with as much memory as a few of them take. Knows nothing of where they come from.

Frames are not put together into batches: on a CPU a graph works through a batch picture by picture, and one frame's crops
already fill the embedder's. What helps is another frame on another core, so frames go side by side, each as `Recognizer.run`
runs it, and with its answer.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from facings.errors import ConfigError
from facings.runtime.hot_swap import HotSwap
from facings.runtime.recognizer import FrameResult, Recognizer


def run_all(
    recognizer: Recognizer | HotSwap, frames: Iterable[NDArray[np.uint8]], *, workers: int = 1
) -> Iterator[FrameResult]:
    """Frames (H, W, 3) uint8 RGB, of any sizes → their results, in their order, as they are asked for.

    `workers`: frames that are worked on at once; no more than those are read ahead. With `Recognizer(…, threads=1)` and a
    worker a core more frames a second go through than with one worker and all cores, and each takes longer.

    Raises ConfigError for no worker, and what `run` raises for a frame, when it is that frame's turn; what is under way then
    ends first. Leaving the iterator early does the same.
    """
    if workers < 1:
        raise ConfigError(f"workers is {workers}; expected 1 or more")
    return _one_by_one(recognizer, frames) if workers == 1 else _side_by_side(recognizer, frames, workers)


def _one_by_one(recognizer: Recognizer | HotSwap, frames: Iterable[NDArray[np.uint8]]) -> Iterator[FrameResult]:
    for frame in frames:
        yield recognizer.run(frame)


def _side_by_side(
    recognizer: Recognizer | HotSwap, frames: Iterable[NDArray[np.uint8]], workers: int
) -> Iterator[FrameResult]:
    waiting: deque[Future[FrameResult]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="facings frame") as pool:
        try:
            for frame in frames:
                waiting.append(pool.submit(recognizer.run, frame))
                if len(waiting) >= workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
