"""How far a file of less precision is from the float one, stage by stage, and what its own golden samples may allow.

Knows nothing of how the file was made.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import OF_BOXES, RELEVANT, largest_difference, unmatched_detections

# Twins of a float detection: pixels of a corner, and of a score. Kept to by the file's own golden samples too.
TWIN_BOXES, TWIN_SCORES, TWIN_REST = 2.0, 0.1, 0.25
# Share of the golden samples' detections and items that may be lost on another processor.
LOST = 0.1
STAGES = ("scores", "prototypes", "embeddings", "similarities")


def sibling_differences(
    truth: Recognizer, sibling: Recognizer, images: Mapping[str, NDArray[np.uint8]]
) -> dict[str, dict[str, float]]:
    """What a smaller file changes: `sibling` against `truth`, the same bundle in float, each on the same crops.

    Per stage the `largest` and `mean` absolute difference; of detections that a decision could see, the share `lost`, which
    have no twin within 2 pixels and 0.1 of score; of embeddings the mean and the `least` `cosine`; of the match the share of
    crops whose nearest item is the same (`first`).
    """
    pairs = []
    for image in images.values():
        first = truth.stages(image)
        pairs.append((first, sibling.stages(image, crop_boxes=first.get("crop_boxes"))))
    found: dict[str, dict[str, float]] = {}
    for stage in STAGES:
        both = [(a[stage], b[stage]) for a, b in pairs if stage in a and stage in b]
        if both:
            gaps = np.concatenate([np.abs(a.astype(np.float64) - b).ravel() for a, b in both])
            largest = max(largest_difference(a, b) for a, b in both)
            found[stage] = {"largest": largest, "mean": float(gaps.mean()) if len(gaps) else 0.0}
    least = truth.bundle.postprocess.score_threshold * RELEVANT
    seen = [(a, b) for a, b in pairs if "boxes" in a]
    if seen:
        lost = sum(unmatched_detections(a, b, least=least, tolerances=_twins()) for a, b in seen)
        count = sum(int((a["scores"] >= least).sum()) for a, _ in seen)
        found["detections"] = {"lost": lost / count if count else 0.0, "count": float(count)}
    vectors = [(a["embeddings"], b["embeddings"]) for a, b in pairs if "embeddings" in a]
    if vectors:
        cosines = np.concatenate([(a * b).sum(axis=1) for a, b in vectors])
        found["embeddings"] |= {"cosine": float(cosines.mean()), "least_cosine": float(cosines.min())}
    nearest = [a["items"][:, 0] == b["items"][:, 0] for a, b in pairs if "items" in a and a["items"].size]
    if nearest:
        found["match"] = {"first": float(np.concatenate(nearest).mean()), "count": float(sum(map(len, nearest)))}
    return found


def sibling_limits(limits: Mapping[str, float], found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Tolerances of a smaller file's own golden samples.

    On another processor it may be as far from them as it was from float where it was made, and never less than float's own
    tolerance: a step of eight bits more or less, here or there, is no fault.
    """
    own = dict(limits) | _twins() | {"lost": LOST, "disagreeing": LOST}
    for stage in ("prototypes", "embeddings", "similarities"):
        if stage in found:
            own[stage] = max(limits[stage], found[stage]["largest"])
    return own


def _twins() -> dict[str, float]:
    return {"boxes": TWIN_BOXES, "scores": TWIN_SCORES} | dict.fromkeys(OF_BOXES, TWIN_REST)
