"""Loaders for training and evaluating a detector from COCO tables. Knows nothing of models."""

from collections.abc import Mapping, Sequence
from typing import Any

import albumentations as A
import numpy as np
import psutil
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_warn
from torch.utils.data import DataLoader

from facings.data.coco import CocoTable, read_coco
from facings.data.detection import CACHE_BYTES, DetectionDataset, collate
from facings.data.joined_tables import joined
from facings.data.samplers import ShareSampler, ShuffleSampler, process
from facings.data.transforms.letterbox import letterbox, normalise
from facings.errors import ConfigError
from facings.tiles import Tiling

Source = Mapping[str, str]
Sources = Source | Sequence[Source]


class CocoDetectionDataModule(pl.LightningDataModule):
    """`train`, `val`, `test`: each `{annotations: FILE.json, images: FOLDER}`, or a list of such; `test` null means `val`.

    `samples_per_epoch`: frames an epoch, drawn in whole shuffled rounds; null is one round. Small sets want many rounds.
    `mosaic`, `mosaic_side`, `copy_paste`, `attributes`: see `DetectionDataset`. `tiles`: `size`, `overlap`, `whole` of
    `facings.tiles.Tiling`, for pictures too large to be looked at at once. `cache_bytes`: what the training's frames may take
    of the memory, all processes together, and never more than half of what is free.
    """

    def __init__(
        self,
        *,
        train: Sources,
        val: Sources,
        test: Sources | None = None,
        augmentation: A.Compose,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        seed: int,
        eval_batch_size: int = 8,
        class_agnostic: bool = False,
        samples_per_epoch: int | None = None,
        mosaic: float = 0.0,
        mosaic_side: int | None = None,
        copy_paste: float = 0.0,
        attributes: Sequence[str] = (),
        tiles: Mapping[str, Any] | None = None,
        cache_size: int = 1280,
        cache_bytes: int = CACHE_BYTES,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.class_agnostic = class_agnostic
        self._parts = {name: self._read(given) for name, given in {"train": train, "val": val}.items()}
        self._parts["test"] = self._read(test) if test is not None else self._parts["val"]
        self.train_table, self.val_table = joined(self._parts["train"]), joined(self._parts["val"])
        self.test_table = joined(self._parts["test"]) if test is not None else self.val_table
        for name, table in {"val": self.val_table, "test": self.test_table}.items():
            if table.labels != self.train_table.labels:
                raise ConfigError(
                    f"data.{name}: {table.source} has the categories {list(table.labels)}, "
                    f"training has {list(self.train_table.labels)}; they must be the same, or set class_agnostic=true"
                )
        self.augmentation, self.image_size, self.mean, self.std = augmentation, image_size, mean, std
        self.batch_size, self.eval_batch_size, self.seed, self.workers = batch_size, eval_batch_size, seed, workers
        self.samples_per_epoch, self.cache_size, self.cache_bytes = samples_per_epoch, cache_size, cache_bytes
        self.mosaic, self.mosaic_side, self.copy_paste, self.attributes = mosaic, mosaic_side, copy_paste, attributes
        self.tiling = Tiling.of(**tiles) if tiles else None
        if copy_paste and not self.train_table.outlined:
            raise ConfigError(
                f"data.copy_paste={copy_paste}: {self.train_table.source} holds no outlines to cut objects out by; set it to 0"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """Category names by label number."""
        return self.train_table.labels

    def _read(self, given: Sources) -> list[CocoTable]:
        sources = [given] if isinstance(given, Mapping) else given
        return [read_coco(s["annotations"], s["images"], class_agnostic=self.class_agnostic) for s in sources]

    def _files(self) -> list[CocoTable]:
        """The tables as they lie on disk, each once."""
        return list({table.source: table for part in self._parts.values() for table in part}.values())

    def faults(self) -> list[str]:
        """What reading the tables left out or mended."""
        return [f"{table.source.name}: {fault}" for table in self._files() for fault in table.faults]

    def checksums(self) -> dict[str, str]:
        """Annotation file → its sha256; of files with one name, the later ones with their folder."""
        found: dict[str, str] = {}
        for table in self._files():
            name = table.source.name
            found["/".join(table.source.parts[-2:]) if name in found else name] = table.checksum()
        return found

    def crowding(self) -> float:
        """Objects a picture that 99.9 % of all pictures do not exceed."""
        return max(t.count_quantile(0.999) for t in (self.train_table, self.val_table, self.test_table))

    def prepare(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A picture or tile (H, W, 3) → the model's input (3, S, S), and the transform (4,) that maps boxes back."""
        square, transform = letterbox(image, self.image_size)
        return normalise(square, self.mean, self.std), transform

    def train_dataloader(self) -> DataLoader[Any]:
        dataset = self._dataset(self.train_table, self.augmentation)
        if left := dataset.warm():
            rank_zero_warn(
                f"{left} of {len(self.train_table.images)} training pictures find no room in memory and are decoded whenever they "
                "are drawn: lower data.cache_size, add data.workers, or raise data.cache_bytes"
            )
        count = self.samples_per_epoch or len(dataset)
        _, processes = process()
        if count < self.batch_size * processes:
            together = f" in each of {processes} processes" if processes > 1 else ""
            raise ConfigError(
                f"data.batch_size={self.batch_size}{together} is more than the {count} frames of an epoch: lower it, or set "
                "data.samples_per_epoch"
            )
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=ShuffleSampler(len(dataset), count=count, seed=self.seed),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=collate,
            drop_last=True,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.val_table)

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader(self.test_table)

    def _loader(self, table: CocoTable) -> DataLoader[Any]:
        dataset = self._dataset(table, None)
        return DataLoader(
            dataset,
            batch_size=self.eval_batch_size,
            sampler=ShareSampler(len(dataset)),
            num_workers=self.workers,
            collate_fn=collate,
        )

    def _dataset(self, table: CocoTable, augmentation: A.Compose | None) -> DetectionDataset:
        training = augmentation is not None
        return DetectionDataset(
            table,
            image_size=self.image_size,
            mean=self.mean,
            std=self.std,
            augmentation=augmentation,
            mosaic=self.mosaic if training else 0.0,
            mosaic_side=self.mosaic_side,
            copy_paste=self.copy_paste if training else 0.0,
            attributes=self.attributes,
            tiling=self.tiling,
            cache_size=self.cache_size if training else 0,
            cache_bytes=min(self.cache_bytes, psutil.virtual_memory().available // 2) // process()[1],
        )
