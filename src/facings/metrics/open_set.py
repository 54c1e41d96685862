"""Answers about goods that may not be enrolled at all. Knows nothing of pictures or models; scores are the higher the surer."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Flags = NDArray[np.bool_]
Labels = NDArray[np.int64]
NAN = float("nan")


def fpir_threshold(non_mated: Scores, fpir: float) -> float:
    """The least score T such that at most a share `fpir` of the non-mated searches (n,) scores T or more.

    By hand: one of four may pass; at 0.8 one does, at anything lower two.

    >>> bool(0.7 < fpir_threshold(np.array([0.1, 0.5, 0.7, 0.8]), 0.25) <= 0.8)
    True

    Raises ValueError without a search, or for a share outside 0–1.
    """
    if not len(non_mated) or not 0 <= fpir <= 1:
        raise ValueError(
            f"FPIR {fpir} of {len(non_mated)} non-mated searches; expected a share 0–1 of one search or more"
        )
    ordered = np.sort(np.asarray(non_mated))[::-1]
    if not np.issubdtype(ordered.dtype, np.floating):
        ordered = ordered.astype(np.float64)
    allowed = int(np.floor(fpir * len(ordered) + 1e-9))
    if allowed >= len(ordered):
        return float("-inf")
    # The next number of the scores' own precision: a nearer one would be rounded to the score where they are compared.
    return float(np.nextafter(ordered[allowed], ordered.dtype.type(np.inf)))


def fnir_at_fpir(mated: Scores, right: Flags, non_mated: Scores, *, fpir: float = 0.01) -> float:
    """FNIR(N, R, T) at the T of an FPIR (ISO/IEC 19795-1:2021; NIST FRVT part 2, NISTIR 8271): share of mated searches whose
    product does not come back within rank R with a score of T or more.

    `mated` (m,): the score of the right product where it is within rank R, `right` (m,), whatever else; `non_mated` (n,): highest
    score of each search whose product is not enrolled. With R = 1: `right` says whether the first candidate is right.

    By hand: T passes one of four non-mated (0.8). Of three mated, 0.9 is right, 0.95 is wrong, 0.6 is too low: FNIR 2/3.

    >>> strangers = np.array([0.1, 0.5, 0.7, 0.8])
    >>> round(fnir_at_fpir(np.array([0.9, 0.95, 0.6]), np.array([True, False, True]), strangers, fpir=0.25), 4)
    0.6667

    nan without a mated search. Raises ValueError as `fpir_threshold` does.
    """
    cut = fpir_threshold(non_mated, fpir)
    return float(1 - (right & (mated >= cut)).mean()) if len(mated) else NAN


def fnir_draws(
    queries: Scores,
    query_labels: Labels,
    gallery: Scores,
    gallery_labels: Labels,
    *,
    sizes: Sequence[int],
    fpirs: Sequence[float] = (0.01, 0.001),
    views: int | None = None,
    draws: int = 10,
    seed: int = 0,
) -> dict[int, dict[str, NDArray[np.float64]]]:
    """FNIR at each FPIR when only N products of the gallery are enrolled, for `draws` random choices of products each; queries
    of all others, in the gallery or not, are the non-mated.

    `queries` (Q, D), `gallery` (G, D) unit vectors; `views`: at most so many of a product, drawn anew (None: all). Size →
    name → (draws,): `fnir_0.01` and so on; `mated` and `non_mated`, the numbers of searches; `fpir_fixed`, the FPIR at the
    threshold that the same draw of the first size asks for the first FPIR, so that one sees what a threshold that is not moved
    does as the gallery grows, about 1 - (1 - FMR)^N.

    By hand: of four orthogonal products two are enrolled. Each is found at 1; the other two reach 0, and none may pass: at the
    threshold just above 0 nothing is missed, and nothing passes.

    >>> v = np.eye(4, dtype=np.float32)
    >>> found = fnir_draws(v, np.arange(4), v, np.arange(4), sizes=[2], fpirs=(0.01,), draws=3)[2]
    >>> {name: values.tolist() for name, values in found.items()}
    {'fnir_0.01': [0.0, 0.0, 0.0], 'mated': [2.0, 2.0, 2.0], 'non_mated': [2.0, 2.0, 2.0], 'fpir_fixed': [0.0, 0.0, 0.0]}

    Raises ValueError for a size that leaves no query without its product, or none with it.
    """
    rng = np.random.default_rng(seed)
    labels = np.unique(gallery_labels)
    whole = _by_product(queries, gallery, gallery_labels, labels) if views is None else None
    cuts: list[float] = []
    found: dict[int, dict[str, NDArray[np.float64]]] = {}
    for size in sizes:
        if not 1 <= size <= len(labels):
            raise ValueError(f"gallery size {size}: the gallery has {len(labels)} products")
        rows: list[dict[str, float]] = []
        for draw in range(draws):
            chosen = np.sort(rng.permutation(len(labels))[:size])
            mated = np.isin(query_labels, labels[chosen])
            if mated.all() or not mated.any():
                raise ValueError(
                    f"gallery size {size}: {mated.sum()} of {len(mated)} queries are mated; both kinds are needed"
                )
            if whole is not None:
                part = whole[:, chosen]
            else:
                own = _drawn_views(gallery_labels, labels[chosen], views, rng)
                part = _by_product(queries, gallery[own], gallery_labels[own], labels[chosen])
            first, right = part.max(axis=1), labels[chosen][part.argmax(axis=1)] == query_labels
            strangers = first[~mated]
            if len(cuts) < draws:
                cuts.append(fpir_threshold(strangers, fpirs[0]))
            row = {
                f"fnir_{share:g}": fnir_at_fpir(first[mated], right[mated], strangers, fpir=share) for share in fpirs
            }
            row |= {"mated": float(mated.sum()), "non_mated": float(len(strangers))}
            rows.append(row | {"fpir_fixed": float((strangers >= cuts[draw]).mean())})
        found[size] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return found


def fnir_by_gallery_size(
    queries: Scores,
    query_labels: Labels,
    gallery: Scores,
    gallery_labels: Labels,
    *,
    sizes: Sequence[int],
    fpirs: Sequence[float] = (0.01, 0.001),
    draws: int = 10,
    seed: int = 0,
) -> dict[int, dict[str, float]]:
    """The means of `fnir_draws` over the draws.

    >>> v = np.eye(4, dtype=np.float32)
    >>> found = fnir_by_gallery_size(v, np.arange(4), v, np.arange(4), sizes=[2], fpirs=(0.5,), draws=2)
    >>> found[2]["fnir_0.5"]
    0.0

    Raises ValueError as `fnir_draws` does.
    """
    drawn = fnir_draws(
        queries, query_labels, gallery, gallery_labels, sizes=sizes, fpirs=fpirs, draws=draws, seed=seed
    )  # fmt: skip
    return {size: {name: float(values.mean()) for name, values in of.items()} for size, of in drawn.items()}


def auroc(known: Scores, unknown: Scores) -> float:
    """Chance that a known crop scores higher than an unknown one, half for equal ones; nan when either is empty.

    By hand: of 2 x 2 pairs 0.9 beats both, 0.4 beats 0.1 alone: 3/4.

    >>> auroc(np.array([0.9, 0.4]), np.array([0.5, 0.1]))
    0.75
    """
    if not len(known) or not len(unknown):
        return NAN
    ordered = np.sort(unknown)
    below, upto = (np.searchsorted(ordered, known, side=side) for side in ("left", "right"))  # type: ignore[call-overload]
    return float((below + upto).sum() / (2 * len(known) * len(unknown)))


def false_positive_rate(known: Scores, unknown: Scores, *, recall: float = 0.95) -> float:
    """FPR95: share of unknown crops that pass the highest threshold which `recall` of the known pass.

    By hand: to keep both known crops the threshold is 0.4, and 0.5 of the two unknown passes.

    >>> false_positive_rate(np.array([0.9, 0.4]), np.array([0.5, 0.1]))
    0.5
    """
    if not len(known) or not len(unknown):
        return NAN
    kept = int(np.ceil(recall * len(known) - 1e-9))
    cut = np.sort(known)[::-1][max(kept, 1) - 1]
    return float((unknown >= cut).mean())


def oscr(known: Scores, right: Flags, unknown: Scores) -> float:
    """Area under the open-set classification rate: correct classification rate of the known (right, and scored T or more)
    against the false positive rate of the unknown, over all T (Dhamija, Günther, Boult: "Reducing network agnostophobia", NeurIPS
    2018). With every known crop right it is the AUROC.

    By hand: each unknown crop u meets the share of the known that are right and score higher (half for equal). 0.9 is right,
    0.4 is wrong: for 0.5 and for 0.1 it is 1/2.

    >>> oscr(np.array([0.9, 0.4]), np.array([True, False]), np.array([0.5, 0.1]))
    0.5
    """
    if not len(known):
        return NAN
    area = auroc(known[right], unknown) if right.any() else (0.0 if len(unknown) else NAN)
    return float(area * right.mean())


def aurc(confidence: Scores, right: Flags) -> float:
    """Area under risk against coverage: mean over k of the error among the k surest answers (Geifman, El-Yaniv: "Selective
    classification for deep neural networks", NeurIPS 2017). Equal confidences share their risks: their order is taken at random, in
    expectation. nan without an answer.

    By hand: right, wrong, right in order of confidence: risks 0, 1/2, 1/3.

    >>> round(aurc(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])), 4)
    0.2778
    """
    if not len(confidence):
        return NAN
    order = np.argsort(-np.asarray(confidence, np.float64), kind="stable")
    wrong = (~right[order]).astype(np.float64)
    _, group = np.unique(-np.asarray(confidence, np.float64)[order], return_inverse=True)
    shared = np.bincount(group, weights=wrong) / np.bincount(group)
    return float((np.cumsum(shared[group]) / np.arange(1, len(wrong) + 1)).mean())


def _by_product(queries: Scores, gallery: Scores, gallery_labels: Labels, labels: Labels) -> Scores:
    """(Q, N) similarity to the most similar view of each of N products."""
    order = np.argsort(gallery_labels, kind="stable")
    starts = np.searchsorted(gallery_labels[order], labels)
    similar: Scores = np.maximum.reduceat(queries @ gallery[order].T, starts, axis=1)
    return similar


def _drawn_views(labels: Labels, products: Labels, views: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ascending rows of at most `views` views of each of `products`."""
    rows = [rng.permutation(np.flatnonzero(labels == product))[:views] for product in products]
    return np.sort(np.concatenate(rows))
