"""On which day a crop of a recorded sequence was seen, where the assortment changes from day to day.

Knows nothing of vectors. A day ends where products are swapped, whatever the clock says.
"""

import json
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.data.tables import RecognitionRow
from facings.errors import DataError

SWAPS = ("swap_in", "swap_out")


def days_of_rows(events: Path | str, rows: Sequence[RecognitionRow]) -> NDArray[np.float64]:
    """(N,) the day of each row's picture, from 0 on: how many changes of the assortment came before. -1 for a picture that is not
    of the sequence.

    `events`: events.jsonl as `facings synthesize` writes it, one JSON object a line with `frame` and `kind`; beside it lies
    instances_sequence.json, which tells the frame of each picture below images/sequence.

    Raises DataError for files that are missing or no such ones, and where nothing was swapped.
    """
    events = Path(events)
    swaps = sorted({int(event["frame"]) for event in _events(events) if event["kind"] in SWAPS})
    if not swaps:
        raise DataError(f"{events}: nothing is swapped in it; synthesize with sequence.swap below sequence.frames")
    home, frames = events.parent / "images" / "sequence", _frames(events.parent / "instances_sequence.json")
    number = {(home / name).resolve(): frame for name, frame in frames.items()}
    seen = [number.get(row.path.resolve()) for row in rows]
    return np.array([-1.0 if frame is None else float(bisect_right(swaps, frame)) for frame in seen])


def _events(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected the events.jsonl of facings synthesize … sequence.frames=N")
    found = []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            event = json.loads(text)
            found.append({"frame": int(event["frame"]), "kind": str(event["kind"])})
        except (ValueError, KeyError, TypeError) as fault:
            raise DataError(f"{path}, line {line}: no event with frame and kind ({fault!r})") from fault
    return found


def _frames(path: Path) -> dict[str, int]:
    """File name of each picture → its frame."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; it tells the frame of each picture")
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        return {str(image["file_name"]): int(image["frame"]) for image in images}
    except (ValueError, KeyError, TypeError) as fault:
        raise DataError(f"{path}: pictures without a frame ({fault!r}); expected those of a sequence") from fault
