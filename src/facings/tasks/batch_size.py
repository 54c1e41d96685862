"""The largest batch whose training step fits into memory.

Knows nothing of pictures: a step of the task is taken with batches of a few sizes, and measured.
"""

import ctypes
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from facings.errors import ConfigError

PROBES = (1, 2, 4)
GIB = 2**30
# What a step without optimizer does not show: AdamW's two moments and the averaged weights.
COPIES_OF_WEIGHTS = 3


def find_batch_size(
    task: pl.LightningModule,
    make_batch: Callable[[int], Any],
    *,
    limit_bytes: int | None = None,
    share: float = 0.7,
    largest: int = 256,
    device: torch.device | str = "cpu",
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> int:
    """The largest power of two, at most `largest`, whose training step fits into `limit_bytes`.

    Without limit: `share` of the memory that is free; the rest is for crowded batches, workers and other programs.
    `make_batch`: number of items → a batch, see `batches_of`. `context`: what a step runs in, such as autocast. On a CPU the
    need is foretold from batches of 1, 2 and 4, so that no process is killed for memory; on a GPU what was foretold is
    tried. Weights, statistics and random numbers are afterwards what they were.

    Raises ConfigError where not even one item fits.
    """
    device = torch.device(device)
    limit = free_bytes(device) * share if limit_bytes is None else limit_bytes
    limit -= COPIES_OF_WEIGHTS * sum(p.numel() * p.element_size() for p in task.parameters() if p.requires_grad)
    state = {name: value.clone() for name, value in task.state_dict().items()}
    _give_back()
    start = _resident() if device.type == "cpu" else 0

    def need(size: int) -> float:
        batch = task.transfer_batch_to_device(make_batch(size), device, 0)
        return _peak(lambda: _step(task, batch, context), device, start)

    task.to(device)
    generators = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=generators), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*self.log.*")  # there is no trainer yet, and nothing to log
        found = largest_fitting(need, limit, largest=largest, tried=device.type == "cuda")
    task.load_state_dict(state)
    return found


def largest_fitting(need: Callable[[int], float], limit: float, *, largest: int = 256, tried: bool = False) -> int:
    """The largest power of two, at most `largest`, whose `need` in bytes stays within `limit`.

    The need is foretold as a straight line, and as the steepest one through two of its measured points. A size is measured
    only where the sizes before say that it fits. `tried`: measure the answer too, and halve it until it fits.

    Needs 10 + 5·n and limit 100: measured 15, 20, 30; 16 items want 90, 32 want 170: 16.
    """
    measured: dict[int, float] = {}
    for size in PROBES:
        if size > largest or (measured and _foretold(measured, size) > limit):
            break
        measured[size] = need(size)
        if size == 1 and measured[1] > limit:
            raise ConfigError(
                f"data.batch_size=auto: a step with one item takes {measured[1] / GIB:.2f} GiB, {max(limit, 0) / GIB:.2f} GiB "
                "may be used; lower image_size or take a smaller model"
            )
    best = 1
    while 2 * best <= largest and _foretold(measured, 2 * best) <= limit:
        best *= 2
    while tried and best > 1 and need(best) > limit:
        best //= 2
    return best


def batches_of(loader: DataLoader[Any]) -> Callable[[int], Any]:
    """Number of items → a batch of the loader's first items, whatever its own batch size."""

    def make(size: int) -> Any:
        draws: list[Any] = []
        while len(draws) < size:
            draws += islice(iter(loader.sampler), size - len(draws))
        return loader.collate_fn([loader.dataset[draw] for draw in draws])

    return make


def free_bytes(device: torch.device) -> int:
    """Memory that is free on the device; on a CPU no more than the container's own limit leaves."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = int(psutil.virtual_memory().available)
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text) - int(used.read_text()))
    return free


def _foretold(measured: dict[int, float], size: int) -> float:
    """Of one point: as if nothing were fixed, which is never too little."""
    sizes: Sequence[int] = sorted(measured)
    if size in measured:
        return measured[size]
    last = sizes[-1]
    if len(sizes) == 1:
        return measured[last] * size / last
    slope = max((measured[b] - measured[a]) / (b - a) for a in sizes for b in sizes if a < b)
    return measured[last] + slope * (size - last)


def _step(task: pl.LightningModule, batch: Any, context: Callable[[], AbstractContextManager[Any]]) -> None:
    with context():
        loss: Any = task.training_step(batch, 0)
    loss.backward()
    task.zero_grad(set_to_none=True)


def _peak(step: Callable[[], None], device: torch.device, start: int) -> float:
    """Bytes that a step takes at most; infinite where a GPU has no more."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        try:
            step()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return float("inf")
        return torch.cuda.max_memory_allocated(device) - before
    highest, done = [start], threading.Event()

    def watch() -> None:
        while not done.is_set():
            highest[0] = max(highest[0], _resident())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        step()
    finally:
        done.set()
        watcher.join()
    return highest[0] - start


def _give_back() -> None:
    """Have the C library return what was freed, where it is glibc: kept for later, it would hide what a step takes."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)
