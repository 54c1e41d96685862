"""The synthetic set: the same every time, true to its own pictures, and never half there."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facings.commands.composition import compose_verb
from facings.commands.synthesize import run
from facings.data.coco import read_coco
from facings.data.synthetic.dataset import SCHEMA, synthesize
from facings.data.synthetic.planogram import plan_crowded
from facings.data.synthetic.products import VARIETIES, assortment, check_digit
from facings.data.tables import read_recognition_table
from facings.data.taxonomy import read_taxonomy
from facings.errors import ConfigError, DataError
from facings.files import sha256
from tests.conftest import contents, tiny_parameters


@pytest.fixture(scope="module")
def made(tiny_data: Path) -> Path:
    return tiny_data / "synthetic" / "quickstart"


def test_two_workers_make_the_same_files(made: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "again", tiny_parameters(), workers=2)
    assert contents(tmp_path / "again") == contents(made)
    synthesize(tmp_path / "other", tiny_parameters(seed=1, train_scenes=2, val_scenes=1))
    one, other = (folder / "images" / "train" / "000000.jpg" for folder in (made, tmp_path / "other"))
    assert sha256(one) != sha256(other)


def test_truth_is_sound_and_tables_read_it(made: Path) -> None:
    products = read_taxonomy(made / "taxonomy.json")
    for split in ("train", "val"):
        path = made / f"instances_{split}.json"
        table = read_coco(path, made / "images" / split)
        assert not table.faults and table.labels == ("packaged", "produce")
        for entry in json.loads(path.read_text())["annotations"]:
            x, y, width, height = entry["bbox"]
            assert x >= 0 and y >= 0 and x + width <= 160 and y + height <= 160
            assert 0.3 <= entry["visibility"] <= 1 and entry["product_id"] in products
            points = np.concatenate([np.reshape(p, (-1, 2)) for p in entry["segmentation"]])
            assert points[:, 0].min() == x and points[:, 0].max() == x + width - 1
            assert points[:, 1].min() == y and points[:, 1].max() == y + height - 1
            mask = np.zeros((160, 160), np.uint8)
            cv2.fillPoly(mask, [np.array(p, np.int32).reshape(-1, 2) for p in entry["segmentation"]], 1)
            # The polygon closes holes, so it may hold a little more than the pixels that are seen.
            assert 0.9 * entry["area"] <= mask.sum() <= 1.6 * entry["area"] + 20


def test_masks_of_one_frame_do_not_overlap(made: Path) -> None:
    content = json.loads((made / "instances_train.json").read_text())
    total = np.zeros((160, 160), np.int32)
    for entry in content["annotations"]:
        if entry["image_id"] == 1:
            mask = np.zeros((160, 160), np.uint8)
            cv2.fillPoly(mask, [np.array(p, np.int32).reshape(-1, 2) for p in entry["segmentation"]], 1)
            total += mask
    assert (total > 1).mean() < 0.02


def test_a_crowded_frame_holds_as_many_products_as_asked(tmp_path: Path) -> None:
    """Each scene takes the next of the counts; what is labelled lies near them, and packs touch."""
    wanted = (40, 90)
    crowded = tiny_parameters(
        train_scenes=1, val_scenes=4, products=20, image_size=256, produce_share=0.3, products_per_scene=wanted
    )
    folder = tmp_path / "crowded"
    synthesize(folder, crowded)
    content = json.loads((folder / "instances_val.json").read_text())
    counts = Counter(entry["image_id"] for entry in content["annotations"])
    for image in content["images"]:
        count = wanted[(image["id"] - 1) % 2]
        assert 0.75 * count <= counts[image["id"]] <= 1.25 * count
    # Of the packs in the middle of a frame most stand within a few pixels of the next.
    boxes = np.array([e["bbox"] for e in content["annotations"] if e["image_id"] == 2 and e["category_id"] == 1])
    gaps = [min(abs(boxes[:, 0] - (box[0] + box[2])) + 0.2 * abs(boxes[:, 1] - box[1])) for box in boxes]
    assert np.median(gaps) < 4
    assert json.loads((folder / "synthesize.json").read_text())["parameters"]["products_per_scene"] == [40, 90]
    assert synthesize(folder, crowded) is False
    with pytest.raises(ConfigError, match=r"was made with products_per_scene=\[40, 90\], asked is .*=None"):
        synthesize(folder, replace(crowded, products_per_scene=None))


def test_counts_that_no_frame_can_show_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="products_per_scene=600: expected 1 to 121 at image_size=160"):
        synthesize(tmp_path / "set", tiny_parameters(products_per_scene=(100, 600)))
    for value in ("many", "[]", "[3, 4.5]", "true"):
        with pytest.raises(ConfigError, match="expected null, a whole number, or a list of them"):
            run(
                compose_verb(
                    "synthesize", [f"paths.data_dir={tmp_path}", f"products_per_scene={value}"], output_dir=tmp_path
                )
            )


def test_a_crowded_wall_shows_what_it_was_planned_for() -> None:
    products = assortment(48, produce_share=0.45, seed=0)
    for count in (100, 300, 600):
        for seed in range(3):
            wall = plan_crowded(products, np.random.default_rng(seed), count=count, misplaced=0.02, gaps=0.06)
            assert abs(wall.in_view() - count) <= 0.12 * count


def test_new_products_are_only_in_validation(made: Path) -> None:
    record = json.loads((made / "synthesize.json").read_text())
    new = set(record["new_products"])
    assert len(new) == 2
    trained = json.loads((made / "instances_train.json").read_text())["annotations"]
    assert not new & {entry["product_id"] for entry in trained}
    table = read_recognition_table(made / "recognition.csv")
    assert not new & set(table.products(table.select(split="train")))
    gallery = Counter(row.product_id for row in table.select(split="val", role="gallery"))
    assert set(gallery) >= new and set(gallery.values()) == {3}
    assert len({row.camera_id for row in table.rows} - {""}) >= 3


def test_pictures_look_like_pictures(made: Path) -> None:
    """Neither black nor blown out, and the labelled pieces stand out from what is around them."""
    for path in sorted((made / "images" / "train").glob("*.jpg")):
        picture = np.asarray(Image.open(path))
        assert picture.shape == (160, 160, 3) and 25 < picture.mean() < 230 and picture.std() > 20
    shot = np.asarray(Image.open(next((made / "packshots").glob("*.jpg"))))
    assert shot[0, 0].min() > 245 and (shot < 200).any(axis=2).mean() > 0.03


def test_what_is_there_is_used_or_refused(made: Path, tmp_path: Path) -> None:
    assert synthesize(made, tiny_parameters()) is False
    with pytest.raises(ConfigError, match="was made with seed=0, asked is seed=5; choose another name, or --overwrite"):
        synthesize(made, tiny_parameters(seed=5))
    other = tmp_path / "mine"
    other.mkdir()
    (other / "keep.txt").write_text("x")
    with pytest.raises(ConfigError, match="was not made by"):
        synthesize(other, tiny_parameters())
    small = tiny_parameters(train_scenes=1, val_scenes=1)
    synthesize(tmp_path / "set", small)
    (tmp_path / "set" / "taxonomy.json").write_text("{}")
    with pytest.raises(DataError, match=r"taxonomy\.json: changed since it was made"):
        synthesize(tmp_path / "set", small)
    record = tmp_path / "set" / "synthesize.json"
    sound = record.read_text()
    record.write_text(sound.replace(SCHEMA, "facings.synthetic/2"))
    with pytest.raises(ConfigError, match=r"drawn by another version of facings \(facings.synthetic/2, here"):
        synthesize(tmp_path / "set", small)
    record.write_text(sound)
    assert synthesize(tmp_path / "set", small, overwrite=True) is True


def test_a_fault_in_the_middle_leaves_no_half_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was drawn stays aside, hidden, for the next call; it goes once the set is whole."""
    small = tiny_parameters(train_scenes=1, val_scenes=1)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("facings.data.synthetic.dataset.write_recognition_table", full)
        with pytest.raises(OSError, match="No space left"):
            synthesize(tmp_path / "set", small)
    assert [path.name for path in tmp_path.iterdir()] == [".set.shards"]
    with pytest.raises(ConfigError, match="an interrupted call had seed=0, asked is seed=4; finish it with its own"):
        synthesize(tmp_path / "set", tiny_parameters(train_scenes=1, val_scenes=1, seed=4))
    before = (tmp_path / ".set.shards" / "images" / "train" / "000000.jpg").stat().st_mtime_ns
    assert synthesize(tmp_path / "set", small) is True
    assert (tmp_path / "set" / "images" / "train" / "000000.jpg").stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("change", [{"products": 2}, {"gaps": 1.5}, {"image_size": 10}, {"val_scenes": 0}])
def test_values_out_of_range_are_named(tmp_path: Path, change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        synthesize(tmp_path / "set", tiny_parameters(**change))


def test_the_verb_writes_where_the_data_lies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"paths.data_dir={tmp_path}", "name=demo", "train_scenes=1", "val_scenes=1", "products=6", "image_size=96"]
    folder = run(
        compose_verb("synthesize", [*words, "workers=1", "products_per_scene=20"], output_dir=tmp_path / "log")
    )
    made = json.loads((folder / "synthesize.json").read_text())["parameters"]
    assert made["products_per_scene"] == [20]
    assert folder == tmp_path / "synthetic" / "demo" and (tmp_path / "log" / "environment.json").is_file()
    assert "there already" not in capsys.readouterr().out
    with pytest.raises(ConfigError, match="becomes a folder's name"):
        run(compose_verb("synthesize", [*words, "name=../x"], output_dir=tmp_path / "log"))


def test_assortment_and_codes() -> None:
    products = assortment(60, produce_share=0.5, seed=3)
    assert len({p.product_id for p in products}) == 60
    assert sum(p.produce for p in products) == min(30, len(VARIETIES))
    for product in products:
        assert (product.plu is None) != (product.gtin is None)
        if product.gtin:
            digits = [int(d) for d in product.gtin]
            assert len(digits) == 13 and sum(d * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10 == 0
    # The example of GS1's own page: 629104150021 has the check digit 3.
    assert check_digit("629104150021") == "3"
