"""What a finished run leaves for the eye: curves, the worst and best pictures, and what its batches looked like.

`train` and `evaluate` call this at their end, `facings inspect` at any time.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback

from facings.analysis.batch_sheets import TrainingPicture, draw_batches
from facings.analysis.comparison import Kind, has_masks, pair_pictures
from facings.analysis.contact_sheet import jpeg
from facings.analysis.curve_figures import draw_calibration, draw_f1_score, draw_precision_recall, png
from facings.analysis.curves import ScoredHits, match_split
from facings.analysis.detection_errors import (
    JudgedPicture,
    best_pictures,
    judge,
    worst_first,
    worst_pictures,
)
from facings.analysis.error_sheets import draw_judged
from facings.commands.named_truth import named_truth
from facings.data.coco import CocoTable
from facings.errors import ConfigError, DataError
from facings.files import atomic_write
from facings.metrics.thresholds import F1Point
from facings.runtime.images import read_image

COLUMNS = ("picture", "f1", "objects", "right", "missed", "false", "doubled", "wrong class")
# Where nothing is right no threshold is best; then those are shown that a detector is fairly sure of.
FALLBACK_SCORE = 0.5
TRAINING_PICTURES = 12


@dataclass(frozen=True)
class Inspection:
    """`best`: the cut of best F1, at which pictures are judged; `judged`: all pictures, worst first; `paths`: the files."""

    best: F1Point
    judged: tuple[JudgedPicture, ...]
    paths: tuple[Path, ...]


def write_inspection(
    folder: Path,
    table: CocoTable,
    predictions: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    *,
    judged_by: Kind = "boxes",
    pictures: int = 6,
    only_predicted: bool = False,
) -> Inspection:
    """Write the figures, the sheets and `pictures.csv` into `folder`/plots.

    `predictions`: COCO results of the table's pictures; `labels`: what the classes are called on the sheets. Masks are
    looked at where every object and every detection has one. `pictures`: how many on each sheet; `only_predicted`: leave
    out pictures without any prediction, where only a part of the split was asked about.

    Raises DataError for predictions that are not of this table, ConfigError for `judged_by` masks that are not there.
    """
    truth = _truth(table, predictions, only_predicted=only_predicted)
    try:
        pairs = pair_pictures(truth, predictions)
        kinds: list[Kind] = ["boxes", "masks"] if has_masks(truth, predictions) else ["boxes"]
        found = {kind: match_split(truth, predictions, kind=kind) for kind in kinds}
        figures = _figures(found)
    except ValueError as fault:
        raise DataError(f"{table.source}: {fault}; were they made on another split?") from fault
    if judged_by not in kinds:
        raise ConfigError(
            f"judged_by={judged_by}: expected one of {kinds}; masks need one of every object and detection"
        )
    best = found[judged_by].best()
    score = FALLBACK_SCORE if np.isnan(best.threshold) else best.threshold
    judged = [judge(pair, score=score, kind=judged_by) for pair in pairs]
    ranked = tuple(worst_first(judged))
    content: dict[str, bytes | str] = {**figures, "pictures.csv": _csv(ranked)}
    for name, text, chosen in (
        ("worst", "Worst pictures", worst_pictures(judged, pictures)),
        ("best", "Best pictures", best_pictures(judged, pictures)),
    ):
        what = f"{judged_by} at IoU ≥ 0.5, detections with a score of {score:.3g} or more"
        title = f"{text}: {what if chosen else 'there are none'}"
        content[f"{name}.jpg"] = jpeg(draw_judged(chosen, _reader(table), labels, title))
    paths = tuple(folder / "plots" / name for name in content)
    for path, data in zip(paths, content.values(), strict=True):
        atomic_write(path, data)
    return Inspection(best, ranked, paths)


def write_training_batches(
    folder: Path,
    loader: Iterable[Mapping[str, Any]],
    mean: Sequence[float],
    std: Sequence[float],
    labels: Sequence[str],
    *,
    pictures: int = TRAINING_PICTURES,
) -> Path:
    """Write `folder`/plots/train_batches.jpg: the first pictures of a loader (or list) of training batches."""
    shown: list[TrainingPicture] = []
    for batch in loader:
        shown += batch_pictures(batch)
        if len(shown) >= pictures:
            break
    path = folder / "plots" / "train_batches.jpg"
    atomic_write(path, jpeg(draw_batches(shown[:pictures], mean, std, labels)))
    return path


class TrainingBatchesSheet(Callback):
    """Write the sheet from the first batches that the network really gets: no loader is built or drawn from twice."""

    def __init__(self, folder: Path, mean: Sequence[float], std: Sequence[float], labels: Sequence[str]) -> None:
        self.folder, self.mean, self.std, self.labels = folder, mean, std, labels
        self._batches: list[Mapping[str, Any]] = []
        self._written = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._written or not trainer.is_global_zero:
            return
        self._batches.append(batch)
        if sum(len(batch["boxes"]) for batch in self._batches) >= TRAINING_PICTURES:
            self._write()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An epoch of fewer pictures than the sheet holds is shown as it is."""
        if self._batches:
            self._write()

    def _write(self) -> None:
        write_training_batches(self.folder, self._batches, self.mean, self.std, self.labels)
        self._batches, self._written = [], True


def batch_pictures(batch: Mapping[str, Any]) -> list[TrainingPicture]:
    """The pictures of a batch of tensors (see `facings.data.detection.collate`) as arrays."""
    masks = batch.get("masks") or [None] * len(batch["boxes"])
    return [
        TrainingPicture(
            pixels=pixels.detach().float().cpu().numpy(),
            boxes=boxes.detach().float().cpu().numpy(),
            labels=labels.cpu().numpy(),
            identities=None if identities is None else identities.cpu().numpy(),
        )
        for pixels, boxes, labels, identities in zip(
            batch["pixels"], batch["boxes"], batch["labels"], masks, strict=True
        )
    ]


def _truth(table: CocoTable, predictions: Sequence[Mapping[str, Any]], *, only_predicted: bool) -> dict[str, Any]:
    truth = named_truth(table)
    if only_predicted:
        seen = {prediction["image_id"] for prediction in predictions}
        truth["images"] = [image for image in truth["images"] if image["id"] in seen]
        truth["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] in seen]
    return truth


def _figures(found: Mapping[Kind, ScoredHits]) -> dict[str, bytes]:
    return {
        "pr_curve.png": png(draw_precision_recall(found)),
        "f1_score.png": png(draw_f1_score(found)),
        "calibration.png": png(draw_calibration(found)),
    }


def _reader(table: CocoTable) -> Callable[[JudgedPicture], NDArray[np.uint8]]:
    """A function that reads the pixels of a judged picture."""
    paths = {image.image_id: image.path for image in table.images}

    def read(picture: JudgedPicture) -> NDArray[np.uint8]:
        return read_image(paths[picture.pair.image_id])

    return read


def _csv(ranked: Sequence[JudgedPicture]) -> str:
    """All pictures, worst first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for picture in ranked:
        counts = [picture.errors.get(name, 0) for name in COLUMNS[4:]]
        writer.writerow([picture.pair.name, f"{picture.f1:.4f}", len(picture.fates), picture.right, *counts])
    return buffer.getvalue()
