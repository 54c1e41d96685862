"""Headline figures as files: `results/ID.json`, one a claim. Knows nothing of how a figure is measured."""

import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facings.errors import ConfigError
from facings.files import atomic_write

METRIC_FIELDS = {"value", "low", "high", "unit"}


def write_result(
    identifier: str,
    *,
    claim: str,
    metrics: Mapping[str, Mapping[str, Any]],
    command: str,
    data: Mapping[str, str],
    seeds: Sequence[int],
    folder: Path = Path("results"),
) -> Path:
    """Write `folder/ID.json` and return its path.

    `metrics`: name → `value` and, where it makes sense, `low`, `high`, `unit`; `data`: name → checksum.

    Raises ConfigError for an ID that is no file name, a metric without a finite value, or an unknown field.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", identifier):
        raise ConfigError(f"result ID {identifier!r}: expected lower-case words joined by hyphens, e.g. spine-snack")
    for name, metric in metrics.items():
        unknown = set(metric) - METRIC_FIELDS
        if unknown:
            raise ConfigError(f"result {identifier}, metric {name}: unknown field {sorted(unknown)[0]!r}")
        if not isinstance(metric.get("value"), int | float) or not math.isfinite(metric["value"]):
            raise ConfigError(f"result {identifier}, metric {name}: value is {metric.get('value')!r}; expected a number")
    content = {
        "id": identifier,
        "claim": claim,
        "metrics": {name: dict(metric) for name, metric in metrics.items()},
        "command": command,
        "commit": git_state(),
        "data": dict(data),
        "seeds": list(seeds),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = Path(folder) / f"{identifier}.json"
    atomic_write(path, json.dumps(content, indent=2) + "\n")
    return path


def git_state() -> str:
    """The checkout's commit, with `+dirty` when tracked files differ from it; `unknown` outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(top)configs")
    except FileNotFoundError:
        return "unknown"
    return (commit + ("+dirty" if changed else "")) or "unknown"


def machine() -> str:
    """Processor, cores and memory in words, without a host name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{_processor()}, {cores} cores, {_memory_gib():.0f} GiB, {platform.system()} {platform.machine()}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                flags = "AVX512" if "avx512f" in path.read_text(errors="replace") else "AVX2"
                return f"{line.split(':', 1)[1].strip()} ({flags})"
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return float("nan")
