"""What goes through a network when its ranges are measured: real pictures, through the bundle's own preprocessing.

Knows nothing of quantisation methods.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader

from facings.errors import DataError
from facings.export.enrolment import View, framed
from facings.runtime.crops import cut_crop
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.runtime.session import Session
from facings.spreading import evenly

Batch = dict[str, NDArray[np.float32]]


class Samples(CalibrationDataReader):
    """Inputs of one graph, one sample at a time, made again on every pass: a few hundred pictures at 640 would fill a GiB.

    `len(samples)` and iteration serve everyone; `get_next` and `rewind` are what ONNX Runtime's calibrators call.
    """

    def __init__(self, name: str, sources: Sequence[Any], prepare: Callable[[Any], NDArray[np.float32]]) -> None:
        if not sources:
            raise DataError(
                f"no sample to calibrate {name!r} with; give real pictures (quantization.calibration.images)"
            )
        self.name, self._sources, self._prepare = name, list(sources), prepare
        self._next = 0

    def __len__(self) -> int:
        return len(self._sources)

    def __iter__(self) -> Iterator[Batch]:
        return ({self.name: self._prepare(source)} for source in self._sources)

    def get_next(self) -> Batch | None:
        """The next sample, None at the end."""
        if self._next >= len(self):
            return None
        self._next += 1
        return {self.name: self._prepare(self._sources[self._next - 1])}

    def rewind(self) -> None:
        """Start again with the first."""
        self._next = 0

    def first(self, count: int) -> "Samples":
        """`count` of them, evenly spread."""
        return Samples(self.name, evenly(self._sources, count), self._prepare)


def detector_samples(recognizer: Recognizer, pictures: Sequence[Path], *, threads: int | None = None) -> Samples:
    """`pixels` [T, 3, S, S] of each picture: of the whole (T = 1), or of a frame's T tiles where the bundle cuts it.

    Raises DataError without pictures; a damaged one is named when it is read.
    """
    preprocess = Session(recognizer.bundle.graph_path("preprocess"), threads=threads)
    tiling = recognizer.tiling

    def prepare(path: Path) -> NDArray[np.float32]:
        image = read_image(path)
        height, width = image.shape[:2]
        grid = np.array([[0, 0, width, height]]) if tiling is None else tiling.boxes(height, width)
        parts = [np.ascontiguousarray(image[y1:y2, x1:x2])[None] for x1, y1, x2, y2 in grid.tolist()]
        return np.concatenate([preprocess(image=part)["pixels"] for part in parts])

    return Samples("pixels", pictures, prepare)


def embedder_samples(recognizer: Recognizer, views: Sequence[View], *, threads: int | None = None) -> Samples:
    """`crops` [1, 3, E, E] of each view of a product, cut and letterboxed as the store does."""
    crop = Session(recognizer.bundle.graph_path("crop"), threads=threads)
    margin = recognizer.bundle.postprocess.crop_margin

    def prepare(view: View) -> NDArray[np.float32]:
        image, box = framed(read_image(view.path), view)
        pixels: NDArray[np.float32] = crop(image=cut_crop(image, box, margin)[None])["pixels"]
        return pixels

    return Samples("crops", views, prepare)
