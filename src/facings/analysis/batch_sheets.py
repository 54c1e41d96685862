"""What training batches look like. Knows nothing of torch: batches come as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.analysis.contact_sheet import Mark, MarkedPicture, Plate, lay_out
from facings.masks import CropMask

# Okabe, Ito: "Color Universal Design", 2008.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#bbbbbb")
HEIGHT, CROP_HEIGHT = 540, 220


@dataclass(frozen=True)
class TrainingPicture:
    """One picture as the network gets it: `pixels` (3, S, S) float, `boxes` (M, 4) xyxy in them, `labels` (M,) int64.

    `identities`: (S, S) int map with m + 1 where object m is seen and 0 elsewhere, or None without masks.
    """

    pixels: NDArray[np.float32]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    identities: NDArray[np.int16] | None = None


def draw_batches(
    pictures: Sequence[TrainingPicture], mean: Sequence[float], std: Sequence[float], names: Sequence[str]
) -> Image.Image:
    """A sheet of training pictures with boxes, masks and class names. A colour a class; of one class alone, an object."""
    plates = []
    for picture in pictures:
        canvas = MarkedPicture(denormalise(picture.pixels, mean, std), HEIGHT)
        colours = [
            COLOURS[(int(label) if len(names) > 1 else number) % len(COLOURS)]
            for number, label in enumerate(picture.labels)
        ]
        masks = object_masks(picture.identities, len(picture.labels)) if picture.identities is not None else []
        for mask, colour in zip(masks, colours, strict=False):
            canvas.fill(mask, colour)
        for box, colour in zip(picture.boxes, colours, strict=True):
            canvas.box(box, Mark(colour))
        for box, label, colour in zip(picture.boxes, picture.labels, colours, strict=True):
            if len(names) > 1:
                canvas.label(box, names[int(label)], colour)
        plates.append(Plate(canvas.picture, (_caption(picture),)))
    side = pictures[0].pixels.shape[-1] if pictures else 0
    return lay_out(plates, f"What training batches look like: {side} × {side} pixels, augmented", {})


def draw_crops(
    crops: NDArray[np.float32], products: Sequence[str], mean: Sequence[float], std: Sequence[float]
) -> Image.Image:
    """A sheet of training crops (N, 3, S, S), each over the name of its product."""
    plates = [
        Plate(MarkedPicture(denormalise(crop, mean, std), CROP_HEIGHT).picture, (product,))
        for crop, product in zip(crops, products, strict=True)
    ]
    side = crops.shape[-1] if len(crops) else 0
    return lay_out(plates, f"What training batches look like: crops of {side} × {side} pixels, augmented", {})


def denormalise(pixels: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.uint8]:
    """(3, S, S) float → (S, S, 3) uint8: the inverse of `(value / 255 - mean) / std`.

    >>> denormalise(np.zeros((3, 1, 1), np.float32), (0.2, 0.4, 0.6), (0.5, 0.5, 0.5)).tolist()
    [[[51, 102, 153]]]
    """
    scaled = pixels.transpose(1, 2, 0) * np.asarray(std, np.float32) + np.asarray(mean, np.float32)
    rounded: NDArray[np.uint8] = np.clip(np.rint(scaled * 255), 0, 255).astype(np.uint8)
    return rounded


def object_masks(identities: NDArray[np.integer], count: int) -> list[CropMask]:
    """(S, S) map that holds m + 1 where object m is seen → the masks of `count` objects.

    >>> [mask.bits.sum() for mask in object_masks(np.array([[0, 2], [2, 1]]), 2)]
    [np.int64(1), np.int64(2)]
    """
    masks = []
    for number in range(1, count + 1):
        seen = identities == number
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        if not len(rows):
            masks.append(CropMask(0, 0, np.zeros((0, 0), bool)))
            continue
        masks.append(
            CropMask(int(columns[0]), int(rows[0]), seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        )
    return masks


def _caption(picture: TrainingPicture) -> str:
    count = len(picture.labels)
    return "no object" if not count else "1 object" if count == 1 else f"{count} objects"
