"""Headline figures as files: `results/ID.json`, one a claim. Knows nothing of how a figure is measured."""

import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from facings.errors import ConfigError
from facings.files import atomic_write
from facings.runtime.processor import instruction_sets, processor_fields

METRIC_FIELDS = {"value", "low", "high", "unit"}
FIELDS = {"id", "claim", "metrics", "command", "commit", "data", "seeds", "machine", "date"}
LIBRARIES = ("numpy", "onnxruntime", "torch")
# What a figure can depend on: a change elsewhere (docs, results) does not make a run dirty.
CODE = ("src", "configs", "scripts", "pyproject.toml")
# Instruction sets that decide the speed of a network on a CPU, as Linux names them.
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX512",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "bf16",
    "amx_int8": "AMX",
    "asimd": "NEON",
}


def given_words(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Those of `settings` that are not the default, as words of a command line.

    >>> given_words({"images": 5, "seed": 0}, {"images": 500, "seed": 0})
    ['--images 5']
    """
    return [f"--{name} {settings[name]}" for name in defaults if settings[name] != defaults[name]]


def write_result(
    identifier: str,
    *,
    claim: str,
    metrics: Mapping[str, Mapping[str, Any]],
    command: str,
    data: Mapping[str, str],
    seeds: Sequence[int],
    commit: str | None = None,
    folder: Path = Path("results"),
) -> Path:
    """Write `folder/ID.json` and return its path.

    `commit`: of the code that ran, taken when it started (default: now).
    `metrics`: name → `value` and, where it makes sense, `low`, `high`, `unit`; `data`: name → checksum.

    Raises ConfigError for an ID that is no file name, no metrics, a metric without a finite value, or an unknown field.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", identifier):
        raise ConfigError(f"result ID {identifier!r}: expected lower-case words joined by hyphens, e.g. spine-snack")
    if not metrics:
        raise ConfigError(f"result {identifier}: no metrics; a record holds one or more")
    for name, metric in metrics.items():
        unknown = set(metric) - METRIC_FIELDS
        if unknown:
            raise ConfigError(f"result {identifier}, metric {name}: unknown field {sorted(unknown)[0]!r}")
        for field in ("value", *sorted({"low", "high"} & set(metric))):
            number = metric.get(field)
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise ConfigError(f"result {identifier}, metric {name}: {field} is {number!r}; expected a number")
    content = {
        "id": identifier,
        "claim": claim,
        "metrics": {name: dict(metric) for name, metric in metrics.items()},
        "command": command,
        "commit": commit or git_state(),
        "data": dict(data),
        "seeds": list(seeds),
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path = Path(folder) / f"{identifier}.json"
    atomic_write(path, json.dumps(content, indent=2) + "\n")
    return path


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of a folder by ID.

    Raises ConfigError for one that is not JSON, lacks a field, has an unknown one, or is named after another ID.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as fault:
            raise ConfigError(f"{path}: not JSON ({fault}); records are written by `--result`, not by hand") from fault
        fields = set(content) if isinstance(content, dict) else set()
        if strange := sorted(fields ^ FIELDS):
            state = "unknown field" if strange[0] in fields else "lacks the field"
            raise ConfigError(f"{path}: {state} {strange[0]!r}; a record has {', '.join(sorted(FIELDS))}")
        if content["id"] != path.stem:
            raise ConfigError(f"{path}: holds the record {content['id']!r}; the file is named after its ID")
        found[path.stem] = content
    return found


def git_state() -> str:
    """The checkout's commit, with `+dirty` when code or configuration differ from it; `unknown` outside a checkout."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=here.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        # A copy installed below somebody else's repository is not of that repository's commit.
        if not git("ls-files", "--error-unmatch", here.name):
            return "unknown"
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--", *(f":(top){name}" for name in CODE))
    except FileNotFoundError:
        return "unknown"
    return (commit + ("+dirty" if changed else "")) or "unknown"


def machine() -> str:
    """Processor, cores, memory, system and the versions that speed depends on, in words, without a host name."""
    parts = [_processor(), f"{cores()} cores", f"{_memory_gib():.0f} GiB", f"{platform.system()} {platform.machine()}"]
    parts.append(f"Python {platform.python_version()}")
    parts += [f"{name} {version}" for name, version in versions().items()]
    return ", ".join(parts)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Installed versions of the libraries that figures depend on; nothing is imported for it."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    known = instruction_sets()
    wide = [name for flag, name in INSTRUCTIONS.items() if flag in known]
    model = processor_fields().get("model name", platform.processor() or platform.machine())
    return f"{model} ({', '.join(wide)})" if wide else model


def _memory_gib() -> float:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return float("nan")
