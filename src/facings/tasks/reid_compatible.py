"""An embedder whose queries can be searched in the gallery of the one before it: backward-compatible training.

Shen, Xiong, Xia, Soatto: "Towards Backward-Compatible Representation Learning", CVPR 2020. Knows nothing of galleries on disk.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.metrics.compatibility import cross_hits
from facings.tasks.reid import Record, ReidTask, joined
from facings.tasks.teacher import Teacher

OLD = "old_embeddings"


class CompatibleReidTask(ReidTask):
    """A `ReidTask` with the influence loss of an `old` embedder, whose vectors must be as long as the model's.

    Training starts by embedding the training crops with the old one. The mean of each product's views, at unit length, is its
    weight in a fixed classifier (sec. 3.3 of the paper, where it stands in for classes that the old classifier lacks; here for
    all, so that the old run's labels and loss need not be known). `influence`, its weight, `scale`, `margin`: see `Influence`.

    Evaluation asks both: `r1` is new against new, `cross_r1` new queries in the old gallery, `old_r1` old against old. The
    upgrade is compatible where `cross_r1` is above `old_r1`.

    Raises ConfigError for vectors of another length, a negative weight, or `loss_at=before`: what is searched is behind the neck.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        old: Teacher,
        influence: float = 1.0,
        scale: float = 24.0,
        margin: float = 0.0,
        **settings: Any,
    ) -> None:
        dimension = int(model.dimension)  # type: ignore[arg-type]
        if old.dimension != dimension:
            raise ConfigError(
                f"model.dimension={dimension}: the old embedder's vectors have {old.dimension} numbers, and only such are compared"
            )
        if settings.get("loss_at", "after") != "after":
            raise ConfigError("task.module.loss_at=before: the influence loss looks at what is searched; set after")
        super().__init__(model, InfluencedLoss(loss, Influence(influence, scale, margin)), **settings)
        self.old = old

    def on_train_start(self) -> None:
        """Make the old embedder's classifier, of crops as evaluation sees them where the data give them, else as trained."""
        data: Any = getattr(self.trainer, "datamodule", None)
        views = data.loader(data.train_rows) if hasattr(data, "train_rows") else self.trainer.train_dataloader
        influence: Any = self.loss.influence
        influence.prototypes = self._prototypes(views)

    @torch.no_grad()
    def _prototypes(self, views: Iterable[Mapping[str, Tensor]] | None) -> Tensor:
        """(C, D) unit mean of the old embeddings of each product 0 … C-1. Raises ConfigError for one without a view."""
        sums = torch.zeros(0, self.old.dimension, device=self.device)
        for batch in views or ():
            labels, embeddings = batch["labels"].to(self.device), self.old(batch["crops"].to(self.device))
            if missing := int(labels.max()) + 1 - len(sums):
                sums = F.pad(sums, (0, 0, 0, max(missing, 0)))
            sums = sums.index_add(0, labels, embeddings)
        empty = (sums == 0).all(dim=1).nonzero().flatten().tolist()
        if empty or not len(sums):
            raise ConfigError(
                f"task.module.old: {len(empty) or 'all'} of the trained products have no view in the training loader "
                f"(first: number {empty[0] if empty else 0}), so that the old embedder has no place for them"
            )
        return F.normalize(sums, dim=1)

    def _answers(self, batch: Mapping[str, Tensor], *, heads: bool) -> Record:
        return super()._answers(batch, heads=heads) | {OLD: self.old(batch["crops"])}

    def _evaluate(self, stage: str) -> None:
        gallery, queries = (joined(records) for records in self._collected)
        super()._evaluate(stage)
        hits = cross_hits(
            (queries[OLD], queries["embeddings"]),
            queries["labels"],
            (gallery[OLD], gallery["embeddings"]),
            gallery["labels"],
            own=self._own_views(stage, gallery, queries),
        )
        figures = {f"{name}_r1": float(hits[name].mean()) for name in ("old", "cross")}
        self.results |= figures
        self.log_dict({f"{stage}/{name}": value for name, value in figures.items()}, prog_bar=True)


class Influence(nn.Module):
    """λ L(w_old, φ) of eq. 4: the cross-entropy of new embeddings under the old embedder's fixed classifier, whose weights are
    its `prototypes` (C, D) of unit length; none of them learns, and none is in a `state_dict`.

    `scale`: on the cosines; `margin`: taken off the cosine of the right product (Wang et al.: "CosFace", CVPR 2018). `weight` 0
    only measures. Raises ConfigError for a negative weight or margin, or a scale that is not above 0.
    """

    def __init__(self, weight: float, scale: float, margin: float) -> None:
        super().__init__()
        if weight < 0 or margin < 0 or scale <= 0:
            raise ConfigError(
                f"task.module: influence={weight}, margin={margin}, scale={scale}; expected none below 0 and a scale above"
            )
        self.weight, self.scale, self.margin = weight, scale, margin
        # Not a buffer: those are averaged and saved, and this follows from the data and the old embedder.
        self.prototypes: Tensor | None = None

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) of unit length, (B,) → the weighted loss. Raises ValueError before there are prototypes."""
        if self.prototypes is None:
            raise ValueError("the influence loss was asked before the old embedder's prototypes were set")
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = embeddings.float() @ self.prototypes.to(embeddings.device).t()
            own = F.one_hot(labels, len(self.prototypes))
            return self.weight * F.cross_entropy(self.scale * (cosines - self.margin * own), labels)


class InfluencedLoss(nn.Module):
    """A run's own loss and the old embedder's influence, summed. `last`: the parts of the last call, to be logged."""

    def __init__(self, own: nn.Module, influence: Influence) -> None:
        super().__init__()
        self.own, self.influence = own, influence
        self.last: dict[str, Tensor] = {}

    def check_batches(self, products: int, views: int) -> None:
        """As the run's own loss does, where it does."""
        if hasattr(self.own, "check_batches"):
            check: Any = self.own.check_batches
            check(products, views)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D), (B,) → the sum."""
        own, influence = self.own(embeddings, labels), self.influence(embeddings, labels)
        inside = getattr(self.own, "last", None)
        parts = dict(inside) if isinstance(inside, Mapping) else {"own": own.detach()}
        self.last = parts | {"influence": influence.detach()}
        total: Tensor = own + influence
        return total
