"""The table of baselines: who stands in it and with which settings, what a record of it holds, models timed in turn.

Knows nothing of how a detector is trained.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from facings.errors import ConfigError
from facings.metrics.bootstrap import bootstrap_interval

IDENTIFIER = "det-baselines"
EXPERIMENT = "detection/fruits_nuts_masks"
DENSE = "lite0"
# Keys of a model that make up its backbone: of the experiment, for all models alike.
BACKBONE = ("backbone", "pretrained", "drop_path_rate")

# How every baseline is trained: by losses of its own.
OWN_LOSSES = ("loss=none", "optimizer=adamw")
# And how fast. The dense detector's own rate is four times torchvision's here: its heads have batch norm, theirs
# have none (FCOS has group norm), and Mask R-CNN learns ai231_grocery_masks at this rate. Decoders with attention want less
# yet: 0.0002 is what the authors of D-FINE-S take.
LEARNING = {
    "torchvision": "task.module.learning_rate=0.0005",
    "transformers": "task.module.learning_rate=0.0002",
}
# Two-stage models at their usual width would take several times as long as all others together; the head of masks runs on
# every box that is reported.
SLIM = ("model.channels=128", "model.roi_samples=64", "task.module.top_k=100")

# Figure of each model → its unit. `ms`: a picture through torch on one thread.
FIGURES: dict[str, str | None] = {"ap": None, "ap50": None, "minutes": "min", "ms": "ms", "parameters": "M"}
DISTURBANCE = "other_cpu_share"
WARMUP = 2


@dataclass(frozen=True)
class Candidate:
    """One model of the table. `name`: its option of configs/model/detector; `label`: what the table calls it; `settings`:
    further overrides of `facings train`; `masks`: whether it can outline; `outlines`: whether it learns from nothing else."""

    name: str
    label: str
    settings: tuple[str, ...] = ()
    masks: bool = False
    outlines: bool = False

    @property
    def figures(self) -> dict[str, str | None]:
        """Figure → unit. `ap_difference`: its AP minus the dense detector's."""
        return (
            FIGURES
            | ({"mask_ap": None} if self.masks else {})
            | ({} if self.name == DENSE else {"ap_difference": None})
        )


# Boxes that overlap more than nms_iou are doubles: torchvision's own values.
CANDIDATES: dict[str, Candidate] = {
    one.name: one
    for one in (
        Candidate(DENSE, "dense", masks=True),
        Candidate("faster_rcnn", "Faster R-CNN", (LEARNING["torchvision"], "task.module.nms_iou=0.5", *SLIM)),
        Candidate("retinanet", "RetinaNet", (LEARNING["torchvision"], "task.module.nms_iou=0.5")),
        Candidate("fcos", "FCOS", (LEARNING["torchvision"], "task.module.nms_iou=0.6")),
        Candidate(
            "mask_rcnn",
            "Mask R-CNN",
            (LEARNING["torchvision"], "task.module.nms_iou=0.5", *SLIM),
            masks=True,
            outlines=True,
        ),
        Candidate("rtdetr", "RT-DETRv2", (LEARNING["transformers"],)),
        Candidate("dfine", "D-FINE", (LEARNING["transformers"],)),
    )
}
# Metric of the record → its unit.
METRICS: dict[str, str | None] = {
    **{f"{one.name}_{figure}": unit for one in CANDIDATES.values() for figure, unit in one.figures.items()},
    DISTURBANCE: None,
}


def chosen(names: Sequence[str]) -> list[Candidate]:
    """The models of these names in the table's order, all where none is named. Raises ConfigError for an unknown name."""
    if unknown := [name for name in names if name not in CANDIDATES]:
        raise ConfigError(f"--models {unknown[0]}: no model of the table; there are {', '.join(CANDIDATES)}")
    return [one for name, one in CANDIDATES.items() if not names or name in names]


def settings_line(candidates: Sequence[Candidate]) -> str:
    """Which of these models have which settings of their own, for a caption.

    >>> settings_line(chosen(["lite0", "rtdetr"]))
    'RT-DETRv2: task.module.learning_rate=0.0002'
    """
    labels: dict[tuple[str, ...], list[str]] = {}
    for one in candidates:
        labels.setdefault(one.settings, []).append(one.label)
    return "; ".join(f"{', '.join(names)}: {' '.join(words)}" for words, names in labels.items() if words)


def time_in_turn(
    runs: Mapping[str, Callable[[int], Any]],
    *,
    rounds: int,
    warmup: int = WARMUP,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Milliseconds (rounds,) of each run, and 0–1, what other programs took of the processor meanwhile.

    A run is called with the number of the round, to take the same picture as all others do. Each round has an order of
    its own, so that a machine that slows down does so to all alike.
    """
    rng = np.random.default_rng(seed)
    for run in runs.values():
        for number in range(warmup):
            run(number)
    ms = {name: np.zeros(rounds) for name in runs}
    psutil.cpu_percent()
    began, worked = time.perf_counter(), time.process_time()
    for number in range(rounds):
        for name in rng.permutation(list(runs)).tolist():
            start = time.perf_counter()
            runs[name](number)
            ms[name][number] = (time.perf_counter() - start) * 1000
        advance()
    wall = (time.perf_counter() - began) * (os.cpu_count() or 1)
    others = psutil.cpu_percent() / 100 - (time.process_time() - worked) / wall
    return ms, min(1.0, max(0.0, others))


def median_of(ms: NDArray[np.float64]) -> dict[str, float]:
    """`value`: the median; `low`, `high`: its 95 % bootstrap interval over the rounds.

    >>> median_of(np.full(3, 2.0))
    {'value': 2.0, 'low': 2.0, 'high': 2.0}
    """
    low, high = bootstrap_interval(lambda index: float(np.median(ms[index])), len(ms))
    return {"value": float(np.median(ms)), "low": low, "high": high}
