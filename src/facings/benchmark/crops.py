"""What a bundle says of single crops whose product is known: asked one by one, kept as a few numbers each.

Knows nothing of frames, pages or how errors are drawn.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.analysis.attribution import FATES, fate_of
from facings.benchmark.accuracy import query_pictures, rank_of
from facings.benchmark.breakdown import Catalogue, catalogue_of
from facings.benchmark.frames import Query
from facings.runtime.recognizer import Recognizer
from facings.runtime.standard import STATUSES
from facings.structures import Detections

CROPS = "crops.jsonl"


@dataclass(frozen=True)
class CropAnswers:
    """N queries, and what was said of each; `items`: the gallery's products, which numbers below point to.

    `nearest` (N, k) int32: items, most similar first; `similarities` (N, k) float32, cosine; `right_similarity` (N,) float32: to
    the nearest view of the own product, nan where it is not enrolled; `ranks` (N,) int64: as in `Answer.ranks`; `named` (N,) int32:
    the item of a `known` decision, else -1; `status`, `fate` (N,) int8: places in `STATUSES` and `FATES`.
    """

    queries: tuple[Query, ...]
    catalogue: Catalogue
    items: tuple[str, ...]
    nearest: NDArray[np.int32]
    similarities: NDArray[np.float32]
    right_similarity: NDArray[np.float32]
    ranks: NDArray[np.int64]
    named: NDArray[np.int32]
    status: NDArray[np.int8]
    fate: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.queries)

    def fates(self) -> list[str]:
        """In words, one a query."""
        return [FATES[number] for number in self.fate.tolist()]


def ask_crops(
    recognizer: Recognizer, queries: Sequence[Query], advance: Callable[[], None] = lambda: None
) -> CropAnswers:
    """Ask the bundle, which has a gallery, about every query; `advance` is called after each.

    A query costs some hundred bytes whatever its picture's size. Raises DataError for a damaged picture.
    """
    assert recognizer.gallery is not None
    gallery, bundle = recognizer.gallery, recognizer.bundle
    catalogue = catalogue_of(bundle, sorted({query.product_id for query in queries}))
    index = {product: number for number, product in enumerate(gallery.items)}
    order = np.argsort(gallery.item, kind="stable")
    starts = np.searchsorted(gallery.item[order], np.arange(len(gallery.items) + 1))
    count, k = len(queries), min(bundle.postprocess.top_k, len(gallery.items))
    found = CropAnswers(
        tuple(queries),
        catalogue,
        gallery.items,
        np.zeros((count, k), np.int32),
        np.zeros((count, k), np.float32),
        np.full(count, np.nan, np.float32),
        np.zeros(count, np.int64),
        np.full(count, -1, np.int32),
        np.zeros(count, np.int8),
        np.zeros(count, np.int8),
    )
    for number, (query, image, box) in enumerate(query_pictures(queries)):
        vector = recognizer.embed(image, box)
        matches = recognizer.match(vector)
        [item] = recognizer.decide(Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64)), matches).items
        own = index.get(query.product_id)
        found.nearest[number], found.similarities[number] = matches.items[0], matches.similarities[0]
        found.ranks[number] = rank_of(matches.items[0], own)
        if own is not None:
            views = gallery.vectors[order[starts[own] : starts[own + 1]]]
            found.right_similarity[number] = float((views @ vector[0]).max())
        if item.product_id is not None:
            found.named[number] = index[item.product_id]
        fate = fate_of(item, query.product_id, catalogue.categories, catalogue.enrolled)
        found.status[number], found.fate[number] = STATUSES.index(item.status), FATES.index(fate)
        advance()
    return found


def crop_lines(crops: CropAnswers) -> Iterator[str]:
    """A line of JSON a query, as `crops.jsonl` holds them: what was asked, `rank`, `fate`, `right_similarity`, and the decision's
    `status`, `named` and nearest `candidates`."""
    for number, (query, fate) in enumerate(zip(crops.queries, crops.fates(), strict=True)):
        named, right = int(crops.named[number]), float(crops.right_similarity[number])
        line: dict[str, Any] = {
            "image": query.path.as_posix(),
            "box": query.box,
            "product_id": query.product_id,
            "status": STATUSES[int(crops.status[number])],
            "named": crops.items[named] if named >= 0 else None,
            "fate": fate,
            "rank": int(crops.ranks[number]),
            "right_similarity": None if np.isnan(right) else round(right, 6),
            "candidates": [
                {"product_id": crops.items[item], "similarity": round(similarity, 6)}
                for item, similarity in zip(
                    crops.nearest[number].tolist(), crops.similarities[number].tolist(), strict=True
                )
            ],
        }
        yield json.dumps(line) + "\n"
