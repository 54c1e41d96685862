"""Training and evaluating a detector.

Knows nothing of datasets: batches come with `pixels` (B, 3, S, S), and for each frame `boxes` (N, 4) xyxy in input pixels,
`labels` (N,), `image_id`, and at evaluation `extent` (height, width of the original) and `transform` (see
`facings.boxes.letterbox_transform`), or whole pictures as `frame`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.metrics.attributes import attribute_metrics
from facings.metrics.detection import coco_metrics
from facings.metrics.results import coco_results
from facings.metrics.segmentation import mask_metrics
from facings.metrics.thresholds import recall50
from facings.tasks.parameter_groups import parameter_groups
from facings.tasks.processes import gathered
from facings.tiles import Found, Outputs, detect

MIN_SCORE = 0.001
MOST = 1000
# Sides of a detector's input are multiples of its coarsest stride.
SIZE_STEP = 32


class DetectionTask(pl.LightningModule):
    """One training step, and COCO figures at evaluation through the branch that is exported.

    `branch`, `top_k`, `nms_iou`: see `DenseDetector.predict`. `multi_scale`: each batch is shown at a size drawn between
    these factors, to the next multiple of 32 pixels. A model with `losses` of its own (the baselines) is trained by them,
    and `loss` is not asked. `data_labels`: for each class of the model, the label number that the data has for it; None where
    both have the same. After an evaluation `predictions` holds COCO results in original pixels and `results` the figures.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler],
        learning_rate: float,
        multipliers: Mapping[str, float] | None = None,
        layer_decay: float = 1.0,
        branch: Literal["one_to_one", "one_to_many"] = "one_to_one",
        top_k: int = 1000,
        nms_iou: float = 0.65,
        multi_scale: tuple[float, float] | None = None,
        data_labels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if multi_scale is not None and not 0 < multi_scale[0] <= multi_scale[1]:
            raise ConfigError(f"task.module.multi_scale={list(multi_scale)}: expected two factors, the smaller first")
        self.model, self.loss, self.multi_scale = model, loss, multi_scale
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.learning_rate, self.multipliers, self.layer_decay = learning_rate, dict(multipliers or {}), layer_decay
        self.branch, self.top_k, self.nms_iou = branch, top_k, nms_iou
        self.data_labels = None if data_labels is None else np.array(data_labels, np.int64)
        self.predictions: list[dict[str, Any]] = []
        self.results: dict[str, float] = {}
        self._seen: list[int] = []
        self._masked = False

    def setup(self, stage: str) -> None:
        """Refuse what cannot learn, or cannot hold the data's crowded frames, before any time is spent."""
        if stage == "fit" and isinstance(self.loss, nn.Identity) and not hasattr(self.model, "losses"):
            raise ConfigError(
                f"loss=none: {type(self.model).__name__} has no losses of its own; use loss=detection (none is for the baselines)"
            )
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if datamodule is not None and hasattr(datamodule, "crowding"):
            check_capacity(min(self.top_k, int(self.model.num_anchors)), datamodule.crowding())  # type: ignore[arg-type]
        if stage == "fit" and hasattr(datamodule, "train_table"):
            check_truth(self.model, datamodule.train_table)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        pixels = batch["pixels"].contiguous(memory_format=torch.channels_last)
        targets = targets_of(batch)
        if self.multi_scale is not None:
            pixels, targets = rescaled(pixels, targets, self._random_size(pixels.shape[-1]))
        losses = self._losses(pixels, targets)
        size = len(targets)
        shown: Any = {"batch_size": size, "sync_dist": True}
        self.log("train/loss", losses["loss"], prog_bar=True, on_step=True, on_epoch=True, **shown)
        parts = {f"train/{name}": value for name, value in losses.items() if name != "loss"}
        self.log_dict(parts, on_step=False, on_epoch=True, **shown)
        loss: Tensor = losses["loss"]
        return loss

    def _random_size(self, size: int) -> int:
        assert self.multi_scale is not None
        low, high = (max(SIZE_STEP, round(size * factor / SIZE_STEP) * SIZE_STEP) for factor in self.multi_scale)
        return SIZE_STEP * int(torch.randint(low // SIZE_STEP, high // SIZE_STEP + 1, (1,)))

    def _losses(self, pixels: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """By the loss of the configuration, or by the model's own where it has one (the baselines)."""
        model: Any = self.model
        losses: dict[str, Tensor] = (
            model.losses(pixels, targets)
            if hasattr(model, "losses")
            else self.loss(model(pixels), targets, decode=model.decode)
        )
        return losses

    def on_validation_epoch_start(self) -> None:
        self.predictions, self._seen = [], []

    def on_test_epoch_start(self) -> None:
        self.predictions, self._seen = [], []

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        if "frame" in batch:
            for frame, image_id in zip(batch["frame"], batch["image_id"], strict=True):
                self._collect(self._in_tiles(frame), image_id, frame.shape[:2])
            return
        outputs = self._predict(batch["pixels"])
        size = batch["pixels"].shape[-1]
        for number, image_id in enumerate(batch["image_id"]):
            transform = batch["transform"][number].cpu().numpy()
            own = {name: values[number] for name, values in outputs.items()} | {"transform": transform}
            height, width = batch["extent"][number]
            self._collect(found_at_once(own, height, width, size), image_id, (height, width))

    def _collect(self, found: Found, image_id: int, extent: tuple[int, int]) -> None:
        self._seen.append(image_id)
        self._masked = found.has_masks
        attributes = None
        if found.attributes is not None:
            attributes = dict(zip(self.model.attributes, found.attributes.T, strict=True))  # type: ignore[arg-type]
        labels = found.labels if self.data_labels is None else self.data_labels[found.labels]
        self.predictions += coco_results(
            found.boxes,
            found.scores,
            (labels + 1).tolist(),
            image_id=image_id,
            extent=extent,
            masks=found.masks() if found.has_masks else None,
            attributes=attributes,
        )

    def _predict(self, pixels: Tensor) -> dict[str, NDArray[Any]]:
        model: Any = self.model
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        # In float32 whatever the training's precision: as exported, and without neighbours of equal score, which half
        # precision is full of.
        with torch.autocast(self.device.type, enabled=False):
            outputs = model.predict(pixels, branch=self.branch, top_k=self.top_k, nms_iou=self.nms_iou)
        return {name: output.float().cpu().numpy() for name, output in outputs.items()}

    def _in_tiles(self, frame: NDArray[np.uint8]) -> Found:
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]

        def run(tile: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
            pixels, transform = datamodule.prepare(tile)
            outputs = self._predict(torch.from_numpy(pixels)[None].to(self.device))
            return {name: values[0] for name, values in outputs.items()} | {"transform": transform}

        return detect(frame, run, input_size=datamodule.image_size, tiling=datamodule.tiling, least=MIN_SCORE)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        self._evaluate("val")

    def on_test_epoch_end(self) -> None:
        self._evaluate("test")

    def _evaluate(self, stage: str) -> None:
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        table = datamodule.val_table if stage == "val" else datamodule.test_table
        truth = table.ground_truth()
        # In the order that one process finds them, so that equal scores rank alike.
        self.predictions = sorted(gathered(self.predictions), key=lambda prediction: int(prediction["image_id"]))
        # Under debug=fast only a part of the split is looked at; the rest must not count as missed.
        seen = set(gathered(self._seen))
        truth["images"] = [image for image in truth["images"] if image["id"] in seen]
        truth["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] in seen]
        masked = any(gathered([self._masked]))
        self.results = detection_figures(truth, self.predictions, boundary=stage == "test", masked=masked)
        self.log_dict({f"{stage}/{name}": value for name, value in self.results.items() if name != "ap50"})
        self.log(f"{stage}/ap50", self.results["ap50"], prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = parameter_groups(
            {"model": self.model},
            learning_rate=self.learning_rate,
            multipliers=self.multipliers,
            layer_decay=self.layer_decay,
        )
        optimizer = self.make_optimizer(groups, lr=self.learning_rate)
        scheduler = self.make_scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def check_capacity(capacity: int, crowding: float) -> None:
    """Raise ConfigError when frames hold more objects than the detector can report: those would be lost in silence."""
    if capacity < crowding:
        raise ConfigError(
            f"the detector reports at most {capacity} boxes a frame (top_k and anchors), but 99.9 % of the pictures "
            f"hold up to {crowding:.0f} objects; raise task.module.top_k or image_size, of a baseline model.detections or "
            "model.queries"
        )


def check_truth(model: nn.Module, table: Any) -> None:
    """Refuse masks that no object could teach; warn of attributes that no object tells.

    `table`: the training's `facings.data.coco.CocoTable`. Raises ConfigError.
    """
    if getattr(model, "prototypes", None) is not None and not table.outlined:
        raise ConfigError(
            f"model.prototypes: {table.source} holds no outlines to learn masks from; set it to 0, or give annotations "
            "with segmentation"
        )
    told = {name for image in table.images for known in image.attributes for name in known}
    if untold := [name for name in getattr(model, "attributes", ()) if name not in told]:
        rank_zero_warn(
            f"attributes={untold}: no object in {table.source} says yes or no to these, so their answers mean nothing; it tells "
            f"of {sorted(told) or 'none'}"
        )


def rescaled(
    pixels: Tensor, targets: Sequence[Mapping[str, Tensor]], size: int
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Square pixels [B, 3, S, S] and their truth at another size."""
    factor = size / pixels.shape[-1]
    if factor == 1:
        return pixels, [dict(target) for target in targets]
    shown = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=factor < 1)
    scaled = []
    for target in targets:
        new = dict(target) | {"boxes": target["boxes"] * factor}
        if "masks" in target:
            new["masks"] = F.interpolate(target["masks"][None, None].float(), size=(size, size), mode="nearest")[0, 0]
            new["masks"] = new["masks"].to(target["masks"].dtype)
        scaled.append(new)
    return shown.contiguous(memory_format=torch.channels_last), scaled


def targets_of(batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
    """A batch's truth, one dict a frame: `boxes`, `labels`, and `masks`, `attributes` where the data has them."""
    names = [name for name in ("boxes", "labels", "masks", "attributes") if name in batch]
    return [dict(zip(names, values, strict=True)) for values in zip(*(batch[name] for name in names), strict=True)]


def found_at_once(outputs: Outputs, height: int, width: int, input_size: int) -> Found:
    """What a model says of one letterboxed picture (its outputs without batch, and the `transform`), as the store has it."""
    blank = np.broadcast_to(np.zeros(1, np.uint8), (height, width, 3))
    return detect(blank, lambda _: outputs, input_size=input_size, least=MIN_SCORE)


def detection_figures(
    truth: Mapping[str, Any], predictions: Sequence[Mapping[str, Any]], *, boundary: bool = False, masked: bool = False
) -> dict[str, float]:
    """COCO figures of the boxes, `recall50`, of attributes that both sides name, and where both have outlines of the masks.

    Recall and attributes look at 1,000 detections a picture and class: at the 300 of `ap` half of 600 goods would be missed.
    `masked`: the detector makes masks, so that finding nothing has a mask AP of 0, and not none that a callback could watch.
    """
    figures = coco_metrics(truth, predictions) | {"recall50": recall50(truth, predictions, max_detections=MOST)}
    figures |= attribute_metrics(truth, predictions, max_detections=MOST)
    outlined = all("segmentation" in entry for entry in truth["annotations"])
    if outlined and (all("segmentation" in entry for entry in predictions) if predictions else masked):
        figures |= mask_metrics(truth, predictions, boundary=boundary)
    return figures
