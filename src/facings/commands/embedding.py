"""A finished run's embedder asked about crops: their vectors, and the share of them that find their product.

Knows how rows of a recognition table are embedded; the training itself is a matter of `facings train`.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from rich.progress import track
from torch import nn
from torch.nn import functional as F

from facings.commands.composition import compose_verb
from facings.commands.evaluate import checkpoint_data
from facings.commands.run_files import run_minutes, run_seed
from facings.commands.train import best_checkpoint
from facings.data.recognition_datamodule import RecognitionDataModule
from facings.data.tables import RecognitionRow
from facings.errors import ConfigError
from facings.export.networks import export_embedder
from facings.metrics.bootstrap import bootstrap_interval
from facings.metrics.nearest import top_k
from facings.runtime.session import Session
from facings.tasks.crop_views import VIEWS, Averaging

Vectors = NDArray[np.float32]
REPEATS = 1000
# What headline records of crops that are worth the most work a crop average over (`facings evaluate tta=`).
HEADLINE: Averaging = "multicrop_flip"
# Crops from which on a graph on ONNX Runtime is worth its making: a third of the time for EfficientNet-Lite2 on one thread.
EXPORTED_FROM = 500
OPSET = 20


@dataclass(frozen=True)
class Crops:
    """Rows with their vectors (N, D) of unit length and labels (N,): places in the data's list of products."""

    rows: Sequence[RecognitionRow]
    labels: NDArray[np.int64]
    vectors: Vectors

    def take(self, rows: Sequence[RecognitionRow]) -> "Crops":
        """Those of `rows`, which are among mine."""
        place = {row: number for number, row in enumerate(self.rows)}
        index = [place[row] for row in rows]
        return Crops(rows, self.labels[index], self.vectors[index])


class Embedding:
    """A finished run's model, and the frozen backbone that it started from, asked about its data."""

    def __init__(self, run: Path) -> None:
        self.run, self.checkpoint = run, best_checkpoint(run)
        cfg = compose_verb("evaluate", [f"checkpoint={self.checkpoint}"])
        self.model, data, self.config = checkpoint_data(cfg)
        if not isinstance(data, RecognitionDataModule):
            raise ConfigError(f"{run}: not an embedder's run")
        self.data = data
        self.seed, self.minutes = run_seed(run), run_minutes(run)

    @property
    def backbone(self) -> str:
        """timm's name of it."""
        return str(self.config["model"]["backbone"])

    def frozen(self) -> nn.Module:
        """The mean feature of the ImageNet backbone, as weights.md's floor."""
        return frozen_backbone(self.backbone, self.data.image_size)

    def labels(self, rows: Sequence[RecognitionRow]) -> NDArray[np.int64]:
        """(N,) places of the rows' products in the data's list."""
        place = {product: number for number, product in enumerate(self.data.products)}
        return np.array([place[row.product_id] for row in rows], np.int64)

    def crops(
        self,
        rows: Sequence[RecognitionRow],
        *,
        model: nn.Module | None = None,
        tta: Averaging = "none",
        data: RecognitionDataModule | None = None,
    ) -> Crops:
        """`rows` of `data` through `model` (the trained one by default)."""
        return self.averages(rows, (tta,), model=model, data=data)[tta]

    def averages(
        self,
        rows: Sequence[RecognitionRow],
        ways: Sequence[Averaging],
        *,
        model: nn.Module | None = None,
        data: RecognitionDataModule | None = None,
    ) -> dict[Averaging, Crops]:
        """The same averaged over views in each of `ways`; a view that several of them have is embedded once."""
        source = data or self.data
        network, loader = model or self.model, source.loader(rows)
        views = list(dict.fromkeys(view for way in ways for view in VIEWS[way]))
        labels: list[NDArray[np.int64]] = []
        vectors: dict[Averaging, list[Vectors]] = {way: [] for way in ways}
        with embedded_by(network, source.image_size, len(rows) * len(views)) as embed, torch.inference_mode():
            for batch in track(loader, f"{self.run.name}: {len(rows)} crops in {len(views)} views", transient=True):
                crops = batch["crops"].to(_device())
                seen = {view: embed(view(crops)) for view in views}
                for way in ways:
                    mean = torch.stack([seen[view] for view in VIEWS[way]]).mean(dim=0)
                    vectors[way].append(F.normalize(mean, dim=1).numpy())
                labels.append(batch["labels"].numpy())
        return {way: Crops(rows, np.concatenate(labels), np.concatenate(parts)) for way, parts in vectors.items()}

    def judged(self, predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
        """Whether product (`fine`) and category (`coarse`) are right; both (N,) places in the data's list of products."""
        coarse = self.data.coarse_labels()
        return {"fine": predicted == truth, "coarse": coarse[predicted] == coarse[truth]}

    def alone(self, *sides: Crops) -> list[Crops]:
        """The trained embedder's own vectors out of those of a joined one (`facings.models.joined`); nothing of any other."""
        trained = getattr(self.model, "trained", None)
        if trained is None:
            return []
        own = [crops.vectors[:, : trained.dimension] for crops in sides]
        return [
            Crops(crops.rows, crops.labels, half / np.linalg.norm(half, axis=1, keepdims=True))
            for crops, half in zip(sides, own, strict=True)
        ]


@contextmanager
def embedded_by(model: nn.Module, size: int, crops: int) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """What embeds `crops` crops [B, 3, S, S] of side `size` fastest: `model` on a GPU where there is one, its graph on ONNX
    Runtime where the crops are many, `model` itself where they are few. Wants crops on `_device()`, answers [B, D] float32 on
    the CPU."""
    if _device() == "cuda":
        with _on_gpu(model):
            yield lambda batch: _asked(model, batch).cpu()
    elif crops < EXPORTED_FROM:
        yield lambda batch: _asked(model, batch)
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "embedder.onnx"
            export_embedder(model, path, image_size=size, opset=OPSET)
            graph = Session(path, threads=torch.get_num_threads())
        yield lambda batch: torch.from_numpy(graph(crops=batch.numpy())["embeddings"])


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _on_gpu(model: nn.Module) -> Iterator[None]:
    """Whoever gave the model may save it: it is put back."""
    model.cuda()
    try:
        yield
    finally:
        model.cpu()


def _asked(model: nn.Module, crops: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model(crops.contiguous(memory_format=torch.channels_last))
    return found.float()


def frozen_backbone(name: str, image_size: int) -> nn.Module:
    """timm's backbone `name` with packaged ImageNet weights as an embedder: its mean feature as unit vector.

    `image_size`: side of its square input in pixels. Raises ConfigError where no package has its weights.
    """
    model: nn.Module = instantiate(
        {
            "_target_": "facings.models.embedder.PooledBackbone",
            "backbone": name,
            "image_size": image_size,
            "pretrained": "offline",
        }
    )
    return model.eval()


def among_nearest(queries: Crops, gallery: Crops, k: int) -> NDArray[np.bool_]:
    """(Q,) whether a view of the query's product is among the `k` nearest."""
    nearest = top_k(queries.vectors, gallery.vectors, k).indices
    right: NDArray[np.bool_] = (gallery.labels[nearest] == queries.labels[:, None]).any(axis=1)
    return right


def right_share(
    right: NDArray[np.bool_] | NDArray[np.float64], groups: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """The share of right answers, or the mean of a difference of such; the interval draws queries, or whole groups of them.

    By hand: of two products' queries one product's are all right, the other's all wrong: 0.5, from 0 to 1.

    >>> right_share(np.array([True, True, False, False]), groups=np.array([0, 0, 1, 1]))
    {'value': 0.5, 'low': 0.0, 'high': 1.0}
    """
    if groups is None:
        low, high = bootstrap_interval(lambda index: float(right[index].mean()), len(right), repeats=REPEATS)
        return {"value": float(right.mean()), "low": low, "high": high}
    _, place = np.unique(groups, return_inverse=True)
    hits, sizes = np.bincount(place, weights=right), np.bincount(place)
    low, high = bootstrap_interval(
        lambda index: float(hits[index].sum() / sizes[index].sum()), len(sizes), repeats=REPEATS
    )
    return {"value": float(right.mean()), "low": low, "high": high}


def average_name(way: Averaging, *, before: str = "", after: str = "") -> str:
    """What figures of this way are called, between `before` and `after`; nothing for those of `HEADLINE`.

    >>> average_name("none", before="_"), average_name("flip", after="_"), average_name("multicrop_flip", before="_")
    ('_one_view', 'flip_', '')
    """
    name = "one_view" if way == "none" else way
    return "" if way == HEADLINE else f"{before}{name}{after}"


def checksums(asked: Sequence[Embedding]) -> dict[str, str]:
    return {f"{one.run.name}/{name}": value for one in asked for name, value in one.data.checksums().items()}
