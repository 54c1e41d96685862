"""Frames in training: a picture with its objects, and the ways to make one frame out of several.

Knows nothing of files or tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from facings.data.transforms.letterbox import PAD_VALUE

# An object of which less than this share is left, under pasted ones or inside a tile, is no longer there.
LEAST_LEFT = 0.3


@dataclass(frozen=True)
class Frame:
    """`image` (H, W, 3) uint8; `boxes` (M, 4) float32 xyxy pixels; `labels` (M,) int64; `attributes` (M, T) float32, 0, 1
    or nan; `identities` (H, W) int16, m + 1 where object m is seen, None in data without outlines."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    attributes: NDArray[np.float32]
    identities: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """What the frame takes in memory."""
        return self.image.nbytes + (0 if self.identities is None else self.identities.nbytes)

    def keep(self, index: NDArray[np.int64], boxes: NDArray[np.float32] | None = None) -> "Frame":
        """The objects of `index` (K,), renumbered 0 … K-1, with new `boxes` if given."""
        identities = None
        if self.identities is not None:
            identities = renumbered(self.identities, index, len(self))
        boxes = self.boxes[index] if boxes is None else boxes
        return Frame(self.image, boxes, self.labels[index], self.attributes[index], identities)

    def window(self, left: int, top: int, right: int, bottom: int) -> "Frame":
        """The part inside these pixels, with the objects of which enough lies in it."""
        corners = np.array([left, top, right, bottom], np.float32)
        inside = np.clip(self.boxes, np.tile(corners[:2], 2), np.tile(corners[2:], 2))
        seen, whole = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (inside, self.boxes))
        index = np.flatnonzero(seen >= LEAST_LEFT * np.maximum(whole, 1))
        identities = None if self.identities is None else self.identities[top:bottom, left:right]
        image = self.image[top:bottom, left:right]
        part = Frame(image, inside - np.tile(corners[:2], 2), self.labels, self.attributes, identities)
        return part.keep(index)

    def resized(self, width: int, height: int) -> "Frame":
        """The frame at another size."""
        ratio = np.array([width / self.image.shape[1], height / self.image.shape[0]] * 2, np.float32)
        smaller = width * height < self.image.shape[0] * self.image.shape[1]
        image = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        identities = self.identities
        if identities is not None:
            identities = np.asarray(cv2.resize(identities, (width, height), interpolation=cv2.INTER_NEAREST), np.int16)
        return Frame(np.asarray(image, np.uint8), self.boxes * ratio, self.labels, self.attributes, identities)


def renumbered(identities: NDArray[np.int16], index: NDArray[np.int64], count: int) -> NDArray[np.int16]:
    """The map with object index[k] as number k (value k + 1) and all others gone; `count`: objects before."""
    table = np.zeros(count + 1, np.int16)
    table[index + 1] = np.arange(1, len(index) + 1)
    return np.asarray(table[identities], np.int16)


def mosaic(frames: Sequence[Frame], side: int) -> Frame:
    """Four frames, each fit into a quarter of a square of 2 · `side` (Bochkovskiy et al.: "YOLOv4", 2020)."""
    image = np.full((2 * side, 2 * side, 3), PAD_VALUE, np.uint8)
    outlined = all(frame.identities is not None for frame in frames)
    identities = np.zeros((2 * side, 2 * side), np.int16) if outlined else None
    boxes, count = [], 0
    for frame, (x, y) in zip(frames, ((0, 0), (side, 0), (0, side), (side, side)), strict=True):
        scale = side / max(frame.image.shape[:2])
        width, height = (max(1, round(frame.image.shape[axis] * scale)) for axis in (1, 0))
        fit = frame.resized(width, height)
        left, top = x + (side - width) // 2, y + (side - height) // 2
        image[top : top + height, left : left + width] = fit.image
        if identities is not None and fit.identities is not None:
            shifted = np.where(fit.identities > 0, fit.identities + count, 0)
            identities[top : top + height, left : left + width] = shifted
        boxes.append(fit.boxes + np.array([left, top, left, top], np.float32))
        count += len(frame)
    return Frame(
        image,
        np.concatenate(boxes).astype(np.float32),
        np.concatenate([frame.labels for frame in frames]),
        np.concatenate([frame.attributes for frame in frames]),
        identities,
    )


def copy_paste(
    frame: Frame, source: Frame, rng: np.random.Generator, *, scale: tuple[float, float] = (0.5, 1.25)
) -> Frame:
    """Objects of `source`, each with an even chance, cut out along their outlines and laid on `frame`.

    Ghiasi et al.: "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation", CVPR 2021, without
    its blending. The source is scaled against the frame by a factor out of `scale`, mirrored with an even chance, and
    moved. Objects that lose most of themselves are dropped; those that lose a part get the box of what is left.
    Frames without outlines come back as they are.
    """
    if frame.identities is None or source.identities is None or not len(source):
        return frame
    height, width = frame.image.shape[:2]
    factor = rng.uniform(*scale) * max(height, width) / max(source.image.shape[:2])
    new = source.resized(max(1, round(source.image.shape[1] * factor)), max(1, round(source.image.shape[0] * factor)))
    chosen = np.flatnonzero(rng.random(len(source)) < 0.5)
    chosen = chosen if len(chosen) else rng.integers(0, len(source), 1)
    assert new.identities is not None
    pixels, numbers = new.image, renumbered(new.identities, chosen, len(source))
    if rng.random() < 0.5:
        pixels, numbers = pixels[:, ::-1], numbers[:, ::-1]
    left, top = (
        int(rng.integers(min(0, room), max(0, room) + 1))
        for room in (width - pixels.shape[1], height - pixels.shape[0])
    )
    # The part of the source that lies on the frame, in the source's and in the frame's pixels.
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(width, left + pixels.shape[1]), min(height, top + pixels.shape[0])
    pixels, numbers = (
        pixels[y1 - top : y2 - top, x1 - left : x2 - left],
        numbers[y1 - top : y2 - top, x1 - left : x2 - left],
    )
    pasted = numbers > 0
    image, identities = frame.image.copy(), frame.identities.copy()
    image[y1:y2, x1:x2][pasted] = pixels[pasted]
    identities[y1:y2, x1:x2][pasted] = numbers[pasted] + len(frame)
    together = Frame(
        image,
        np.concatenate([frame.boxes, np.zeros((len(chosen), 4), np.float32)]),
        np.concatenate([frame.labels, source.labels[chosen]]),
        np.concatenate([frame.attributes, source.attributes[chosen]]),
        identities,
    )
    return _as_seen(together, before=frame.identities, pasted_from=len(frame))


def _as_seen(frame: Frame, before: NDArray[np.int16], pasted_from: int) -> Frame:
    """The objects of which enough is left, each with the box of its visible part where it changed."""
    assert frame.identities is not None
    count = len(frame)
    now = np.bincount(frame.identities.ravel(), minlength=count + 1)[1:]
    earlier = np.bincount(before.ravel(), minlength=count + 1)[1:]
    # An object without outline keeps its box: nothing tells what is left of it. Pasted ones, which come last, have outlines.
    outlined = (earlier > 0) | (np.arange(count) >= pasted_from)
    index = np.flatnonzero(~outlined | ((now > 0) & (now >= LEAST_LEFT * earlier)))
    seen = extents(frame.identities, count)
    boxes = np.where((outlined & (now != earlier))[:, None], seen, frame.boxes).astype(np.float32)
    return frame.keep(index, boxes[index])


def extents(identities: NDArray[np.int16], count: int) -> NDArray[np.float32]:
    """(count, 4) float32 xyxy: the smallest box around each object's pixels; 0, 0, 0, 0 for one without."""
    found = np.zeros((count, 4), np.float32)
    for number, window in enumerate(find_objects(identities, max_label=count)):
        if window is not None:
            rows, columns = window
            found[number] = columns.start, rows.start, columns.stop, rows.stop
    return found
