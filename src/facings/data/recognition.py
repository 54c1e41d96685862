"""Crops of products as a torch dataset.

Knows nothing of losses or of how batches are drawn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from facings.data.samplers import Draw
from facings.data.tables import RecognitionRow
from facings.data.transforms.letterbox import letterbox, normalise
from facings.errors import DataError
from facings.runtime.crops import cut_crop
from facings.runtime.images import read_image


class CropReader:
    """Cuts the crop of a row out of its picture; the last few pictures stay decoded, as rows come picture by picture."""

    def __init__(self, margin: float, keep: int = 4) -> None:
        self.margin, self.keep = margin, keep
        self._decoded: dict[Path, NDArray[np.uint8]] = {}

    def __call__(self, row: RecognitionRow) -> NDArray[np.uint8]:
        """The crop (h, w, 3) uint8. Raises DataError for an unreadable picture or a box outside of it."""
        image = self._decoded.get(row.path)
        if image is None:
            image = read_image(row.path)
            self._decoded[row.path] = image
            while len(self._decoded) > self.keep:
                del self._decoded[next(iter(self._decoded))]
        if row.box is None:
            return image
        x, y, width, height = row.box
        if x >= image.shape[1] or y >= image.shape[0] or x + width <= 0 or y + height <= 0:
            raise DataError(
                f"{row.path}: the box {row.box} of product {row.product_id!r} lies outside the picture "
                f"({image.shape[1]} x {image.shape[0]})"
            )
        return cut_crop(image, np.array([x, y, x + width, y + height], np.float32), self.margin)


class RecognitionDataset(Dataset[dict[str, Tensor]]):
    """Rows as `{"crops": (3, S, S) float32, "labels": int64, "index": int64}`.

    With a `transform` (training) items are addressed by `Draw`s, whose seed fixes the augmentation; crops are kept in
    memory, shrunk so that the shorter side is `cache_size` pixels (0 keeps nothing). Without, items are addressed by
    index and pass the evaluation letterbox, bit for bit that of the exported graph.
    """

    def __init__(
        self,
        rows: Sequence[RecognitionRow],
        labels: Sequence[int],
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        margin: float,
        transform: A.Compose | None = None,
        cache_size: int = 0,
    ) -> None:
        self.rows, self.labels = tuple(rows), tuple(labels)
        self.image_size, self.mean, self.std = image_size, tuple(mean), tuple(std)
        self.transform, self.cache_size = transform, cache_size
        self.read = CropReader(margin)
        self._cache: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: Draw | int) -> dict[str, Tensor]:
        index = item.number if isinstance(item, Draw) else int(item)
        if self.transform is None:
            square, _ = letterbox(self.read(self.rows[index]), self.image_size)
        else:
            if not isinstance(item, Draw):
                raise TypeError("a training dataset is addressed by Draw(number, seed), so that augmentation repeats")
            self.transform.set_random_seed(item.seed)
            square = self.transform(image=self._shrunk(index))["image"]
        pixels = normalise(square, self.mean, self.std)
        return {
            "crops": torch.from_numpy(pixels),
            "labels": torch.tensor(self.labels[index]),
            "index": torch.tensor(index),
        }

    def _shrunk(self, index: int) -> NDArray[np.uint8]:
        if index in self._cache:
            return self._cache[index]
        crop = self.read(self.rows[index])
        short = min(crop.shape[:2])
        if self.cache_size and short > self.cache_size:
            scale = self.cache_size / short
            size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
            crop = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        if self.cache_size:
            self._cache[index] = np.ascontiguousarray(crop)
        return crop

    def warm(self) -> None:
        """Decode everything into the cache, picture by picture, before workers are forked."""
        if self.transform is not None and self.cache_size:
            for index in sorted(range(len(self.rows)), key=lambda i: str(self.rows[i].path)):
                self._shrunk(index)

    def shapes(self) -> dict[str, Any]:
        """What one item looks like, for a dry run."""
        item = self[Draw(0, 0)] if self.transform is not None else self[0]
        return {key: tuple(value.shape) for key, value in item.items()}
