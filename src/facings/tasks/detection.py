"""Training and evaluating a detector.

Knows nothing of datasets: batches come with `pixels` (B, 3, S, S), and for each frame `boxes` (N, 4) xyxy in input pixels,
`labels` (N,), `image_id` and `transform` (see `facings.boxes.letterbox_transform`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from facings.boxes import clip, to_image, xyxy_to_xywh
from facings.errors import ConfigError
from facings.metrics.detection import coco_metrics
from facings.tasks.parameter_groups import parameter_groups

MIN_SCORE = 0.001


class DetectionTask(pl.LightningModule):
    """One training step, and COCO figures at evaluation through the branch that is exported.

    `branch`, `top_k`, `nms_iou`: see `DenseDetector.predict`. After an evaluation `predictions` holds COCO results in
    original pixels and `results` the figures.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module | None,
        *,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler],
        learning_rate: float,
        multipliers: Mapping[str, float] | None = None,
        branch: Literal["one_to_one", "one_to_many"] = "one_to_one",
        top_k: int = 1000,
        nms_iou: float = 0.65,
    ) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.learning_rate, self.multipliers = learning_rate, dict(multipliers or {})
        self.branch, self.top_k, self.nms_iou = branch, top_k, nms_iou
        self.predictions: list[dict[str, Any]] = []
        self.results: dict[str, float] = {}

    def setup(self, stage: str) -> None:
        """Refuse a model that cannot hold the data's crowded frames, before any time is spent."""
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None and hasattr(datamodule, "crowding"):
            check_capacity(min(self.top_k, int(self.model.num_anchors)), datamodule.crowding())  # type: ignore[arg-type]

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        pixels = batch["pixels"].contiguous(memory_format=torch.channels_last)
        targets = targets_of(batch)
        losses = self._losses(pixels, targets)
        size = len(targets)
        self.log("train/loss", losses["loss"], prog_bar=True, on_step=True, on_epoch=True, batch_size=size)
        parts = {f"train/{name}": value for name, value in losses.items() if name != "loss"}
        self.log_dict(parts, on_step=False, on_epoch=True, batch_size=size)
        loss: Tensor = losses["loss"]
        return loss

    def _losses(self, pixels: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """By the loss of the configuration, or by the model's own where it has one (the baselines)."""
        model: Any = self.model
        losses: dict[str, Tensor] = (
            model.losses(pixels, targets)
            if self.loss is None
            else self.loss(model(pixels), targets, decode=model.decode)
        )
        return losses

    def on_validation_epoch_start(self) -> None:
        self.predictions = []

    def on_test_epoch_start(self) -> None:
        self.predictions = []

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        pixels = batch["pixels"].contiguous(memory_format=torch.channels_last)
        model: Any = self.model
        outputs = model.predict(pixels, branch=self.branch, top_k=self.top_k, nms_iou=self.nms_iou)
        boxes, scores, labels = (outputs[name].float().cpu().numpy() for name in ("boxes", "scores", "labels"))
        size = pixels.shape[-1]
        for i, image_id in enumerate(batch["image_id"]):
            kept = scores[i] >= MIN_SCORE
            transform = batch["transform"][i].cpu().numpy()
            # Whatever reaches into the grey border is cut at the picture's edge, as the runtime cuts it.
            extent = (np.array([size, size]) - 2 * transform[2:]) / transform[:2]
            corners = clip(to_image(boxes[i][kept], transform), round(float(extent[1])), round(float(extent[0])))
            self.predictions += [
                {"image_id": image_id, "category_id": int(label) + 1, "bbox": box, "score": float(score)}
                for box, score, label in zip(
                    xyxy_to_xywh(corners).tolist(), scores[i][kept], labels[i][kept], strict=True
                )
            ]

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
        # Under debug=fast only a part of the split was looked at; the rest must not count as missed.
        limited = {"val": self.trainer.limit_val_batches, "test": self.trainer.limit_test_batches}[stage] != 1.0
        if limited:
            seen = {prediction["image_id"] for prediction in self.predictions}
            truth["images"] = [image for image in truth["images"] if image["id"] in seen]
            truth["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] in seen]
        self.results = coco_metrics(truth, self.predictions)
        self.log_dict({f"{stage}/{name}": value for name, value in self.results.items() if name != "ap50"})
        self.log(f"{stage}/ap50", self.results["ap50"], prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = parameter_groups({"model": self.model}, learning_rate=self.learning_rate, multipliers=self.multipliers)
        optimizer = self.make_optimizer(groups, lr=self.learning_rate)
        scheduler = self.make_scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def check_capacity(capacity: int, crowding: float) -> None:
    """Raise ConfigError when frames hold more objects than the detector can report: those would be lost in silence."""
    if capacity < crowding:
        raise ConfigError(
            f"the detector reports at most {capacity} boxes a frame (top_k and anchors), but 99.9 % of the pictures "
            f"hold up to {crowding:.0f} objects; raise task.module.top_k or image_size"
        )


def targets_of(batch: Mapping[str, Any]) -> list[dict[str, Tensor]]:
    """A batch's truth, one dict a frame: `boxes`, `labels`, and `masks`, `attributes` where the data has them."""
    names = [name for name in ("boxes", "labels", "masks", "attributes") if name in batch]
    return [dict(zip(names, values, strict=True)) for values in zip(*(batch[name] for name in names), strict=True)]
