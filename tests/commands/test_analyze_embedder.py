"""`facings analyze` on an embedder that was trained for a moment, and what an exported bundle looked at."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from facings.analysis.likeness_maps import likeness_maps
from facings.commands.cli import main
from facings.commands.opened_run import embedder_of
from facings.data.recognition import CropReader
from facings.data.tables import read_recognition_table
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from tests.conftest import TinyShop


def test_an_embedder(tiny_shop: TinyShop, tmp_path: Path) -> None:
    run = tiny_shop.embedder.parents[1]
    assert main(["analyze", f"run={run}", f"folder={tmp_path}", "pictures=3"]) == 0
    content = json.loads((tmp_path / "analysis.json").read_text())
    assert content["kind"] == "an embedder" and content["failures"] == sum(content["kinds"].values()) > 0
    assert len(content["looked_at"]) == min(3, content["failures"])
    margins = [entry["margin"] for entry in content["looked_at"]]
    assert margins == sorted(margins, reverse=True)
    assert all(0 <= entry["outer_ring"] <= 1 for entry in content["looked_at"] if entry["outer_ring"] is not None)
    page = (tmp_path / "analysis.md").read_text()
    for name in ("failures.png", "nearest_failures.jpg", "looked_at.jpg"):
        assert f"`{name}`" in page and Image.open(tmp_path / name).width > 300


def test_a_bundle_is_asked_through_onnx_runtime(tiny_shop: TinyShop) -> None:
    bundle = Bundle.open(tiny_shop.bundle)
    embed, recognizer = embedder_of(bundle), Recognizer(bundle)
    row = next(row for row in read_recognition_table(tiny_shop.data / "recognition.csv").rows if row.corners)
    crop = CropReader(bundle.postprocess.crop_margin)(row)
    image = np.asarray(Image.open(row.path).convert("RGB"))
    [whole] = recognizer.embed(image, np.array([row.corners], np.float32))
    # The same crop, cut before or by the runtime.
    np.testing.assert_allclose(embed([crop])[0], whole, atol=1e-5)
    found = likeness_maps(crop, whole[None], embed)
    assert found.shape == (1, 7, 7) and np.isfinite(found).all() and found.max() > 0
