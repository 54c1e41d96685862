"""predict, enroll and remove on a real (tiny) bundle, and on pictures as they come."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.runtime.bundle import Bundle
from facings.runtime.cli import distinct_stems, main
from facings.runtime.recognizer import Recognizer
from facings.structures import Decision
from tests.conftest import TinyShop


def picture(rng: np.random.Generator, height: int = 60, width: int = 80) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_predict_writes_decision_and_picture(tiny_shop: TinyShop, tmp_path: Path) -> None:
    frame = tiny_shop.frames[0]
    assert main(["predict", str(tiny_shop.bundle), str(frame), "--output", str(tmp_path)]) == 0
    text = (tmp_path / f"{frame.stem}.decision.json").read_text()
    decision = Decision.from_json(text)
    assert json.loads(text)["schema"] == "facings.decision/1" and decision.gallery_version == "000001"
    # 160 pixels are too few for labels: the picture grows fourfold.
    assert Image.open(tmp_path / f"{frame.stem}.annotated.jpg").size == (640, 640)


def test_every_kind_of_picture_is_read(tiny_shop: TinyShop, tmp_path: Path, rng: np.random.Generator) -> None:
    folder = tmp_path / "kinds"
    folder.mkdir()
    rgb = Image.fromarray(picture(rng))
    rgb.convert("L").save(folder / "gray.png")
    rgb.convert("RGBA").save(folder / "rgba.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.convert("P").save(folder / "palette.png")
    Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    turned = rgb.getexif()
    turned[0x0112] = 6
    rgb.save(folder / "turned.jpg", exif=turned)
    Image.fromarray(picture(rng, 1, 1)).save(folder / "dot.png")
    Image.fromarray(picture(rng, 2160, 3840)).save(folder / "large.jpg")
    assert main(["predict", str(tiny_shop.bundle), str(folder), "--output", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*.decision.json"))) == 8
    assert Image.open(tmp_path / "out" / "turned.annotated.jpg").size == (240, 320)


def test_damaged_picture_is_named_and_the_others_are_done(
    tiny_shop: TinyShop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(tiny_shop.frames[0].read_bytes()[:900])
    words = ["predict", str(tiny_shop.bundle), str(broken), str(tiny_shop.frames[0]), "--output", str(tmp_path / "out")]
    assert main(words) == 1
    message = capsys.readouterr().err
    assert "broken.jpg: cannot be decoded" in message and "1 of 2 pictures" in message
    assert [p.name for p in (tmp_path / "out").glob("*.json")] == [f"{tiny_shop.frames[0].stem}.decision.json"]


@pytest.mark.parametrize(
    "words, expected",
    [
        (["predict", "{bundle}", "{empty}"], "holds no picture"),
        (["predict", "{empty}", "x.jpg"], "holds no bundle.json"),
        (["predict", "{bundle}", "x.jpg", "--outptu", "o"], "nearest valid names: --output"),
        (["predict", "{bundle}", "x.jpg", "--threads", "0"], "whole number of 1 or more"),
        (["verfy", "{bundle}"], "nearest valid names: verify"),
        (["remove", "{bundle}", "--product", "appel_red"], "is not in gallery"),
        (["enroll", "{bundle}", "missing.jpg", "--product", "new"], "missing.jpg: no such picture"),
        (["enroll", "{bundle}", "x.jpg"], "--product"),
    ],
)
def test_wrong_use_says_what_would_do(
    tiny_shop: TinyShop, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    filled = [word.format(bundle=tiny_shop.bundle, empty=tmp_path) for word in words]
    assert main(filled) == 2
    assert expected in capsys.readouterr().err


def test_enroll_and_remove_make_versions(
    own_bundle: Path, tiny_shop: TinyShop, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [str(p) for p in tiny_shop.frames[:2]]
    words = ["enroll", str(own_bundle), *photos, "--product", "dragon_fruit", "--name", "Dragon Fruit"]
    # A detector of two steps finds nothing, and its embedder takes all for twins.
    words += ["--whole", "--force"]
    assert main([*words, "--category", "Fruit/Exotic", "--plu", "3040", "--sold-by", "weight"]) == 0
    assert "gallery version 000002" in capsys.readouterr().out
    bundle = Bundle.open(own_bundle)
    gallery = bundle.gallery()
    assert gallery.manifest["parent"] == "000001" and len(gallery.views_of("dragon_fruit")) == 2
    assert bundle.product("dragon_fruit", gallery)["category"] == ["Fruit", "Exotic"]
    found = Recognizer(bundle).match(gallery.views_of("dragon_fruit"))
    assert {gallery.items[i] for i in found.items[:, 0]} == {"dragon_fruit"}
    assert main(["verify", str(own_bundle)]) == 0
    assert main(["remove", str(own_bundle), "--product", "dragon_fruit"]) == 0
    assert "dragon_fruit" not in Bundle.open(own_bundle).gallery().items


def test_enroll_and_stream_take_signed_bundles_alone(
    own_bundle: Path, tiny_shop: TinyShop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("lab", "stranger"):
        assert main(["keygen", str(tmp_path / name)]) == 0
    frame = str(tiny_shop.frames[0])
    shown = tmp_path / "frames"
    shown.mkdir()
    shutil.copy(frame, shown)
    verbs = {
        "enroll": ["enroll", str(own_bundle), frame, "--product", "new", "--whole", "--force"],
        "stream": ["stream", str(own_bundle), str(shown)],
    }
    mine, theirs = (["--require-key", str(tmp_path / f"{name}.pub")] for name in ("lab", "stranger"))
    for words in verbs.values():
        assert main([*words, *mine]) == 2
        assert "not signed" in capsys.readouterr().err
    assert main(["sign", str(own_bundle), "--key", str(tmp_path / "lab")]) == 0
    for words in verbs.values():
        assert main([*words, *theirs]) == 2
        assert "signature.json: is by the key" in capsys.readouterr().err
    for words in (verbs["stream"], verbs["enroll"]):
        assert main([*words, *mine, "--signed-gallery"]) == 0
    capsys.readouterr()
    # What was enrolled is not signed.
    assert main([*verbs["stream"], *mine]) == 0
    assert json.loads(capsys.readouterr().out)["gallery_version"] == "000002"
    for words in verbs.values():
        assert main([*words, *mine, "--signed-gallery"]) == 2
        assert "version 000002 is in force, signed is 000001" in capsys.readouterr().err


def test_runs_as_a_module_without_the_research_packages(tiny_shop: TinyShop, tmp_path: Path) -> None:
    """A shop has numpy, ONNX Runtime and Pillow: everything else is made impossible to import."""
    blocked = ["torch", "hydra", "omegaconf", "pandas", "cv2", "onnx", "rich", "scipy", "matplotlib"]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from facings.runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["predict", str(tiny_shop.bundle), str(tiny_shop.frames[0]), "--output", str(tmp_path), "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "facings.decision/1"
    module = [sys.executable, "-m", "facings.runtime", "verify", str(tiny_shop.bundle)]
    assert subprocess.run(module, capture_output=True, check=False).returncode == 0


def test_names_that_occur_twice_are_kept_apart() -> None:
    assert distinct_stems([Path("a/x.jpg"), Path("b/x.jpg"), Path("x-2.jpg")]) == ["x", "x-2", "x-2-2"]


def test_recognizer_refuses_what_is_no_frame(tiny_shop: TinyShop) -> None:
    recognizer = Recognizer(Bundle.open(tiny_shop.bundle))
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(Exception, match="frame"):
            recognizer.run(wrong)


def test_a_thousand_products_in_a_frame(tiny_shop: TinyShop, rng: np.random.Generator) -> None:
    """Crops go through in small batches; a product's vector does not depend on how many others the frame holds."""
    recognizer = Recognizer(Bundle.open(tiny_shop.bundle))
    frame = picture(rng, 300, 400)
    corners = rng.uniform(0, 280, (1000, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 60, (1000, 2))], axis=1).astype(np.float32)
    vectors = recognizer.embed(frame, boxes)
    assert vectors.shape == (1000, 32)
    np.testing.assert_allclose(vectors[[3, 997]], recognizer.embed(frame, boxes[[3, 997]]), atol=1e-5)
    assert recognizer.match(vectors).items.shape == (1000, 5)
    assert recognizer.embed(frame, boxes[:0]).shape == (0, 32)
