"""`facings analyze` on an embedder that was trained for a moment, and what an exported bundle looked at."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facings.analysis.likeness_maps import likeness_maps
from facings.commands.cli import main
from facings.commands.composition import compose_verb
from facings.commands.evaluate import run as evaluate
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


@pytest.mark.parametrize(("limit", "views"), [(0, None), (10_000, None), (1, 1)])
def test_views_keep_their_products_however_the_gallery_is_thinned_out(
    tiny_shop: TinyShop, tmp_path: Path, limit: int, views: int | None
) -> None:
    """The loader sorts a limited gallery by product: the failures must be those of the figures, whose labels it sorts too."""
    content = torch.load(tiny_shop.embedder, map_location="cpu", weights_only=True)
    config = json.loads(content["facings"]["config"])
    config["data"]["test_gallery_limit"] = limit
    content["facings"]["config"] = json.dumps(config)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    torch.save(content, run / "checkpoints" / "best.ckpt")
    shutil.copy(tiny_shop.embedder.parents[1] / "config.yaml", run)
    assert main(["analyze", f"run={run}", "pictures=1"]) == 0
    found = json.loads((run / "analysis" / "analysis.json").read_text())
    figures = evaluate(compose_verb("evaluate", [f"checkpoint={run}/checkpoints/best.ckpt"], output_dir=tmp_path / "e"))
    assert found["failures"] == round((1 - figures["r1"]) * found["queries"])
    assert "did not finish" in (run / "analysis" / "analysis.md").read_text()
    if views is not None:
        products = {row.product_id for row in read_recognition_table(tiny_shop.data / "recognition.csv").rows}
        assert found["views"] <= views * len(products)


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
