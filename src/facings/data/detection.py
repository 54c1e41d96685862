"""Frames with boxes as a torch dataset. Knows nothing of models or of how batches are drawn."""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from facings.boxes import to_input
from facings.data.coco import CocoImage, CocoTable
from facings.data.samplers import Draw
from facings.data.transforms.letterbox import letterbox, normalise
from facings.errors import DataError
from facings.runtime.images import read_image


class DetectionDataset(Dataset[dict[str, Any]]):
    """Frames as `pixels` (3, S, S) float32, `boxes` (N, 4) xyxy in input pixels, `labels` (N,), `image_id`, `transform` (4,).

    With an augmentation (training) items are addressed by `Draw`s, whose seed fixes it; frames are kept in memory,
    their longer side shrunk to `cache_size` pixels (0 keeps nothing). Without, items pass the evaluation letterbox.
    """

    def __init__(
        self,
        table: CocoTable,
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        augmentation: A.Compose | None = None,
        mosaic: float = 0.0,
        cache_size: int = 0,
    ) -> None:
        self.table, self.image_size = table, image_size
        self.mean, self.std = tuple(mean), tuple(std)
        self.augmentation, self.mosaic, self.cache_size = augmentation, mosaic, cache_size
        self._cache: dict[int, tuple[NDArray[np.uint8], NDArray[np.float32]]] = {}

    def __len__(self) -> int:
        return len(self.table.images)

    def __getitem__(self, item: Draw | int) -> dict[str, Any]:
        if self.augmentation is None:
            return self._evaluation_item(int(item) if not isinstance(item, Draw) else item.number)
        if not isinstance(item, Draw):
            raise TypeError("a training dataset is addressed by Draw(index, seed), so that augmentation repeats")
        image, boxes, labels = self._frame(item)
        self.augmentation.set_random_seed(item.seed)
        out = self.augmentation(image=image, bboxes=boxes, labels=labels)
        kept = np.array(out["bboxes"], np.float32).reshape(-1, 4)
        record = self.table.images[item.number]
        transform = np.array([1, 1, 0, 0], np.float32)
        return self._item(out["image"], kept, np.array(out["labels"], np.int64), record.image_id, transform)

    def _evaluation_item(self, index: int) -> dict[str, Any]:
        record = self.table.images[index]
        square, transform = letterbox(self._read(record), self.image_size)
        return self._item(square, to_input(record.boxes, transform), record.labels, record.image_id, transform)

    def _item(
        self,
        square: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        labels: NDArray[np.int64],
        image_id: int,
        transform: NDArray[np.float32],
    ) -> dict[str, Any]:
        return {
            "pixels": torch.from_numpy(normalise(square, self.mean, self.std)),
            "boxes": torch.from_numpy(np.ascontiguousarray(boxes, np.float32)),
            "labels": torch.from_numpy(labels.astype(np.int64)),
            "image_id": image_id,
            "transform": torch.from_numpy(transform),
        }

    def _frame(self, draw: Draw) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
        """The drawn frame, or with chance `mosaic` four frames side by side (Bochkovskiy et al.: "YOLOv4", 2020)."""
        rng = np.random.default_rng(draw.seed)
        if rng.random() >= self.mosaic:
            image, boxes = self._shrunk(draw.number)
            return image, boxes, self.table.images[draw.number].labels
        indices = [draw.number, *(int(i) for i in rng.integers(0, len(self), 3))]
        frames = [self._shrunk(index) for index in indices]
        side = self.image_size
        canvas = np.full((2 * side, 2 * side, 3), 127, np.uint8)
        placed = []
        for (image, boxes), corner in zip(frames, ((0, 0), (side, 0), (0, side), (side, side)), strict=True):
            scale = side / max(image.shape[:2])
            width, height = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
            left, top = corner[0] + (side - width) // 2, corner[1] + (side - height) // 2
            shrunk = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
            canvas[top : top + height, left : left + width] = np.asarray(shrunk)
            placed.append(boxes * scale + np.array([left, top, left, top], np.float32))
        labels = np.concatenate([self.table.images[index].labels for index in indices])
        return canvas, np.concatenate(placed).astype(np.float32), labels

    def _read(self, record: CocoImage) -> NDArray[np.uint8]:
        image = read_image(record.path)
        if image.shape[:2] != (record.height, record.width):
            raise DataError(
                f"{record.path}: is {image.shape[1]} x {image.shape[0]} pixels, the annotations in "
                f"{self.table.source} are for {record.width} x {record.height} (an EXIF rotation, or another version?)"
            )
        return image

    def _shrunk(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        if index in self._cache:
            return self._cache[index]
        record = self.table.images[index]
        image, boxes = self._read(record), record.boxes
        longer = max(image.shape[:2])
        if self.cache_size and longer > self.cache_size:
            scale = self.cache_size / longer
            size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
            boxes = boxes * np.tile(np.array([size[0] / image.shape[1], size[1] / image.shape[0]], np.float32), 2)
            image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        if self.cache_size:
            self._cache[index] = (image, boxes)
        return image, boxes

    def warm(self) -> None:
        """Decode every frame into the cache before workers are forked."""
        if self.augmentation is not None and self.cache_size:
            for index in range(len(self)):
                self._shrunk(index)


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack what has one shape; boxes and labels stay lists, one entry a frame."""
    stacked: dict[str, Any] = {key: torch.stack([item[key] for item in items]) for key in ("pixels", "transform")}
    lists: dict[str, list[Tensor]] = {key: [item[key] for item in items] for key in ("boxes", "labels")}
    return stacked | lists | {"image_id": [int(item["image_id"]) for item in items]}
