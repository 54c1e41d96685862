"""Where the nearest view is of another product: what was asked, what was nearest, and the nearest right one. Knows nothing of
models or files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.analysis.confusions import HEIGHT, side_by_side
from facings.analysis.contact_sheet import Plate, lay_out
from facings.metrics.nearest import QUERIES, top_k

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class NearestFailure:
    """`query` and the views are places in their arrays; `right` is -1 where the gallery holds no view of the product.

    `margin`: similarity of the nearest minus that of the nearest right one, 0–2; nan without one.
    """

    query: int
    nearest: int
    right: int
    similarity: float
    right_similarity: float

    @property
    def margin(self) -> float:
        return self.similarity - self.right_similarity


def nearest_failures(
    queries: Vectors, labels: Labels, gallery: Vectors, gallery_labels: Labels, *, same: Labels | None = None
) -> list[NearestFailure]:
    """Of `queries` (Q, D) and `gallery` (G, D), unit length: those whose nearest view is of another product, clearest first.

    `same` (Q,): the place of the query itself in the gallery, -1 for none, which does not count. Queries whose product the
    gallery lacks come last: no view could have been right.

    By hand: the query lies at 0 degrees, a view of its product at 60, one of another at 0.

    >>> views = np.array([[0.5, 0.75**0.5], [1, 0]], np.float32)
    >>> [failure] = nearest_failures(views[1:], np.array([7]), views, np.array([7, 8]))
    >>> failure.nearest, failure.right, round(failure.margin, 4)
    (1, 0, 0.5)

    Raises ValueError for labels of another number, an empty gallery, and what `top_k` refuses.
    """
    for name, values, wanted in (("queries", labels, queries), ("views", gallery_labels, gallery)):
        if len(values) != len(wanted):
            raise ValueError(f"{len(values)} labels for {len(wanted)} {name}; expected one of each")
    if not len(gallery):
        raise ValueError("the gallery is empty; nothing can be near")
    hidden = None
    if same is not None:
        asked = np.flatnonzero(same >= 0)
        hidden = (asked, same[asked])
    near = top_k(queries, gallery, 1, left_out=hidden)
    first = near.indices[:, 0]
    wrong = np.flatnonzero((first >= 0) & np.isfinite(near.similarities[:, 0]) & (gallery_labels[first] != labels))
    right = _nearest_right(queries, labels, gallery, gallery_labels, wrong, same)
    failures = [
        NearestFailure(
            query,
            int(first[query]),
            view,
            float(near.similarities[query, 0]),
            float(similarity) if view >= 0 else np.nan,
        )
        for query, (view, similarity) in zip(wrong.tolist(), right, strict=True)
    ]
    return sorted(failures, key=lambda f: (f.right < 0, -f.margin if f.right >= 0 else -f.similarity, f.query))


def kinds_of_failures(
    failures: Sequence[NearestFailure], categories: Sequence[Sequence[str]], view_categories: Sequence[Sequence[str]]
) -> dict[str, int]:
    """How many are siblings, other products, and products without a view; `categories`: of each query, from coarse to fine."""
    kinds = {"sibling": 0, "another product": 0, "no view": 0}
    for failure in failures:
        own, other = categories[failure.query], view_categories[failure.nearest]
        kinds["no view" if failure.right < 0 else "sibling" if own and own == other else "another product"] += 1
    return kinds


def draw_failures(
    failures: Sequence[NearestFailure],
    read_query: Callable[[int], Image.Image],
    read_view: Callable[[int], Image.Image],
    query_names: Sequence[str],
    view_names: Sequence[str],
    *,
    title: str,
) -> Image.Image:
    """A sheet: query, nearest view, nearest right view. `read_…`: the crop of a place; names: the product of each place."""
    plates = []
    for failure in failures:
        sides = [read_query(failure.query), read_view(failure.nearest)]
        right = read_view(failure.right) if failure.right >= 0 else None
        strip = side_by_side([*map(_sized, sides), None if right is None else _sized(right)])
        lines = (f"asked: {query_names[failure.query]}", f"nearest: {view_names[failure.nearest]}")
        figures = f"{failure.similarity:.3f} against {failure.right_similarity:.3f} of the nearest right one"
        plates.append(Plate(strip, (*lines, figures if failure.right >= 0 else "no view of it in the gallery")))
    return lay_out(plates, title, {})


def _sized(picture: Image.Image) -> Image.Image:
    width = int(np.clip(round(picture.width * HEIGHT / picture.height), 1, 2 * HEIGHT))
    return picture.convert("RGB").resize((width, HEIGHT), Image.Resampling.BICUBIC)


def _nearest_right(
    queries: Vectors, labels: Labels, gallery: Vectors, gallery_labels: Labels, wrong: Labels, same: Labels | None
) -> list[tuple[int, float]]:
    """View and similarity of each of the `wrong` queries, (-1, nan) for none; a product at a time, a block of queries at a time."""
    found: dict[int, tuple[int, float]] = {}
    order = np.argsort(gallery_labels, kind="stable")
    ordered = gallery_labels[order]
    for label in np.unique(labels[wrong]).tolist():
        low, high = np.searchsorted(ordered, [label, label + 1])
        views, asked = order[low:high], wrong[labels[wrong] == label]
        for start in range(0, len(asked), QUERIES):
            block = asked[start : start + QUERIES]
            likeness = queries[block].astype(np.float32) @ gallery[views].astype(np.float32).T
            if same is not None:
                likeness[same[block][:, None] == views[None]] = -np.inf
            for number, row in zip(block.tolist(), likeness, strict=True):
                best = int(row.argmax()) if len(row) and np.isfinite(row.max()) else -1
                found[number] = (int(views[best]), float(row[best])) if best >= 0 else (-1, float("nan"))
    return [found[number] for number in wrong.tolist()]
