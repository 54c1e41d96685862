"""How alike goods look to what is enrolled: those that are, and those that are not. Knows nothing of pictures or files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facings.metrics.open_set import aurc, auroc, fnir_at_fpir, oscr

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]
Scores = NDArray[np.floating]
Sure = Callable[[Scores, Scores], Scores]


@dataclass(frozen=True)
class OpenSetScores:
    """`known` (K,): how sure each query looks whose product is enrolled, as a rule its highest similarity; `right` (K,) whether
    that is its product; `unknown` (U,): the same with its own product taken out of the gallery, `product` (U,) its label."""

    known: NDArray[np.floating]
    right: NDArray[np.bool_]
    unknown: NDArray[np.floating]
    product: Labels

    def at(self, threshold: float) -> dict[str, float]:
        """Shares 0–1 at a threshold: `false_accept` of the unknown; `right`, `wrong`, `refused` of the known."""
        accepted = self.known >= threshold
        return {
            "false_accept": _share(self.unknown >= threshold),
            "right": _share(accepted & self.right),
            "wrong": _share(accepted & ~self.right),
            "refused": _share(~accepted),
        }

    def figures(self, *, fpir: float = 0.05) -> dict[str, float]:
        """`auroc`, `oscr`, `aurc` and FNIR at an FPIR, see `facings.metrics.open_set`."""
        return {
            "auroc": auroc(self.known, self.unknown),
            "oscr": oscr(self.known, self.right, self.unknown),
            "aurc": aurc(self.known, self.right),
            f"fnir at fpir {fpir:g}": fnir_at_fpir(self.known, self.right, self.unknown, fpir=fpir),
        }

    def boldest(self, names: Sequence[str], threshold: float, *, most: int = 8) -> list[dict[str, float | str]]:
        """The products that are most often taken for another once they are not enrolled: `product`, `false_accept`, `queries`."""
        rows: list[dict[str, float | str]] = []
        for label in np.unique(self.product).tolist():
            own = self.unknown[self.product == label]
            rows.append({"product": names[label], "false_accept": _share(own >= threshold), "queries": len(own)})
        return sorted(rows, key=lambda row: (-float(row["false_accept"]), str(row["product"])))[:most]


def open_set_scores(
    queries: Vectors,
    labels: Labels,
    gallery: Vectors,
    gallery_labels: Labels,
    *,
    sure: Sure = lambda first, second: first,
) -> OpenSetScores:
    """`queries` (Q, D), `gallery` (G, D), unit length. `sure`: how sure an answer looks whose product has a similarity of `first`,
    the next one of `second` (-inf where there is none); by itself the first.

    By hand: views of products 0 and 1 at right angles. The query lies on 0's: it is known with 1, and without 0's view it looks
    like 1 with 0.

    >>> views = np.eye(2, dtype=np.float32)
    >>> found = open_set_scores(views[:1], np.array([0]), views, np.array([0, 1]))
    >>> found.known.tolist(), found.right.tolist(), found.unknown.tolist()
    ([1.0], [True], [0.0])

    Raises ValueError for labels of another number, and a gallery of fewer than two products.
    """
    for name, values, wanted in (("queries", labels, queries), ("views", gallery_labels, gallery)):
        if len(values) != len(wanted):
            raise ValueError(f"{len(values)} labels for {len(wanted)} {name}; expected one of each")
    products = np.unique(gallery_labels)
    if len(products) < 2:
        raise ValueError(f"the gallery has {len(products)} products; to take one out wants two or more")
    order = np.argsort(gallery_labels, kind="stable")
    starts = np.searchsorted(gallery_labels[order], products)
    similar = np.maximum.reduceat(queries @ gallery[order].T, starts, axis=1)
    own = labels[:, None] == products[None]
    enrolled = own.any(axis=1)
    right = products[similar.argmax(axis=1)] == labels
    known, without = (sure(*_first_two(side)) for side in (similar, np.where(own, -np.inf, similar).astype(np.float32)))
    return OpenSetScores(known[enrolled], right[enrolled], without, labels)


def _first_two(similar: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The highest and the second highest of each row of two or more."""
    ordered = np.partition(similar, (-2, -1), axis=1)
    return ordered[:, -1], ordered[:, -2]


def doubling_sizes(products: int) -> list[int]:
    """Sizes of a gallery to compare: 4, 8, 16 … below the number of products; 2 where there are few.

    >>> doubling_sizes(48), doubling_sizes(4)
    ([4, 8, 16, 32], [2])
    """
    return [2**power for power in range(2, products.bit_length()) if 2**power < products] or [2]


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
