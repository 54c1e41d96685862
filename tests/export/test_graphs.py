"""The hand-built graphs against the training transform and a plain numpy search."""

import numpy as np
import onnxruntime as ort
import pytest

from facings.data.transforms.letterbox import block_means, letterbox, normalise
from facings.export.graphs import letterbox_graph, match_graph

MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.6, 0.7)


def levels_apart(session: ort.InferenceSession, image: np.ndarray, size: int) -> np.ndarray:
    """(3, size, size) how many levels of 255 the graph's pixels are from training's; the transforms must be equal."""
    pixels, transform = session.run(["pixels", "transform"], {"image": image[None]})
    square, expected = letterbox(image, size)
    np.testing.assert_array_equal(transform, expected)
    scale = 255 * np.array(STD, np.float32)[:, None, None]
    return np.abs(pixels[0] - normalise(square, MEAN, STD)) * scale


def prepared(size: int) -> ort.InferenceSession:
    return ort.InferenceSession(letterbox_graph("preprocess", size, MEAN, STD, 20).SerializeToString())


@pytest.mark.parametrize(
    "height, width",
    [(64, 64), (1080, 1920), (37, 500), (500, 37), (1, 1), (3, 900), (96, 96), (2160, 3840), (397, 121)],
)
def test_letterbox_graph_is_the_training_transform(height: int, width: int, rng: np.random.Generator) -> None:
    apart = levels_apart(prepared(96), rng.integers(0, 256, (height, width, 3), dtype=np.uint8), 96)
    assert apart.max() <= 1.01
    # Where a value lies in the middle of two levels, as a fifth of them do at 64 → 96, the last digit decides.
    assert (apart > 0.5).mean() <= (0.05 if (height, width) == (64, 64) else 0.005)


def test_crops_of_all_sizes_are_the_training_transform_too(rng: np.random.Generator) -> None:
    """Rounding after each axis on one side alone made a fifth of all pixels differ, and decisions with them."""
    session = prepared(96)
    differing = []
    for height, width in [(42, 8), (95, 97), (1, 96), (349, 52), *rng.integers(3, 400, (300, 2)).tolist()]:
        apart = levels_apart(session, rng.integers(0, 256, (height, width, 3), dtype=np.uint8), 96)
        assert apart.max() <= 1.01, (height, width)
        differing.append((apart > 0.5).mean())
    assert np.mean(differing) < 0.002


@pytest.mark.parametrize("size, factor", [(96, 2), (96, 3), (64, 6), (20, 5), (7, 3)])
def test_whole_multiples_are_block_means_to_the_bit(size: int, factor: int, rng: np.random.Generator) -> None:
    """Second formula: the mean in exact numbers, halves upward."""
    height, width = factor * max(1, size * 9 // 16), factor * size
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert levels_apart(prepared(size), image, size).max() < 1e-3
    blocks = image.reshape(height // factor, factor, width // factor, factor, 3).astype(np.float64).mean(axis=(1, 3))
    square, transform = letterbox(image, size)
    top, left = int(transform[3]), int(transform[2])
    inside = square[top : top + height // factor, left : left + width // factor]
    np.testing.assert_array_equal(inside, np.floor(blocks + 0.5))
    np.testing.assert_array_equal(inside, block_means(image, factor))


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
