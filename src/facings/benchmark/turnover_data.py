"""What the turnover benchmark runs on: embeddings of many products, stored or made up. Knows nothing of days or decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.data.tables import RecognitionRow
from facings.errors import DataError
from facings.runtime.gallery import unit
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer

Vectors = NDArray[np.float32]
FIELDS = ("vectors", "product", "enrol")


@dataclass(frozen=True)
class Embeddings:
    """`vectors` (N, D) float32 of unit length; `product` (N,) str; `enrol` (N,) bool: may serve as an enrolment photo, the
    others are queries; `categories`: product → names from coarse to fine; `order` (N,): the day on which a query was seen, from 0
    on, -1 where nobody noted it; None where no day is known."""

    vectors: Vectors
    product: NDArray[np.str_]
    enrol: NDArray[np.bool_]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    order: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        count = len(self.vectors)
        if self.vectors.ndim != 2 or self.product.shape != (count,) or self.enrol.shape != (count,):
            raise DataError(
                f"embeddings {self.vectors.shape} with {self.product.shape} products and {self.enrol.shape} roles; "
                "expected (N, D), (N,) and (N,)"
            )
        if not np.isfinite(self.vectors).all():
            bad = int(np.flatnonzero(~np.isfinite(self.vectors).all(axis=1))[0])
            raise DataError(f"embedding {bad} (product {self.product[bad]!r}) is not finite")
        if self.order is not None and self.order.shape != (count,):
            raise DataError(f"order is {self.order.shape}; expected ({count},)")

    def usable(self, views: int) -> tuple[str, ...]:
        """Sorted products with `views` enrolment photos and a query or more."""
        photos, queries = (
            dict(zip(*np.unique(self.product[m], return_counts=True), strict=True)) for m in self._masks()
        )
        return tuple(sorted(str(p) for p, count in photos.items() if count >= views and p in queries))

    def rows(self, product: str, *, enrol: bool) -> NDArray[np.int64]:
        """Indices of a product's enrolment photos or of its queries."""
        return np.flatnonzero((self.product == product) & (self.enrol == enrol))

    def _masks(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        return self.enrol, ~self.enrol


def read_embeddings(
    path: Path | str, *, enrol_splits: Sequence[str] = ("train",), query_splits: Sequence[str] = ("val", "test")
) -> Embeddings:
    """Read an .npz with `vectors` (N, D), `product` (N,), and either `enrol` (N,) bool or `split` (N,); optional: `category`
    (N,), names joined by "/", and `order` (N,). Rows of other splits are left out. Raises DataError for what is not so."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected an .npz of embeddings (see docs/turnover.md)")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError) as fault:
        raise DataError(f"{path}: not an .npz of plain arrays ({fault})") from fault
    if "enrol" not in arrays and "split" in arrays:
        arrays["enrol"] = np.isin(arrays["split"], list(enrol_splits))
        kept = arrays["enrol"] | np.isin(arrays["split"], list(query_splits))
        arrays = {name: values[kept] for name, values in arrays.items()}
    if missing := [name for name in FIELDS if name not in arrays]:
        raise DataError(f"{path}: lacks {missing[0]!r}; it holds {', '.join(arrays) or 'nothing'}")
    product = arrays["product"].astype(str)
    categories: dict[str, tuple[str, ...]] = {}
    for name, text in zip(product, arrays.get("category", np.zeros(0, str)).astype(str), strict=False):
        names = tuple(part for part in str(text).split("/") if part)
        if categories.setdefault(str(name), names) != names:
            raise DataError(f"{path}: product {name!r} has two categories, {categories[str(name)]} and {names}")
    order = arrays["order"].astype(np.float64) if "order" in arrays else None
    vectors = unit(np.nan_to_num(arrays["vectors"].astype(np.float32), nan=np.nan))
    return Embeddings(vectors, product, arrays["enrol"].astype(bool), categories, order)


def write_embeddings(path: Path, data: Embeddings) -> None:
    """The inverse of `read_embeddings`."""
    arrays: dict[str, Any] = {"vectors": data.vectors, "product": data.product, "enrol": data.enrol}
    if data.categories:
        arrays["category"] = np.array(["/".join(data.categories.get(str(p), ())) for p in data.product])
    if data.order is not None:
        arrays["order"] = data.order
    np.savez(path, **arrays)


def embed_rows(
    recognizer: Recognizer, rows: Sequence[RecognitionRow], *, enrol_splits: Sequence[str] = ("train",)
) -> Embeddings:
    """Embeddings of a recognition table's rows by a bundle, through ONNX Runtime. Raises DataError for a damaged picture."""
    found = []
    decoded: tuple[Path, NDArray[np.uint8]] | None = None
    for row in rows:
        if decoded is None or decoded[0] != row.path:
            decoded = (row.path, read_image(row.path))
        image = decoded[1]
        box = row.corners or (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        found.append(recognizer.embed(image, np.array([box], np.float32)))
    return Embeddings(
        np.concatenate(found),
        np.array([row.product_id for row in rows]),
        np.array([row.split in enrol_splits for row in rows]),
        {row.product_id: row.category for row in rows},
    )


def synthetic_families(
    *,
    families: int = 20,
    products_per_family: int = 4,
    photos: int = 8,
    queries: int = 10,
    dimension: int = 64,
    family_spread: float = 0.7,
    photo_spread: float = 0.55,
    seed: int = 0,
) -> Embeddings:
    """Products in families, as produce comes: a family has a direction, its products lie around it at `family_spread`, their
    photos around them at `photo_spread` (tangents of the typical angles), projected to the sphere. Groups of four families make
    a department, so that each product has two levels of category."""
    rng = np.random.default_rng(seed)

    def around(centre: NDArray[np.float64], spread: float, count: int) -> NDArray[np.float64]:
        moved = centre + spread * rng.standard_normal((count, dimension)) / np.sqrt(dimension)
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float64)

    vectors, product, enrol, categories = [], [], [], {}
    departments = around(np.zeros(dimension), 1.0, (families + 3) // 4)
    for family in range(families):
        (centre,) = around(departments[family // 4], 1.5, 1)
        # Some families are near twins, some are far apart.
        own = family_spread * rng.uniform(0.4, 1.6)
        for number, middle in enumerate(around(centre, own, products_per_family)):
            name = f"f{family:03d}-{number}"
            categories[name] = (f"department {family // 4}", f"family {family}")
            vectors.append(around(middle, photo_spread, photos + queries))
            product += [name] * (photos + queries)
            enrol += [True] * photos + [False] * queries
    return Embeddings(unit(np.concatenate(vectors).astype(np.float32)), np.array(product), np.array(enrol), categories)
