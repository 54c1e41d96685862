"""What lies behind an embedder's R@1, as a file: intervals, each class and level, how far up the tree mistakes are."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facings.files import atomic_write

FILE = "retrieval.json"


def write_retrieval(folder: Path, report: Mapping[str, Any], products: Sequence[str]) -> Path:
    """`report` as `facings.metrics.retrieval_report` makes it, classes by product id; what has no value is null."""
    classes = {products[label]: figures for label, figures in report["classes"].items()}
    path = folder / FILE
    atomic_write(path, json.dumps(_strict({**report, "classes": classes}), indent=1) + "\n")
    return path


def _strict(value: Any) -> Any:
    """Without NaN, which JSON does not know."""
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
