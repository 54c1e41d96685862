"""The hand-built graphs against the training transform and a plain numpy search."""

import numpy as np
import onnxruntime as ort
import pytest

from facings.data.transforms.letterbox import letterbox, normalise
from facings.export.graphs import letterbox_graph, match_graph

MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.6, 0.7)


@pytest.mark.parametrize(
    "height, width", [(64, 64), (1080, 1920), (37, 500), (500, 37), (1, 1), (3, 900), (96, 96), (2160, 3840)]
)
def test_letterbox_graph_is_the_training_transform(height: int, width: int, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    session = ort.InferenceSession(letterbox_graph("preprocess", 96, MEAN, STD, 20).SerializeToString())
    pixels, transform = session.run(["pixels", "transform"], {"image": image[None]})
    square, expected = letterbox(image, 96)
    np.testing.assert_array_equal(transform, expected)
    difference = np.abs(pixels[0] - normalise(square, MEAN, STD)).max()
    assert difference <= 1 / 255 / min(STD) + 1e-5


def test_small_crops_are_the_training_transform_too(rng: np.random.Generator) -> None:
    """Bytes are rounded twice: noise of many odd sizes would show a difference of two levels."""
    session = ort.InferenceSession(letterbox_graph("crop", 96, MEAN, STD, 20).SerializeToString())
    for height, width in [(42, 8), (95, 97), (1, 96), *rng.integers(3, 190, (300, 2)).tolist()]:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        (pixels,) = session.run(["pixels"], {"image": image[None]})
        difference = np.abs(pixels[0] - normalise(letterbox(image, 96)[0], MEAN, STD)).max()
        assert difference <= 1 / 255 / min(STD) + 1e-5, (height, width)


@pytest.mark.parametrize("products, top_k", [(1, 5), (3, 5), (40, 5), (40, 1)])
def test_match_graph_is_a_plain_search(products: int, top_k: int, rng: np.random.Generator) -> None:
    gallery = rng.normal(size=(products * 3, 16)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    item = np.repeat(np.arange(products), 3)
    rng.shuffle(item)
    queries = rng.normal(size=(7, 16)).astype(np.float32)
    session = ort.InferenceSession(match_graph(16, top_k, 20).SerializeToString())
    items, similarities = session.run(
        ["items", "similarities"], {"embeddings": queries, "gallery": gallery, "item": item}
    )
    scores = np.stack([(queries @ gallery[item == number].T).max(axis=1) for number in range(products)], axis=1)
    order = np.argsort(-scores, axis=1)[:, :top_k]
    np.testing.assert_array_equal(items, order)
    np.testing.assert_allclose(similarities, np.take_along_axis(scores, order, axis=1), atol=1e-5)
