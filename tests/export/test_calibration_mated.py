"""The exporter's calibration file: each crop against photos of its own product from other pictures; a bundle with a standard."""

import json
from pathlib import Path

import numpy as np
import pytest

from facings.commands.composition import compose_verb
from facings.commands.export import run
from facings.data.tables import read_recognition_table
from facings.errors import ConfigError
from facings.export.enrolment import View, embed_views, mated_similarities, own_photos, views_of_rows
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.runtime.standard import Rates
from facings.runtime.verify import verify
from tests.conftest import TinyShop, export_words
from tests.runtime.gallery_parts import unit_rows


def test_photos_are_the_first_of_the_product_in_other_pictures(tmp_path: Path, rng: np.random.Generator) -> None:
    """Second formula: crop by crop, photo by photo; pictures named in two ways are one."""
    folder = tmp_path / "a"
    folder.mkdir()

    def drawn(number: int) -> View:
        name, picture = "xyz"[rng.integers(3)], f"{rng.integers(6)}.png"
        return View(folder / picture if number % 2 else folder / ".." / "a" / picture, name, (0, 0, 1 + number, 9))

    crops = [*(drawn(n) for n in range(30)), View(folder / "0.png", None), View(folder / "0.png", "stranger")]
    photos = [drawn(n) for n in range(25)]
    chosen = own_photos(crops, photos, 4)
    crop_vectors, photo_vectors = unit_rows(rng, len(crops)), unit_rows(rng, 25)
    found = mated_similarities(crop_vectors, photo_vectors, chosen)
    assert found.shape == (32, 4) and found.dtype == np.float32
    for row, crop in enumerate(crops):
        best, seen = -2.0, []
        for number, photo in enumerate(photos):
            if photo.product_id == crop.product_id and photo.path.name != crop.path.name:
                best = max(best, float(crop_vectors[row] @ photo_vectors[number]))
                seen.append(best)
        wanted = np.array([*seen, *[np.nan] * 4])[:4]
        np.testing.assert_allclose(found[row], wanted, atol=1e-6)


def test_no_photos_are_no_numbers(rng: np.random.Generator) -> None:
    crop = View(Path("a.png"), "x")
    assert np.isnan(mated_similarities(unit_rows(rng, 1), unit_rows(rng, 1), own_photos([crop], [crop], 2))).all()
    assert mated_similarities(unit_rows(rng, 0), unit_rows(rng, 3), own_photos([], [crop], 2)).shape == (0, 2)
    same = unit_rows(rng, 1)
    twin = View(Path("b.png"), "x")
    assert mated_similarities(same, same, own_photos([crop], [twin], 1))[0, 0] <= 1.0


def test_the_bundle_holds_them(tiny_shop: TinyShop) -> None:
    bundle = Bundle.open(tiny_shop.bundle)
    entry = bundle.manifest["files"]["calibration"]
    assert entry == {"file": "calibration_mated.npy", "sha256": sha256(tiny_shop.bundle / "calibration_mated.npy")}
    mated, gallery, recognizer = bundle.calibration_mated(), bundle.gallery(), Recognizer(bundle, threads=1)
    assert mated is not None and mated.shape == (len(gallery.calibration_items), 8)
    table = read_recognition_table(tiny_shop.data / "recognition.csv")
    names = sorted({str(name) for name in gallery.calibration_items})
    enrolled = views_of_rows(table.select(split="val", role="gallery"))
    # Goods that the shelf does not hold are compared with what the calibration's table would enrol them from.
    more = [v for v in views_of_rows(table.select(role="gallery")) if v.product_id not in set(gallery.items)]
    photos = {name: [view for view in (*enrolled, *more) if view.product_id == name] for name in names}
    crops = views_of_rows(table.select(split="train", role="train"))
    assert [crop.product_id for crop in crops] == list(gallery.calibration_items), "few enough to be kept all"
    for row in range(0, len(mated), 7):
        own = [photo for photo in photos[str(crops[row].product_id)] if photo.path != crops[row].path]
        count = min(len(own), 8)
        assert np.isnan(mated[row, count:]).all()
        if count:
            similar = embed_views(recognizer, own) @ gallery.calibration_vectors[row]
            np.testing.assert_allclose(mated[row, :count], np.maximum.accumulate(similar)[:8], atol=1e-4)
    assert bundle.postprocess.standard is None and recognizer.standard is None
    assert all("category" in bundle.taxonomy[name] for name in names), "the standard wants categories of all crops"


def test_a_bundle_with_a_standard_verifies(tiny_shop: TinyShop, tmp_path: Path) -> None:
    words = export_words(tiny_shop.data, None, tiny_shop.embedder, tmp_path)
    words += [
        "standard={false_accept: 0.2, pick_list: 2}",
        "latency.images=0",
        "calibration.limit=30",
        "calibration.views=2",
    ]
    bundle = Bundle.open(run(compose_verb("export", words, output_dir=tmp_path / "log")))
    content = json.loads((bundle.path / "postprocess.json").read_text())["standard"]
    assert content == {
        "false_accept": 0.2, "coverage": 0.95, "category_error": 0.03, "pick_list": 2, "unit": "estimated", "margin": 1.0,
        "remember": True,
    }  # fmt: skip
    assert bundle.postprocess.standard == Rates(false_accept=0.2, pick_list=2) and bundle.postprocess.remember
    mated, recognizer = bundle.calibration_mated(), Recognizer(bundle, threads=1)
    assert mated is not None and mated.shape == (30, 2) and recognizer.standard is not None
    assert len(recognizer.standard.unknown.ordered) >= 30
    assert all(check.passed for check in verify(bundle.path, threads=1)), "golden decisions are the standard's"
    golden = json.loads((bundle.path / "golden" / "index.json").read_text())["samples"][0]
    image = np.load(bundle.path / "golden" / golden["arrays"]["image"])
    assert recognizer.recognize(image).to_dict()["items"][0]["status"] == golden["decision"]["items"][0]["status"]


@pytest.mark.parametrize(
    "word, message",
    [
        ("standard={false_accept: 2}", "standard: false_accept is 2; expected a share"),
        ("standard={false_acept: 0.1}", "standard: is .*false_acept.*; expected false_accept, coverage"),
        ("standard={pick_list: 9}", "standard: pick_list is 9 of 5 candidates"),
        ("standard={unit: shops}", "standard: unit is 'shops'"),
        ("standard=yes_please", "standard='yes_please': expected false_accept, coverage"),
        ("calibration.views=0", "calibration.views=0: expected 1 or more"),
    ],
)
def test_wrong_settings_are_told_before_a_model_is_loaded(tmp_path: Path, word: str, message: str) -> None:
    words = ["embedder=none.ckpt", "gallery.table=none.csv", f"parity.images={tmp_path}", f"output={tmp_path}", word]
    with pytest.raises(ConfigError, match=message):
        run(compose_verb("export", words, output_dir=tmp_path / "log"))
