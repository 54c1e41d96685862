"""The public sets as they really lie on disk, where they are beside the checkout."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

from facings.data.adapters.snack_shelves import read_snack_shelves
from facings.data.coco import read_coco
from facings.data.taxonomy import read_taxonomy
from facings.data.transforms.letterbox import letterbox, normalise
from facings.export.enrolment import trim_ground, views_of_packshots
from facings.export.graphs import letterbox_graph
from facings.runtime.images import read_image

HALF = (0.5, 0.5, 0.5)


def test_snack_shelves_have_what_their_files_hold(shared_data: Path) -> None:
    folder = shared_data / "snack_shelves"
    for split, frames, boxes in (("train", 11, 301), ("val", 6, 183), ("promo", 12, 124)):
        table = read_coco(folder / f"instances_{split}.json", folder / "images")
        assert len(table.images) == frames and sum(len(i.boxes) for i in table.images) == boxes
        assert table.labels == ("product",)
    table = read_snack_shelves(folder / "reid.csv")
    packshots = table.select(split="packshot", role="gallery")
    products = read_taxonomy(folder / "products.csv")
    # Two packshots are one identity, in two sizes.
    assert len(packshots) == 49 and len(table.products(packshots)) == 48 and not table.faults
    assert set(table.products(packshots)) <= set(products)
    assert [len(table.select(split=split)) for split in ("train", "val", "promo")] == [300, 183, 124]
    assert products["rimi_1001461"]["category"] == ["Lays"]


def test_packshots_lose_their_white_border(shared_data: Path) -> None:
    shares = []
    for view in views_of_packshots(shared_data / "snack_shelves" / "packshots")[:12]:
        whole = read_image(view.path)
        cut = trim_ground(whole)
        shares.append(cut.shape[0] * cut.shape[1] / (whole.shape[0] * whole.shape[1]))
    assert 0.1 < np.median(shares) < 0.8


def test_preprocessing_agrees_on_real_photos(shared_data: Path) -> None:
    session = ort.InferenceSession(letterbox_graph("preprocess", 320, HALF, HALF, 20).SerializeToString())
    folders = ["snack_shelves/images", "fridge_products/images", "ai231_grocery_masks/images"]
    for path in [p for name in folders for p in sorted((shared_data / name).glob("*.jpg"))[:3]]:
        image = read_image(path)
        (pixels,) = session.run(["pixels"], {"image": image[None]})
        assert np.abs(pixels[0] - normalise(letterbox(image, 320)[0], HALF, HALF)).max() <= 2 / 255 + 1e-5
