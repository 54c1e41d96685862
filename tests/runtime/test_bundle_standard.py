"""A bundle that carries a standard: decisions, thresholds that move, priors, and files that are refused.

The graphs are real: the embedder is the mean colour, so that a product is an angle in the plane of red and green.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from facings.errors import BundleError, ConfigError, GalleryError
from facings.export.graphs import match_graph
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.cli import main
from facings.runtime.decision import decide
from facings.runtime.gallery import Gallery
from facings.runtime.gallery_calibration import witness_rows
from facings.runtime.mated_file import read_mated
from facings.runtime.prior_search import PriorSearch
from facings.runtime.priors import Prior
from facings.runtime.recognizer import Recognizer
from facings.runtime.standard import Standard
from facings.runtime.verify import verify
from facings.structures import Decision
from tests.benchmark.conftest import make_bundle
from tests.runtime.gallery_parts import unit_rows
from tests.runtime.test_verify import reseal

RATES = {
    "false_accept": 0.05, "coverage": 0.95, "category_error": 0.03, "pick_list": 2, "unit": "estimated", "margin": 1.0,
}  # fmt: skip
PATHS = {"gala": ["Fruit", "Apple"], "fuji": ["Fruit", "Apple"], "milk": ["Dairy", "Milk"]}
PATHS |= {f"other {n}": ["Dairy", "Cheese"] for n in range(60)}
OTHERS = np.linspace(55, 70, 60)


def at(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians), np.zeros(len(degrees))], axis=1).astype(np.float32)


def painted(degrees: float, size: int = 64) -> np.ndarray:
    colour = np.round((at(degrees)[0] + 1) * 127.5).astype(np.uint8)
    return np.tile(colour, (size, size, 1))


def settle(bundle: Path, **post: Any) -> Path:
    """Set entries of postprocess.json, and let the checksums fit."""
    path = bundle / "postprocess.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | post))
    reseal(bundle, lambda manifest: None)
    return bundle


def put_mated(bundle: Path, content: bytes | np.ndarray) -> Path:
    """Lay the exporter's calibration file into the bundle."""
    path = bundle / "calibration_mated.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    reseal(bundle, lambda manifest: manifest["files"].update(calibration={"file": path.name}))
    return bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Two apples 4 degrees apart and milk far away; 60 cheeses between them are the calibration crops. No standard yet."""
    folder = make_bundle(tmp_path / "angles-1", roles=("crop", "embedder"))
    onnx.save(match_graph(3, 5, 20), str(folder / "match.onnx"))
    (folder / "taxonomy.json").write_text(
        json.dumps(
            {"schema": "facings.taxonomy/1", "products": {n: {"name": n, "category": p} for n, p in PATHS.items()}}
        )
    )
    entry = {"file": "match.onnx", "sha256": sha256(folder / "match.onnx"), "opset": 20, "ir_version": 10}
    reseal(folder, lambda manifest: manifest["graphs"].update(match=entry))
    for path in sorted((folder / "gallery").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Gallery.create(
        folder / "gallery", embedder_sha256=sha256(folder / "embedder.onnx"), vectors=at(0, 4, 120), item=np.arange(3),
        items=["gala", "fuji", "milk"], calibration_vectors=at(*OTHERS), calibration_items=[f"other {n}" for n in range(60)],
    )  # fmt: skip
    return folder


@pytest.fixture
def judged(bundle: Path) -> Path:
    """The same with a standard; right products lie as far from their photos as 63 degrees."""
    mated = np.full((60, 2), np.cos(np.radians(63)), np.float32)
    return settle(put_mated(bundle, mated), standard=RATES | {"remember": False})


def decided(recognizer: Recognizer, degrees: float) -> Any:
    (item,) = recognizer.recognize(painted(degrees)).items
    return item


def test_the_standard_of_the_bundle_decides(judged: Path) -> None:
    recognizer = Recognizer(Bundle.open(judged), threads=1)
    known, twins, stranger = (decided(recognizer, degrees) for degrees in (120, 2.1, 62))
    assert (known.status, known.product_id, known.category) == ("known", "milk", ("Dairy", "Milk"))
    assert (twins.status, twins.product_id, twins.category) == ("ambiguous", None, ("Fruit", "Apple"))
    assert {c.product_id for c in twins.candidates} == {"gala", "fuji"}
    assert (stranger.status, stranger.category) == ("unknown", ())
    decision = recognizer.recognize(painted(2.1))
    assert Decision.from_json(decision.to_json()) == decision
    assert recognizer.recognize(painted(2.1)) == decision


def test_it_is_the_standard_fitted_by_hand(judged: Path) -> None:
    standard = Recognizer(Bundle.open(judged), threads=1).standard
    assert standard is not None
    views = at(0, 4, 120)
    second, similar = np.sort(at(*OTHERS) @ views.T, axis=1)[:, -2:].T
    sure = np.sort(2 * similar - second)
    np.testing.assert_allclose(standard.unknown.ordered, sure, atol=1e-6)
    cut, gap = standard.thresholds["lead"], standard.thresholds["gap"]
    above, on = standard.unknown.p_values(np.array([np.nextafter(cut, 2), cut]))
    assert above <= 0.05 < on
    # (1 + n) / 61 is at most 0.05 for the two highest of 60: beyond the third a score counts. Right products lie 63 degrees off.
    assert cut == pytest.approx(sure[-3], abs=1e-6)
    assert gap == pytest.approx(np.sort(np.maximum(similar - np.cos(np.radians(63)), 0))[-3], abs=1e-6)


def test_category_where_nothing_is_known(judged: Path) -> None:
    """So strict on unknown goods that nothing is known, while categories keep their own rate."""
    strict = RATES | {"false_accept": 0.001, "category_error": 0.1, "remember": False}
    recognizer = Recognizer(Bundle.open(settle(judged, standard=strict)), threads=1)
    assert recognizer.standard is not None and recognizer.standard.thresholds["lead"] == np.inf
    item = decided(recognizer, 2.0)
    assert (item.status, item.category) == ("unknown", ("Fruit", "Apple"))


def test_a_bundle_without_a_standard_decides_as_before(bundle: Path) -> None:
    before = Recognizer(Bundle.open(bundle), threads=1)
    assert before.standard is None and before.bundle.postprocess.standard is None
    assert before.bundle.calibration_mated() is None
    old = [before.recognize(painted(degrees)).to_json() for degrees in (120, 2.1, 62)]
    for degrees, text in zip((120, 2.1, 62), old, strict=True):
        result = before.run(painted(degrees))
        plain = decide(result.detections, before.match(result.embeddings), before.bundle, before.gallery)
        assert plain.to_json() == text
    assert [json.loads(text)["items"][0]["status"] for text in old] == ["known", "ambiguous", "unknown"]
    settle(put_mated(bundle, np.zeros((60, 1), np.float32)), standard=None)
    again = Recognizer(Bundle.open(bundle), threads=1)
    assert [again.recognize(painted(degrees)).to_json() for degrees in (120, 2.1, 62)] == old


def test_enrolled_and_retired_views_bear_witness(judged: Path) -> None:
    """Second formula: the standard fitted to the arrays put together by hand."""
    settle(judged, standard=RATES)
    Bundle.open(judged).gallery().retire("milk")
    recognizer = Recognizer(Bundle.open(judged), threads=1)
    gallery, standard = recognizer.gallery, recognizer.standard
    assert gallery is not None and standard is not None and gallery.retired == ("milk",)
    assert standard.tree.categories["milk"] == ("Dairy", "Milk"), "the retired product's category is kept"
    by_hand = Standard.fit(
        standard.rates, vectors=at(0, 4), item=np.arange(2), items=["gala", "fuji"],
        calibration_vectors=at(*OTHERS, 0, 4, 120),
        calibration_items=[*(f"other {n}" for n in range(60)), "gala", "fuji", "milk"], categories=PATHS,
        calibration_mated=np.concatenate([recognizer.bundle.calibration_mated(), np.full((3, 2), np.nan, np.float32)]),
    )  # fmt: skip
    for ours, theirs in ((standard.unknown, by_hand.unknown), (standard.gap, by_hand.gap)):
        np.testing.assert_allclose(ours.ordered, theirs.ordered, atol=1e-6)
        assert ours.size == pytest.approx(theirs.size)
    np.testing.assert_allclose(
        standard.unknown.ordered[-2:], 2 * np.cos(np.radians(4)), atol=1e-6
    )  # one apple beside the other, which leads over nothing
    # No file has changed for it: versions and their calibration crops are as they were.
    assert len(gallery.calibration_items) == 60


def test_enrolling_moves_the_threshold_and_says_so(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Recognizer(Bundle.open(judged), threads=1).standard
    for number, degrees in enumerate((61, 62, 63.5)):
        Image.fromarray(painted(degrees)).save(tmp_path / f"{number}.png")
    words = ["enroll", str(judged), *(str(tmp_path / f"{n}.png") for n in range(3)), "--product", "brie", "--force"]
    words += ["--category", "Dairy/Cheese"]
    assert main([*words, "--dry-run", "--json"]) == 0
    effect = json.loads(capsys.readouterr().out)["effect"]
    assert effect["coverage"] == 0.95 and effect["uncovered"] == 0.0 and effect["false_accept_rate"] == 0.05
    assert main(words) == 0
    printed = capsys.readouterr().out
    recognizer = Recognizer(Bundle.open(judged), threads=1)
    after = recognizer.standard
    assert before is not None and after is not None
    cuts = [standard.thresholds["lead"] for standard in (before, after)]
    assert cuts[1] > cuts[0] + 0.1, "cheeses look like the new cheese"
    assert [effect["threshold_before"], effect["threshold_after"]] == pytest.approx(cuts)
    assert f"threshold at 5 % of unknown goods: {cuts[0]:.4f} before, {cuts[1]:.4f} after" in printed
    assert f"answers for 95 % of enrolled goods: all within {before.thresholds['gap']:.4f}" in printed
    assert "0.0 % without it among the answers" in printed
    assert len(after.unknown.ordered) == 60, "remember: false"
    assert decided(recognizer, 62).candidates[0].product_id == "brie"


def test_without_a_standard_enrolling_tells_what_it_told(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(painted(62)).save(tmp_path / "0.png")
    words = ["enroll", str(bundle), str(tmp_path / "0.png"), "--product", "brie", "--force", "--json"]
    assert main(words) == 0
    effect = json.loads(capsys.readouterr().out)["effect"]
    assert set(effect) == {
        "false_accept_rate", "threshold_before", "threshold_after", "confusions", "views", "mistaken", "unsure",
    }  # fmt: skip


def test_a_prior_is_calibrated_and_applied(judged: Path) -> None:
    prior = Prior({"fuji": 1.0}, others=0.1, strength=0.05)
    plain, recognizer = (Recognizer(Bundle.open(judged), threads=1, prior=p) for p in (None, prior))
    assert plain.standard is not None and recognizer.standard is not None
    assert decided(plain, 1.0).candidates[0].product_id == "gala"
    item = decided(recognizer, 1.0)
    assert item.candidates[0].product_id == "fuji"
    assert item.candidates[0].similarity == pytest.approx(np.cos(np.radians(3)), abs=0.01)
    assert recognizer.standard.thresholds["lead"] < plain.standard.thresholds["lead"]


def test_a_prior_needs_a_standard(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="has no standard, so a prior cannot be calibrated"):
        Recognizer(Bundle.open(bundle), threads=1, prior=Prior())


def test_a_favoured_product_is_found_behind_all_others(tmp_path: Path, rng: np.random.Generator) -> None:
    names = [f"p{n:02d}" for n in range(40)]
    item = np.concatenate([np.arange(40), rng.integers(0, 40, 60)])
    gallery = Gallery.create(
        tmp_path / "gallery", embedder_sha256="a" * 64, vectors=unit_rows(rng, 100), item=item, items=names,
        calibration_vectors=unit_rows(rng, 3), calibration_items=[None] * 3,
    )  # fmt: skip
    prior = Prior({"p07": 1.0, "p30": 0.5}, others=0.01, strength=1.0)
    queries = unit_rows(rng, 9)
    found = PriorSearch(gallery, prior).top(queries, 3)
    best = np.stack([(queries @ gallery.vectors[gallery.item == n].T).max(axis=1) for n in range(40)], axis=1)
    moved = best + np.log([prior.weights.get(name, 0.01) for name in names])
    assert np.array_equal(found.items, np.argsort(-moved, axis=1)[:, :3]) and (found.items[:, 0] == 7).all()
    np.testing.assert_allclose(found.similarities, -np.sort(-moved, axis=1)[:, :3], atol=1e-5)
    assert PriorSearch(gallery, prior).top(queries[:0], 99).items.shape == (0, 40)


@pytest.mark.parametrize(
    "standard, message",
    [
        ([0.05], "expected false_accept, coverage"),
        ({"false_accept": 0.05}, "expected false_accept, coverage"),
        (RATES | {"shadow": 1}, "expected false_accept, coverage"),
        (RATES | {"false_accept": "0.05"}, "false_accept is '0.05'; expected int or float"),
        (RATES | {"coverage": True}, "coverage is True; expected int or float"),
        (RATES | {"coverage": 1.0}, "coverage is 1.0; expected a share between 0 and 1"),
        (RATES | {"margin": 1000.0}, "margin 1000.0"),
        (RATES | {"pick_list": 2.5}, "pick_list is 2.5; expected int"),
        (RATES | {"pick_list": 6}, "pick_list is 6 of 5 candidates"),
        (RATES | {"unit": "shops"}, "unit is 'shops'; expected one of products, views, estimated"),
        (RATES | {"remember": 1}, "remember is 1; expected bool"),
    ],
)
def test_a_standard_out_of_range_is_refused(bundle: Path, standard: Any, message: str) -> None:
    with pytest.raises(BundleError, match=f"postprocess.json: standard: .*{message}"):
        Bundle.open(settle(bundle, standard=standard))


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header.encode("latin1") + data


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 8)}\n"
NEGATIVE = "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 8)}\n"
OBJECTS = "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1)}\n"
TURNED = "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2)}\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not an array as numpy.save writes it"),
        (b"PK\x03\x04 a zip of arrays", "not an array as numpy.save writes it"),
        (npy(HUGE, b"\0" * 32), r"holds 32 bytes; \(1000000000000, 8\) of float32 are 32000000000000"),
        (npy(NEGATIVE), "holds 0 bytes"),
        (npy(OBJECTS, b"\x80\x04."), "holds object"),
        (npy(TURNED, b"\0" * 8), "expected float32"),
        (npy("{'descr': '<f4', ("), "not an array as numpy.save writes it"),
        (npy("[" * 9000), "not an array as numpy.save writes it"),
        (npy(HUGE, version=b"\x09\x00"), "not an array as numpy.save writes it"),
        (np.zeros((60, 2)), "holds float64"),
        (np.zeros(60, np.float32), "expected float32"),
        (np.zeros((60, 0), np.float32), "1 to 1000 photos"),
        (np.zeros((2, 1001), np.float32), "1 to 1000 photos"),
        (np.full((60, 1), np.inf, np.float32), "no similarities"),
        (np.full((60, 1), 1.5, np.float32), "no similarities"),
        (np.array([[np.nan, 0.5]], np.float32), "none before"),
    ],
)
def test_a_hostile_calibration_file_is_refused(bundle: Path, content: Any, message: str) -> None:
    with pytest.raises(BundleError, match=rf"calibration_mated\.npy: .*{message}"):
        Bundle.open(put_mated(bundle, content))


def test_a_calibration_file_of_another_gallery_is_refused(judged: Path) -> None:
    put_mated(judged, np.zeros((61, 1), np.float32))
    with pytest.raises(GalleryError, match="61 mated calibration scores for 60 calibration crops"):
        Recognizer(Bundle.open(judged), threads=1)
    failed = [check for check in verify(judged) if not check.passed]
    assert len(failed) == 1 and "61 mated" in failed[0].detail


def test_rows_may_be_few_or_none(judged: Path, tmp_path: Path) -> None:
    for rows in (0, 7):
        put_mated(judged, np.full((rows, 3), 0.5, np.float32))
        standard = Recognizer(Bundle.open(judged), threads=1).standard
        assert standard is not None and np.isfinite(standard.gap.ordered).all()
    np.save(tmp_path / "x.npy", np.array([[0.5, np.nan]], np.float32))
    np.testing.assert_array_equal(read_mated(tmp_path / "x.npy"), np.array([[0.5, np.nan]], np.float32))


def test_a_changed_byte_of_the_calibration_is_refused(judged: Path) -> None:
    path = judged / "calibration_mated.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="wrong checksum"):
        Bundle.open(judged)


def test_witnesses_are_spread_over_products(rng: np.random.Generator) -> None:
    owner = rng.integers(-1, 12, 300)
    wanted = rng.random(12) < 0.7
    asked = np.flatnonzero([o >= 0 and wanted[o] for o in owner])
    assert np.array_equal(witness_rows(owner, wanted, 999), asked)
    for most in (1, 5, 20, 57):
        rows = witness_rows(owner, wanted, most)
        assert len(rows) == most and set(rows) <= set(asked) and (np.diff(rows) > 0).all()
        counts = np.bincount(owner[rows], minlength=12)[wanted]
        there = np.bincount(owner[asked], minlength=12)[wanted]
        assert (counts >= np.minimum(there, counts.max() - 1)).all(), (
            "none has two more than another that has views left"
        )
    assert len(witness_rows(owner, np.zeros(12, bool), 5)) == 0 and len(witness_rows(owner[:0], wanted, 5)) == 0
