"""What an embedder looked at when it found two crops alike: parts are covered, and the likeness that falls tells which mattered.

Knows nothing of models: whatever embeds pictures serves, a checkpoint or an exported bundle alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.analysis.confusions import HEIGHT, side_by_side
from facings.analysis.contact_sheet import Mark, Plate, lay_out
from facings.analysis.nearest_failures import NearestFailure

Picture = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Map = NDArray[np.float64]
# Pictures (H, W, 3) uint8 → (N, D) unit length.
Embed = Callable[[Sequence[Picture]], Vectors]
# Squares a side, and how many of them are covered at once, each way: what is smaller than a square is not told apart.
CELLS, COVER = 7, 2
# Orange and blue of Okabe and Ito, told apart by colour-blind eyes too.
ALIKE, APART = "#d55e00", "#0072b2"
STRONGEST = 0.75
LEGEND = {
    "covered, both are less alike: this made them so": Mark(ALIKE),
    "covered, they are more alike: this told them apart": Mark(APART),
}


@dataclass(frozen=True)
class LookedAt:
    """A failure with its maps (CELLS, CELLS). `query_nearest`: of the query, for its likeness to the nearest view, and
    `nearest`: of that view, for its likeness to the query; `query_right` and `right`: the same of the nearest right view, None
    where there is none."""

    failure: NearestFailure
    query_nearest: Map
    nearest: Map
    query_right: Map | None
    right: Map | None


def likeness_maps(crop: Picture, vectors: Vectors, embed: Embed, *, cells: int = CELLS, cover: int = COVER) -> Map:
    """(R, cells, cells): by how much the likeness of `crop` (H, W, 3) to each of `vectors` (R, D) falls where it is covered; below
    0 where it rises.

    A patch of the crop's mean colour, `cover` cells wide and high, is laid on every place; a cell has the mean of the patches that
    cover it (Zeiler, Fergus: "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2, there for the score
    of a class). It wants 1 + (cells - cover + 1)² embeddings.

    Raises ValueError for a patch that is larger than the crop, or none.
    """
    if not 1 <= cover <= cells:
        raise ValueError(f"cover is {cover} of {cells} cells; expected 1 to {cells}")
    steps = cells - cover + 1
    grey = np.rint(crop.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    covered = [crop]
    for row in range(steps):
        for column in range(steps):
            patched = crop.copy()
            patched[_span(row, cover, cells, len(crop)), _span(column, cover, cells, crop.shape[1])] = grey
            covered.append(patched)
    likeness = np.asarray(embed(covered), np.float64) @ np.asarray(vectors, np.float64).T
    falls = (likeness[:1] - likeness[1:]).T.reshape(-1, steps, steps)
    total, count = np.zeros((len(vectors), cells, cells)), np.zeros((cells, cells))
    for row in range(steps):
        for column in range(steps):
            total[:, row : row + cover, column : column + cover] += falls[:, row : row + 1, column : column + 1]
            count[row : row + cover, column : column + cover] += 1
    return total / count


def _span(start: int, cover: int, cells: int, pixels: int) -> slice:
    """Pixels of `cover` cells from `start` on, one at least."""
    first = min(start * pixels // cells, pixels - 1)
    return slice(first, max(-(-(start + cover) * pixels // cells), first + 1))


def edge_share(found: Map) -> float:
    """Share 0–1 of what made two crops alike that lies in the outer ring of cells; nan where nothing did.

    Much more than the ring's area (24 of 49 cells) says that the embedder looks past the product, at what is around it.

    >>> edge_share(np.array([[1.0, 0, 0], [0, 3, 0], [0, 0, -5]]))
    0.25
    """
    positive = np.maximum(found, 0)
    whole = float(positive.sum())
    return float(whole - positive[1:-1, 1:-1].sum()) / whole if whole > 0 else float("nan")


def looked_at(
    failure: NearestFailure, read_query: Callable[[int], Picture], read_view: Callable[[int], Picture], embed: Embed
) -> LookedAt:
    """The maps of one failure; `read_…`: the crop (H, W, 3) of a place, as the embedder was shown it."""
    views = [failure.nearest, *([failure.right] if failure.right >= 0 else [])]
    query, crops = read_query(failure.query), [read_view(view) for view in views]
    vectors = embed([query, *crops])
    of_query = likeness_maps(query, vectors[1:], embed)
    of_views = [likeness_maps(crop, vectors[:1], embed)[0] for crop in crops]
    right = (of_query[1], of_views[1]) if failure.right >= 0 else (None, None)
    return LookedAt(failure, of_query[0], of_views[0], *right)


def tinted(crop: Picture, found: Map, strongest: float) -> Image.Image:
    """The crop at `HEIGHT` pixels, where covering it took likeness in `ALIKE`, where it added some in `APART`; full colour is
    `strongest`, and 0 leaves all as it is."""
    width = int(np.clip(round(crop.shape[1] * HEIGHT / crop.shape[0]), 1, 2 * HEIGHT))
    picture = Image.fromarray(crop).convert("RGB").resize((width, HEIGHT), Image.Resampling.BICUBIC)
    smooth = np.asarray(
        Image.fromarray(found.astype(np.float32)).resize((width, HEIGHT), Image.Resampling.BILINEAR), np.float64
    )
    share = np.clip(smooth / strongest, -1, 1) if strongest > 0 else np.zeros_like(smooth)
    for colour, part in ((ALIKE, share), (APART, -share)):
        alpha = (255 * STRONGEST * np.maximum(part, 0)).astype(np.uint8)
        picture.paste(colour, (0, 0), Image.fromarray(alpha))
    return picture


def draw_looked_at(
    found: Sequence[LookedAt],
    read_query: Callable[[int], Picture],
    read_view: Callable[[int], Picture],
    query_names: Sequence[str],
    view_names: Sequence[str],
    *,
    title: str,
) -> Image.Image:
    """A sheet: of each failure the query beside the nearest view, tinted by what made these two alike, then the query beside the
    nearest right view, tinted by what made those alike. Names: the product of each place."""
    plates = []
    for one in found:
        failure = one.failure
        query, nearest = read_query(failure.query), read_view(failure.nearest)
        pair = [_pair((query, one.query_nearest), (nearest, one.nearest))]
        lines = [f"asked: {query_names[failure.query]}"]
        lines.append(_line("left", view_names[failure.nearest], failure.similarity, one.query_nearest))
        if one.query_right is not None and one.right is not None:
            pair.append(_pair((query, one.query_right), (read_view(failure.right), one.right)))
            lines.append(_line("right", view_names[failure.right], failure.right_similarity, one.query_right))
        plates.append(Plate(side_by_side(pair, gap=24), tuple(lines)))
    return lay_out(plates, title, LEGEND if plates else {})


def _pair(first: tuple[Picture, Map], second: tuple[Picture, Map]) -> Image.Image:
    """Both sides of one likeness, tinted on one scale."""
    strongest = max(float(np.abs(found).max()) for _, found in (first, second))
    return side_by_side([tinted(crop, found, strongest) for crop, found in (first, second)])


def _line(side: str, name: str, similarity: float, found: Map) -> str:
    share = edge_share(found)
    edge = "" if np.isnan(share) else f", {share:.0%} of it in the outer ring"
    return f"{side}: with {name}, {similarity:.3f}{edge}"
