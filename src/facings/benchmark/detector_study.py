"""The short study of detectors: what is varied, what a record of it holds, and which variants no other one beats.

Knows nothing of how a detector is trained or timed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facings.errors import ConfigError

IDENTIFIER = "det-study"
# Of every training, so that variants differ in what their name says alone.
PICTURES, EPOCHS, BATCH = 640, 5, 4
# Whole frames are tested larger than crops are trained: goods are then about as large as they were in training.
ENLARGED = 1.5
SCRATCH = ("model.pretrained=none", "callbacks.freeze=null")
# Figure of each variant → its unit. ap, ap50: one-to-one; nms_ap: one-to-many with NMS, of the same checkpoint.
FIGURES: dict[str, str | None] = {
    "ap": None,
    "ap50": None,
    "nms_ap": None,
    "ms": "ms",
    "gflop": "GFLOP",
    "minutes": "min",
}
DISTURBANCE = "other_cpu_share"


@dataclass(frozen=True)
class Training:
    """One training. `model`: option of configs/model/detector; `size`: side of its pictures in pixels; `settings`: further
    overrides of `facings train`; `what`: what is particular about it, in words."""

    name: str
    what: str
    model: str
    size: int = 320
    pictures: int = PICTURES
    settings: tuple[str, ...] = ()

    def overrides(self) -> list[str]:
        """Overrides of `facings train`, without those that say where data and run folder lie."""
        return [
            "experiment=detection/snack_shelves",
            f"model=detector/{self.model}",
            "model.prototypes=0",
            f"image_size={enlarged(self.size)}",
            f"transforms.size={self.size}",
            f"data.mosaic_side={self.size}",
            f"data.batch_size={BATCH}",
            f"data.samples_per_epoch={self.pictures // EPOCHS}",
            f"trainer.max_epochs={EPOCHS}",
            f"trainer.check_val_every_n_epoch={EPOCHS}",
            "logger=csv",
            *self.settings,
        ]


@dataclass(frozen=True)
class Variant:
    """A training tested at a size: one point of the figure. `label`: what the figure calls it; `size`: side of the test
    input in pixels, the one that it is exported for."""

    name: str
    label: str
    training: Training
    size: int

    @property
    def graph(self) -> str:
        """The first variant whose exported graph is the same but for the weights: speed does not depend on those."""
        return next(name for name, other in VARIANTS.items() if other.shape == self.shape)

    @property
    def shape(self) -> tuple[str, int, frozenset[str]]:
        """All that the time of the exported graph depends on."""
        return self.training.model, self.size, frozenset(self.training.settings) - set(SCRATCH)


def enlarged(size: int) -> int:
    """Side of the test input for a side of the training pictures, in pixels.

    >>> enlarged(320)
    480
    """
    return int(size * ENLARGED)


LITE0 = Training("lite0_320", "lite0 from ImageNet weights: 96 channels, neck depth 1, head depth 2", "lite0")
SMALLER = Training("lite0_256", "smaller pictures", "lite0", size=256)
LARGER = Training("lite0_448", "larger pictures", "lite0", size=448)
LITE2 = Training(
    "lite2_320", "a larger backbone, from ImageNet weights", "lite0", settings=("model.backbone=tf_efficientnet_lite2",)
)
# Trainings, the most telling first, and what the figure calls each.
TRAININGS: dict[str, Training] = {
    "lite0": LITE0,
    "lite0 256": SMALLER,
    "small from scratch": Training(
        "small_scratch", "MobileNetV4-small, no ImageNet weights", "small", settings=SCRATCH
    ),
    "nano from scratch": Training("nano_scratch", "half as wide, no ImageNet weights", "nano", settings=SCRATCH),
    "lite0 448": LARGER,
    "lite2": LITE2,
    "head depth 1": Training("lite0_head1", "one layer fewer in the head", "lite0", settings=("model.head_depth=1",)),
    "64 channels": Training(
        "lite0_channels64", "neck and head of 64 channels", "lite0", settings=("model.channels=64",)
    ),
    "lite0 from scratch": Training("lite0_scratch", "no ImageNet weights", "lite0", settings=SCRATCH),
    "nano from scratch, 3× as long": Training(
        "nano_scratch_long",
        "no ImageNet weights, 3 times the pictures",
        "nano",
        pictures=3 * PICTURES,
        settings=SCRATCH,
    ),
    "neck depth 2": Training(
        "lite0_neck2", "one block more at each node of the neck", "lite0", settings=("model.neck_depth=2",)
    ),
}
# Trainings that are tested beside their usual size at others: sides in pixels.
OTHER_SIZES = {"lite0": (320, 640), "lite0 256": (256,), "lite0 448": (448,), "lite2": (320,)}
VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        *(
            Variant(one.name, f"{label} → {enlarged(one.size)}", one, enlarged(one.size))
            for label, one in TRAININGS.items()
        ),
        *(
            Variant(f"{TRAININGS[label].name}_at_{size}", f"{label} → {size}", TRAININGS[label], size)
            for label, sizes in OTHER_SIZES.items()
            for size in sizes
        ),
    )
}
# Metric of the record → its unit.
METRICS: dict[str, str | None] = {
    **{f"{name}_{figure}": unit for name in VARIANTS for figure, unit in FIGURES.items()},
    DISTURBANCE: None,
}


def chosen(names: Sequence[str]) -> list[Variant]:
    """The variants of these names, all where none is named. Raises ConfigError for an unknown name."""
    if unknown := [name for name in names if name not in VARIANTS]:
        raise ConfigError(f"--only {unknown[0]}: no variant of the study; there are {', '.join(VARIANTS)}")
    return [variant for name, variant in VARIANTS.items() if not names or name in names]


def pareto_front(costs: Sequence[float], worths: Sequence[float]) -> list[int]:
    """Indices, by rising cost, of the points that no other beats: being as cheap and worth more, or cheaper and worth as much.

    By hand: the point worth 2 at a cost of 3 is beaten by the one worth 2 at a cost of 2.

    >>> pareto_front([1.0, 3.0, 2.0, 4.0], [1.0, 2.0, 2.0, 3.0])
    [0, 2, 3]
    """
    front: list[int] = []
    for index in np.lexsort((-np.asarray(worths), np.asarray(costs))).tolist():
        if not front or worths[index] > worths[front[-1]]:
            front.append(index)
    return front


def front_of(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the variants on the front of AP against milliseconds, the fastest first. `metrics`: a record's."""
    names = list(VARIANTS)
    costs, worths = ([metrics[f"{name}_{figure}"]["value"] for name in names] for figure in ("ms", "ap"))
    return [names[index] for index in pareto_front(costs, worths)]


def study_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of a record's metrics: one row a variant, the fastest first; those on the front in bold."""
    head = ("variant", "trained → tested, px", "GFLOP", "ms", "AP (95 %)", "AP50", "AP with NMS", "training, min")
    lines = [f"| {' | '.join(head)} |", "| --- | --- " + "| ---: " * (len(head) - 2) + "|"]
    front = front_of(metrics)
    for variant in sorted(VARIANTS.values(), key=lambda one: metrics[f"{one.name}_ms"]["value"]):
        values = {figure: metrics[f"{variant.name}_{figure}"] for figure in FIGURES}
        name = f"**`{variant.name}`**" if variant.name in front else f"`{variant.name}`"
        ap = values["ap"]
        cells = (
            f"{name}: {variant.training.what}",
            f"{variant.training.size} → {variant.size}",
            f"{values['gflop']['value']:.1f}",
            f"{values['ms']['value']:.1f}",
            f"{ap['value']:.3f} ({ap['low']:.3f}–{ap['high']:.3f})",
            f"{values['ap50']['value']:.3f}",
            f"{values['nms_ap']['value']:.3f}",
            f"{values['minutes']['value']:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
