"""What the words on packs bring to the match: crops of snack_shelves and cartons of Grocery Store, read and not read.

A crop's nearest products by the embedding are put in the order of `facings.runtime.pack_text.joined`, over the words of their
names and of their packshots. How much words weigh is chosen on other crops than those that are judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from facings.commands.embedder_records import snack_data
from facings.commands.embedding import Crops, Embedding, Vectors, right_share
from facings.commands.run_records import Metrics, RunRecord, Taken
from facings.data.recognition import CropReader
from facings.data.recognition_datamodule import RecognitionDataModule
from facings.data.recognition_selection import limit_views
from facings.data.tables import RecognitionRow
from facings.data.taxonomy import read_taxonomy
from facings.errors import DataError
from facings.runtime.pack_text import PackReader, PackWords, Reader, ReadWord, joined
from facings.runtime.search import ExactSearch

# Products that words choose among, nearest first.
CANDIDATES = 5
WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
# Photos of each carton that are read at most: reading takes half a second.
PHOTOS = 5
CARTONS = "Packages"


@dataclass(frozen=True)
class Asked:
    """Crops, their nearest products (Q, k) with similarities, and their words."""

    labels: NDArray[np.int64]
    items: NDArray[np.int64]
    similarities: Vectors
    read: Sequence[Sequence[ReadWord]]

    def right(self, words: PackWords, products: Sequence[str], weight: float) -> NDArray[np.bool_]:
        """(Q,) whether the first of the candidates is the right one once words have moved them."""
        return self.chosen(self.agreement(words, products), weight) == self.labels

    def agreement(self, words: PackWords, products: Sequence[str]) -> Vectors:
        """(Q, k) of each crop's words with each of its candidates."""
        return np.stack(
            [
                words.agreement(found, [products[item] for item in items])
                for found, items in zip(self.read, self.items, strict=True)
            ]
        )

    def chosen(self, agreement: Vectors, weight: float) -> NDArray[np.int64]:
        """(Q,) the first of the candidates."""
        best = joined(self.similarities, agreement, weight).argmax(axis=1)
        return self.items[np.arange(len(self.items)), best]


def text(runs: Sequence[Path]) -> Taken:
    """`emb-text`: one run of an embedder; snack_shelves' val crops against packshots, and Grocery Store's cartons against the
    run's gallery, by the picture alone (r1), with the words of names (_names), and of names and packshots (_words)."""
    one = Embedding(runs[0])
    snack = snack_data(one, one.data.image_size)
    reader = PackReader()
    metrics: Metrics = {}
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    ) as progress:
        metrics |= _measured("snack_", one, snack, _snack_parts(snack), _snack_names(one), reader, progress)
        metrics |= _measured("cartons_", one, one.data, _carton_parts(one.data), {}, reader, progress)
    checksums = {"snack_shelves/" + name: value for name, value in snack.checksums().items()} | one.data.checksums()
    return Taken(metrics, [one.seed], checksums)


@dataclass(frozen=True)
class Parts:
    """Rows: the gallery, the packshots that are read, crops to choose the weight on, and crops to judge."""

    gallery: Sequence[RecognitionRow]
    packshots: Sequence[RecognitionRow]
    choose: Sequence[RecognitionRow]
    judge: Sequence[RecognitionRow]


def _measured(
    prefix: str,
    one: Embedding,
    data: RecognitionDataModule,
    parts: Parts,
    names: Mapping[str, str],
    reader: Reader,
    progress: Progress,
) -> Metrics:
    crops = CropReader(data.crop_margin)

    def words(rows: Sequence[RecognitionRow], what: str) -> list[tuple[ReadWord, ...]]:
        task = progress.add_task(f"{prefix}{what}: reading", total=len(rows))
        found = []
        for row in rows:
            found.append(reader.read(crops(row)))
            progress.advance(task)
        return found

    products = data.products
    gallery = one.crops(parts.gallery, data=data)
    printed: dict[str, list[str]] = {}
    for row, found in zip(parts.packshots, words(parts.packshots, "packshots"), strict=True):
        printed.setdefault(row.product_id, []).extend(word.text for word in found)
    names = {product: names.get(product, product) for product in products}
    choose, judge = (
        _asked(one.crops(rows, data=data), gallery, words(rows, what))
        for rows, what in ((parts.choose, "crops to choose on"), (parts.judge, "crops to judge"))
    )
    alone = judge.chosen(np.zeros_like(judge.similarities), 0.0) == judge.labels
    metrics: Metrics = {f"{prefix}r1": right_share(alone, groups=judge.labels)}
    for suffix, known in (("names", PackWords.named(names)), ("words", PackWords.named(names, printed))):
        agreement = choose.agreement(known, products)
        shares = [float((choose.chosen(agreement, weight) == choose.labels).mean()) for weight in WEIGHTS]
        weight = WEIGHTS[int(np.argmax(shares))]
        right = judge.right(known, products, weight)
        metrics[f"{prefix}r1_{suffix}"] = right_share(right, groups=judge.labels)
        metrics[f"{prefix}gain_{suffix}"] = right_share(
            right.astype(np.float64) - alone.astype(np.float64), groups=judge.labels
        )
        metrics[f"{prefix}weight_{suffix}"] = {"value": weight}
    metrics[f"{prefix}read_share"] = {"value": float(np.mean([len(found) > 0 for found in judge.read]))}
    return metrics


def _asked(queries: Crops, gallery: Crops, read: Sequence[Sequence[ReadWord]]) -> Asked:
    """The nearest products of the queries whose product is in the gallery; a product counts with its best view."""
    known = np.flatnonzero(np.isin(queries.labels, gallery.labels))
    items, item = np.unique(gallery.labels, return_inverse=True)
    nearest = ExactSearch(gallery.vectors, item).top(queries.vectors[known], CANDIDATES)
    read = [read[number] for number in known.tolist()]
    return Asked(queries.labels[known], items[nearest.items], nearest.similarities, read)


def _snack_parts(data: RecognitionDataModule) -> Parts:
    of = {name: [row for row in data.table.rows if row.split == name] for name in ("packshot", "train", "val")}
    return Parts(of["packshot"], of["packshot"], of["train"], of["val"])


def _snack_names(one: Embedding) -> dict[str, str]:
    """Product id → brand, which is the category there, and name."""
    products = read_taxonomy(Path(one.config["paths"]["data_dir"]) / "snack_shelves" / "products.csv")
    return {product: " ".join([*fields["category"], fields["name"]]) for product, fields in products.items()}


def _carton_parts(data: RecognitionDataModule) -> Parts:
    cartons = {row.product_id for row in data.table.rows if CARTONS in row.path.parts}
    if not cartons:
        raise DataError(
            f"{data.table.source}: no picture lies in a folder {CARTONS}; expected the Grocery Store Dataset"
        )

    def of(split: str, limit: int) -> list[RecognitionRow]:
        return limit_views([row for row in data.table.rows if row.split == split and row.product_id in cartons], limit)

    # All products stay in the gallery: a carton may be taken for fruit.
    return Parts(data.gallery_rows, of("iconic", 0), of("val", PHOTOS), of("test", PHOTOS))


RECORDS = {"emb-text": RunRecord(1, text)}
