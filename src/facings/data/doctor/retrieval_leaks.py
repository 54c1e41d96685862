"""Queries whose answer was given away: the same crop, or nearly the same, among the gallery's or the training's rows.

Run before scoring. Knows nothing of embeddings. Likeness is measured by the doctor's own means (`pictures`, `twins`); what is
new here is that rows are crops, of which one picture may hold many.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.boxes import iou
from facings.data.doctor.pictures import THUMB, Picture, look_at
from facings.data.doctor.twins import near_pairs
from facings.data.tables import RecognitionRow
from facings.runtime.crops import cut_crop
from facings.runtime.images import read_image

Kind = Literal["identical", "pixels", "near", "frame"]
# What spoils a figure; another place of the same frame ("frame") only makes it easier.
GIVEN_AWAY: tuple[Kind, ...] = ("identical", "pixels", "near")
# Boxes of one picture that overlap this much are of one object, annotated twice.
SAME_BOX = 0.5
Crop = tuple[str, tuple[float, ...] | None]


@dataclass(frozen=True)
class Leak:
    """`query`, `other`: row numbers. `kind`: `identical` (same bytes, same place), `pixels` (other bytes, equal pixels),
    `near` (a copy that was re-encoded, scaled, brightened or mirrored), `frame` (another place of the same picture)."""

    kind: Kind
    query: int
    other: int
    detail: str


@dataclass(frozen=True)
class LeakAudit:
    """What was found, of `queries` query rows; `unread`: crops that could not be looked at, in words."""

    leaks: tuple[Leak, ...]
    queries: int
    unread: tuple[str, ...] = ()

    def leaked(self, kinds: Sequence[Kind] = GIVEN_AWAY) -> NDArray[np.bool_]:
        """(Q,) whether each query has a leak of these kinds: score with and without them."""
        found = np.zeros(self.queries, bool)
        found[[leak.query for leak in self.leaks if leak.kind in kinds]] = True
        return found

    def figures(self) -> dict[str, float]:
        """For a record: queries of each kind (`leaked_identical` …), and those given away in any way (`leaked`)."""
        kinds: tuple[Kind, ...] = (*GIVEN_AWAY, "frame")
        counts = {f"leaked_{kind}": float(self.leaked((kind,)).sum()) for kind in kinds}
        return {"leaked": float(self.leaked().sum())} | counts

    def lines(self, queries: Sequence[RecognitionRow], others: Sequence[RecognitionRow]) -> list[str]:
        """The leaks in words, one a line, in the queries' order."""
        return [
            f"{leak.kind}: {_shown(queries[leak.query])} and {_shown(others[leak.other])}: {leak.detail}"
            for leak in self.leaks
        ]


def retrieval_leaks(
    queries: Sequence[RecognitionRow],
    others: Sequence[RecognitionRow],
    *,
    near: bool = True,
    workers: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> LeakAudit:
    """Query rows against gallery and training rows (`others`): every picture is opened once, and crops once more.

    Near-identical crops count under one product only, as two flavours of a brand look alike in small; identical ones
    whatever their labels (the detail tells both). One `frame` leak a query is listed. A row that is in both lists is
    `identical` with itself: for leave-one-out leave the audit's `others` out. `near` false: only bytes are compared.
    `advance`: called after each picture.

    A picture that cannot be read is in `unread`; nothing is raised for it.
    """
    pictures = look_at((row.path for row in (*queries, *others)), workers=workers, advance=advance)
    unread = [f"{path}: {picture.fault}" for path, picture in pictures.items() if picture.state != "read"]
    leaks = list(_same_picture(queries, others, pictures))
    if near:
        crops, lost = _thumbs((*queries, *others), pictures)
        leaks += _near(queries, others, pictures, crops, {(leak.query, leak.other) for leak in leaks})
        unread += lost
    return LeakAudit(tuple(sorted(leaks, key=lambda leak: (leak.query, leak.other))), len(queries), tuple(unread))


def _same_picture(
    queries: Sequence[RecognitionRow], others: Sequence[RecognitionRow], pictures: Mapping[Path, Picture]
) -> Iterator[Leak]:
    """Rows whose files have the same bytes."""
    rows: dict[str, list[int]] = defaultdict(list)
    for number, other in enumerate(others):
        if pictures[other.path].digest:
            rows[pictures[other.path].digest].append(number)
    for query, row in enumerate(queries):
        frame = None
        for number in rows.get(pictures[row.path].digest, ()):
            if _same_place(row, others[number]):
                yield Leak("identical", query, number, f"same bytes, {_labels(row, others[number])}")
            elif frame is None:
                frame = number
        if frame is not None:
            yield Leak("frame", query, frame, "another place of the same picture")


def _same_place(first: RecognitionRow, second: RecognitionRow) -> bool:
    if first.corners is None or second.corners is None:
        return first.corners == second.corners
    boxes = np.array([first.corners, second.corners], np.float32)
    return float(iou(boxes[:1], boxes[1:])[0, 0]) >= SAME_BOX


def _near(
    queries: Sequence[RecognitionRow],
    others: Sequence[RecognitionRow],
    pictures: Mapping[Path, Picture],
    crops: Mapping[Crop, NDArray[np.uint8]],
    known: set[tuple[int, int]],
) -> Iterator[Leak]:
    """Crops of one product that look alike, and those that are equal pixel by pixel, of any."""
    keys = list(crops)
    asking, asked = _by_crop(queries, pictures), _by_crop(others, pictures)
    for pair in near_pairs(list(crops.values())):
        for one, two in ((pair.first, pair.second), (pair.second, pair.first)):
            first, second = keys[one], keys[two]
            pairs = [
                (query, other)
                for query in asking.get(first, ())
                for other in asked.get(second, ())
                if (query, other) not in known
            ]
            alike = [(one, two) for one, two in pairs if queries[one].product_id == others[two].product_id]
            # Equal pixels have equal hashes, so that two flavours of a brand are seldom opened.
            if not alike and (pair.apart or pair.mirrored or not pairs):
                continue
            query, other = pairs[0]
            if _equal_pixels(queries[query], others[other]):
                for query, other in pairs:
                    detail = f"equal pixels in other bytes, {_labels(queries[query], others[other])}"
                    yield Leak("pixels", query, other, detail)
            else:
                yield from (Leak("near", query, other, pair.detail) for query, other in alike)


def _by_crop(rows: Sequence[RecognitionRow], pictures: Mapping[Path, Picture]) -> dict[Crop, list[int]]:
    found: dict[Crop, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        found[(pictures[row.path].digest, row.corners)].append(number)
    return found


def _thumbs(
    rows: Sequence[RecognitionRow], pictures: Mapping[Path, Picture]
) -> tuple[dict[Crop, NDArray[np.uint8]], list[str]]:
    """One gray 32 × 32 of each crop, and the crops that could not be cut. Rows of a picture are cut from one decoding."""
    found: dict[Crop, NDArray[np.uint8]] = {}
    lost: list[str] = []
    boxed: dict[Path, list[RecognitionRow]] = defaultdict(list)
    for row in rows:
        picture = pictures[row.path]
        if picture.thumb is not None and row.corners is None:
            found[(picture.digest, None)] = picture.thumb
        elif picture.thumb is not None:
            boxed[row.path].append(row)
    for path, cut in boxed.items():
        image = read_image(path)
        for row in cut:
            crop = _cut(image, row)
            if crop.size == 0:
                lost.append(f"{path}: the box {row.box} lies outside of the picture")
                continue
            gray = Image.fromarray(crop).convert("L").resize((THUMB, THUMB), Image.Resampling.BOX)
            found[(pictures[path].digest, row.corners)] = np.asarray(gray)
    return found, lost


def _cut(image: NDArray[np.uint8], row: RecognitionRow) -> NDArray[np.uint8]:
    """The crop without a margin, empty where the box lies outside."""
    assert row.corners is not None
    x1, y1, x2, y2 = row.corners
    if x1 >= image.shape[1] or y1 >= image.shape[0] or x2 <= 0 or y2 <= 0:
        return image[:0]
    return cut_crop(image, np.array(row.corners, np.float32), 0.0)


def _equal_pixels(first: RecognitionRow, second: RecognitionRow) -> bool:
    one, two = (
        read_image(row.path) if row.corners is None else _cut(read_image(row.path), row) for row in (first, second)
    )
    return np.array_equal(one, two)


def _labels(first: RecognitionRow, second: RecognitionRow) -> str:
    if first.product_id == second.product_id:
        return f"both {first.product_id}"
    return f"but {first.product_id} and {second.product_id}"


def _shown(row: RecognitionRow) -> str:
    box = "" if row.box is None else " [" + " ".join(f"{value:g}" for value in row.box) + "]"
    return f"{row.split}/{row.role} {row.path}{box}"
