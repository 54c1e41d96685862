"""What a finished run's folder says of itself. Knows nothing of tasks."""

import json
from pathlib import Path

from facings.errors import DataError


def run_minutes(run: Path) -> float:
    """What the training took. Raises DataError where it did not finish."""
    path = run / "results.json"
    if not path.is_file():
        raise DataError(f"{path}: missing; did the training finish?")
    return float(json.loads(path.read_text(encoding="utf-8"))["minutes"])


def run_seed(run: Path) -> int:
    """The seed that the run was made with."""
    return int(json.loads((run / "environment.json").read_text(encoding="utf-8"))["seed"])
