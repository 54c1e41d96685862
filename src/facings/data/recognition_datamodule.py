"""Loaders for training and evaluating an embedder from a recognition table.

Knows nothing of models. Products that are trained come first in the label order, so that a classifier over the
training products can use the labels as they are.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import albumentations as A
import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from facings.data.recognition import RecognitionDataset
from facings.data.samplers import PKSampler
from facings.data.tables import RecognitionRow, RecognitionTable
from facings.errors import ConfigError

Selection = Mapping[str, str]


class RecognitionDataModule(pl.LightningDataModule):
    """P×K batches for training; gallery and queries for evaluation.

    `train`, `gallery`, `val`, `test`: which `split` and `role` of the table serve as what. `gallery_limit`: views a
    product at validation (all at test), spread evenly. Evaluation yields two loaders: gallery, then queries.
    """

    def __init__(
        self,
        *,
        table: RecognitionTable,
        train: Selection,
        gallery: Selection,
        val: Selection,
        test: Selection,
        transform: A.Compose,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        products_per_batch: int,
        views_per_product: int,
        seed: int,
        eval_batch_size: int = 32,
        workers: int = 0,
        crop_margin: float = 0.05,
        train_margin: float = 0.1,
        cache_size: int = 256,
        gallery_limit: int = 8,
    ) -> None:
        super().__init__()
        self.table = table
        self.train_rows = table.select(**train)
        self.gallery_rows = table.select(**gallery)
        self.val_rows = table.select(**val)
        self.test_rows = table.select(**test)
        self.transform, self.image_size, self.mean, self.std = transform, image_size, mean, std
        self.products_per_batch, self.views_per_product, self.seed = products_per_batch, views_per_product, seed
        self.eval_batch_size, self.workers = eval_batch_size, workers
        self.crop_margin, self.train_margin, self.cache_size = crop_margin, train_margin, cache_size
        self.gallery_limit = gallery_limit
        trained = table.products(self.train_rows)
        later = set(table.products(self.gallery_rows + self.val_rows + self.test_rows)) - set(trained)
        self.products: list[str] = trained + sorted(later)
        self.num_train_products = len(trained)
        if self.num_train_products < 2:
            raise ConfigError(f"{table.source}: training needs 2 products or more, the training rows have {trained}")
        self._index = {product: number for number, product in enumerate(self.products)}
        self._train_set: RecognitionDataset | None = None

    def coarse_labels(self) -> NDArray[np.int64]:
        """(products,) int64: the number of each product's category; a product without category is one of its own."""
        categories = self.table.categories()
        paths = [categories[product] or (product,) for product in self.products]
        order = {path: number for number, path in enumerate(sorted(set(paths)))}
        return np.array([order[path] for path in paths], np.int64)

    def checksums(self) -> dict[str, str]:
        """Data set → sha256 over its rows and the sizes of its pictures (reading all pixels would take minutes)."""
        digest = hashlib.sha256()
        sizes = {row.path: row.path.stat().st_size if row.path.is_file() else -1 for row in self.table.rows}
        for row in sorted(self.table.rows, key=lambda row: (str(row.path), str(row.box))):
            record = (row.path.name, sizes[row.path], row.product_id, row.split, row.role, row.category, row.box)
            digest.update(repr(record).encode())
        return {"recognition": digest.hexdigest()}

    def train_dataset(self) -> RecognitionDataset:
        """The training crops, augmented."""
        if self._train_set is None:
            self._train_set = self._dataset(self.train_rows, self.train_margin, self.transform)
        return self._train_set

    def train_dataloader(self) -> DataLoader[Any]:
        dataset = self.train_dataset()
        dataset.warm()
        sampler = PKSampler(
            dataset.labels, products=self.products_per_batch, views=self.views_per_product, seed=self.seed
        )
        return DataLoader(
            dataset,
            batch_size=sampler.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            drop_last=True,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        return [self._loader(self._limited(self.gallery_rows)), self._loader(self.val_rows)]

    def test_dataloader(self) -> list[DataLoader[Any]]:
        return [self._loader(self.gallery_rows), self._loader(self.test_rows)]

    def _limited(self, rows: Sequence[RecognitionRow]) -> list[RecognitionRow]:
        """At most `gallery_limit` rows a product, evenly spread over its rows."""
        views: dict[str, list[RecognitionRow]] = {}
        for row in rows:
            views.setdefault(row.product_id, []).append(row)
        if self.gallery_limit <= 0:
            return list(rows)
        kept: list[RecognitionRow] = []
        for of_product in views.values():
            picked = np.linspace(0, len(of_product) - 1, min(self.gallery_limit, len(of_product))).round().astype(int)
            kept += [of_product[i] for i in picked]
        return kept

    def _dataset(
        self, rows: Sequence[RecognitionRow], margin: float, transform: A.Compose | None
    ) -> RecognitionDataset:
        return RecognitionDataset(
            rows,
            [self._index[row.product_id] for row in rows],
            image_size=self.image_size,
            mean=self.mean,
            std=self.std,
            margin=margin,
            transform=transform,
            cache_size=self.cache_size if transform is not None else 0,
        )

    def _loader(self, rows: Sequence[RecognitionRow]) -> DataLoader[Any]:
        dataset = self._dataset(rows, self.crop_margin, None)
        return DataLoader(dataset, batch_size=self.eval_batch_size, num_workers=self.workers)
