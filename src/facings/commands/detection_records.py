"""The detector's headline records, taken again from checkpoints: figures with intervals, and who beats whom.

Knows how a checkpoint is evaluated; the training itself is a matter of `facings train`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from facings.commands.composition import compose_verb
from facings.commands.evaluate import evaluate_checkpoint
from facings.commands.run_files import run_minutes, run_seed
from facings.commands.run_records import Metrics, RunRecord, Taken
from facings.commands.train import best_checkpoint
from facings.errors import ConfigError
from facings.metrics.average_precision import DrawnPrecision, paired_intervals
from facings.metrics.bootstrap import share_interval
from facings.metrics.matching import IouType, Overlaps
from facings.tasks.detection import MOST

Predictions = Sequence[Mapping[str, Any]]
REPEATS = 1000
# ai231's photos are 512 pixels long, its detector's input 320: tiles show small goods as they are, the whole photo large ones.
TILES = "{size: 320, overlap: 96, whole: true, large: 0.5}"


class Judged:
    """A run's test split, asked again through its best checkpoint. `settings`: overrides of `facings evaluate`."""

    def __init__(self, run: Path, **settings: Any) -> None:
        words = [f"checkpoint={best_checkpoint(run)}", *(f"{key}={value}" for key, value in settings.items())]
        self.run = run
        found = evaluate_checkpoint(compose_verb("evaluate", words))
        if found.frames is None:
            raise ConfigError(f"{run}: not a detector's run")
        self.figures, self.predictions, self.checksums = found.figures, found.predictions, found.checksums
        self.truth = found.frames.ground_truth()

    @property
    def minutes(self) -> float:
        """What the training took, as its run folder says."""
        return run_minutes(self.run)

    @property
    def seed(self) -> int:
        return run_seed(self.run)

    def drawn(self, kind: IouType) -> DrawnPrecision:
        """For intervals over pictures."""
        return DrawnPrecision(self.truth, self.predictions, iou_type=kind)

    def metric(self, name: str, kind: IouType = "bbox") -> dict[str, Any]:
        """A figure with its interval; `name`: ap or ap50, with the prefix mask_ or boundary_ for those kinds."""
        low, high = self.drawn(kind).intervals(repeats=REPEATS)[name.split("_")[-1]]
        return {"value": self.figures[name], "low": low, "high": high}

    def recall50(self) -> dict[str, Any]:
        """Share of all objects found at an IoU of 0.5, with its interval."""
        classes = Overlaps(self.truth, self.predictions, max_detections=MOST).match((0.5,))
        objects = np.sum([matches.objects for matches in classes], axis=0)
        found = np.sum([np.bincount(m.pictures[m.hits[0]], minlength=len(objects)) for m in classes], axis=0)
        low, high = share_interval(found, objects, repeats=REPEATS)
        return {"value": self.figures["recall50"], "low": low, "high": high}


def snack(runs: Sequence[Path]) -> Taken:
    """`det-snack`: one run, both branches of its checkpoint."""
    one, many = (Judged(runs[0], branch=branch) for branch in ("one_to_one", "one_to_many"))
    gap = paired_intervals(many.drawn("bbox"), one.drawn("bbox"), repeats=REPEATS)["ap"]
    metrics = {"ap50": one.metric("ap50"), "ap": one.metric("ap"), "recall50": one.recall50()}
    value = many.figures["ap"] - one.figures["ap"]
    return _taken(metrics | {"one_to_one_gap": {"value": value, "low": gap.low, "high": gap.high}}, [one])


def ai231(runs: Sequence[Path]) -> Taken:
    """`det-ai231`: the dense detector's run, by its one-to-many branch, and Mask R-CNN's, both with NMS and in tiles; `whole_`: the
    photo looked at once; `one_to_one_`: by the branch that needs no NMS, in tiles."""
    ours, theirs = Judged(runs[0], tiles=TILES, branch="one_to_many"), Judged(runs[1], tiles=TILES)
    once, free = Judged(runs[0], branch="one_to_many"), Judged(runs[0], tiles=TILES)
    metrics: Metrics = {}
    kinds: dict[str, IouType] = {"ap": "bbox", "mask_ap": "segm"}
    for name, kind in kinds.items():
        difference = paired_intervals(ours.drawn(kind), theirs.drawn(kind), repeats=REPEATS)["ap"]
        Console().print(
            f"{name}: {ours.figures[name]:.3f} against {theirs.figures[name]:.3f}, better by {difference.value:.3f} "
            f"({difference.low:.3f} to {difference.high:.3f}), in {difference.wins:.0%} of the draws"
        )
        short = "box_ap" if name == "ap" else name
        metrics[short] = ours.metric(name, kind)
        metrics[f"mask_rcnn_{short}"] = theirs.metric(name, kind)
        metrics[f"whole_{short}"] = once.metric(name, kind)
        metrics[f"one_to_one_{short}"] = free.metric(name, kind)
    Console().print(f"minutes: {ours.minutes:.1f} against {theirs.minutes:.1f}")
    minutes = {"minutes": {"value": ours.minutes}, "mask_rcnn_minutes": {"value": theirs.minutes}}
    return _taken(metrics | minutes, [ours, theirs])


def produce(runs: Sequence[Path]) -> Taken:
    """`det-produce`: the runs on tomatoes, on fruits, on dates and nuts."""
    judged = [Judged(run) for run in runs]
    metrics: Metrics = {}
    for name, one in zip(("laboro", "fruits300", "nuts"), judged, strict=True):
        metrics[f"{name}_mask_ap50"] = one.metric("mask_ap50", "segm")
        metrics[f"{name}_boundary_ap"] = one.metric("boundary_ap", "boundary")
    return _taken(metrics, judged)


def sim2real(runs: Sequence[Path]) -> Taken:
    """`synth-sim2real`: a run whose test split is real and whose training was not."""
    one = Judged(runs[0])
    return _taken({name: one.metric(name) for name in ("ap", "ap50")} | {"minutes": {"value": one.minutes}}, [one])


def pretrain(runs: Sequence[Path]) -> Taken:
    """`synth-pretrain`: the run that began with the synthetic detector, and the one that began with ImageNet."""
    synthetic, imagenet = (Judged(run) for run in runs)
    gain = paired_intervals(synthetic.drawn("bbox"), imagenet.drawn("bbox"), repeats=REPEATS)["ap50"]
    Console().print(
        f"AP50 better by {gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f}), in {gain.wins:.0%} of the draws"
    )
    metrics = {"ap50_from_synthetic": synthetic.metric("ap50"), "ap50_from_imagenet": imagenet.metric("ap50")}
    return _taken(metrics, [synthetic, imagenet])


def _taken(metrics: Metrics, judged: Sequence[Judged]) -> Taken:
    data = {f"{one.run.name}/{name}": checksum for one in judged for name, checksum in one.checksums.items()}
    return Taken(metrics, [one.seed for one in judged], data)


RECORDS: Mapping[str, RunRecord] = {
    "det-snack": RunRecord(1, snack),
    "det-ai231": RunRecord(2, ai231),
    "det-produce": RunRecord(3, produce),
    "synth-sim2real": RunRecord(1, sim2real),
    "synth-pretrain": RunRecord(2, pretrain),
}
