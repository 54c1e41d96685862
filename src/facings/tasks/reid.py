"""Training and evaluating a re-identification model.

Knows nothing of datasets: batches come with `crops` (B, 3, S, S), `labels` (B,), where training labels are 0 … C-1 over the
trained products, maybe `index` (B,), a crop's place in its data, and maybe `attributes` (B, A), 0–1, NaN where not known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.metrics.reranking import Reranking
from facings.metrics.retrieval import prototype_predictions, reranked_figures, retrieval_metrics
from facings.metrics.retrieval_intervals import figure_intervals
from facings.metrics.retrieval_report import retrieval_report
from facings.metrics.two_covariance import likeliest_predictions
from facings.tasks.crop_views import Averaging, check_averaging, crop_views, resized
from facings.tasks.parameter_groups import parameter_groups
from facings.tasks.processes import gathered
from facings.tasks.reid_figures import (
    attribute_figures,
    head_hits,
    known_cross_entropy,
    level_hits,
    level_numbers,
)

GALLERY, QUERIES = 0, 1
# Sides shown in multi-scale training are multiples of a backbone's coarsest stride.
SIZE_STEP = 32
Record = dict[str, Tensor]


class ReidTask(pl.LightningModule):
    """One training step, and retrieval against a gallery at evaluation.

    `loss(embeddings, labels)` may hold parameters (class centres); they are trained along. What it says of its parts
    (`last`: name → value) is logged.
    `coarse`: (products,) int64, the category number of each product, for accuracy at category level.
    `paths`: for each product its categories from coarse to fine and its id last, for the accuracy at each level and for the
    targets of category heads. `multipliers`, `layer_decay`: see `parameter_groups`. `multi_scale`: each batch is shown at a
    size drawn between these factors, to the next multiple of 32 pixels.
    `loss_at`: the loss sees unit vectors "after" the batch-norm neck, or "before" it (Luo et al., see `Embedder`: there a
    triplet loss before, and the identity loss, here the category heads', after). `tta`: what embeddings are averaged over
    at evaluation, see `crop_views`; the exported graph has none of it, unless `Averaged` is exported in the model's place.
    `rerank`: how a test also puts its lists in a better order, see `facings.metrics.reranking.reranked`.
    `category_loss(logits, targets, parents)` → named terms, for a model with category heads; `category_weight`,
    `attribute_weight`: on the heads' terms. `distillation`: makes a `Distillation` out of the embedding's length.
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
        paths: Sequence[Sequence[str]] | None = None,
        multipliers: Mapping[str, float] | None = None,
        layer_decay: float = 1.0,
        multi_scale: tuple[float, float] | None = None,
        loss_at: Literal["after", "before"] = "after",
        tta: Averaging = "none",
        rerank: Reranking | None = None,
        category_loss: nn.Module | None = None,
        category_weight: float = 1.0,
        attribute_weight: float = 1.0,
        distillation: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if multi_scale is not None and not 0 < multi_scale[0] <= multi_scale[1]:
            raise ConfigError(f"task.module.multi_scale={list(multi_scale)}: expected two factors, the smaller first")
        if loss_at not in ("after", "before"):
            raise ConfigError(f"task.module.loss_at={loss_at!r}: expected after or before (the batch-norm neck)")
        check_averaging(tta)
        if rerank not in (None, *get_args(Reranking)):
            raise ConfigError(f"rerank={rerank!r}: expected null, {' or '.join(get_args(Reranking))}")
        self.model, self.loss, self.category_loss = model, loss, category_loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.learning_rate, self.multipliers, self.layer_decay = learning_rate, dict(multipliers or {}), layer_decay
        self.multi_scale, self.loss_at, self.tta, self.rerank = multi_scale, loss_at, tta, rerank
        self.category_weight, self.attribute_weight = category_weight, attribute_weight
        self.coarse = coarse
        self.paths = None if paths is None else [tuple(path) for path in paths]
        self.distillation = None if distillation is None else distillation(int(model.dimension))  # type: ignore[arg-type]
        known = _part(model, "categories", "depth")
        self.categories_known = known is not None and self.paths is not None
        targets = (
            known.targets(self.paths)
            if known is not None and self.paths is not None
            else torch.zeros(0, 0, dtype=torch.int64)
        )
        # Follows from the data, so it is no part of a checkpoint.
        self.register_buffer("category_targets", targets, persistent=False)
        self.results: dict[str, float] = {}
        # What the test split gave in detail, see `retrieval_report`.
        self.report: dict[str, Any] | None = None
        self.correct: NDArray[np.bool_] = np.zeros(0, bool)
        self.coarse_correct: NDArray[np.bool_] = np.zeros(0, bool)
        self._collected: list[list[Record]] = [[], []]

    def forward(self, crops: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, D) unit length."""
        embeddings: Tensor = self.model(crops.contiguous(memory_format=torch.channels_last))
        return embeddings

    def setup(self, stage: str) -> None:
        """Refuse what cannot learn, before any time is spent."""
        if stage != "fit":
            return
        if hasattr(self.model, "categories") and self.model.categories is not None:
            self._check_categories()
        elif self.loss_at == "before" and self.distillation is None:
            raise ConfigError(
                "task.module.loss_at=before: then nothing looks after the neck, which would learn nothing; take a model with "
                "category heads (model=embedder/lite0_heads), a teacher (task=reid_distilled), or loss_at=after"
            )
        data: Any = getattr(self.trainer, "datamodule", None)
        if hasattr(self.loss, "check_batches") and hasattr(data, "train_sampler"):
            check: Any = self.loss.check_batches
            sampler = data.train_sampler()
            check(sampler.products, sampler.views)

    def _check_categories(self) -> None:
        known = _part(self.model, "categories", "depth")
        if known is None or self.paths is None:
            raise ConfigError(
                "model.categories: no paths, or the task has none; facings train takes both from the data "
                "(model.categories.paths and paths)"
            )
        if self.category_loss is None:
            raise ConfigError(
                "task.module.category_loss=null: the model has category heads, which would learn nothing; use "
                "facings.losses.hierarchy.HierarchicalLoss, or leave out model.categories"
            )
        if not (self.get_buffer("category_targets") >= 0).any():
            raise ConfigError(
                "model.categories.paths: none of the data's products is in them; train on the data they are of"
            )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        crops = batch["crops"]
        terms = self._terms(self._scaled(crops), batch)
        loss = torch.stack(list(terms.values())).sum() if len(terms) > 1 else next(iter(terms.values()))
        shown: Any = {"batch_size": len(crops), "sync_dist": True}
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=True, **shown)
        if len(terms) > 1:
            self._log_parts(terms, **shown)
        inside = getattr(self.loss, "last", None)
        if isinstance(inside, Mapping):
            self._log_parts({f"embedding_{name}": value for name, value in inside.items()}, **shown)
        return loss

    def _log_parts(self, parts: Mapping[str, Tensor], **shown: Any) -> None:
        self.log_dict({f"train/{name}": value for name, value in parts.items()}, on_step=False, on_epoch=True, **shown)

    def _scaled(self, crops: Tensor) -> Tensor:
        if self.multi_scale is None:
            return crops
        size = crops.shape[-1]
        low, high = (max(SIZE_STEP, round(size * factor / SIZE_STEP) * SIZE_STEP) for factor in self.multi_scale)
        return resized(crops, SIZE_STEP * int(torch.randint(low // SIZE_STEP, high // SIZE_STEP + 1, (1,))))

    def _terms(self, shown: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weighted terms, which sum to the loss. `shown`: the batch's crops at the size that the model is to see."""
        labels = batch["labels"]
        categories, attributes = _part(self.model, "categories", "depth"), _part(self.model, "attributes", "names")
        parts: Any = None
        if categories is None and attributes is None and self.loss_at == "after":
            embeddings = self(shown)
        else:
            parts = self._parts(shown)
            embeddings = parts.embeddings
        looked_at = embeddings if self.loss_at == "after" else F.normalize(parts.projected.float(), dim=1)
        terms: dict[str, Tensor] = {"embedding": self.loss(looked_at, labels)}
        if categories is not None and self.category_loss is not None and self.categories_known:
            targets = self.get_buffer("category_targets")[labels]
            own = self.category_loss(categories(parts.necked), targets, categories.parents())
            terms |= {name: self.category_weight * value for name, value in own.items()}
        if attributes is not None:
            logits = attributes(parts.pooled)
            truth = known_attributes(batch, logits, attributes.names)
            terms["attributes"] = self.attribute_weight * known_cross_entropy(logits, truth)
        if self.distillation is not None:
            # The teacher has sizes of its own, and is shown the crops as they came.
            terms |= self.distillation(embeddings, batch["crops"])
        return terms

    def _parts(self, crops: Tensor) -> Any:
        model: Any = self.model
        return model.parts(crops.contiguous(memory_format=torch.channels_last))

    def on_validation_epoch_start(self) -> None:
        self._collected = [[], []]

    def on_test_epoch_start(self) -> None:
        self._collected = [[], []]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        record = self._answers(batch, heads=dataloader_idx == QUERIES) | {"labels": batch["labels"]}
        if "index" in batch:
            record["index"] = batch["index"]
        self._collected[dataloader_idx].append({name: value.cpu() for name, value in record.items()})

    def _answers(self, batch: Mapping[str, Tensor], *, heads: bool) -> Record:
        """`embeddings` (B, D), with `heads` of what there is `nodes` (B, levels), `probabilities` and `attributes` (B, A)."""
        views = crop_views(batch["crops"], self.tta)
        categories = _part(self.model, "categories", "depth") if heads and self.categories_known else None
        attributes = _part(self.model, "attributes", "names") if heads else None
        if categories is None and attributes is None:
            return {"embeddings": _mean_direction([self(view).float() for view in views])}
        parts = [self._parts(view) for view in views]
        record = {"embeddings": _mean_direction([part.embeddings.float() for part in parts])}
        if categories is not None:
            levels = zip(*(categories(part.necked) for part in parts), strict=True)
            probabilities = [
                torch.stack([view.float().softmax(dim=1) for view in level]).mean(dim=0) for level in levels
            ]
            record["nodes"] = torch.stack([level.argmax(dim=1) for level in probabilities], dim=1)
        if attributes is not None:
            logits = torch.stack([attributes(part.pooled).float() for part in parts])
            record["probabilities"] = logits.sigmoid().mean(dim=0)
            record["attributes"] = known_attributes(batch, logits[0], attributes.names)
        return record

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.validation_step(batch, batch_idx, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        self._evaluate("val")

    def on_test_epoch_end(self) -> None:
        self._evaluate("test")

    def _evaluate(self, stage: str) -> None:
        """Retrieval figures of the collected embeddings: R@1 by the nearest view, top-1 by the nearest product mean, in a test
        also by the likeliest product (`facings.metrics.two_covariance`). A query that stands in the gallery does not find
        itself; the likeliest product is then left out, as its covariances know the query."""
        gallery, queries = (joined(records) for records in self._collected)
        self._collected = [[], []]
        truth = queries["labels"]
        vectors = queries["embeddings"], gallery["embeddings"]
        own = self._own_views(stage, gallery, queries)
        results = retrieval_metrics(vectors[0], truth, vectors[1], gallery["labels"], own=own)
        predicted = prototype_predictions(*vectors, gallery["labels"], own=own)
        self.correct = predicted == truth
        self.coarse_correct = self.coarse[predicted] == self.coarse[truth]
        hits = {"fine_top1": self.correct.astype(np.float64), "coarse_top1": self.coarse_correct.astype(np.float64)}
        if self.paths is not None:
            hits |= level_hits(predicted, truth, level_numbers(self.paths))
        if "nodes" in queries:
            hits |= head_hits(queries["nodes"], self.get_buffer("category_targets").cpu().numpy()[truth])
        if stage == "test" and own is None:
            likeliest = likeliest_predictions(*vectors, gallery["labels"])
            hits |= {} if likeliest is None else {"likeliest_top1": (likeliest == truth).astype(np.float64)}
        if stage == "test" and self.rerank is not None:
            if own is not None:
                raise ConfigError(
                    f"rerank={self.rerank}: queries stand in their own gallery, so neighbours would tell them of themselves; "
                    "leave out rerank, or ask a gallery of other rows"
                )
            better = reranked_figures(self.rerank, vectors[0], truth, vectors[1], gallery["labels"])
            hits |= {f"reranked_{name}": of for name, of in better.items()}
        results |= {name: float(np.nanmean(of)) for name, of in hits.items()}
        if "probabilities" in queries:
            model: Any = self.model
            results |= attribute_figures(queries["probabilities"], queries["attributes"], model.attributes.names)
        if stage == "test":
            self.report = retrieval_report(vectors[0], truth, vectors[1], gallery["labels"], paths=self.paths, own=own)
            spans = figure_intervals(hits, groups=truth)
            self.report["intervals"]["products"] |= {name: asdict(span) for name, span in spans.items()}
            results |= _headlines(self.report)
        self.results = results
        self.log_dict({f"{stage}/{name}": value for name, value in results.items()}, prog_bar=True)

    def _own_views(
        self, stage: str, gallery: Mapping[str, NDArray[Any]], queries: Mapping[str, NDArray[Any]]
    ) -> NDArray[np.int64] | None:
        """(Q,) each query's own place among the collected views, -1 where it is not there; None where none is."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, "own_views") or "index" not in gallery or "index" not in queries:
            return None
        place = np.full(
            int(gallery["index"].max()) + 2, -1, np.int64
        )  # the last for -1, and for views that were not looked at
        place[gallery["index"]] = np.arange(len(gallery["index"]))
        named = data.own_views(stage)[queries["index"]]
        own: NDArray[np.int64] = place[np.where(named < len(place) - 1, named, -1)]
        return own if (own >= 0).any() else None

    def configure_optimizers(self) -> OptimizerLRScheduler:
        modules = {"model": self.model, "loss": self.loss}
        if self.distillation is not None:
            modules["distillation"] = self.distillation
        groups = parameter_groups(
            modules,
            learning_rate=self.learning_rate,
            multipliers=self.multipliers,
            layer_decay=self.layer_decay,
        )
        optimizer = self.make_optimizer(groups, lr=self.learning_rate)
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = self.make_scheduler(optimizer, total_steps=total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _headlines(report: Mapping[str, Any]) -> dict[str, float]:
    """What of a report stands in the table of figures: mAP, means over products, consistency, height of mistakes."""
    figures: dict[str, float] = {name: report["figures"][name] for name in ("map", "macro_r1", "macro_map")}
    if report["threshold_consistency"] is not None:
        figures["opis"] = report["threshold_consistency"]["opis"]
    if "hierarchy" in report:
        figures["mistake_height"] = report["hierarchy"]["mistake_height"]
    return figures


def known_attributes(batch: Mapping[str, Tensor], logits: Tensor, names: Sequence[str]) -> Tensor:
    """The batch's `attributes` as `logits` (B, A); all NaN where it has none. Raises ConfigError for another number of them."""
    if "attributes" not in batch:
        return torch.full_like(logits, torch.nan)
    found = batch["attributes"]
    if found.shape != logits.shape:
        raise ConfigError(
            f"model.attributes.names={list(names)}: the batch has {found.shape[-1]} attributes; name those of the data"
        )
    return found


def joined(records: list[Record]) -> dict[str, NDArray[Any]]:
    """Batches' records as one array a name; of several processes all, each crop once, in the order of the data."""
    everywhere = gathered(records)
    if not everywhere:
        raise ConfigError(
            "evaluation saw no gallery or no query; raise trainer.limit_val_batches or limit_test_batches"
        )
    whole = {name: torch.cat([record[name] for record in everywhere]).numpy() for name in everywhere[0]}
    if len(everywhere) == len(records) or "index" not in whole:
        return whole
    _, first = np.unique(whole["index"], return_index=True)
    return {name: values[first] for name, values in whole.items()}


def _part(model: nn.Module, name: str, filled: str) -> Any:
    """A model's heads, or None where it has none or they are empty (`filled`: what tells)."""
    heads = getattr(model, name, None)
    return heads if heads is not None and getattr(heads, filled) else None


def _mean_direction(embeddings: list[Tensor]) -> Tensor:
    """Unit vectors (B, D) of several views → their mean, of unit length again; of one view itself."""
    return embeddings[0] if len(embeddings) == 1 else F.normalize(torch.stack(embeddings).mean(dim=0), dim=1)
