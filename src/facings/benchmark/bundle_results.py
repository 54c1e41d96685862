"""What a bundle's detector finds on the pictures of a COCO table, asked of the store runtime."""

from collections.abc import Callable
from typing import Any

from facings.benchmark.frames import label_numbers
from facings.data.coco import CocoTable
from facings.errors import DataError
from facings.metrics.results import coco_results
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer


def bundle_results(
    recognizer: Recognizer,
    table: CocoTable,
    *,
    score_threshold: float = 0.0,
    advance: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Every detection of every picture as a COCO result, with `segmentation` (compressed RLE) where the detector draws masks;
    `advance`: after each picture.

    Raises DataError for a damaged picture, and for one of another size than its annotations say.
    """
    numbers = label_numbers(recognizer.bundle.labels, table.labels)
    results = []
    for image in table.images:
        pixels = read_image(image.path)
        height, width = pixels.shape[:2]
        if (height, width) != (image.height, image.width):
            raise DataError(
                f"{image.path}: has {width} x {height} pixels; {table.source} says {image.width} x {image.height}"
            )
        found = recognizer.detect(pixels, score_threshold, masks=True)
        results += coco_results(
            found.boxes,
            found.scores,
            [numbers[label] + 1 for label in found.labels.tolist()],
            image_id=image.image_id,
            extent=(height, width),
            masks=found.masks,
        )
        advance()
    return results
