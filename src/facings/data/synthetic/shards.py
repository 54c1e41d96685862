"""Frames on disk in shards: drawn by several processes, and what is there after a kill is not drawn again.

A shard's frames are written first, then its truth, whole: a shard with truth is done. Memory is that of the shards under way.
Knows nothing of what a frame shows.
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from facings.errors import DataError
from facings.files import atomic_write

# Frames a shard: what a kill costs at most, a process.
SHARD = 16


@dataclass(frozen=True)
class Frame:
    """A picture and its truth. `image`: its COCO record without `id`; `objects`: annotations without `id` and `image_id`."""

    jpeg: bytes
    image: dict[str, Any]
    objects: list[dict[str, Any]]


class Source(Protocol):
    """Frames of one split, each drawn from its index alone. Travels to other processes by pickle."""

    @property
    def split(self) -> str:
        """Names the folder of the pictures."""

    @property
    def count(self) -> int:
        """How many frames there are."""

    def name(self, index: int) -> str:
        """The picture's path under the split's folder."""

    def frame(self, index: int) -> Frame:
        """Draw frame `index`: the same whenever and wherever it is asked for."""


def write_shards(
    sources: Sequence[Source], home: Path, *, workers: int = 1, advance: Callable[[], None] = lambda: None
) -> None:
    """Draw what is missing of all sources into `home`; `advance` is called for every frame.

    Raises DataError when a process ends before its work, as one does that runs out of memory.
    """
    (home / "shards").mkdir(parents=True, exist_ok=True)
    waiting = []
    for number, source in enumerate(sources):
        for first in range(0, source.count, SHARD):
            if _is_done(source, home, first):
                for _ in _range(source, first):
                    advance()
            else:
                waiting.append((number, first))
    if workers <= 1 or len(waiting) <= 1:
        for number, first in waiting:
            _draw(sources[number], home, first, advance)
        return
    _draw_in_processes(sources, home, waiting, min(workers, len(waiting)), advance)


def read_shards(source: Source, home: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Image record and annotations of every frame in turn; one shard is in memory at a time."""
    for first in range(0, source.count, SHARD):
        with _truth(source, home, first).open(encoding="utf-8") as lines:
            for line in lines:
                content = json.loads(line)
                yield content["image"], content["objects"]


def _range(source: Source, first: int) -> range:
    return range(first, min(first + SHARD, source.count))


def _truth(source: Source, home: Path, first: int) -> Path:
    return home / "shards" / f"{source.split}-{first // SHARD:06d}.jsonl"


def _is_done(source: Source, home: Path, first: int) -> bool:
    pictures = home / "images" / source.split
    return _truth(source, home, first).is_file() and all(
        (pictures / source.name(index)).is_file() for index in _range(source, first)
    )


def _draw(source: Source, home: Path, first: int, advance: Callable[[], None] = lambda: None) -> int:
    """One shard; returns how many frames it has."""
    pictures = home / "images" / source.split
    lines = []
    for index in _range(source, first):
        frame = source.frame(index)
        path = pictures / source.name(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(frame.jpeg)
        lines.append(json.dumps({"image": frame.image, "objects": frame.objects}) + "\n")
        advance()
    atomic_write(_truth(source, home, first), "".join(lines))
    return len(lines)


# What a drawing process was started with.
_given: dict[str, Any] = {}


def _start(sources: Sequence[Source], home: Path) -> None:
    _given.update(sources=sources, home=home)


def _draw_given(number: int, first: int) -> int:
    return _draw(_given["sources"][number], _given["home"], first)


def _draw_in_processes(
    sources: Sequence[Source], home: Path, waiting: list[tuple[int, int]], workers: int, advance: Callable[[], None]
) -> None:
    # Spawned, not forked: a forked copy of a program with threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(sources, home))
    try:
        running: set[Future[int]] = set()
        for number, first in waiting:
            # No more is handed over than keeps the processes busy: memory does not grow with the number of shards.
            if len(running) >= 2 * workers:
                running = _count(running, advance)
            running.add(pool.submit(_draw_given, number, first))
        while running:
            running = _count(running, advance)
    except BrokenProcessPool as fault:
        raise DataError(
            f"a drawing process ended before its work ({fault}); with workers={workers - 1} less memory is needed, and "
            "the same command goes on where this one stopped"
        ) from fault
    finally:
        pool.shutdown(cancel_futures=True)


def _count(running: set[Future[int]], advance: Callable[[], None]) -> set[Future[int]]:
    """Wait for the next; what is still running."""
    done, rest = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        for _ in range(future.result()):
            advance()
    return rest
