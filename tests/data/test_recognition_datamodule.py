"""Training batches, galleries and held-out products of a recognition table."""

from functools import partial
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
import torch
from PIL import Image

from facings.data.adapters.grocery_store import read_grocery_store
from facings.data.product_samplers import BalancedSampler, HierarchicalSampler
from facings.data.recognition import CropReader, RecognitionDataset
from facings.data.recognition_datamodule import RecognitionDataModule
from facings.data.recognition_selection import limit_views, trained_products
from facings.data.samplers import Draw, PKSampler
from facings.data.tables import RecognitionRow, read_recognition_table, write_recognition_table
from facings.data.transforms.box_jitter import BoxJitter
from facings.data.transforms.crop_compose import CropCompose
from facings.data.transforms.shelf_crops import training_transform
from facings.errors import ConfigError, DataError


def module(source: Path, **changes: Any) -> RecognitionDataModule:
    settings: dict[str, Any] = {
        "table": changes.get("table") or read_recognition_table(source, changes.get("attributes", ())),
        "train": {"split": "train", "role": "train"},
        "gallery": {"split": "val", "role": "gallery"},
        "val": {"split": "val", "role": "query"},
        "test": {"split": "val", "role": "query"},
        "transform": training_transform(size=32),
        "image_size": 32,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "products_per_batch": 2,
        "views_per_product": 2,
        "seed": 0,
    }
    return RecognitionDataModule(**(settings | changes))


def batches(data: RecognitionDataModule, epoch: int = 0) -> list[dict[str, torch.Tensor]]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return list(loader)


@pytest.mark.parametrize("maker", [PKSampler, BalancedSampler, partial(HierarchicalSampler, near=0.5)])
def test_each_sampler_gives_the_same_batches_again(colour_table: Path, maker: Any) -> None:
    data = module(colour_table, sampler=maker)
    first, again = batches(data, 2), batches(module(colour_table, sampler=maker), 2)
    assert (data.train_sampler().products, data.train_sampler().views) == (2, 2)
    assert len(first) == len(again) > 0
    for one, other in zip(first, again, strict=True):
        assert one["crops"].shape == (4, 3, 32, 32) and set(one) == {"crops", "labels", "index"}
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_products_held_out_are_drawn_by_number_and_stay_in_gallery_and_queries(colour_table: Path) -> None:
    data = module(colour_table, holdout={"count": 2, "draw": 3})
    assert len(data.held_out) == 2 == data.num_train_products and len(data.train_rows) == 12
    assert {row.product_id for row in data.train_rows}.isdisjoint(data.held_out)
    assert {row.product_id for row in data.gallery_rows} == set(data.products)
    assert max(int(batch["labels"].max()) for batch in batches(data)) < 2
    assert module(colour_table, holdout={"count": 2, "draw": 3}).held_out == data.held_out
    names = [f"p{n:02d}" for n in range(81)]
    draws = [set(trained_products(names, train_products=None, holdout={"count": 20, "draw": d})) for d in range(5)]
    assert all(len(kept) == 61 for kept in draws) and len({frozenset(kept) for kept in draws}) == 5
    assert draws[0] < set(trained_products(names, train_products=None, holdout={"count": 8, "draw": 0}))


def test_queries_that_stand_in_the_gallery_are_known(colour_table: Path) -> None:
    assert set(module(colour_table).own_views("test")) == {-1}
    both = module(colour_table, gallery=[{"split": "val", "role": "gallery"}, {"split": "val", "role": "query"}])
    gallery, own = both.gallery(both.test_gallery_limit), both.own_views("test")
    assert [gallery[place] for place in own] == list(both.test_rows)
    few = module(colour_table, gallery={"split": "val", "role": "query"}, gallery_limit=1).own_views("val")
    assert (few >= 0).sum() == len(few[few >= 0]) == 4 < len(few)


def test_named_products_alone_are_trained(colour_table: Path) -> None:
    data = module(colour_table, train_products=["red", "blue"])
    assert data.products == ["blue", "red", "green", "yellow"] and data.held_out == ["green", "yellow"]
    assert data.category_paths() == [("Cold",), ("Warm",), ("Cold",), ("Warm",)]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"holdout": {"count": 3}}, r"expected a count of 0 to 2"),
        ({"holdout": {"draw": 3}}, r"expected {count: …, draw: …}"),
        ({"holdout": {"count": 1, "drawn": 3}}, r"expected {count: …, draw: …}"),
        ({"holdout": {"count": 1}, "train_products": ["red"]}, r"both say what is trained"),
        ({"train_products": ["red", "bleu"]}, r"'bleu' is not among the 4 .* blue"),
        ({"train_products": ["red"]}, r"training needs 2 products or more"),
        ({"gallery": []}, r"a selection of rows is empty"),
    ],
)
def test_impossible_choices_of_products_are_refused(colour_table: Path, changes: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        module(colour_table, **changes)


def test_a_batch_too_large_is_refused_before_any_picture_is_read(colour_table: Path) -> None:
    data = module(colour_table, products_per_batch=5)
    for picture in colour_table.parent.glob("*.png"):
        picture.unlink()
    with pytest.raises(ConfigError, match=r"products=5: .* only 4 products"):
        data.train_dataloader()


def test_galleries_of_other_roles_and_limits(colour_table: Path) -> None:
    both = [
        {"split": "val", "role": "gallery"},
        {"split": "train", "role": "train"},
        {"split": "val", "role": "gallery"},
    ]
    data = module(colour_table, gallery=both, gallery_limit=3, test_gallery_limit=5)
    assert len(data.gallery_rows) == 32 == len(set(data.gallery_rows))
    assert [len(loader.dataset) for loader in data.val_dataloader()] == [12, 12]  # type: ignore[arg-type]
    assert [len(loader.dataset) for loader in data.test_dataloader()] == [20, 12]  # type: ignore[arg-type]
    few = module(colour_table, gallery=both, holdout={"count": 1}, held_out_gallery_limit=1)
    counts = {p: sum(row.product_id == p for row in few.gallery(0)) for p in few.products}
    assert [counts[p] for p in few.products] == [8, 8, 8, 1]


def test_packshots_as_the_only_gallery(shared_data: Path) -> None:
    table = read_grocery_store(shared_data / "grocery_store")
    query = {"split": "test", "role": "query"}
    iconic = {"split": "iconic", "role": "gallery"}
    data = module(Path(), table=table, gallery=iconic, val=query, test=query, holdout={"count": 20, "draw": 0})
    assert data.num_train_products == 61 and len(data.products) == 81 == len(data.gallery(8))
    assert {row.split for row in data.gallery_rows} == {"iconic"}
    assert data.train_sampler().batch_size == 4 and len(data.category_paths()[0]) == 2


def test_views_drawn_by_seed_are_nested_and_independent_of_other_products() -> None:
    rows = [RecognitionRow(Path(f"{p}{n}.png"), p, "val", "gallery") for p in "ab" for n in range(9)]
    two, four = limit_views(rows, 2, draw=1), limit_views(rows, 4, draw=1)
    assert len(two) == 4 and set(two) < set(four) and limit_views(rows[9:], 2, draw=1) == two[2:]
    assert limit_views(rows, 2, draw=2) != two and limit_views(rows, 0, draw=1) == rows
    assert [row.path.name for row in limit_views(rows[:9], 3)] == ["a0.png", "a4.png", "a8.png"]


def test_attributes_travel_from_the_table_to_the_batch(tmp_path: Path, colour_table: Path) -> None:
    lines = colour_table.read_text().splitlines()
    answers = ["bagged,organic"] + [("1,0", ",1", "0,")[n % 3] for n in range(len(lines) - 1)]
    colour_table.write_text("\n".join(f"{line},{answer}" for line, answer in zip(lines, answers, strict=True)) + "\n")
    data = module(colour_table, attributes=["organic", "bagged"])
    items = [data.train_dataset()[Draw(n, 0)]["attributes"].numpy() for n in range(3)]
    np.testing.assert_array_equal(items, np.array([[0, 1], [1, np.nan], [np.nan, 0]], np.float32))
    assert batches(data)[0]["attributes"].shape == (4, 2)
    copy = tmp_path / "copy.csv"
    write_recognition_table(data.table.rows, copy)
    again = read_recognition_table(copy, ["bagged", "organic"])
    assert [row.attributes for row in again.rows] == [row.attributes for row in data.table.rows]
    assert module(colour_table).checksums() != data.checksums() and hash(data.table.rows[0])


def test_a_wrong_attribute_is_refused_with_the_place(colour_table: Path) -> None:
    with pytest.raises(DataError, match=r"lacks the column 'bagged'"):
        read_recognition_table(colour_table, ["bagged"])
    with pytest.raises(DataError, match=r"line 2: category is 'Warm'; expected 1, 0"):
        read_recognition_table(colour_table, ["category"])


def boxed(folder: Path) -> RecognitionRow:
    rows, columns = np.mgrid[:120, :160]
    image = np.stack([rows, columns, np.full_like(rows, 7)], axis=2).astype(np.uint8)
    Image.fromarray(image).save(folder / "frame.png")
    return RecognitionRow(folder / "frame.png", "x", "train", "train", box=(40.3, 2.0, 50.0, 60.5))


def test_what_lies_around_a_crop_holds_the_crop_itself(tmp_path: Path) -> None:
    row, read = boxed(tmp_path), CropReader(0.1)
    wide, box = read.around(row, 0.12)
    assert box is not None
    left, top, right, bottom = box.astype(int)
    assert np.array_equal(wide[top:bottom, left:right], read(row))
    assert left > 0 and right < wide.shape[1] and top == 0 < wide.shape[0] - bottom


@pytest.mark.parametrize("cache_size", [0, 33])
def test_a_jittered_crop_shows_the_real_surroundings(tmp_path: Path, cache_size: int) -> None:
    """Blue is 7 all over the frame, and columns are numbered: the left edge lands on both sides of the box's, 40."""
    row = boxed(tmp_path)
    resize = A.Resize(64, 64, interpolation=0)
    jitter = CropCompose([BoxJitter([0.05] * 4), resize], context=0.15, others=True)
    common: dict[str, Any] = {"image_size": 64, "mean": [0.0] * 3, "std": [1.0] * 3, "margin": 0.0}
    dataset = RecognitionDataset([row], [0], transform=jitter, cache_size=cache_size, **common)
    crop, box = dataset._shrunk(0)
    assert box is not None and min(box[2:] - box[:2]) == pytest.approx(cache_size or 51, abs=1)
    assert crop.shape[1] > box[2] - box[0] and dataset.others[0].shape[1] <= box[2] - box[0] + 1
    first = [float(dataset[Draw(0, seed)]["crops"][1, 0, 0]) * 255 for seed in range(30)]
    assert min(first) < 39 and max(first) > 41 and min(first) >= 40 - 0.15 * 52 - 2
    assert all((dataset[Draw(0, seed)]["crops"][2] * 255).round().eq(7).all() for seed in range(3))
