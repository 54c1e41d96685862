"""How right a bundle is: boxes, products on true boxes, and both together. Knows nothing of training or of torch.

Everything is asked of the store runtime, so that the figures are the exported bundle's.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.frames import Data, Frame, Query, label_numbers
from facings.benchmark.judged import Answer
from facings.benchmark.parts import PARTS
from facings.benchmark.products import checkout_of, product_precision
from facings.boxes import xyxy_to_xywh
from facings.metrics.average_precision import DrawnPrecision
from facings.metrics.bootstrap import share_interval
from facings.metrics.detection import coco_metrics
from facings.metrics.end_to_end import (
    end_to_end_intervals,
    end_to_end_metrics,
    frame_outcome,
    match_decision,
)
from facings.metrics.matching import box_overlap
from facings.runtime.decision import decide
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.structures import Decision, Detections

# Of a box that so much lies in a crowd region, nobody knows whether it is right.
CROWDED = 0.5
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
Figures = dict[str, float]
Intervals = dict[str, tuple[float, float]]
Advance = Callable[[], None]


def answer_frames(
    recognizer: Recognizer,
    frames: Sequence[Frame],
    advance: Advance = lambda: None,
    *,
    parts: Sequence[str] = PARTS["frames"],
) -> list[Answer]:
    """Ask the bundle about every frame, for these `parts` (see `PARTS`) and no more. `advance` is called after each.

    What is decided in a crowd region is left out, see `judged_part`; detections are all there, COCO's figures ignore them there.
    Without `end_to_end` no box is named: decisions are those of a bundle without gallery, or without `detection` empty.

    Raises DataError for a damaged picture.
    """
    answers = []
    for frame in frames:
        image, detections, decision = read_image(frame.path), NOTHING, Decision(None, ())
        outcome, ranks = None, np.full(len(frame.boxes), -2, np.int64)
        nearest: tuple[str, ...] = ()
        if "end_to_end" in parts:
            result = recognizer.run(image)
            detections, decision = result.detections, judged_part(result.decision, frame)
            if recognizer.gallery is not None:
                enrolled = frozenset(recognizer.gallery.items)
                outcome = frame_outcome(decision, frame.boxes, frame.products, enrolled=enrolled)
        if "detection" in parts:
            detections = recognizer.detect(image)
            if "end_to_end" not in parts:
                sure = detections.above(recognizer.bundle.postprocess.score_threshold)
                decision = judged_part(decide(sure, None, recognizer.bundle, None), frame)
        if "identification" in parts and recognizer.gallery is not None:
            ranks, nearest = identify(recognizer, image, frame.boxes, frame.products)
        answers.append(Answer(frame, decision, detections, outcome, ranks, nearest))
        advance()
    return answers


def judged_part(decision: Decision, frame: Frame) -> Decision:
    """The decision without the items that lie in a crowd region of the frame and on none of its objects."""
    if not frame.crowds or not decision.items:
        return decision
    boxes = np.array([item.box for item in decision.items], np.float32)
    regions = np.array([box for box, _ in frame.crowds], np.float32)
    found, crowd = (xyxy_to_xywh(of).astype(np.float64) for of in (boxes, regions))
    within = box_overlap(found, crowd, np.ones(len(regions), bool)).max(axis=1) >= CROWDED
    left_out = within & (match_decision(decision, frame.boxes) < 0)
    return replace(decision, items=tuple(item for item, out in zip(decision.items, left_out, strict=True) if not out))


def answer_queries(recognizer: Recognizer, queries: Sequence[Query], advance: Advance = lambda: None) -> list[int]:
    """The place of each query's product among the nearest items, as in `Answer.ranks`; what else is said of them: `crops`."""
    ranks: list[int] = []
    for query, image, box in query_pictures(queries):
        found, _ = identify(recognizer, image, box, (query.product_id,))
        ranks.append(int(found[0]))
        advance()
    return ranks


def query_pictures(queries: Sequence[Query]) -> Iterator[tuple[Query, NDArray[np.uint8], NDArray[np.float32]]]:
    """Each query with its picture (H, W, 3) and box (1, 4) in it. A picture is decoded once where its crops follow each other, and
    one is held at a time. Raises DataError for a damaged one."""
    decoded = None
    for query in queries:
        if decoded is None or decoded[0] != query.path:
            decoded = (query.path, read_image(query.path))
        height, width = decoded[1].shape[:2]
        yield query, decoded[1], np.array([query.box or (0, 0, width, height)], np.float32)


def coco_results(answers: Sequence[Answer], data: Data, classes: Sequence[str]) -> list[dict[str, Any]]:
    """All detections as COCO results. `classes`: names of the detector's classes by number."""
    numbers = label_numbers(classes, data.labels)
    results = []
    for answer in answers:
        boxes = xyxy_to_xywh(answer.detections.boxes).round(2).tolist()
        scores, labels = answer.detections.scores.tolist(), answer.detections.labels.tolist()
        for box, score, label in zip(boxes, scores, labels, strict=True):
            found = {"image_id": answer.frame.image_id, "category_id": numbers[label] + 1, "bbox": box}
            results.append({**found, "score": round(score, 6)})
    return results


def detection_figures(results: Sequence[dict[str, Any]], data: Data, *, seed: int = 0) -> tuple[Figures, Intervals]:
    """COCO figures at 300 and 1000 detections a frame, and the intervals of `ap` and `ap50` over frames."""
    truth = data.ground_truth()
    return coco_metrics(truth, results), DrawnPrecision(truth, results).intervals(seed=seed)


def operating_point(answers: Sequence[Answer]) -> Figures:
    """`box_precision` and `box_recall` (0–1) of the decisions' boxes: those above the bundle's score threshold."""
    matched = [matched_boxes(answer) for answer in answers]
    found = sum(int((match >= 0).sum()) for match in matched)
    decided, objects = sum(map(len, matched)), sum(len(answer.frame.boxes) for answer in answers)
    return {
        "box_precision": found / decided if decided else float("nan"),
        "box_recall": found / objects if objects else float("nan"),
    }


def matched_boxes(answer: Answer) -> NDArray[np.int64]:
    """(N,) for each decision the index of its true box, or -1."""
    if answer.outcome is not None:
        return answer.outcome.matched
    return match_decision(answer.decision, answer.frame.boxes)


def identification_figures(ranks: Sequence[NDArray[np.int64]], *, seed: int = 0) -> tuple[Figures, Intervals]:
    """R@1 and R@5 (0–1) of crops cut at true boxes, against the gallery; `ranks` (N,) of each picture.

    `queries`: crops whose product is enrolled; the others (`left_out`) have no right answer and are not counted.
    """
    wholes = np.array([(rank != -2).sum() for rank in ranks], np.int64)
    figures: Figures = {"queries": float(wholes.sum()), "left_out": float(sum((rank == -2).sum() for rank in ranks))}
    intervals: Intervals = {}
    for k in (1, 5):
        parts = np.array([((rank >= 0) & (rank < k)).sum() for rank in ranks], np.int64)
        figures[f"r{k}"] = float(parts.sum() / wholes.sum()) if wholes.sum() else float("nan")
        if wholes.sum():
            intervals[f"r{k}"] = share_interval(parts, wholes, seed=seed)
    return figures, intervals


def end_to_end_figures(answers: Sequence[Answer], *, seed: int = 0) -> tuple[Figures, Intervals]:
    """Box and product together, with intervals over frames, and how many decisions of each outcome there are.

    With annotated products also the lists of each frame (`facings.metrics.checkout`) and AP over products; see `products`.
    """
    outcomes = [answer.outcome for answer in answers if answer.outcome is not None]
    counts = [outcome.counts for outcome in outcomes]
    figures = end_to_end_metrics(counts)
    shares = Counter(name for outcome in outcomes for name in outcome.outcomes)
    figures |= {name: float(shares[name]) for name in ("right", "wrong", "unknown", "ambiguous", "stray", "unjudged")}
    figures["missed"] = float(sum(count["objects"] - count["found"] for count in counts))
    annotated = sum(product is not None for answer in answers for product in answer.frame.products)
    figures["not_enrolled"] = float(annotated - sum(count["enrolled"] for count in counts))
    figures["objects"] = float(sum(count["objects"] for count in counts))
    intervals = end_to_end_intervals(counts, seed=seed) if counts else {}
    for more, between in (checkout_of(answers, seed=seed), product_precision(answers, seed=seed)):
        figures |= more
        intervals |= between
    return figures, intervals


def confusions(answers: Sequence[Answer], *, most: int = 10) -> list[dict[str, Any]]:
    """The products most often taken for another, on true boxes: `truth`, `answer`, `count`, `of` (its crops)."""
    totals: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for answer in answers:
        for product, rank, nearest in zip(answer.frame.products, answer.ranks.tolist(), answer.nearest, strict=False):
            if rank == -2 or product is None:
                continue
            totals[product] += 1
            pairs[product, nearest] += rank != 0
    ordered = sorted(((pair, count) for pair, count in pairs.items() if count), key=lambda entry: (-entry[1], entry[0]))
    return [{"truth": t, "answer": a, "count": count, "of": totals[t]} for (t, a), count in ordered[:most]]


def identify(
    recognizer: Recognizer, image: NDArray[np.uint8], boxes: NDArray[np.float32], products: Sequence[str | None]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """`ranks` and `nearest` of an `Answer`; the recognizer has a gallery."""
    assert recognizer.gallery is not None
    items = recognizer.gallery.items
    index = {name: number for number, name in enumerate(items)}
    found = recognizer.match(recognizer.embed(image, boxes)).items
    ranks = [
        rank_of(row, None if product is None else index.get(product))
        for row, product in zip(found, products, strict=True)
    ]
    return np.array(ranks, np.int64), tuple(items[row[0]] for row in found)


def rank_of(found: NDArray[np.int64], item: int | None) -> int:
    """The place of an item among those found (k,), 0 is first; -1 where it is not among them, -2 where it is None.

    >>> rank_of(np.array([4, 7]), 7), rank_of(np.array([4, 7]), 1), rank_of(np.array([4, 7]), None)
    (1, -1, -2)
    """
    if item is None:
        return -2
    places = np.flatnonzero(found == item)
    return int(places[0]) if len(places) else -1
