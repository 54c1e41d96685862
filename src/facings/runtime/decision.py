"""From similarities to an answer whose error rate the store chose. Knows nothing of pictures or graphs."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from facings.errors import ConfigError, GalleryError
from facings.runtime.bundle import Bundle, Postprocess
from facings.runtime.gallery import Gallery
from facings.runtime.gallery_calibration import witness_rows
from facings.runtime.priors import Prior
from facings.runtime.standard import STATUSES, Rates, Standard, Verdicts
from facings.structures import Candidate, Decision, Detections, Item, Matches, Status

# Enrolled views that bear witness, at most: a commit must stay a matter of seconds.
MOST_REMEMBERED = 2000


def decide(
    detections: Detections,
    matches: Matches | None,
    bundle: Bundle,
    gallery: Gallery | None,
    standard: Standard | None = None,
) -> Decision:
    """The decision for one frame; without matches (a detector alone) every item is unknown.

    With a `standard`, fitted to this gallery version, its statuses and categories hold, and the candidates of an ambiguous item
    are its answer set, `pick_list` of them at most; without one, the thresholds of the bundle. A standard with a prior wants
    `matches` moved by it.
    """
    verdicts = None
    if matches is not None and gallery is not None and standard is not None and len(matches.items):
        verdicts = standard.judge(matches)
    items = []
    for number in range(len(detections)):
        candidates: tuple[Candidate, ...] = ()
        if matches is not None and gallery is not None:
            similarities = matches.similarities[number]
            p_values = gallery.p_values(similarities) if verdicts is None else verdicts.p_values[number]
            candidates = tuple(
                Candidate(gallery.items[index], round(float(similarity), 6), round(float(p), 6))
                for index, similarity, p in zip(matches.items[number], similarities, p_values, strict=True)
            )
        if verdicts is None or standard is None or matches is None:
            status = judge(candidates, bundle.postprocess)
            category = _category(status, candidates, bundle, gallery)
        else:
            status, category, candidates = _judged(number, candidates, matches, verdicts, standard, bundle, gallery)
        x1, y1, x2, y2 = (round(float(value), 2) for value in detections.boxes[number])
        polygon = detections.polygons[number].tolist() if detections.polygons is not None else []
        attributes = detections.attributes[number].tolist() if detections.attributes is not None else []
        items.append(
            Item(
                box=(x1, y1, x2, y2),
                detection_score=round(float(detections.scores[number]), 6),
                status=status,
                product_id=candidates[0].product_id if status == "known" else None,
                category=category,
                candidates=candidates,
                polygon=tuple((round(x, 1), round(y, 1)) for x, y in polygon),
                attributes={n: round(v, 6) for n, v in zip(bundle.attributes, attributes, strict=True)},
            )
        )
    return Decision(gallery.version if gallery is not None else None, tuple(items))


def fit_standard(
    bundle: Bundle,
    gallery: Gallery,
    rates: Rates,
    *,
    calibration_mated: NDArray[np.float32] | None = None,
    prior: Prior | None = None,
    remember: bool = False,
) -> Standard:
    """The standard of a gallery version: to be taken anew whenever it changes.

    `calibration_mated` (C', V): what the exporter stored for the first C' calibration crops, see `Standard.fit`; the gallery may
    have more by now. Raises GalleryError when it has fewer.

    `remember`: the views of all products that are enrolled or retired, and of which no crop is stored, count as calibration crops
    too, `MOST_REMEMBERED` of them at most. They stand for goods that are not enrolled; they meet no views of their own, which were
    taken in the same session and would flatter them.
    """
    crops, names = gallery.calibration_vectors, gallery.calibration_items
    if calibration_mated is not None:
        missing = len(names) - len(calibration_mated)
        if missing < 0:
            raise GalleryError(
                f"{gallery.folder}: {len(calibration_mated)} mated calibration scores for {len(names)} calibration crops; "
                "they are of another gallery: export again"
            )
        calibration_mated = np.pad(calibration_mated, ((0, missing), (0, 0)), constant_values=np.nan)
    if remember:
        views, owners = _remembered(gallery)
        crops, names = np.concatenate([crops, views]), names + owners
        if calibration_mated is not None:
            calibration_mated = np.pad(calibration_mated, ((0, len(owners)), (0, 0)), constant_values=np.nan)
    products = {*gallery.items, *(name for name in names if name is not None)}
    return Standard.fit(
        rates,
        vectors=gallery.vectors,
        item=gallery.item,
        items=gallery.items,
        calibration_vectors=crops,
        calibration_items=names,
        categories={name: tuple(bundle.product(name, gallery).get("category") or ()) for name in products},
        calibration_mated=calibration_mated,
        offsets=prior.offsets(gallery.items) if prior is not None else None,
    )


def bundle_standard(bundle: Bundle, gallery: Gallery | None, prior: Prior | None = None) -> Standard | None:
    """The standard that the bundle asks for, fitted to a version of its gallery; None where it asks for none.

    Raises ConfigError for a prior without a standard: the bundle's own threshold was taken without it.
    """
    rates = bundle.postprocess.standard
    if rates is None and prior is not None:
        raise ConfigError(
            f"{bundle.path}: has no standard, so a prior cannot be calibrated; export it with standard={{…}}"
        )
    if rates is None or gallery is None:
        return None
    return fit_standard(
        bundle, gallery, rates, calibration_mated=bundle.calibration_mated(), prior=prior,
        remember=bundle.postprocess.remember,
    )  # fmt: skip


def _remembered(gallery: Gallery) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Views (N, D) that bear witness, and the product of each."""
    content = gallery.content
    stored, owner = set(content.calibration_items), content.owner.array
    wanted = np.array([name not in stored for name in content.items], np.bool_)
    mask = np.zeros(len(owner), np.bool_)
    mask[witness_rows(owner, wanted, MOST_REMEMBERED)] = True
    return content.rows(mask), tuple(content.items[number] for number in owner[mask])


def judge(candidates: Sequence[Candidate], post: Postprocess) -> Status:
    """`known` when at most the chosen share of other goods looks as similar and no second candidate comes near.

    The p-value is the split-conformal one over the gallery's calibration scores (Vovk, Gammerman, Shafer: "Algorithmic
    Learning in a Random World", 2005), so that accepting at p <= α accepts a share α of goods that are not enrolled.
    """
    if not candidates or candidates[0].p_value > post.false_accept_rate:
        return "unknown"
    if len(candidates) > 1 and candidates[0].similarity - candidates[1].similarity < post.ambiguity_margin:
        return "ambiguous"
    return "known"


def _judged(
    number: int,
    candidates: tuple[Candidate, ...],
    matches: Matches,
    verdicts: Verdicts,
    standard: Standard,
    bundle: Bundle,
    gallery: Gallery | None,
) -> tuple[Status, tuple[str, ...], tuple[Candidate, ...]]:
    """Status, category and candidates of one item by the standard. A known product brings its own category; all others the
    deepest category whose guarantee holds, an unknown good of a known kind too."""
    status = STATUSES[int(verdicts.status[number])]
    if status == "known":
        return status, _category(status, candidates, bundle, gallery), candidates
    category = standard.path(int(matches.items[number, 0]), int(verdicts.level[number]))
    if status == "ambiguous":
        chosen = [c for c, kept in zip(candidates, verdicts.answers[number], strict=True) if kept]
        candidates = tuple(chosen[: standard.rates.pick_list])
    return status, category, candidates


def _category(
    status: Status, candidates: Sequence[Candidate], bundle: Bundle, gallery: Gallery | None
) -> tuple[str, ...]:
    """The product's category; for an ambiguous item what the near candidates share; nothing for an unknown one."""
    if status == "unknown":
        return ()
    margin = bundle.postprocess.ambiguity_margin if status == "ambiguous" else 0.0
    near = [c for c in candidates if candidates[0].similarity - c.similarity <= margin] or [candidates[0]]
    paths = [tuple(bundle.product(c.product_id, gallery).get("category") or ()) for c in near]
    levels = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return tuple(names[0] for names in levels)
