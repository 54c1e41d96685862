"""Training and evaluating a re-identification model.

Knows nothing of datasets: batches come with `crops` (B, 3, S, S) and `labels` (B,), where training labels are
0 … C-1 over the trained products.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from facings.metrics.retrieval import prototype_predictions, retrieval_metrics
from facings.tasks.parameter_groups import parameter_groups

GALLERY, QUERIES = 0, 1


class ReidTask(pl.LightningModule):
    """One training step, and retrieval against a gallery at evaluation.

    `loss(embeddings, labels)` may hold parameters (class centres); they are trained along.
    `coarse`: (products,) int64, the category number of each product, for accuracy at category level.
    `multipliers`: see `parameter_groups`.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        optimizer: Callable[..., torch.optim.Optimizer],
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler],
        learning_rate: float,
        coarse: NDArray[np.int64],
        multipliers: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.learning_rate, self.multipliers = learning_rate, dict(multipliers or {})
        self.coarse = coarse
        self.results: dict[str, float] = {}
        self.correct: NDArray[np.bool_] = np.zeros(0, bool)
        self.coarse_correct: NDArray[np.bool_] = np.zeros(0, bool)
        self._collected: list[list[tuple[Tensor, Tensor]]] = [[], []]

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, D) unit length."""
        embeddings: Tensor = self.model(crops.contiguous(memory_format=torch.channels_last))
        return embeddings

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.loss(self(batch["crops"]), batch["labels"])
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, batch_size=len(batch["labels"]))
        return loss

    def on_validation_epoch_start(self) -> None:
        self._collected = [[], []]

    def on_test_epoch_start(self) -> None:
        self._collected = [[], []]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self._collected[dataloader_idx].append((self(batch["crops"]).float().cpu(), batch["labels"].cpu()))

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.validation_step(batch, batch_idx, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        self._evaluate("val")

    def on_test_epoch_end(self) -> None:
        self._evaluate("test")

    def _evaluate(self, stage: str) -> None:
        """Retrieval figures of the collected embeddings; R@1 by the nearest view, top-1 by the nearest product mean."""
        gallery, gallery_labels = _joined(self._collected[GALLERY])
        queries, query_labels = _joined(self._collected[QUERIES])
        self._collected = [[], []]
        results = retrieval_metrics(queries, query_labels, gallery, gallery_labels)
        predicted = prototype_predictions(queries, gallery, gallery_labels)
        self.correct = predicted == query_labels
        self.coarse_correct = self.coarse[predicted] == self.coarse[query_labels]
        results["fine_top1"] = float(self.correct.mean())
        results["coarse_top1"] = float(self.coarse_correct.mean())
        self.results = results
        self.log_dict({f"{stage}/{name}": value for name, value in results.items()}, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = parameter_groups(
            {"model": self.model, "loss": self.loss}, learning_rate=self.learning_rate, multipliers=self.multipliers
        )
        optimizer = self.make_optimizer(groups, lr=self.learning_rate)
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = self.make_scheduler(optimizer, total_steps=total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    embeddings = torch.cat([embedding for embedding, _ in parts]).numpy()
    return embeddings, torch.cat([labels for _, labels in parts]).numpy()
