"""What one version of a gallery holds, and how changes make the next out of it. In memory only: knows nothing of folders.

Views lie in segments that versions share. A change appends rows, or takes the owner of a row away; it never moves a vector
that is on disk already, except when segments are merged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facings.errors import GalleryError
from facings.runtime.gallery_calibration import CHEAP, non_mated_scores, raised_scores, stale_scores, unit
from facings.runtime.gallery_crops import Crops, StoredCrop
from facings.runtime.product_catalogue import check_changed

Vectors = NDArray[np.float32]
Operation = Literal["add", "replace", "retire", "restore", "remove"]
# A segment file stays below the 2 GiB that a bundle's member may have.
SEGMENT_BYTES = 1 << 30
ID_LENGTH = 200
LENGTH_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Filed:
    """An array and, once it is on disk, its file (relative to the gallery's folder) and the checksum of that."""

    array: NDArray[Any]
    file: str = ""
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Change:
    """One step. `vectors` (V, D) for `add` and `replace`; `details`: name, category, gtin, plu, sold_by, where they are
    given; `note`: what else the version should remember of it (JSON), e.g. photos taken in spite of a fault; `crops`: pictures of
    the views to keep, or none."""

    operation: Operation
    product_id: str
    vectors: Vectors | None = None
    details: Mapping[str, Any] | None = None
    note: Mapping[str, Any] = field(default_factory=dict)
    crops: Sequence[StoredCrop] = ()

    def record(self) -> dict[str, Any]:
        """What the version's manifest tells of it."""
        views = {} if self.vectors is None else {"views": len(self.vectors)}
        return {"operation": self.operation, "product_id": self.product_id, **views, **self.note}


@dataclass(frozen=True, eq=False)
class Content:
    """`segments`: arrays (R_i, D) float32 unit length, rows in all R; `owner` (R,) int64: index into `items`, -1 for a row
    that belongs to no product any more; `items`: every product enrolled, retired or not; `retired`: those that are not
    answered; `products`: id → details; calibration arrays as in `Gallery`."""

    segments: tuple[Filed, ...]
    owner: Filed
    items: tuple[str, ...]
    retired: frozenset[str]
    products: Mapping[str, Mapping[str, Any]]
    calibration_vectors: Filed
    calibration_items: tuple[str | None, ...]
    calibration_scores: Filed
    crops: Crops = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        return int(self.segments[0].array.shape[1])

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """(R,) rows of products that are not retired."""
        owner = self.owner.array
        allowed = np.array([name not in self.retired for name in self.items] + [False])
        mask: NDArray[np.bool_] = allowed[owner]  # -1 finds the False at the end
        return mask

    @cached_property
    def active_items(self) -> tuple[str, ...]:
        return tuple(name for name in self.items if name not in self.retired)

    @cached_property
    def active_owner(self) -> NDArray[np.int64]:
        """(M,) index into `active_items` of each answered row."""
        to_active = np.cumsum([name not in self.retired for name in self.items], dtype=np.int64) - 1
        return to_active[self.owner.array[self.answered]]

    @cached_property
    def active_vectors(self) -> Vectors:
        """(M, D); no copy where one segment is answered whole."""
        return self.rows(self.answered)

    def rows(self, mask: NDArray[np.bool_]) -> Vectors:
        """(N, D) the rows of a mask (R,)."""
        parts, start = [], 0
        for segment in self.segments:
            chosen = mask[start : start + len(segment.array)]
            start += len(segment.array)
            if chosen.any():
                parts.append(segment.array if chosen.all() else segment.array[chosen])
        if not parts:
            return np.zeros((0, self.dimension), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def views_of(self, product_id: str) -> Vectors:
        """(V, D) of a product, retired or not. Raises ValueError for one that is not enrolled."""
        return self.rows(self.owner.array == self.items.index(product_id))

    def check(self, where: object) -> None:
        """Raise GalleryError for parts that do not fit each other; `where` names them."""
        shapes = [segment.array.shape for segment in self.segments]
        if not shapes or any(len(shape) != 2 or shape[1] != shapes[0][1] or 0 in shape for shape in shapes):
            raise GalleryError(f"{where}: vectors are {shapes}; expected arrays (views, D) with a view or more")
        owner, count = self.owner.array, sum(shape[0] for shape in shapes)
        if owner.shape != (count,) or not self.items:
            raise GalleryError(f"{where}: {count} vectors for item {owner.shape}; it needs a view or more")
        seen = np.unique(owner)
        if len(set(self.items)) != len(self.items) or not np.array_equal(seen[seen >= 0], np.arange(len(self.items))):
            raise GalleryError(f"{where}: item indices do not fit the {len(self.items)} product ids")
        if seen[0] < -1 or not self.retired < set(self.items):
            raise GalleryError(f"{where}: {len(self.retired)} retired of {len(self.items)} products do not fit")
        number = len(self.calibration_items)
        calibration, scores = self.calibration_vectors.array, self.calibration_scores.array
        if calibration.shape != (number, shapes[0][1]) or scores.shape != (number,):
            raise GalleryError(
                f"{where}: calibration arrays do not fit {number} calibration items of dimension {shapes[0][1]}"
            )
        if not all(np.isfinite(a).all() for a in (*(s.array for s in self.segments), calibration, scores)):
            raise GalleryError(f"{where}: a vector is not finite")
        # Longer ones would win against every other view, or overflow.
        longest = max(_longest(a) for a in (*(s.array for s in self.segments), calibration))
        if longest > 1 + LENGTH_ROUNDING or np.abs(scores).max(initial=0.0) > 1 + LENGTH_ROUNDING:
            raise GalleryError(f"{where}: vectors are not of unit length, or scores are no cosines")


def _longest(vectors: Vectors) -> float:
    """The length of the longest of (N, D) vectors; 0 of none."""
    squares = np.einsum("nd,nd->n", vectors, vectors)
    return float(np.sqrt(squares.max(initial=0.0)))


def fresh(
    vectors: Vectors, item: NDArray[np.int64], items: Sequence[str], products: Mapping[str, Mapping[str, Any]],
    calibration_vectors: Vectors, calibration_items: Sequence[str | None],
) -> Content:  # fmt: skip
    """The content of a first version."""
    vectors, calibration = unit(vectors), unit(calibration_vectors)
    rows = max(SEGMENT_BYTES // max(vectors[:1].nbytes, 1), 1)
    content = Content(
        tuple(Filed(vectors[start : start + rows]) for start in range(0, max(len(vectors), 1), rows)),
        Filed(np.asarray(item).astype(np.int64)), tuple(items), frozenset(), dict(products),
        Filed(calibration), tuple(calibration_items), Filed(np.zeros(len(calibration), np.float32)),
    )  # fmt: skip
    content.check("the new gallery")
    scores = non_mated_scores(calibration, calibration_items, vectors, content.owner.array, items)
    return replace(content, calibration_scores=Filed(scores))


def changed(content: Content, changes: Sequence[Change]) -> Content:
    """The content after all of `changes`, in their order, or GalleryError and nothing at all."""
    if not changes:
        raise GalleryError("no change was given; a version differs from its parent by one or more")
    draft = _Draft(content)
    for change in changes:
        draft.take(change)
    check_changed(content.products, draft.products, {change.product_id for change in changes})
    return draft.content()


class _Draft:
    """The next content in the making."""

    def __init__(self, before: Content) -> None:
        self.before = before
        self.names: list[str | None] = list(before.items)
        self.index = {name: number for number, name in enumerate(before.items)}
        self.retired = set(before.retired)
        self.products = {name: dict(entry) for name, entry in before.products.items()}
        self.owner = before.owner.array
        self.crops = dict(before.crops)
        self.added: list[Vectors] = []
        self.added_owner: list[NDArray[np.int64]] = []

    def take(self, change: Change) -> None:
        name, operation = change.product_id, change.operation
        if operation not in get_args(Operation):
            raise GalleryError(f"operation {operation!r}: expected one of {', '.join(get_args(Operation))}")
        if operation == "add":
            self._add(name, self._fit(change))
        elif operation == "replace":
            vectors = self._fit(change)
            self._drop(self._number(name))
            self._append(self._number(name), vectors)
        elif operation == "remove":
            self._remove(name)
        else:
            self._retire(name, back=operation == "restore")
        if operation in ("replace", "remove"):
            self.crops.pop(name, None)
        if change.crops and operation in ("add", "replace"):
            self.crops[name] = (*self.crops.get(name, ()), *change.crops)
        if change.details is not None and operation != "remove":
            self.products[name] = dict(change.details)

    def _fit(self, change: Change) -> Vectors:
        vectors, name = change.vectors, change.product_id
        if not name or vectors is None or vectors.ndim != 2 or len(vectors) == 0:
            shape = None if vectors is None else vectors.shape
            raise GalleryError(f"enrolling {name!r} with views {shape}: expected an id and (V, D) views")
        if len(name) > ID_LENGTH or name != name.strip() or not name.isprintable():
            raise GalleryError(
                f"product id {name[:40]!r}: expected at most {ID_LENGTH} printable characters without blanks at the ends"
            )
        if vectors.shape[1] != self.before.dimension:
            raise GalleryError(
                f"views of {name!r} have {vectors.shape[1]} numbers each, the gallery's {self.before.dimension}; "
                "embed them with the bundle's embedder"
            )
        if not np.isfinite(vectors).all() or not np.abs(vectors).max(axis=1).all():
            raise GalleryError(f"views of {name!r}: a vector is zero or not finite; embed the photos again")
        return unit(vectors)

    def _number(self, name: str) -> int:
        if name not in self.index:
            raise GalleryError(f"product {name!r} is not in gallery ({len(self.index)} products)")
        return self.index[name]

    def _add(self, name: str, vectors: Vectors) -> None:
        if name in self.retired:
            raise GalleryError(
                f"product {name!r} is retired; restore it first (`facings gallery BUNDLE restore {name}`)"
            )
        if name not in self.index:
            self.index[name] = len(self.names)
            self.names.append(name)
        self._append(self.index[name], vectors)

    def _append(self, number: int, vectors: Vectors) -> None:
        self.added.append(vectors)
        self.added_owner.append(np.full(len(vectors), number, np.int64))

    def _drop(self, number: int) -> None:
        self.owner = np.where(self.owner == number, -1, self.owner)
        kept = [position for position, owner in enumerate(self.added_owner) if owner[0] != number]
        self.added = [self.added[position] for position in kept]
        self.added_owner = [self.added_owner[position] for position in kept]

    def _remove(self, name: str) -> None:
        number = self._number(name)
        self._refuse_last(name)
        self._drop(number)
        self.names[number] = None
        del self.index[name]
        self.retired.discard(name)
        self.products.pop(name, None)

    def _retire(self, name: str, *, back: bool) -> None:
        self._number(name)
        if back == (name not in self.retired):
            raise GalleryError(f"product {name!r} is {'not retired' if back else 'retired already'}")
        if back:
            self.retired.discard(name)
        else:
            self._refuse_last(name)
            self.retired.add(name)

    def _refuse_last(self, name: str) -> None:
        if name not in self.retired and len(self.index) - len(self.retired) == 1:
            raise GalleryError(f"{name!r} is the only product; a gallery keeps one or more that are answered")

    def content(self) -> Content:
        items = tuple(name for name in self.names if name is not None)
        owner, before = self.owner, self.before
        if self.added:
            owner = np.concatenate([owner, *self.added_owner])
        if None in self.names:
            renumbered = np.cumsum([name is not None for name in self.names], dtype=np.int64) - 1
            owner = np.where(owner < 0, -1, renumbered[owner])
        segments = before.segments
        if self.added:
            segments = (*segments, Filed(np.concatenate(self.added)))
        # The very same object where nothing moved: the version then shares the file.
        filed = before.owner if owner is before.owner.array else Filed(owner)
        loose = replace(
            before, segments=segments, owner=filed, items=items, retired=frozenset(self.retired), products=self.products,
            crops=self.crops,
        )  # fmt: skip
        return replace(merged(loose), calibration_scores=_rescored(before, loose))


def merged(content: Content) -> Content:
    """The same rows in few segments: the newest takes in its elders while they are at most twice its size.

    So there are about log2(R) segments, and a row is written about log2(R) times in its life (Bentley and Saxe:
    "Decomposable searching problems", 1980, the logarithmic method). Rows without an owner are left behind; when they are
    the greater part of all, everything is written anew.
    """
    owner = content.owner.array
    ends = np.cumsum([len(segment.array) for segment in content.segments])
    parts = list(zip(content.segments, np.split(owner, ends[:-1]), strict=True))
    parts = [(segment, of) for segment, of in parts if (of >= 0).any()]
    dead = sum(int((of < 0).sum()) for _, of in parts)
    if 2 * dead > len(owner):
        parts = [
            (Filed(segment.array[of >= 0]), of[of >= 0]) if (of < 0).any() else (segment, of) for segment, of in parts
        ]
    while len(parts) > 1 and not parts[-1][0].file and _joins(parts[-2][0], parts[-1][0]):
        (elder, elder_of), (young, young_of) = parts[-2:]
        joined = np.concatenate([elder.array[elder_of >= 0], young.array[young_of >= 0]])
        parts[-2:] = [(Filed(joined), np.concatenate([elder_of[elder_of >= 0], young_of[young_of >= 0]]))]
    segments = tuple(segment for segment, _ in parts)
    if len(segments) == len(content.segments) and all(a is b for a, b in zip(segments, content.segments, strict=True)):
        return content
    return replace(content, segments=segments, owner=Filed(np.concatenate([of for _, of in parts])))


def _joins(elder: Filed, young: Filed) -> bool:
    small = len(elder.array) <= 2 * len(young.array)
    return small and elder.array.nbytes + young.array.nbytes <= SEGMENT_BYTES


def _rescored(before: Content, after: Content) -> Filed:
    """Calibration scores of `after`, whose first rows are those of `before`: only what changed is looked at again."""
    vectors, owners = before.calibration_vectors.array, before.calibration_items
    old = before.calibration_scores
    rows = len(before.owner.array)
    was = np.concatenate([before.answered, np.zeros(len(after.owner.array) - rows, np.bool_)])
    gone, came = was & ~after.answered, ~was & after.answered
    if not len(vectors) or not (gone.any() or came.any()):
        return old
    count = int(after.answered.sum())

    def anew(which: NDArray[np.bool_]) -> Vectors:
        chosen = [owner for owner, take in zip(owners, which, strict=True) if take]
        return non_mated_scores(
            vectors[which], chosen, after.active_vectors, after.active_owner, after.active_items
        )  # fmt: skip

    changed_rows = int(gone.sum() + came.sum())
    if len(vectors) * count * before.dimension <= CHEAP or 2 * changed_rows > count:
        return Filed(anew(np.ones(len(vectors), np.bool_)))
    scores, stale = old.array, np.zeros(len(vectors), np.bool_)
    if gone.any():
        names = [before.items[number] for number in before.owner.array[gone[:rows]]]
        stale = stale_scores(scores, vectors, owners, after.rows(gone), names)
    if came.any():
        names = [after.items[number] for number in after.owner.array[came]]
        scores = raised_scores(scores, vectors, owners, after.rows(came), names)
    if stale.any():
        scores = scores.copy()
        scores[stale] = anew(stale)
    return Filed(scores)
