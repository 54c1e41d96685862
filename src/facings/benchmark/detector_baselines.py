"""The table of baselines: who stands in it and with which settings, what a record of it holds, models timed in turn.

Knows nothing of how a detector is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from facings.errors import ConfigError

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
