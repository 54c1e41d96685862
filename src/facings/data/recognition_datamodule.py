"""Loaders for training and evaluating an embedder from a recognition table.

Knows nothing of models. Products that are trained come first in the label order, so that a classifier over the
training products can use the labels as they are.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import albumentations as A
import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from facings.data.recognition import RecognitionDataset
from facings.data.recognition_selection import Selection, limit_views, select_rows, trained_products
from facings.data.samplers import PKSampler, ProductSampler
from facings.data.tables import RecognitionRow, RecognitionTable
from facings.errors import ConfigError


class RecognitionDataModule(pl.LightningDataModule):
    """P×K batches for training; gallery and queries for evaluation.

    `train`, `gallery`, `val`, `test`: which `split` and `role` of the table serve as what; a list puts several together.
    `train_products`, or `holdout` (`{count, draw}`): the products that training sees, see `trained_products`; gallery and queries
    keep all. `gallery_limit`, `test_gallery_limit`: views a product at validation and at test (0: all), spread evenly, or
    drawn by the seed `gallery_draw`; `held_out_gallery_limit`: the same for products that training does not see, at both.
    Evaluation yields two loaders: gallery, then queries.

    `sampler(labels, products=, views=, seed=, paths=)`: gives the training batches (the Hydra group `sampler`).
    `attributes`: yes-or-no properties of the rows that batches bring along, see `RecognitionDataset`.
    """

    def __init__(
        self,
        *,
        table: RecognitionTable,
        train: Selection | Sequence[Selection],
        gallery: Selection | Sequence[Selection],
        val: Selection | Sequence[Selection],
        test: Selection | Sequence[Selection],
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
        test_gallery_limit: int = 0,
        held_out_gallery_limit: int = 0,
        gallery_draw: int | None = None,
        train_products: Sequence[str] | None = None,
        holdout: Mapping[str, int] | None = None,
        attributes: Sequence[str] = (),
        sampler: Callable[..., ProductSampler] = PKSampler,
    ) -> None:
        super().__init__()
        self.table = table
        rows = select_rows(table, train)
        trained = trained_products(table.products(rows), train_products=train_products, holdout=holdout)
        self.train_rows = tuple(row for row in rows if row.product_id in set(trained))
        self.gallery_rows = select_rows(table, gallery)
        self.val_rows = select_rows(table, val)
        self.test_rows = select_rows(table, test)
        self.transform, self.image_size, self.mean, self.std = transform, image_size, mean, std
        self.products_per_batch, self.views_per_product, self.seed = products_per_batch, views_per_product, seed
        self.eval_batch_size, self.workers = eval_batch_size, workers
        self.crop_margin, self.train_margin, self.cache_size = crop_margin, train_margin, cache_size
        self.gallery_limit, self.test_gallery_limit = gallery_limit, test_gallery_limit
        self.held_out_gallery_limit, self.gallery_draw = held_out_gallery_limit, gallery_draw
        self.attributes, self.make_sampler = tuple(attributes), sampler
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

    @property
    def held_out(self) -> list[str]:
        """Products of gallery and queries that training does not see, in label order."""
        return self.products[self.num_train_products :]

    def category_paths(self) -> list[tuple[str, ...]]:
        """Each product's category from coarse to fine, in label order; () where the table gives none."""
        categories = self.table.categories()
        return [categories[product] for product in self.products]

    def checksums(self) -> dict[str, str]:
        """Data set → sha256 over its rows and the sizes of its pictures (reading all pixels would take minutes)."""
        digest = hashlib.sha256()
        sizes = {row.path: row.path.stat().st_size if row.path.is_file() else -1 for row in self.table.rows}
        for row in sorted(self.table.rows, key=lambda row: (str(row.path), str(row.box))):
            record = (row.path.name, sizes[row.path], row.product_id, row.split, row.role, row.category, row.box)
            digest.update(repr(record).encode())
            if row.attributes:
                digest.update(repr(sorted(row.attributes.items())).encode())
        return {"recognition": digest.hexdigest()}

    def train_dataset(self) -> RecognitionDataset:
        """The training crops, augmented."""
        if self._train_set is None:
            self._train_set = self._dataset(self.train_rows, self.train_margin, self.transform)
        return self._train_set

    def train_sampler(self) -> ProductSampler:
        """What draws the training batches: its `products` and `views` are what a loss can count on. Reads no picture.

        Raises ConfigError where the training rows cannot give such batches.
        """
        return self.make_sampler(
            [self._index[row.product_id] for row in self.train_rows],
            products=self.products_per_batch,
            views=self.views_per_product,
            seed=self.seed,
            paths=self.category_paths(),
        )

    def train_dataloader(self) -> DataLoader[Any]:
        # The sampler first: what it refuses should be said before minutes of decoding.
        sampler = self.train_sampler()
        dataset = self.train_dataset()
        dataset.warm()
        return DataLoader(
            dataset,
            batch_size=sampler.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            drop_last=True,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        return [self.loader(self.gallery(self.gallery_limit)), self.loader(self.val_rows)]

    def test_dataloader(self) -> list[DataLoader[Any]]:
        return [self.loader(self.gallery(self.test_gallery_limit)), self.loader(self.test_rows)]

    def gallery(self, limit: int) -> list[RecognitionRow]:
        """Gallery rows, at most `limit` a product, and of products not trained at most `held_out_gallery_limit` too."""
        rows = limit_views(self.gallery_rows, limit, self.gallery_draw)
        if self.held_out_gallery_limit <= 0:
            return rows
        # From all their rows again, so that the same limit picks the same views whatever `limit` is.
        strangers = set(self.held_out)
        fewest = min(n for n in (limit, self.held_out_gallery_limit) if n > 0)
        held = limit_views([r for r in self.gallery_rows if r.product_id in strangers], fewest, self.gallery_draw)
        return [row for row in rows if row.product_id not in strangers] + held

    def own_views(self, stage: str) -> NDArray[np.int64]:
        """(Q,) the place in the gallery of `stage` (val or test) of each query that stands there itself, -1 of the others: where
        gallery and queries are the same rows, evaluation is leave-one-out."""
        limit, asked = (
            (self.gallery_limit, self.val_rows) if stage == "val" else (self.test_gallery_limit, self.test_rows)
        )
        place = {id(row): number for number, row in enumerate(self.gallery(limit))}
        return np.array([place.get(id(row), -1) for row in asked], np.int64)

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
            attributes=self.attributes,
        )

    def loader(self, rows: Sequence[RecognitionRow]) -> DataLoader[Any]:
        """`rows` as evaluation sees them, in their order."""
        dataset = self._dataset(rows, self.crop_margin, None)
        return DataLoader(dataset, batch_size=self.eval_batch_size, num_workers=self.workers)
