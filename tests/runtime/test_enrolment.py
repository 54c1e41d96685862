"""Enrolment through real (tiny) graphs: the embedder is the mean colour, so that twins and outliers can be painted."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.errors import DataError, GalleryError
from facings.runtime.bundle import Bundle
from facings.runtime.cli import main
from facings.runtime.enrolment import Request, Settings, enroll
from facings.runtime.enrolment_effect import effect, threshold
from facings.runtime.enrolment_table import read_categories, read_requests
from facings.runtime.gallery import Gallery
from facings.runtime.photo_checks import PhotoLimits
from facings.runtime.recognizer import Recognizer
from tests.benchmark.conftest import CELL, CELLS, SIDE, make_bundle
from tests.runtime.gallery_parts import small_gallery, unit_rows

WHOLE = Settings(locate="whole")
# The tiny detector's cells have 24 pixels.
CENTRAL = Settings(limits=PhotoLimits(side=16))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny-1")


def photo(folder: Path, name: str, colour: tuple[int, int, int], seed: int, spread: float = 15) -> Path:
    """A noisy patch of one colour; another seed, a slightly other colour."""
    generator = np.random.default_rng(seed)
    shade = np.array(colour) + generator.normal(0, spread, 3)
    blocks = np.kron(generator.normal(0, 25, (24, 24, 1)), np.ones((4, 4, 3)))
    path = folder / f"{name}.png"
    Image.fromarray(np.clip(shade + blocks, 0, 255).astype(np.uint8)).save(path)
    return path


def shelf(folder: Path, name: str, cells: dict[int, tuple[int, int, int]]) -> Path:
    """A grey picture with coloured cells, for the detector to find."""
    picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for cell, colour in cells.items():
        x, y = CELL * (cell % CELLS), CELL * (cell // CELLS)
        picture[y : y + CELL, x : x + CELL] = colour
    path = folder / f"{name}.png"
    Image.fromarray(picture).save(path)
    return path


def photos(folder: Path, name: str, colour: tuple[int, int, int], count: int = 4) -> tuple[Path, ...]:
    return tuple(photo(folder, f"{name}{number}", colour, number) for number in range(count))


def test_a_product_is_enrolled_and_told_apart(bundle: Path, tmp_path: Path) -> None:
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    request = Request("lemon", photos(tmp_path, "lemon", (230, 220, 40)), {"name": "Lemon", "plu": "4053"})
    outcome = enroll(recognizer, [request], WHOLE, author="ann", reason="new")
    assert outcome.refused == () and outcome.gallery is not None and outcome.effect is not None
    gallery = Bundle.open(bundle).gallery()
    assert gallery.version == "000002" and len(gallery.views_of("lemon")) == 4
    assert gallery.products["lemon"]["plu"] == "4053" and gallery.manifest["author"] == "ann"
    assert gallery.manifest["changes"][0]["photos"] == ["lemon0.png", "lemon1.png", "lemon2.png", "lemon3.png"]
    assert "forced" not in gallery.manifest["changes"][0] and outcome.effect.mistaken == 0


def test_the_product_is_found_or_the_reason_told(bundle: Path, tmp_path: Path) -> None:
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    one = shelf(tmp_path, "one", {5: (230, 220, 40), 0: (200, 160, 90)})
    two = shelf(tmp_path, "two", {5: (230, 220, 40), 6: (200, 40, 40)})
    none = shelf(tmp_path, "none", {})
    outcome = enroll(recognizer, [Request("lemon", (one, two, none))], CENTRAL, dry_run=True)
    (proposal,) = outcome.proposals
    assert [item.used for item in proposal.photos] == [True, False, False]
    assert proposal.photos[0].box == (24, 24, 48, 48)
    assert "2 products are equally likely" in proposal.photos[1].faults[0]
    assert "no product found" in proposal.photos[2].faults[0]
    surest = Settings(locate="surest", limits=CENTRAL.limits)
    assert enroll(recognizer, [Request("x", (two,))], surest, dry_run=True).proposals[0].photos[0].used
    assert Gallery.open(bundle / "gallery").version == "000001", "a dry run writes nothing"


def test_a_twin_is_refused_and_force_is_recorded(bundle: Path, tmp_path: Path) -> None:
    """Photos of red goods whose shades differ more from each other than from the enrolled red."""
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    around = [(210, 30, 80), (210, 80, 30), (160, 40, 30)]
    views = tuple(photo(tmp_path, f"red{n}", colour, n, spread=0) for n, colour in enumerate(around))
    outcome = enroll(recognizer, [Request("cherry", views)], WHOLE)
    assert outcome.gallery is None and len(outcome.refused) == 1
    assert str(outcome.refused[0].refused).startswith("these views are closer to red than to each other (0.")
    forced = enroll(recognizer, [Request("cherry", views)], Settings(locate="whole", force=True))
    assert forced.gallery is not None and forced.effect is not None
    assert "closer to red" in forced.gallery.manifest["changes"][0]["forced"][0]
    assert forced.effect.threshold_after > forced.effect.threshold_before, "crops of red look like the new product"


def test_twins_in_one_batch_are_seen(bundle: Path, tmp_path: Path) -> None:
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    first = Request("lime", tuple(photo(tmp_path, f"a{n}", (180, 220, 30), n, spread=2) for n in range(3)))
    shades = [(200, 230, 20), (165, 205, 50), (180, 240, 60)]
    second = Request("citron", tuple(photo(tmp_path, f"b{n}", c, n + 9, spread=0) for n, c in enumerate(shades)))
    outcome = enroll(recognizer, [first, second], WHOLE)
    assert [p.request.product_id for p in outcome.refused] == ["citron"] and "closer to lime" in str(
        outcome.refused[0].refused
    )
    assert outcome.gallery is not None and "lime" in outcome.gallery.items


def test_doubles_outliers_and_damage(bundle: Path, tmp_path: Path) -> None:
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    good = photos(tmp_path, "lemon", (230, 220, 40), 5)
    again = tmp_path / "again.png"
    again.write_bytes(good[0].read_bytes())
    blue = photo(tmp_path, "wrong", (120, 60, 220), 7)
    broken = tmp_path / "broken.png"
    broken.write_bytes(good[0].read_bytes()[:60])
    outcome = enroll(recognizer, [Request("lemon", (*good, again, blue, broken))], WHOLE)
    found = {item.path.name: item.faults for item in outcome.proposals[0].photos if item.faults}
    assert found.pop("again.png") == ("exact duplicate of lemon0.png",)
    assert found.pop("wrong.png") == ("unlike the other photos of this product",)
    assert "cannot be decoded" in found.pop("broken.png")[0] and not found
    after = Recognizer(Bundle.open(bundle), threads=1)
    second = enroll(after, [Request("lemon", good[:1])], WHOLE)
    assert second.proposals[0].photos[0].faults == ("exact duplicate of a view that is enrolled already",)
    other = enroll(after, [Request("other", good[:1])], WHOLE)
    assert other.proposals[0].photos[0].faults == ("exact duplicate of a view of lemon",)


def test_few_diverse_views_and_replacing(bundle: Path, tmp_path: Path) -> None:
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    request = Request("lemon", photos(tmp_path, "lemon", (230, 220, 40), 12))
    outcome = enroll(recognizer, [request], Settings(views=3, locate="whole"))
    assert outcome.gallery is not None and len(outcome.gallery.views_of("lemon")) == 3
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    new = Request("lemon", photos(tmp_path, "green", (150, 230, 90)), replace=True)
    outcome = enroll(recognizer, [new], WHOLE)
    assert outcome.gallery is not None and len(outcome.gallery.views_of("lemon")) == 4


@pytest.mark.parametrize(
    "request_, message",
    [
        (Request("lemon", ()), "no photos"),
        (Request("lemon", (Path("gone.jpg"),)), r"gone\.jpg: no such picture"),
        (Request("lemon", (Path(__file__),), replace=True), "no views to replace"),
        (Request("lemon", (Path(__file__),), {"gtin": "1"}), "'lemon': GTIN '1'"),
        (Request("lemon", (Path(__file__),), {"category": ["Can", "Tin", "Sardines"]}), "'Tin' has categories below"),
    ],
)
def test_wrong_requests_are_told_before_a_picture_is_read(bundle: Path, request_: Request, message: str) -> None:
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    with pytest.raises(DataError, match=message):
        enroll(recognizer, [request_], WHOLE)


def test_threshold_is_the_border_of_the_p_value(tmp_path: Path, rng: np.random.Generator) -> None:
    gallery = small_gallery(tmp_path / "gallery", rng)
    for rate in (0.01, 0.05, 0.1, 0.5, 1.0):
        least = threshold(gallery, rate)
        if np.isinf(least):
            assert gallery.p_values(np.array([2.0], np.float32))[0] > rate
            continue
        above, at = gallery.p_values(np.array([np.nextafter(np.float32(least), np.float32(2)), least], np.float32))
        assert above <= rate + 1e-7 and (at > rate or rate == 1.0)


def test_effect_by_hand(tmp_path: Path) -> None:
    """Two products on the axes; a third beside the first is its confusion, and each view left out tells the error."""
    axes = np.eye(3, dtype=np.float32)
    before = Gallery.create(
        tmp_path / "gallery", embedder_sha256="a" * 64, vectors=axes[[0, 1]], item=np.array([0, 1]), items=["x", "y"],
        calibration_vectors=axes[[2, 2, 2]], calibration_items=[None] * 3,
    )  # fmt: skip
    near = np.array([[1, 0, 0.1], [0, 0, 1]], np.float32)
    after = before.add("z", near / np.linalg.norm(near, axis=1, keepdims=True))
    found = effect(before, after, ["z"], 0.5)
    assert (found.threshold_before, found.threshold_after) == (0.0, 1.0)
    assert found.confusions == () and (found.views, found.mistaken, found.unsure) == (2, 0.5, 1.0)
    # Without z's view on the third axis the calibration crops stay as far as 0.0995.
    after = after.remove("z").add("w", near[:1])
    found = effect(before, after, ["w"], 0.5)
    assert [(c.product_id, c.other) for c in found.confusions] == [("w", "x")]
    assert found.views == 0 and np.isnan(found.mistaken) and found.to_dict()["mistaken"] is None


def test_a_table_of_products(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos(tmp_path, "lemon", (230, 220, 40))
    photos(tmp_path, "plum", (140, 40, 150))
    dark = photo(tmp_path, "dark", (8, 6, 5), 0, spread=1)
    table = tmp_path / "products.csv"
    table.write_text(
        "product_id,name,category,plu,photos\n"
        "lemon,Lemon,Citrus,4053,lemon*.png\n"
        "plum,Plum,Stone fruit,,plum0.png; plum1.png;plum2.png\n"
        f"night,,,,{dark.name}\n"
    )
    (tmp_path / "categories.csv").write_text("category,parent\nFruit,\nCitrus,Fruit\nStone fruit,Fruit\n")
    words = ["enroll", str(bundle), "--table", str(table), "--categories", str(tmp_path / "categories.csv"), "--whole"]
    assert main([*words, "--dry-run"]) == 1
    assert "dry run: version 000001 stays" in capsys.readouterr().out
    assert main([*words, "--json"]) == 1, "one of three was refused"
    content = json.loads(capsys.readouterr().out)
    assert content["schema"] == "facings.enrolment/1" and content["gallery_version"] == "000002"
    assert [p["refused"] for p in content["products"]] == [None, None, "no photo is fit"]
    gallery = Bundle.open(bundle).gallery()
    assert gallery.products["lemon"]["category"] == ["Fruit", "Citrus"] and len(gallery.views_of("plum")) == 3


@pytest.mark.parametrize(
    "text, message",
    [
        ("product_id\na\n", "lacks the column 'photos'"),
        ("product_id,photos,prize\n", "unknown column 'prize'"),
        ("product_id,photos\na\n", "line 2: not 2 cells"),
        ("product_id,photos\na,\n", "line 2: photos is empty"),
        ("product_id,photos\na,*.none\n", r"line 2: photos '\*\.none': no file matches"),
        ("product_id,photos\na,x.jpg\na,y.jpg\n", "line 3: product 'a' is in line 2 already"),
        ("product_id,photos\n", "holds no product"),
    ],
)
def test_wrong_tables_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "products.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_requests(path)


def test_a_table_of_categories_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "categories.csv"
    for text, message in {
        "category,parent\nA,B\n": "its parent 'B' is not in the table",
        "category,parent\nA,\nA,\n": "line 3: category 'A' occurs twice",
        "category,parent\nA,B\nB,A\n": "a cycle",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_categories(path)


def test_gallery_verb(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str, code: int = 0) -> str:
        assert main(["gallery", str(bundle), *words]) == code
        printed = capsys.readouterr()
        return printed.out + printed.err

    lemon = [str(path) for path in photos(tmp_path, "lemon", (230, 220, 40))]
    assert main(["enroll", str(bundle), *lemon, "--product", "lemon", "--whole", "--views", "2"]) == 0
    assert "lemon: 2 views added" in capsys.readouterr().out
    assert "2 retired" in said("retire", "red", "lemon", "--reason", "season", "--author", "ann")
    log = json.loads(said("log", "--json"))
    assert [e["version"] for e in log] == ["000003", "000002", "000001"] and log[0]["author"] == "ann"
    assert "ann: season" in said("log") and said("diff", "1", "2") == "+ lemon\n"
    assert json.loads(said("diff", "2", "3", "--json"))["retired"] == ["lemon", "red"]
    assert "retired" in said("show", "lemon") and json.loads(said("show", "--json"))["retired"] == ["lemon", "red"]
    assert "version 000004" in said("restore", "red") and "rollback to 000001" in said("rollback", "1")
    assert said("check").count("sound") == 5 and "newest 2 versions stay" in said("gc", "--keep", "2")
    assert [e["version"] for e in json.loads(said("log", "--json"))] == ["000005", "000004"]
    for words, message in {
        ("lgo",): "nearest valid names: log",
        ("diff", "5"): "diff got 1 words",
        ("gc",): "--keep N goes with gc",
        ("retire", "rde"): "nearest valid names: red",
        ("rollback", "1"): "'000001' is not in the history",
    }.items():
        assert message in said(*words, code=2)
    vectors = next((bundle / "gallery").glob("*/vectors.npy"))
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"?")
    assert "its checksum is not" in said("check", code=1)


def test_enroll_words(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in {
        ("x.jpg",): "give --product ID with its photos, or --table",
        ("--product", "a"): "give photos of it",
        ("--table", "t.csv", "--name", "A"): "--name is about one product",
        ("x.jpg", "--product", "a", "--whole", "--find"): "not allowed with",
        ("x.jpg", "--product", "a", "--views", "0"): "whole number of 1 or more",
    }.items():
        assert main(["enroll", str(bundle), *words]) == 2
        assert message in capsys.readouterr().err


def test_retired_products_are_not_enrolled_by_accident(bundle: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    Bundle.open(bundle).gallery().retire("red")
    recognizer = Recognizer(Bundle.open(bundle), threads=1)
    with pytest.raises(DataError, match="is retired; restore it first"):
        enroll(recognizer, [Request("red", photos(tmp_path, "red", (220, 30, 30)))], WHOLE)
    with pytest.raises(GalleryError, match="retired"):
        Bundle.open(bundle).gallery().add("red", unit_rows(rng, 1, 3))
