"""Real cut-outs on the shelf: ids, sizes and shapes come from what was given."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from facings.data.synthetic.cutouts import read_cutouts
from facings.data.synthetic.dataset import synthesize
from facings.data.taxonomy import read_taxonomy
from facings.errors import ConfigError, DataError
from tests.conftest import tiny_parameters


@pytest.fixture
def pngs(tmp_path: Path) -> Path:
    """Three goods of plain colours, each an ellipse in a larger transparent picture."""
    folder = tmp_path / "pngs"
    folder.mkdir()
    for name, colour in {"red": (220, 20, 20), "green": (20, 200, 30), "blue": (20, 40, 220)}.items():
        picture = Image.new("RGBA", (120, 200), (0, 0, 0, 0))
        ImageDraw.Draw(picture).ellipse((30, 40, 89, 159), fill=(*colour, 255))
        picture.save(folder / f"{name}.png")
    with (folder / "products.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("product_id", "name", "brand", "height_cm"), ("red", "Red Bar", "Acme", "30")])
    return folder


def test_a_folder_of_pngs(pngs: Path) -> None:
    found = read_cutouts(pngs, height=20.0)
    assert [p.product_id for p in found.products] == ["blue", "green", "red"]
    assert all(sprite.shape == (120, 60, 4) for sprite in found.sprites.values())
    sizes = {p.product_id: p.size for p in found.products}
    assert sizes["red"] == (15.0, 30.0) and sizes["blue"] == (10.0, 20.0)
    red = found.products[2]
    assert red.name == "Red Bar" and red.category == ("Packaged", "Acme") and not red.produce
    (pngs / "products.csv").write_text("product_id,width_cm\nred,9\n")
    again = read_cutouts(pngs)
    assert again.products[2].size == (9.0, 18.0) and again.checksum != found.checksum


def test_packshots_with_masks(tmp_path: Path) -> None:
    """Polygon and RLE; what the mask leaves out is transparent, and one pixel of its edge with it."""
    (tmp_path / "packshots").mkdir()
    Image.new("RGB", (100, 80), (255, 255, 255)).save(tmp_path / "packshots" / "a.jpg")
    Image.new("RGB", (100, 80), (10, 90, 200)).save(tmp_path / "packshots" / "b.jpg")
    counts = [80 * 20 + 10, *[40, 40] * 30]
    counts = [*counts[:-1], 80 * 100 - sum(counts[:-1])]
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 1, "segmentation": [[10, 10, 60, 10, 60, 70, 10, 70]], "product_id": "first"},
            {"id": 2, "image_id": 2, "segmentation": {"size": [80, 100], "counts": counts}},
            {"id": 3, "image_id": 2, "segmentation": [[1, 1, 9, 1, 9, 9]], "product_id": "first"},
        ],
    }
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content))
    found = read_cutouts(path)
    assert [p.product_id for p in found.products] == ["first", "b"]
    height, width = found.sprites["first"].shape[:2]
    assert abs(height - 58) <= 1 and abs(width - 48) <= 1
    assert found.sprites["b"].shape[:2] == (38, 28) and (found.sprites["b"][..., 3] == 255).all()


def test_what_is_no_cutout_is_refused(pngs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a folder of transparent PNGs, or a COCO JSON"):
        read_cutouts(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no cut-outs"):
        read_cutouts(tmp_path / "empty")
    (pngs / "products.csv").write_text("product_id,height_cm\nred,tall\n")
    with pytest.raises(DataError, match="height_cm of 'red' is 'tall'; expected centimetres"):
        read_cutouts(pngs)
    (pngs / "products.csv").write_text("id\nred\n")
    with pytest.raises(DataError, match="lacks the column 'product_id'"):
        read_cutouts(pngs)
    Image.new("RGB", (40, 40)).save(pngs / "solid.png")
    (pngs / "products.csv").unlink()
    with pytest.raises(DataError, match="has no transparency"):
        read_cutouts(pngs)
    Image.new("RGBA", (40, 40)).save(pngs / "solid.png")
    with pytest.raises(DataError, match="nothing of it is solid"):
        read_cutouts(pngs)
    path = tmp_path / "masks.json"
    path.write_text("{}")
    with pytest.raises(DataError, match="no COCO instances"):
        read_cutouts(path)
    path.write_text(json.dumps({"images": [], "annotations": [{"id": 7, "image_id": 1}]}))
    with pytest.raises(DataError, match="annotation 7 is of None"):
        read_cutouts(path)


def test_a_set_of_them_shows_their_colours(pngs: Path, tmp_path: Path) -> None:
    """Inside each mask is the colour of the product that it is labelled with."""
    values = {
        "train_scenes": 1, "val_scenes": 2, "products": 4, "produce_share": 0.0, "enrol_photos": 0, "image_size": 160,
        "cutouts": str(pngs), "cutout_height": 20.0, "cameras": ("front", "oblique"), "new_share": 0.0,
    }  # fmt: skip
    folder = tmp_path / "set"
    synthesize(folder, tiny_parameters(**values))
    content = json.loads((folder / "instances_val.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    channel = {"red": 0, "green": 1, "blue": 2}
    asked = 0
    for entry in content["annotations"]:
        if entry["product_id"] not in channel or entry["area"] < 60:
            continue
        picture = cv2.imread(str(folder / "images" / "val" / names[entry["image_id"]]))
        assert picture is not None
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.array(p, np.int32).reshape(-1, 2) for p in entry["segmentation"]], 1)
        inside = cv2.erode(mask, np.ones((3, 3), np.uint8)).astype(bool)
        if inside.sum() > 20:
            assert int(np.argmax(picture[inside].mean(axis=0)[::-1])) == channel[entry["product_id"]]
            asked += 1
    assert asked > 10
    assert {"red", "green", "blue"} <= set(read_taxonomy(folder / "taxonomy.json"))
    assert (folder / "packshots" / "red.jpg").is_file()
    assert synthesize(folder, tiny_parameters(**values)) is False
    (pngs / "products.csv").unlink()
    with pytest.raises(DataError, match="its cut-outs changed since it was made"):
        synthesize(folder, tiny_parameters(**values))
