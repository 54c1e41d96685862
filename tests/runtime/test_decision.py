"""Decisions with a standard and without one, on a gallery on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facings.errors import GalleryError
from facings.runtime.bundle import Bundle, Postprocess
from facings.runtime.decision import decide, fit_standard, judge
from facings.runtime.gallery import Gallery
from facings.runtime.priors import Prior
from facings.runtime.standard import Rates
from facings.structures import Decision, Detections, Matches

POST = Postprocess(0.3, 100, None, 0.05, 0.02, 5, 0.05)
TAXONOMY: dict[str, dict[str, Any]] = {
    "gala": {"name": "Gala", "category": ["Fruit", "Apple"]},
    "fuji": {"name": "Fuji", "category": ["Fruit", "Apple"]},
    "milk": {"name": "Milk", "category": ["Dairy", "Milk"]},
} | {f"other {n}": {"name": "", "category": ["Dairy", "Cheese"]} for n in range(60)}


def at(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Two apples 4 degrees apart and milk far away; 60 cheeses between them."""
    return Gallery.create(
        tmp_path / "gallery", embedder_sha256="0" * 64, vectors=at(0, 4, 120), item=np.array([0, 1, 2]),
        items=["gala", "fuji", "milk"], calibration_vectors=at(*np.linspace(55, 70, 60)),
        calibration_items=[f"other {n}" for n in range(60)],
    )  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle(tmp_path, {"detector": None, "graphs": {}}, POST, TAXONOMY)


def matched(gallery: Gallery, *degrees: float) -> tuple[Detections, Matches]:
    similar = at(*degrees) @ gallery.vectors.T
    order = np.argsort(-similar, axis=1, kind="stable")
    count = len(degrees)
    boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (count, 1))
    detections = Detections(boxes, np.ones(count, np.float32), np.zeros(count, np.int64))
    return detections, Matches(order, np.take_along_axis(similar, order, 1).astype(np.float32))


def test_without_a_standard_the_thresholds_of_the_bundle_decide(gallery: Gallery, bundle: Bundle) -> None:
    detections, matches = matched(gallery, 120, 2.1, 60)
    decision = decide(detections, matches, bundle, gallery)
    assert [item.status for item in decision.items] == ["known", "ambiguous", "unknown"]
    assert [item.category for item in decision.items] == [("Dairy", "Milk"), ("Fruit", "Apple"), ()]
    assert all(len(item.candidates) == 3 for item in decision.items)
    assert decision.items[0].candidates[0].p_value == pytest.approx(1 / 61, abs=1e-6)
    assert judge((), POST) == "unknown"


def test_with_a_standard_its_sets_and_levels_decide(gallery: Gallery, bundle: Bundle) -> None:
    mated = np.full((60, 2), np.cos(np.radians(63)), np.float32)
    standard = fit_standard(bundle, gallery, Rates(pick_list=2), calibration_mated=mated)
    detections, matches = matched(gallery, 120, 2.1, 62, 1.0)
    decision = decide(detections, matches, bundle, gallery, standard)
    known, twins, stranger, _ = decision.items
    assert (known.status, known.product_id, known.category) == ("known", "milk", ("Dairy", "Milk"))
    assert twins.status == "ambiguous" and {c.product_id for c in twins.candidates} == {"gala", "fuji"}
    assert twins.product_id is None and twins.category == ("Fruit", "Apple")
    assert (stranger.status, stranger.category, len(stranger.candidates)) == ("unknown", (), 3)
    assert Decision.from_json(decision.to_json()) == decision


def test_an_unknown_good_may_still_have_a_category(gallery: Gallery, bundle: Bundle) -> None:
    """So strict on unknown goods that nothing is known, while categories keep their own rate."""
    standard = fit_standard(bundle, gallery, Rates(false_accept=0.001, category_error=0.1))
    detections, matches = matched(gallery, 2.0)
    (item,) = decide(detections, matches, bundle, gallery, standard).items
    assert (item.status, item.category) == ("unknown", ("Fruit", "Apple"))


def test_a_prior_reaches_the_decision(gallery: Gallery, bundle: Bundle) -> None:
    prior = Prior({"fuji": 1.0}, others=0.1, strength=0.05)
    standard = fit_standard(bundle, gallery, Rates(), prior=prior)
    detections, matches = matched(gallery, 1.0)
    (item,) = decide(detections, prior.applied(matches, gallery.items), bundle, gallery, standard).items
    assert item.candidates[0].product_id == "fuji"


def test_mated_scores_of_fewer_crops_are_filled_up_and_of_more_refused(gallery: Gallery, bundle: Bundle) -> None:
    few = fit_standard(bundle, gallery, Rates(), calibration_mated=np.full((30, 1), 0.9, np.float32))
    assert len(few.gap.ordered) == 30
    with pytest.raises(GalleryError, match="61 mated calibration scores for 60 calibration crops"):
        fit_standard(bundle, gallery, Rates(), calibration_mated=np.ones((61, 1), np.float32))


def test_nothing_found_is_nothing_decided(gallery: Gallery, bundle: Bundle) -> None:
    none = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    empty = Matches(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.float32))
    standard = fit_standard(bundle, gallery, Rates())
    assert decide(none, empty, bundle, gallery, standard).items == ()
    detections, _ = matched(gallery, 0.0)
    (alone,) = decide(detections, None, bundle, None).items
    assert (alone.status, alone.candidates) == ("unknown", ())
