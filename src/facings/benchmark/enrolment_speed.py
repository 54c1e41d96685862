"""How long enrolling, committing and searching take beside galleries of many sizes. Knows nothing of pictures or networks.

Views are random directions around a random centre a product, and photos random noise: the embedding itself is not timed.
"""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.runtime.gallery import Gallery
from facings.runtime.search import EXACT_VIEWS, searcher

Vectors = NDArray[np.float32]
Enrolling = Callable[[Gallery, str, Vectors], Any]
VIEWS_A_PRODUCT, CALIBRATION, SPREAD = 8, 1000, 0.7


@dataclass(frozen=True)
class SpeedPoint:
    """One gallery. Seconds at the 50th and 95th percentile of `repeats`; `search_ms`: one query, median; `recall` of the search
    used: 1 where it is exact."""

    views: int
    enroll8_p50_seconds: float
    enroll8_p95_seconds: float
    commit_seconds: float
    open_seconds: float
    search_ms: float
    recall: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def random_views(products: int, dimension: int, seed: int) -> Vectors:
    """(products x 8, dimension) unit vectors, those of one product together."""
    generator = np.random.default_rng(seed)
    views = generator.standard_normal((products, dimension), dtype=np.float32).repeat(VIEWS_A_PRODUCT, axis=0)
    views += SPREAD * generator.standard_normal(views.shape, dtype=np.float32)
    unit: Vectors = views / np.linalg.norm(views, axis=1, keepdims=True)
    return unit


def measure(views: int, *, dimension: int, repeats: int, seed: int, enrolling: Enrolling, folder: Path) -> SpeedPoint:
    """Time a gallery of about `views` views under `folder`. `enrolling`: everything of an enrolment but the embedding."""
    products = max(views // VIEWS_A_PRODUCT, 2)
    vectors = random_views(products + repeats, dimension, seed)
    known, new = vectors[: products * VIEWS_A_PRODUCT], vectors[products * VIEWS_A_PRODUCT :]
    queries = random_views(-(-CALIBRATION // VIEWS_A_PRODUCT), dimension, seed + 1)[:CALIBRATION]
    with tempfile.TemporaryDirectory(dir=folder) as home:
        gallery = Gallery.create(
            Path(home) / "gallery", embedder_sha256="0" * 64, vectors=known,
            item=np.arange(products).repeat(VIEWS_A_PRODUCT), items=[f"p{number}" for number in range(products)],
            calibration_vectors=queries, calibration_items=[None] * len(queries), author="benchmark",
        )  # fmt: skip
        opened, gallery = _timed(lambda: Gallery.open(gallery.folder))
        enrolled, commits = [], []
        for number, eight in enumerate(new.reshape(repeats, VIEWS_A_PRODUCT, dimension)):
            seconds, _ = _timed(lambda g=gallery, name=f"e{number}", eight=eight: enrolling(g, name, eight))
            enrolled.append(seconds)
            gallery = Gallery.open(gallery.folder)
            seconds, gallery = _timed(lambda gallery=gallery, number=number: gallery.retire(f"e{number}"))
            commits.append(seconds)
        search = searcher(gallery, approximate=None, cache=Path(home) / "index")
        asked = [_timed(lambda query=query: search.top(query[None], 5))[0] for query in queries[:repeats]]
    p50, p95 = np.percentile(enrolled, [50, 95])
    return SpeedPoint(
        len(known),
        float(p50),
        float(p95),
        float(np.median(commits)),
        opened,
        1000 * float(np.median(asked)),
        search.recall,
    )


def headline(points: Sequence[SpeedPoint]) -> dict[str, float]:
    """The figures of `turn-speed`: at the largest gallery that is searched exactly."""
    largest = max((point for point in points if point.views <= EXACT_VIEWS), key=lambda point: point.views)
    return {
        "enroll8_p95_seconds": largest.enroll8_p95_seconds,
        "commit_seconds_1e5": largest.commit_seconds,
        "search_ms_1e5": largest.search_ms,
    }


def all_figures(points: Sequence[SpeedPoint]) -> dict[str, dict[str, Any]]:
    """`headline`, and every figure of every gallery, e.g. `search_ms_1e4`, as entries of a record."""
    units = {"seconds": "s", "ms": "ms"}
    found: dict[str, dict[str, Any]] = {name: {"value": value} for name, value in headline(points).items()}
    for point in points:
        for name, value in list(point.to_dict().items())[1:]:
            unit = next((text for word, text in units.items() if name.endswith(word)), None)
            found[f"{name}_{size_name(point.views)}"] = {"value": value} | ({"unit": unit} if unit else {})
    return found


def size_name(views: int) -> str:
    """A number of views in a figure's name; galleries hold whole products, and so may have a few views less than asked for.

    >>> size_name(1_000_000), size_name(96), size_name(250)
    ('1e6', '1e2', '250')
    """
    power = round(math.log10(views)) if views > 0 else 0
    return f"1e{power}" if abs(views - 10**power) < VIEWS_A_PRODUCT else str(views)


def checksum(dimension: int, seed: int) -> str:
    """Of the first views that the seed gives: they are drawn anew, not stored."""
    return sha256(random_views(2, dimension, seed).tobytes()).hexdigest()


def _timed(action: Callable[..., Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result
