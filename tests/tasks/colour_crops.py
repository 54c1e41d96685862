"""Crops of plain colours with noise, their loaders, and a small embedder to train on them."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from facings.models.embedder import Embedder
from facings.models.pooling import GeM
from facings.tasks.reid import ReidTask
from facings.tasks.schedules import warmup_cosine

SIDE = 32
COLOURS = ((0.9, -0.8, -0.8), (0.9, 0.8, -0.8), (-0.8, -0.7, 0.9), (-0.8, 0.7, 0.8))
# Ragged: the last has no kind of its own.
PATHS = (("Warm", "Red", "cherry"), ("Warm", "Yellow", "lemon"), ("Cold", "Blue", "plum"), ("Cold", "mint"))


class ColourCrops(Dataset[dict[str, Tensor]]):
    """`views` crops of each product; the one attribute, a white stripe, is on odd crops, and every third is not known."""

    def __init__(self, views: int, seed: int, *, attributes: bool = False) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(len(COLOURS)).repeat(views)
        colours = torch.tensor(COLOURS)[self.labels][:, :, None, None]
        self.crops = colours + 0.3 * torch.randn(len(self.labels), 3, SIDE, SIDE, generator=generator)
        striped = (torch.arange(len(self.labels)) // len(COLOURS)) % 2 == 1
        self.crops[striped, :, 12:20] = 1.0
        self.known = striped.float()[:, None]
        self.known[::3] = torch.nan
        self.attributes = attributes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = {"crops": self.crops[index], "labels": self.labels[index], "index": torch.tensor(index)}
        return item | ({"attributes": self.known[index]} if self.attributes else {})


def loader(views: int, seed: int, *, attributes: bool = False) -> DataLoader[Any]:
    """In order, so that runs can be compared; batches of 8 hold every product twice."""
    return DataLoader(ColourCrops(views, seed, attributes=attributes), batch_size=8)


def colour_embedder(**options: Any) -> Embedder:
    return Embedder("test_efficientnet", pooling=GeM(), image_size=SIDE, dimension=16, **options)


def colour_task(model: nn.Module, **options: Any) -> ReidTask:
    loss = ArcFaceLoss(num_classes=len(COLOURS), embedding_size=16, margin=5.0, scale=16)
    settings: dict[str, Any] = {"paths": PATHS, "learning_rate": 0.003} | options
    return ReidTask(
        model,
        settings.pop("loss", loss),
        optimizer=partial(torch.optim.AdamW, weight_decay=0.01),
        scheduler=warmup_cosine,
        coarse=np.array([0, 0, 1, 1]),
        **settings,
    )


def colour_trainer(folder: Path, **options: Any) -> pl.Trainer:
    settings: dict[str, Any] = {
        "max_epochs": 4,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "logger": False,
    }
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **(settings | options),
    )


def fit(task: ReidTask, folder: Path, *, attributes: bool = False, **options: Any) -> pl.Trainer:
    """Train on 4 views of each colour, look at 4 others against those in the gallery."""
    trainer = colour_trainer(folder, **options)
    gallery, queries = loader(4, 0), loader(4, 1, attributes=attributes)
    trainer.fit(task, loader(4, 0, attributes=attributes), [gallery, queries])
    return trainer
