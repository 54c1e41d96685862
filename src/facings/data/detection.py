"""Frames with boxes as a torch dataset. Knows nothing of models or of how batches are drawn."""

from collections.abc import Sequence
from typing import Any

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from facings.boxes import to_input
from facings.data.coco import CocoImage, CocoTable
from facings.data.frames import Frame, copy_paste, extents, mosaic
from facings.data.outlines import identity_map
from facings.data.samplers import Draw
from facings.data.transforms.letterbox import letterbox, normalise
from facings.data.transforms.seeding import seed_steps
from facings.errors import DataError
from facings.runtime.images import read_image
from facings.tiles import Tiling

# What frames may take of a process's memory: 1,800 pictures of 1280 × 960 pixels, half as many with outlines.
CACHE_BYTES = 8 * 2**30


class DetectionDataset(Dataset[dict[str, Any]]):
    """Frames as `pixels` (3, S, S) float32, `boxes` (N, 4) xyxy in input pixels, `labels` (N,), `image_id`, `transform` (4,);
    of outlined data also `masks` (S, S) int16, n + 1 where object n is seen, and `attributes` (N, T) where some are asked for.

    With an augmentation (training) items are addressed by `Draw`s, whose seed fixes it; frames are kept in memory,
    their longer side shrunk to `cache_size` pixels (0 keeps nothing), as many as fit into `cache_bytes`. Without, items pass
    the evaluation letterbox and carry no masks: those are judged in the original picture.

    `mosaic`, `copy_paste`: the chance of an item to be made of four frames, and to get objects of another frame;
    `mosaic_side`: side of a quarter in pixels. `attributes`: names of properties, see `CocoImage.attributes`.

    `tiling`: for large pictures. A training item is then drawn from a tile, cut at full resolution, and an evaluation item
    is the picture as it is (`frame` (H, W, 3) uint8), which the task cuts as the store does.
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
        mosaic_side: int | None = None,
        copy_paste: float = 0.0,
        cache_size: int = 0,
        cache_bytes: int = CACHE_BYTES,
        attributes: Sequence[str] = (),
        tiling: Tiling | None = None,
    ) -> None:
        self.table, self.image_size, self.tiling = table, image_size, tiling
        self.mean, self.std = tuple(mean), tuple(std)
        self.augmentation, self.cache_size, self.attributes = augmentation, cache_size, tuple(attributes)
        self.mosaic, self.mosaic_side, self.copy_paste = mosaic, mosaic_side or image_size, copy_paste
        self.outlined = table.outlined
        # Training items: a picture, or one tile of it.
        self._windows: list[tuple[int, tuple[int, ...] | None]] = [(n, None) for n in range(len(table.images))]
        if tiling is not None and augmentation is not None:
            self._windows = [
                (number, tuple(window))
                for number, image in enumerate(table.images)
                for window in tiling.boxes(image.height, image.width).tolist()
            ]
        self._cache: dict[int, Frame] = {}
        self._room = cache_bytes

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, item: Draw | int) -> dict[str, Any]:
        if self.augmentation is None:
            return self._evaluation_item(int(item) if not isinstance(item, Draw) else item.number)
        if not isinstance(item, Draw):
            raise TypeError("a training dataset is addressed by Draw(index, seed), so that augmentation repeats")
        frame = augmented(self._frame(item), self.augmentation, item.seed)
        transform = np.array([1, 1, 0, 0], np.float32)
        return self._item(frame, self.table.images[self._windows[item.number][0]].image_id, transform)

    def _evaluation_item(self, index: int) -> dict[str, Any]:
        record = self.table.images[index]
        image = self._read(record)
        if self.tiling is not None:
            return {"frame": image, "image_id": record.image_id}
        square, transform = letterbox(image, self.image_size)
        frame = Frame(square, to_input(record.boxes, transform), record.labels, self._attributes(record))
        return self._item(frame, record.image_id, transform) | {"extent": (record.height, record.width)}

    def _item(self, frame: Frame, image_id: int, transform: NDArray[np.float32]) -> dict[str, Any]:
        item = {
            "pixels": torch.from_numpy(normalise(frame.image, self.mean, self.std)),
            "boxes": torch.from_numpy(np.ascontiguousarray(frame.boxes, np.float32)),
            "labels": torch.from_numpy(frame.labels.astype(np.int64)),
            "image_id": image_id,
            "transform": torch.from_numpy(transform),
        }
        if frame.identities is not None:
            item["masks"] = torch.from_numpy(np.ascontiguousarray(frame.identities))
        if self.attributes:
            item["attributes"] = torch.from_numpy(frame.attributes)
        return item

    def _frame(self, draw: Draw) -> Frame:
        """The drawn frame, or one made of it and others."""
        rng = np.random.default_rng(draw.seed)
        frame = self._training_frame(draw.number)
        if rng.random() < self.mosaic:
            others = [self._training_frame(int(i)) for i in rng.integers(0, len(self), 3)]
            frame = mosaic([frame, *others], self.mosaic_side)
        if self.copy_paste and rng.random() < self.copy_paste:
            frame = copy_paste(frame, self._training_frame(int(rng.integers(0, len(self)))), rng)
        return frame

    def _read(self, record: CocoImage) -> NDArray[np.uint8]:
        image = read_image(record.path)
        if image.shape[:2] != (record.height, record.width):
            raise DataError(
                f"{record.path}: is {image.shape[1]} x {image.shape[0]} pixels, the annotations in "
                f"{self.table.source} are for {record.width} x {record.height} (an EXIF rotation, or another version?)"
            )
        return image

    def _attributes(self, record: CocoImage) -> NDArray[np.float32]:
        """(N, T) 0 or 1, nan where the data does not say."""
        known = record.attributes or ({},) * len(record.labels)
        rows = [[float(entry[name]) if name in entry else np.nan for name in self.attributes] for entry in known]
        return np.array(rows, np.float32).reshape(len(record.labels), len(self.attributes))

    def _training_frame(self, number: int) -> Frame:
        index, window = self._windows[number]
        frame = self._shrunk(index)
        return frame if window is None else frame.window(*window)

    def _shrunk(self, index: int) -> Frame:
        if index in self._cache:
            return self._cache[index]
        record = self.table.images[index]
        image, boxes = self._read(record), record.boxes
        longer = max(image.shape[:2])
        if self.cache_size and longer > self.cache_size and self.tiling is None:
            scale = self.cache_size / longer
            size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
            boxes = boxes * np.tile(np.array([size[0] / image.shape[1], size[1] / image.shape[0]], np.float32), 2)
            image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        identities = None
        if self.outlined:
            extent = (record.height, record.width)
            identities = identity_map(record.segmentations, extent, (image.shape[0], image.shape[1]))
        frame = Frame(image, boxes, record.labels, self._attributes(record), identities)
        if self.cache_size and frame.nbytes <= self._room:
            self._cache[index] = frame
            self._room -= frame.nbytes
        return frame

    def warm(self) -> int:
        """Decode every frame that fits into the cache before workers are forked. Returns how many do not."""
        if self.augmentation is None or not self.cache_size:
            return 0
        for index in range(len(self.table.images)):
            self._shrunk(index)
            if index not in self._cache:
                # Or each worker would fill a cache of its own with what is left of the room.
                self._room = 0
                break
        return len(self.table.images) - len(self._cache)


def augmented(frame: Frame, augmentation: A.Compose, seed: int) -> Frame:
    """The frame after a pipeline over `image`, `bboxes`, `labels` and `mask`; boxes fit the outlines that are left."""
    seed_steps(augmentation, seed)
    # The pipeline carries object numbers for labels, so that the map and the attributes can follow the boxes it keeps.
    inputs = {"image": frame.image, "bboxes": frame.boxes, "labels": np.arange(len(frame))}
    if frame.identities is not None:
        inputs["mask"] = frame.identities
    out = augmentation(**inputs)
    index = np.array(out["labels"], np.int64).reshape(-1)
    boxes = np.array(out["bboxes"], np.float32).reshape(-1, 4)
    moved = Frame(out["image"], frame.boxes, frame.labels, frame.attributes, out.get("mask")).keep(index, boxes)
    if moved.identities is None:
        return moved
    # A box that was turned or cropped with its object's corners is wider than the object.
    seen = extents(moved.identities, len(moved))
    fitting = np.where((seen[:, 2] > seen[:, 0])[:, None], seen, moved.boxes).astype(np.float32)
    return Frame(moved.image, fitting, moved.labels, moved.attributes, moved.identities)


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack what has one shape; what counts objects stays a list, one entry a frame. Whole pictures stay a list too."""
    if "frame" in items[0]:
        return {"frame": [item["frame"] for item in items], "image_id": [int(item["image_id"]) for item in items]}
    stacked: dict[str, Any] = {key: torch.stack([item[key] for item in items]) for key in ("pixels", "transform")}
    names = [key for key in ("boxes", "labels", "masks", "attributes") if key in items[0]]
    lists: dict[str, list[Any]] = {key: [item[key] for item in items] for key in names}
    if "extent" in items[0]:
        lists["extent"] = [item["extent"] for item in items]
    return stacked | lists | {"image_id": [int(item["image_id"]) for item in items]}
