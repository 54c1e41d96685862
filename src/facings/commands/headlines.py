"""Which figures of a training become a headline record, and what they claim."""

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

from facings.benchmark.claims import claim_of
from facings.metrics.bootstrap import bootstrap_interval


def training_claim(identifier: str, figures: Mapping[str, float], task: pl.LightningModule) -> dict[str, Any]:
    """`claim` and `metrics` for `write_result`, limited to the metric names that the ID asks for.

    The interval of `fine_top1` is a bootstrap over the test pictures.
    """
    claim, names, units = claim_of(identifier, available=sorted(figures))
    metrics: dict[str, dict[str, Any]] = {name: {"value": float(figures[name])} for name in names}
    for name in names:
        if name in units:
            metrics[name]["unit"] = units[name]
    for name, correct in {"fine_top1": "correct", "coarse_top1": "coarse_correct"}.items():
        values = getattr(task, correct, None)
        if name in metrics and values is not None and len(values):
            right = np.asarray(values, np.float64)
            low, high = bootstrap_interval(partial(_mean_of, right), len(right))
            metrics[name] |= {"low": low, "high": high}
    return {"claim": claim, "metrics": metrics}


def figures_json(figures: Mapping[str, float]) -> str:
    """Figures as strict JSON: one that has no value (no such objects in the data) is null, not NaN."""
    plain = {name: float(value) if math.isfinite(value) else None for name, value in figures.items()}
    return json.dumps(plain, indent=2) + "\n"


def _mean_of(values: NDArray[np.float64], index: NDArray[np.int64]) -> float:
    return float(values[index].mean())
