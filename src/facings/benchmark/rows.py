"""The results file: one JSON line a figure, each with all that says what it was measured on. Knows nothing of how.

A line that stands alone can be moved, filtered and compared without losing where it came from, and two lines of different
data or protocol cannot be taken for each other.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facings.benchmark.record import git_state, machine
from facings.errors import DataError

SCHEMA = "facings.benchmark-row/1"
FILE = "benchmark.jsonl"
# Raised whenever a protocol's figures are no longer those of before: runs of two versions are never compared.
# evaluate: 2 since its letterbox rounds as the exported graphs do. Crowd regions are ignored since frames, detection, end_to_end,
# robustness and segmentation 2, and evaluate 3.
PROTOCOLS = {
    "frames": 2,
    "detection": 2,
    "segmentation": 2,
    "recognition": 1,
    "end_to_end": 2,
    "turnover": 1,
    "robustness": 2,
    "latency": 2,
    "scale": 1,
    "cross_store": 1,
    "evaluate": 3,
}
OWN = ("metric", "value", "low", "high", "unit", "slice")


@dataclass(frozen=True)
class Stamp:
    """What all rows of a run share.

    `data`: name → checksum; `settings`: what else decides the figures (how many pictures, classes or none); `bundle`:
    `name`, `sha256`, `gallery_sha256`, or empty; `run`: the run's folder, seen from the results file.
    """

    protocol: str
    version: int
    data: Mapping[str, str]
    settings: Mapping[str, Any]
    bundle: Mapping[str, Any]
    command: str
    commit: str
    seeds: tuple[int, ...]
    machine: str
    date: str
    run: str = "."


def stamp(
    protocol: str,
    *,
    data: Mapping[str, str],
    bundle: Mapping[str, Any],
    command: str,
    seeds: Sequence[int],
    settings: Mapping[str, Any] | None = None,
    commit: str | None = None,
) -> Stamp:
    """The stamp of a run that begins now. `bundle`: as `facings.benchmark.summary.bundle_identity` tells it."""
    identity = {name: bundle.get(name) for name in ("name", "sha256", "gallery_sha256") if bundle}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    where = {"commit": commit or git_state(), "machine": machine(), "date": now}
    return Stamp(
        protocol, PROTOCOLS[protocol], dict(data), dict(settings or {}), identity, command, seeds=tuple(seeds), **where
    )


def row(
    metric: str,
    value: float,
    interval: Sequence[float] | None = None,
    *,
    unit: str | None = None,
    **part: Any,
) -> dict[str, Any]:
    """One figure. `interval`: low and high at 95 %; `part`: of which slice it is, such as `strength=3`.

    Numbers that are not finite become None, which JSON can say.

    >>> row("ap50", 0.5, (0.4, float("nan")), strength=3)
    {'metric': 'ap50', 'value': 0.5, 'low': 0.4, 'high': None, 'unit': None, 'slice': {'strength': 3}}
    """
    low, high = interval if interval is not None else (math.nan, math.nan)
    return {"metric": metric, **_finite(value=value, low=low, high=high), "unit": unit, "slice": dict(part)}


def figure_rows(
    figures: Mapping[str, float | None],
    intervals: Mapping[str, Sequence[float]],
    units: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of figures by name; those without a value are left out."""
    return [
        row(name, value, intervals.get(name), unit=(units or {}).get(name))
        for name, value in figures.items()
        if value is not None
    ]


def append_rows(folder: Path, run: Path, stamp: Stamp, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Append to `folder/benchmark.jsonl`, and return its path; `run`: the folder of the run, named in each row.

    All rows go in one write to a file opened for appending, under a lock where the system has one: two benchmarks that end
    together write one after the other. Where a broken machine left half a line, the rows begin on a line of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    shared = asdict(stamp) | {"run": os.path.relpath(run, folder)}
    lines = "".join(json.dumps({"schema": SCHEMA, **entry, **shared}, allow_nan=False) + "\n" for entry in rows)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _lock(handle)
        size = os.lseek(handle, 0, os.SEEK_END)
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        data = (("\n" if torn else "") + lines).encode()
        written = os.write(handle, data)
        if written != len(data):
            # A full disk: what was begun is taken back, or half a row would stand there.
            os.ftruncate(handle, size)
            raise OSError(28, os.strerror(28), str(path))
        os.fsync(handle)
    finally:
        os.close(handle)
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a results file, in order.

    Raises DataError for a file that is not there, and for a line that is no row, naming its number.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such results file; `facings benchmark` writes one")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            content = json.loads(line)
        except json.JSONDecodeError as fault:
            raise DataError(f"{path}, line {number}: not JSON ({fault}); half a row? take the line out") from fault
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            found = content.get("schema") if isinstance(content, dict) else type(content).__name__
            raise DataError(f"{path}, line {number}: schema is {found!r}; expected {SCHEMA!r}")
        missing = [name for name in (*OWN, *Stamp.__dataclass_fields__) if name not in content]
        if missing:
            raise DataError(f"{path}, line {number}: lacks {missing[0]!r}")
        rows.append(content)
    return rows


def _finite(**numbers: float) -> dict[str, float | None]:
    return {name: float(number) if math.isfinite(number) else None for name, number in numbers.items()}


def _lock(handle: int) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:
        return
    fcntl.flock(handle, fcntl.LOCK_EX)
