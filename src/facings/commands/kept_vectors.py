"""Embeddings that a record has made already, in memory and beside the run: hours of them are not lost with a stopped record."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from facings.commands.embedding import Crops, Embedding
from facings.data.tables import RecognitionRow
from facings.errors import DataError
from facings.files import atomic_write, sha256
from facings.tasks.crop_views import Averaging

Halves = NDArray[np.float16]


class KeptVectors:
    """Crops of runs averaged over views in each of `ways`: through a run's own model, and through the frozen backbone that it
    started from, which sees each crop once, however many runs ask for it.

    Vectors lie in RUN/vectors/, so that what was stopped goes on where it was. They are rounded to half precision, there and in
    what is answered, so that going on changes nothing. A crop is known by its file's path, size and time of change and by its box;
    a model by the SHA-256 of its checkpoint, or as timm's name of the backbone.
    """

    def __init__(self, ways: Sequence[Averaging] = ("none",)) -> None:
        self.ways = tuple(ways)
        self._known: dict[str, dict[str, Halves]] = {}

    def trained(self, one: Embedding, rows: Sequence[RecognitionRow]) -> dict[Averaging, Crops]:
        """`rows` of the run's data through its model."""
        return self._averages(one, rows, sha256(one.checkpoint), lambda: one.model)

    def frozen(self, one: Embedding, rows: Sequence[RecognitionRow]) -> dict[Averaging, Crops]:
        """The same as its frozen backbone sees them, under the run's labels: runs number products each their own way."""
        return self._averages(one, rows, one.backbone, one.frozen)

    def _averages(
        self, one: Embedding, rows: Sequence[RecognitionRow], name: str, model: Callable[[], nn.Module]
    ) -> dict[Averaging, Crops]:
        data = one.data
        seen = (data.image_size, *map(float, (*data.mean, *data.std, data.crop_margin)))
        key = hashlib.sha256(repr((name, self.ways, seen)).encode()).hexdigest()[:16]
        known, path = self._known.setdefault(key, {}), one.run / "vectors" / f"{key}.npz"
        names = [_crop_name(row) for row in rows]
        asked = dict(zip(names, rows, strict=True))
        beside = {} if known.keys() >= asked.keys() else _read(path)
        known |= beside
        if missing := {crop: row for crop, row in asked.items() if crop not in known}:
            found = one.averages(list(missing.values()), self.ways, model=model())
            made = np.stack([found[way].vectors for way in self.ways], axis=1).astype(np.float16)
            beside |= zip(missing, made, strict=True)
            known |= beside
            _write(path, beside)
        vectors = np.stack([known[crop] for crop in names], axis=1).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        return {way: Crops(rows, one.labels(rows), part) for way, part in zip(self.ways, vectors, strict=True)}


def _crop_name(row: RecognitionRow) -> str:
    state = row.path.stat()
    return repr((str(row.path.resolve()), state.st_size, state.st_mtime_ns, row.box))


def _read(path: Path) -> dict[str, Halves]:
    """Vectors (ways, D) by crop; none where there is no file. Raises DataError where it is no such file."""
    if not path.is_file():
        return {}
    try:
        with np.load(path) as kept:
            return dict(zip(kept["crops"].tolist(), kept["vectors"], strict=True))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as fault:
        raise DataError(f"{path}: no vectors that were kept ({fault}); delete it, and they are made again") from fault


def _write(path: Path, vectors: dict[str, Halves]) -> None:
    content = io.BytesIO()
    np.savez(content, crops=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
    atomic_write(path, content.getvalue())
