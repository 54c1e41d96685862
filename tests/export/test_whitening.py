"""A bundle whose embedder has a linear layer behind it: what it says, what calibrates it, and what is refused."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facings.commands.composition import compose_verb
from facings.commands.export import run
from facings.errors import ConfigError
from facings.export.enrolment import View
from facings.export.networks import Network
from facings.export.whitening import WhitenedEmbedder, fitting_products, view_vectors
from facings.metrics.whitening import fit_whitening
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import verify
from facings.tasks.checkpoint import load_model
from tests.conftest import TinyShop, export_words


def test_what_differs_within_products_counts_less(rng: np.random.Generator) -> None:
    """Two products apart along the first axis, their photos along the second: the layer turns their likeness over."""
    means = np.array([[1.0, 0.2, 0.0], [0.6, 0.2, 0.8]])
    photos = np.repeat(means, 50, axis=0)
    photos[:, 1] += rng.normal(0, 0.5, 100)
    photos = (photos / np.linalg.norm(photos, axis=1, keepdims=True)).astype(np.float32)
    names = ["a"] * 50 + ["b"] * 50
    found = fit_whitening(photos, names)(photos)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)

    def right(vectors: np.ndarray) -> float:
        alike = vectors @ vectors.T - 2 * np.eye(100)
        return float(np.mean([names[near] == name for name, near in zip(names, alike.argmax(axis=1), strict=True)]))

    assert right(found) >= right(photos)

    def spread(vectors: np.ndarray) -> float:
        """Mean square distance within products, as a share of that between their means."""
        middles = [vectors[start : start + 50].mean(axis=0) for start in (0, 50)]
        within = np.mean(
            [((vectors[50 * n : 50 * n + 50] - middle) ** 2).sum(axis=1) for n, middle in enumerate(middles)]
        )
        return float(within / ((middles[0] - middles[1]) ** 2).sum())

    assert spread(found) < spread(photos) / 2
    with pytest.raises(ValueError, match="no two photos that differ"):
        fit_whitening(photos[:2], ["a", "b"])


def test_goods_on_the_shelf_and_single_crops_do_not_fit_the_layer() -> None:
    views = [View(Path(f"{name}{number}.jpg"), name) for name in "abcd" for number in range(3)]
    views += [View(Path("e.jpg"), "e"), View(Path("f.jpg"), None)]
    assert fitting_products(views, {"a"}, 3, 0) == ("b", "c", "d")
    assert fitting_products(views, {"a"}, 1, 0) == fitting_products(views, {"a"}, 1, 0)
    with pytest.raises(ConfigError, match="3 have 2 crops"):
        fitting_products(views, {"a"}, 4, 0)
    with pytest.raises(ConfigError, match="some must be left"):
        fitting_products(views[:6], set(), 2, 0)


def test_the_network_is_the_layer_on_what_it_was(tiny_shop: TinyShop, tmp_path: Path, rng: np.random.Generator) -> None:
    model, config = load_model(tiny_shop.embedder, "reid")
    network = Network(model.eval(), int(config["image_size"]), tuple(config["mean"]), tuple(config["std"]))
    views = []
    for number in range(6):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
        views.append(View(path, "ab"[number % 2], (5.0, 5.0, 45.0, 35.0)))
    layer = fit_whitening(view_vectors(network, views, margin=0.05), [str(view.product_id) for view in views])
    found = WhitenedEmbedder(network.model, layer.centre, layer.matrix).eval()
    crops = torch.from_numpy(rng.normal(size=(3, 3, 64, 64)).astype(np.float32))
    with torch.no_grad():
        plain, moved = network.model(crops).numpy(), found(crops).numpy()
    np.testing.assert_allclose(moved, layer(plain), atol=1e-5)
    assert found.dimension == plain.shape[1] and not np.allclose(moved, plain, atol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)


def test_a_bundle_carries_it_and_calibrates_with_the_rest(tiny_shop: TinyShop, tmp_path: Path) -> None:
    table = tiny_shop.data / "recognition.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    enrolled = sorted({row["product_id"] for row in rows if row["split"] == "train"})[:3]
    few = tiny_shop.data / "few.csv"
    with few.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if row["role"] == "gallery" and row["product_id"] in enrolled)
    words = [
        *export_words(tiny_shop.data, None, tiny_shop.embedder, tmp_path),
        f"gallery.table={few}",
        "latency.images=0",
    ]
    plain = Bundle.open(run(compose_verb("export", [*words, "version=0"], output_dir=tmp_path / "log")))
    bundle = Bundle.open(
        run(compose_verb("export", [*words, "calibration.whiten=2"], output_dir=tmp_path / "whitened"))
    )
    few.unlink()
    assert all(check.passed for check in verify(bundle.path))
    fitted = json.loads((bundle.path / "report.json").read_text())["whitening"]["products"]
    assert len(fitted) == 2 and not set(fitted) & set(enrolled)
    stored = Counter(plain.gallery().calibration_items)
    left = Counter({name: count for name, count in stored.items() if name not in fitted})
    assert Counter(bundle.gallery().calibration_items) == left and left != stored
    frame = np.asarray(Image.open(tiny_shop.frames[0]).convert("RGB"))
    box = np.array([[10, 10, 60, 60]], np.float32)
    vectors = [Recognizer(one).embed(frame, box) for one in (plain, bundle)]
    assert vectors[0].shape == vectors[1].shape and float((vectors[0] * vectors[1]).sum()) < 0.999


@pytest.mark.parametrize(("value", "message"), [(-1, "expected 0 or more"), (10_000, "not enrolled")])
def test_too_many_or_too_few_products_are_refused(
    tiny_shop: TinyShop, tmp_path: Path, value: int, message: str
) -> None:
    words = [*export_words(tiny_shop.data, None, tiny_shop.embedder, tmp_path), f"calibration.whiten={value}"]
    with pytest.raises(ConfigError, match=message):
        run(compose_verb("export", words, output_dir=tmp_path / "log"))
    assert not (tmp_path / "tiny-1").exists()
