"""The chain's attribution: each stage by hand, and the sums against the end-to-end metrics on random frames."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facings.analysis.attribution import ERRORS, FATES, ORIGINS, attribute_frame, count_stages, errors_of
from facings.metrics.end_to_end import frame_outcome
from facings.structures import Candidate, Decision, Item

PRODUCTS = ("fuji", "gala", "pear", "plum")
CATEGORIES = {"fuji": ("Fruit", "Apple"), "gala": ("Fruit", "Apple"), "pear": ("Fruit", "Pear")}
TRUTH = np.array([[0, 0, 10, 10]], np.float32)


def item(x: float, status: Any = "known", product: str | None = None, *, width: float = 10, listed: Any = ()) -> Item:
    candidates = tuple(Candidate(name, 0.5, 0.01) for name in listed)
    return Item((x, 0, x + width, 10), 0.9, status, product, (), candidates)


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        (item(0, product="fuji"), "right"),
        (item(0, product="gala"), "sibling"),
        (item(0, product="pear"), "another product"),
        (item(0, product="plum"), "another product"),
        (item(0, "unknown"), "rejected as unknown"),
        (item(0, "ambiguous", listed=("pear", "fuji")), "ambiguous, in the list"),
        (item(0, "ambiguous", listed=("pear", "gala")), "ambiguous, not in the list"),
        (item(6, product="fuji"), "wrong crop"),
        (item(50, product="fuji"), "not detected"),
    ],
)
def test_each_stage(answer: Item, fate: str) -> None:
    found = attribute_frame(Decision("1", (answer,)), TRUTH, ["fuji"], categories=CATEGORIES)
    assert found.fates == (fate,)


def test_products_that_are_not_enrolled() -> None:
    def fate(answer: Item) -> str:
        return attribute_frame(Decision("1", (answer,)), TRUTH, ["plum"], enrolled={"fuji"}).fates[0]

    assert fate(item(0, "unknown")) == "rightly unknown"
    assert fate(item(0, product="fuji")) == fate(item(0, "ambiguous", listed=("fuji",))) == "not enrolled"
    assert fate(item(50, product="fuji")) == "not detected"


def test_a_product_that_nobody_noted_is_not_judged() -> None:
    assert attribute_frame(Decision("1", (item(0, product="fuji"),)), TRUTH, [None]).fates == ("unjudged",)


def test_two_objects_in_one_box_are_a_wrong_crop_of_both() -> None:
    truth = np.array([[0, 0, 10, 10], [11, 0, 21, 10]], np.float32)
    found = attribute_frame(Decision("1", (item(0, product="fuji", width=21),)), truth, ["fuji", "gala"])
    assert found.fates == ("wrong crop", "wrong crop") and found.origins == ("crop",)
    # A box that fits the first well enough for it swallows the second.
    truth = np.array([[0, 0, 10, 10], [11, 0, 15, 10]], np.float32)
    found = attribute_frame(Decision("1", (item(0, product="fuji", width=15),)), truth, ["fuji", "gala"])
    assert found.fates == ("right", "wrong crop") and found.origins == ("matched",)


def test_boxes_that_no_object_wants() -> None:
    decision = Decision(
        "1", (item(0, product="fuji"), item(1, product="pear"), item(50, product="pear"), item(70, "unknown"))
    )
    found = attribute_frame(decision, TRUTH, ["fuji"])
    assert found.origins == ("matched", "doubled", "background named", "background unknown")


def test_an_empty_frame() -> None:
    nothing = np.zeros((0, 4), np.float32)
    found = attribute_frame(Decision(None, ()), nothing, [])
    assert found.fates == () and errors_of(count_stages([found])) == {} == errors_of(count_stages([]))
    assert attribute_frame(Decision("1", (item(0, product="fuji"),)), nothing, []).origins == ("background named",)
    assert attribute_frame(Decision("1", ()), TRUTH, ["fuji"]).fates == ("not detected",)


def test_products_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="2 products for 1 boxes"):
        attribute_frame(Decision("1", ()), TRUTH, ["fuji", "gala"])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 12))
def test_the_stages_sum_to_all_errors(seed: int, objects: int, decisions: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 40, (objects, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 16, (objects, 2))], axis=1).astype(np.float32)
    products = [PRODUCTS[number] if number < 4 else None for number in rng.integers(0, 5, objects)]
    items = []
    for _ in range(decisions):
        corner = rng.integers(0, 40, 2)
        box = np.concatenate([corner, corner + rng.integers(1, 20, 2)])
        if objects and rng.random() < 0.7:
            box = boxes[rng.integers(objects)] + rng.integers(-1, 2, 4)
        status = str(rng.choice(["known", "ambiguous", "unknown"]))
        listed = tuple(Candidate(name, 0.5, 0.1) for name in rng.permutation(PRODUCTS)[: rng.integers(0, 3)].tolist())
        product = str(rng.choice(PRODUCTS)) if status == "known" else None
        x1, y1, x2, y2 = (float(value) for value in box)
        items.append(Item((x1, y1, x2, y2), float(rng.random()), status, product, (), listed))  # type: ignore[arg-type]
    decision, enrolled = Decision("1", tuple(items)), {"fuji", "gala", "pear"}
    found = attribute_frame(decision, boxes, products, categories=CATEGORIES, enrolled=enrolled)
    outcome = frame_outcome(decision, boxes, products, enrolled=enrolled)
    counts = count_stages([found, found])
    assert sum(counts[name] for name in FATES) == 2 * objects
    assert sum(counts[name] for name in ORIGINS) == 2 * decisions
    # Every error once: objects that were not served, and boxes that no object accounts for.
    fine = sum(counts[name] for name in ("right", "rightly unknown", "unjudged"))
    assert sum(errors_of(counts).values()) == sum(counts[name] for name in ERRORS)
    assert sum(errors_of(counts).values()) == 2 * (objects + decisions) - fine - counts["matched"] - counts["crop"]
    # And against the metrics, which count in another way.
    assert counts["right"] == 2 * outcome.counts["right"]
    assert counts["matched"] == 2 * outcome.counts["found"]
    assert counts["not detected"] + counts["wrong crop"] == 2 * (objects - outcome.counts["found"])
    foreign = counts["not enrolled"] + counts["rightly unknown"]
    lucky = sum(fate == "right" and product == "plum" for fate, product in zip(found.fates, products, strict=True))
    assert foreign == 2 * (outcome.counts["foreign_found"] - lucky)
    assert 2 * outcome.outcomes.count("stray") == counts["crop"] + sum(counts[name] for name in ORIGINS[2:])
    # A box that spoils a crop has an object whose crop it spoiled.
    assert "crop" not in found.origins or "wrong crop" in found.fates
