"""An embedder update without photographing again: enrolled with the old bundle, looked at again by the new one."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from facings.errors import ConfigError, GalleryError
from facings.export.bundle import seal
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.cli import main
from facings.runtime.crops import cut_crop
from facings.runtime.gallery import Change, Gallery
from facings.runtime.gallery_crops import LONGEST, keep_crop, read_crop, write_crops
from facings.runtime.gallery_history import check, collect_garbage
from facings.runtime.gallery_reembedding import reembed
from facings.runtime.recognizer import Recognizer
from tests.benchmark.conftest import COLOURS, constant, make_bundle
from tests.runtime.gallery_parts import files_of, small_gallery, unit_rows
from tests.runtime.test_enrolment import photos, shelf

# Where the new embedder looks: channels mixed, so that its vectors lie elsewhere than the old one's.
MIXED = np.array([[0.2, 1.0, 0.0], [0.0, 0.3, 1.0], [1.0, 0.0, 0.4]], np.float32)
YELLOW, VIOLET = (230, 220, 40), (150, 40, 190)


def updated(folder: Path) -> Path:
    """A bundle of another embedder, with a gallery of the three colours by that one."""
    make_bundle(folder)
    path = folder / "embedder.onnx"
    model = onnx.load(str(path))
    mean, unit = model.graph.node
    mean.output[0] = "plain"
    mix = helper.make_node("MatMul", ["plain", "mix"], ["mean"])
    del model.graph.node[:]
    model.graph.node.extend([mean, mix, unit])
    model.graph.initializer.append(constant("mix", MIXED))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["graphs"]["embedder"]["sha256"] = sha256(path)
    colours = (np.array(list(COLOURS.values()), np.float32) / 127.5 - 1) @ MIXED
    shutil.rmtree(folder / "gallery")
    noise = np.random.default_rng(0).normal(0, 0.05, (60, 3)).astype(np.float32)
    Gallery.create(
        folder / "gallery", embedder_sha256=sha256(path), vectors=colours, item=np.arange(3), items=list(COLOURS),
        calibration_vectors=np.repeat(colours, 20, axis=0) + noise, calibration_items=[n for n in COLOURS for _ in range(20)],
    )  # fmt: skip
    seal(folder, {name: value for name, value in manifest.items() if name not in ("schema", "files")})
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Four photos of each of two goods, with crops; one good without; violet is retired."""
    bundle = make_bundle(tmp_path / "old-1")
    yellow, violet, white = (
        ["enroll", str(bundle), *map(str, photos(tmp_path, name, colour)), "--whole", "--product", name]
        for name, colour in (("yellow", YELLOW), ("violet", VIOLET), ("white", (215, 215, 210)))
    )
    assert main(white) == 0
    assert main([*yellow, "--keep-crops", "--name", "Yellow", "--plu", "4011"]) == 0
    # From now on the gallery keeps crops without being asked.
    assert main(violet) == 0
    assert main(["gallery", str(bundle), "retire", "violet"]) == 0
    return bundle


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return updated(tmp_path / "new-2")


def test_the_new_embedder_sees_what_photographing_again_would_have_shown(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = updated(tmp_path / "again-2")
    words = map(str, photos(tmp_path, "yellow", YELLOW))
    assert main(["enroll", str(again), *words, "--whole", "--product", "yellow"]) == 0
    capsys.readouterr()
    assert main(["gallery", str(new), "adopt", str(old)]) == 2
    assert "is compatible with none" in capsys.readouterr().err
    assert main(["gallery", str(new), "reembed", str(old), "--author", "ann"]) == 1
    text = capsys.readouterr().out
    assert (
        "white: LEFT OUT: no crop of it was kept" in text and "3 products that were here already keep their own" in text
    )
    assert "threshold at 5 % of unknown goods" in text and "re-embed 2 products of old-1, version 000005" in text
    bundle = Bundle.open(new)
    gallery = bundle.gallery()
    assert gallery.items == (*COLOURS, "yellow") and gallery.retired == ("violet",) and gallery.version == "000002"
    assert gallery.products["yellow"]["plu"] == "4011" and gallery.manifest["author"] == "ann"
    np.testing.assert_array_equal(gallery.views_of("yellow"), Bundle.open(again).gallery().views_of("yellow"))
    assert np.abs(gallery.views_of("yellow") - Bundle.open(old).gallery().views_of("yellow")).max() > 0.1
    assert gallery.embedder_sha256 == bundle.embedder_sha256
    # Calibrated anew: as if the products had been enrolled here.
    scores = Gallery.open(again / "gallery").apply(
        [Change("add", "violet", gallery.views_of("violet")), Change("retire", "violet")], reason=""
    )
    np.testing.assert_allclose(gallery.calibration_scores, scores.calibration_scores, atol=1e-6)
    decision = Recognizer(bundle, threads=1).recognize(np.asarray(Image.open(shelf(tmp_path, "asked", {5: YELLOW}))))
    assert [item.candidates[0].product_id for item in decision.items] == ["yellow"]
    assert main(["gallery", str(new), "check"]) == 0
    assert main(["gallery", str(new), "rollback", "1"]) == 0 and "yellow" not in Bundle.open(new).gallery().items


def test_crops_go_on_to_the_next_update(old: Path, new: Path, tmp_path: Path) -> None:
    first = reembed(Recognizer(Bundle.open(new), threads=1), Bundle.open(old))
    assert first.taken == ("yellow", "violet") and first.retired == ("violet",) and first.bare == ("white",)
    third = make_bundle(tmp_path / "third-3")
    second = reembed(Recognizer(Bundle.open(third), threads=1), Bundle.open(new))
    assert second.taken == ("yellow", "violet") and second.fewer == () and second.effect.views == 4
    # The third one's embedder is the first one's: there and back again is the same.
    source = Bundle.open(old).gallery()
    for name in second.taken:
        np.testing.assert_array_equal(second.gallery.views_of(name), source.views_of(name))
    with pytest.raises(ConfigError, match="has no product that"):
        reembed(
            Recognizer(Bundle.open(make_bundle(tmp_path / "fourth-1")), threads=1),
            Bundle.open(make_bundle(tmp_path / "fifth-1")),
        )


def test_views_of_which_no_crop_was_kept_are_told(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [str(path) for path in photos(tmp_path, "later", YELLOW, 6)[4:]]
    assert main(["enroll", str(old), *more, "--whole", "--product", "yellow", "--no-keep-crops"]) == 0
    assert main(["gallery", str(old), "show", "yellow"]) == 0
    assert "yellow: 6 views, 4 kept as crops" in capsys.readouterr().out
    assert main(["gallery", str(new), "reembed", str(old), "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["fewer_views"] == [{"product_id": "yellow", "crops": 4, "views": 6}]
    assert content["without_crops"] == ["white"] and content["reembedded"] == ["yellow", "violet"]


def test_without_crops_there_is_nothing_to_look_at(new: Path, tmp_path: Path) -> None:
    bare = make_bundle(tmp_path / "bare-1")
    Bundle.open(bare).gallery().add("white", np.ones((1, 3), np.float32))
    with pytest.raises(ConfigError, match=r"keeps no crop of them \(facings enroll … --keep-crops\); enroll again"):
        reembed(Recognizer(Bundle.open(new), threads=1), Bundle.open(bare))


def test_a_crop_that_was_changed_is_refused_and_nothing_committed(
    old: Path, new: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crop = sorted((old / "gallery" / "crops").iterdir())[0]
    crop.write_bytes(crop.read_bytes() + b"0")
    with pytest.raises(GalleryError, match=r"crops.*\.png: missing, or its checksum is not the manifest's"):
        reembed(Recognizer(Bundle.open(new), threads=1), Bundle.open(old))
    assert Bundle.open(new).gallery().version == "000001"
    assert main(["gallery", str(old), "check"]) == 1 and "crops" in capsys.readouterr().out
    crop.unlink()
    assert any("missing" in state for _, state in check(old / "gallery"))


@pytest.mark.parametrize(
    "crops",
    [[], {"nobody": []}, {"yellow": [{"sha256": "../../etc", "box": [0, 0, 1, 1]}]}, {"yellow": [{"sha256": "a" * 64}]},
     {"yellow": [{"sha256": "a" * 64, "box": [0, 0, 0, 1]}]}, {"yellow": "abc"}],
)  # fmt: skip
def test_a_manifest_that_says_nonsense_of_crops_is_refused(old: Path, crops: object) -> None:
    folder = old / "gallery"
    version = (folder / "CURRENT").read_text().split()[0]
    path = folder / version / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crops": crops}))
    (folder / "CURRENT").write_text(f"{version} {sha256(path)}\n")
    with pytest.raises(GalleryError, match=r"a field is missing or of a wrong type .*crops"):
        Gallery.open(folder)


def test_crops_follow_their_products(tmp_path: Path, rng: np.random.Generator) -> None:
    """Added behind the others, replaced, removed, rolled back; pruning takes what no kept version names, and no more."""
    gallery = small_gallery(tmp_path / "gallery", rng)
    made = [
        keep_crop(rng.integers(0, 255, (9, 9, 3), np.uint8), np.array([2, 2, 7, 7], np.float32), 0.0) for _ in range(4)
    ]
    gallery = gallery.apply([Change("add", "d", unit_rows(rng, 2), crops=made[:2])], reason="two")
    gallery = gallery.apply([Change("add", "d", unit_rows(rng, 1), crops=made[2:3])], reason="one more")
    assert [crop.sha256 for crop in gallery.crops_of("d")] == [crop.sha256 for crop in made[:3]]
    assert Gallery.open(gallery.folder).crops_of("d") == gallery.crops_of("d") and gallery.crops_of("a") == ()
    replaced = gallery.apply([Change("replace", "d", unit_rows(rng, 1), crops=made[3:])], reason="new packaging")
    assert [crop.sha256 for crop in replaced.crops_of("d")] == [made[3].sha256]
    assert replaced.retire("d").restore("d").crops_of("d") == replaced.crops_of("d")
    assert replaced.remove("d").crops_of("d") == ()
    back = Gallery.open(gallery.folder).rollback(gallery.version)
    assert back.crops_of("d") == gallery.crops_of("d") and all(state == "sound" for _, state in check(back.folder))
    (back.folder / "crops" / ".half.png.abc.part").write_bytes(b"half")
    gone = collect_garbage(back.folder, 1)
    assert ".half.png.abc.part" in gone and f"crops/{made[3].sha256}.png" in gone
    left = {name for name in files_of(back.folder) if name.startswith("crops/")}
    assert left == {crop.file for crop in made[:3]} and check(back.folder) == [(back.version, "sound")]


def test_a_kept_crop_is_cut_as_the_photo_was(tmp_path: Path, rng: np.random.Generator) -> None:
    """At the picture's edge too, by any margin up to the context; a large one is reduced, with its box."""
    image = rng.integers(0, 255, (60, 80, 3), np.uint8)
    for box in ([3.4, 2.0, 30.2, 41.7], [0, 0, 80, 60], [50.5, 20, 79, 59.5]):
        place = np.array(box, np.float32)
        crop = keep_crop(image, place, 0.1)
        assert write_crops(tmp_path, {"a": (crop,)})["a"][0].data is None
        kept = read_crop(tmp_path, crop)
        for margin in (0.0, 0.1, 0.25):
            np.testing.assert_array_equal(
                cut_crop(kept, np.array(crop.box, np.float32), margin), cut_crop(image, place, margin)
            )
    large = keep_crop(np.zeros((30, 4 * LONGEST, 3), np.uint8), np.array([0, 0, 2 * LONGEST, 30], np.float32), 0.0)
    write_crops(tmp_path, {"a": (large,)})
    assert read_crop(tmp_path, large).shape[1] == LONGEST and large.box[2] == pytest.approx(LONGEST / 1.25, rel=0.01)
