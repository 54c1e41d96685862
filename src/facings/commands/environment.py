"""What a run needs to be repeated: versions, commit, seed, data, machine. Written as `environment.json`."""

import json
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from facings.benchmark.record import git_state, machine
from facings.files import atomic_write

PACKAGES = (
    "facings",
    "torch",
    "torchvision",
    "timm",
    "albumentations",
    "pytorch-lightning",
    "pytorch-metric-learning",
    "hydra-core",
    "onnx",
    "onnxruntime",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "faster-coco-eval",
)


def write_environment(folder: Path, *, seed: int, data: Mapping[str, str], command: str) -> dict[str, Any]:
    """Write `environment.json` into the run's folder and return its content.

    `data`: name → checksum of what the run reads.
    """
    content = {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "data": dict(data),
        "git": git_state(),
        "machine": machine(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
    }
    atomic_write(folder / "environment.json", json.dumps(content, indent=2) + "\n")
    return content


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def command_line(verb: str) -> str:
    """The command as typed, for a record that gives it again."""
    words = [word for word in sys.argv[1:] if not word.startswith("hydra.")]
    return " ".join(["facings", verb, *words])
