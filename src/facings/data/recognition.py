"""Crops of products as a torch dataset.

Knows nothing of losses or of how batches are drawn.
"""

import math
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
from facings.data.transforms.crop_compose import CropCompose
from facings.data.transforms.letterbox import letterbox, normalise
from facings.errors import DataError
from facings.runtime.crops import crop_edges, cut_crop
from facings.runtime.images import read_image


class CropReader:
    """Cuts the crop of a row out of its picture; the last few pictures stay decoded, as rows come picture by picture."""

    def __init__(self, margin: float, keep: int = 4) -> None:
        self.margin, self.keep = margin, keep
        self._decoded: dict[Path, NDArray[np.uint8]] = {}

    def __call__(self, row: RecognitionRow) -> NDArray[np.uint8]:
        """The crop (h, w, 3) uint8. Raises DataError for an unreadable picture or a box outside of it."""
        image = self._picture(row)
        return image if row.corners is None else cut_crop(image, np.array(row.corners, np.float32), self.margin)

    def around(self, row: RecognitionRow, context: float) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
        """The crop with what lies around it up to `context` times its sides, and where the crop proper lies in that: (4,) xyxy
        in pixels; None where the row is a whole picture. Raises DataError as calling does."""
        image = self._picture(row)
        if row.corners is None:
            return image, None
        box = np.array(row.corners, np.float32)
        margin = self.margin + context * (1 + 2 * self.margin)
        inner, outer = (
            np.array(crop_edges(box, share, image.shape[0], image.shape[1]), np.float64)
            for share in (self.margin, margin)
        )
        return cut_crop(image, box, margin), inner - np.tile(outer[:2], 2)

    def _picture(self, row: RecognitionRow) -> NDArray[np.uint8]:
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
        return image


class OtherCrops(Sequence[NDArray[np.uint8]]):
    """The crops of a dataset without what lies around them, read when asked for."""

    def __init__(self, dataset: "RecognitionDataset") -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        crop, box = self.dataset._shrunk(int(index))
        if box is None:
            return crop
        left, top, right, bottom = np.round(box).astype(int)
        return crop[top : max(bottom, top + 1), left : max(right, left + 1)]


class RecognitionDataset(Dataset[dict[str, Tensor]]):
    """Rows as `{"crops": (3, S, S) float32, "labels": int64, "index": int64}`, and, where `attributes` are named,
    `"attributes"`: (A,) float32, 1 yes, 0 no, NaN unknown.

    With a `transform` (training) items are addressed by `Draw`s, whose seed fixes the augmentation; crops are kept in
    memory, shrunk so that the shorter side is `cache_size` pixels (0 keeps nothing). A `CropCompose` may ask for what lies
    around the crop, which is then kept too, and for other crops of the dataset. Without, items are addressed by
    index and pass the evaluation letterbox, to a level of 255 that of the exported graph.
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
        attributes: Sequence[str] = (),
    ) -> None:
        self.attributes = tuple(attributes)
        self.context = transform.context if isinstance(transform, CropCompose) else 0.0
        self.others: Sequence[NDArray[np.uint8]] = ()
        if isinstance(transform, CropCompose) and transform.others:
            self.others = OtherCrops(self)
        self.rows, self.labels = tuple(rows), tuple(labels)
        self.image_size, self.mean, self.std = image_size, tuple(mean), tuple(std)
        self.transform, self.cache_size = transform, cache_size
        self.read = CropReader(margin)
        self._cache: dict[int, tuple[NDArray[np.uint8], NDArray[np.float64] | None]] = {}

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
            crop, box = self._shrunk(index)
            square = self.transform(image=crop, box=box, others=self.others)["image"]
        pixels = normalise(square, self.mean, self.std)
        item_of = {
            "crops": torch.from_numpy(pixels),
            "labels": torch.tensor(self.labels[index]),
            "index": torch.tensor(index),
        }
        if self.attributes:
            known = self.rows[index].attributes
            answers = [float(known[name]) if name in known else math.nan for name in self.attributes]
            item_of["attributes"] = torch.tensor(answers, dtype=torch.float32)
        return item_of

    def _shrunk(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None]:
        """The crop with its surroundings, and the crop proper in it (None: all of it)."""
        if index in self._cache:
            return self._cache[index]
        if self.context:
            crop, box = self.read.around(self.rows[index], self.context)
        else:
            crop, box = self.read(self.rows[index]), None
            if self.rows[index].box is not None:
                box = np.array([0, 0, crop.shape[1], crop.shape[0]], np.float64)
        short = min(crop.shape[:2]) if box is None else int(min(box[2:] - box[:2]))
        if self.cache_size and short > self.cache_size:
            scale = self.cache_size / short
            size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
            if box is not None:
                box = box * np.tile(np.array(size) / crop.shape[1::-1], 2)
            crop = np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        if self.cache_size:
            self._cache[index] = np.ascontiguousarray(crop), box
        return crop, box

    def warm(self) -> None:
        """Decode everything into the cache, picture by picture, before workers are forked."""
        if self.transform is not None and self.cache_size:
            for index in sorted(range(len(self.rows)), key=lambda i: str(self.rows[i].path)):
                self._shrunk(index)

    def shapes(self) -> dict[str, Any]:
        """What one item looks like, for a dry run."""
        item = self[Draw(0, 0)] if self.transform is not None else self[0]
        return {key: tuple(value.shape) for key, value in item.items()}
