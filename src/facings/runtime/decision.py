"""From similarities to an answer whose error rate the store chose. Knows nothing of pictures or graphs."""

from collections.abc import Sequence
from itertools import takewhile

from facings.runtime.bundle import Bundle, Postprocess
from facings.runtime.gallery import Gallery
from facings.structures import Candidate, Decision, Detections, Item, Matches, Status


def decide(detections: Detections, matches: Matches | None, bundle: Bundle, gallery: Gallery | None) -> Decision:
    """The decision for one frame; without matches (a detector alone) every item is unknown."""
    items = []
    for number in range(len(detections)):
        candidates: tuple[Candidate, ...] = ()
        if matches is not None and gallery is not None:
            p_values = gallery.p_values(matches.similarities[number])
            candidates = tuple(
                Candidate(gallery.items[index], round(float(similarity), 6), round(float(p), 6))
                for index, similarity, p in zip(
                    matches.items[number], matches.similarities[number], p_values, strict=True
                )
            )
        status = judge(candidates, bundle.postprocess)
        x1, y1, x2, y2 = (round(float(value), 2) for value in detections.boxes[number])
        polygon = detections.polygons[number].tolist() if detections.polygons is not None else []
        attributes = detections.attributes[number].tolist() if detections.attributes is not None else []
        items.append(
            Item(
                box=(x1, y1, x2, y2),
                detection_score=round(float(detections.scores[number]), 6),
                status=status,
                product_id=candidates[0].product_id if status == "known" else None,
                category=_category(status, candidates, bundle, gallery),
                candidates=candidates,
                polygon=tuple((round(x, 1), round(y, 1)) for x, y in polygon),
                attributes={n: round(v, 6) for n, v in zip(bundle.attributes, attributes, strict=True)},
            )
        )
    return Decision(gallery.version if gallery is not None else None, tuple(items))


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
