"""Every embedding loss that a configuration names, against its paper's formula written out in numpy."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional as F

from facings.commands.composition import compose_verb
from facings.config import config_dir
from facings.losses.embedding import EmbeddingLoss
from facings.losses.hierarchical_margin import CategoryTree

Array = NDArray[Any]
PATHS = [("Fruit", "Apple"), ("Fruit", "Apple"), ("Fruit", "Pear"), ("Dairy",), ()]
PRODUCTS, SIZE = len(PATHS), 6
CONFIGS = sorted({path.stem for path in (config_dir() / "loss").glob("*.yaml")} - {"detection", "none"})


@functools.cache
def composed(name: str, words: tuple[str, ...]) -> DictConfig:
    cfg = compose_verb("train", [f"loss={name}", *words])
    assert isinstance(cfg.loss, DictConfig)
    return cfg.loss


def configured(name: str, *words: str, categories: Sequence[Sequence[str]] | None = PATHS) -> EmbeddingLoss:
    """The loss of a command line, for five products."""
    torch.manual_seed(0)
    loss = instantiate(composed(name, words))(num_classes=PRODUCTS, embedding_size=SIZE, categories=categories)
    assert isinstance(loss, EmbeddingLoss)
    return loss


def photos(labels: Sequence[int], *, seed: int = 0, spread: float = 0.8) -> tuple[Tensor, Tensor]:
    """Unit vectors, more or less near their product's."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(PRODUCTS, SIZE, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(len(labels), SIZE, generator=generator) * spread
    return F.normalize(centres[list(labels)] + noise, dim=1), torch.tensor(labels)


def unit(values: Array, axis: int) -> Array:
    return values / np.linalg.norm(values, axis=axis, keepdims=True)


def entropy(logits: Array, y: Array, smoothing: float = 0.0) -> float:
    wanted = np.full_like(logits, smoothing / logits.shape[1])
    wanted[np.arange(len(y)), y] += 1 - smoothing
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-(wanted * logs).sum(axis=1).mean())


def arcface(e: Array, y: Array, weights: Array, *, smoothing: float = 0.0, centres: int = 1) -> float:
    cosines = (e @ unit(weights, 0)).reshape(len(e), -1, centres).max(axis=2)
    rows, margin = np.arange(len(y)), np.radians(17.2)
    angle = np.arccos(cosines[rows, y])
    assert (angle < np.pi - margin).all()
    cosines[rows, y] = np.cos(angle + margin)
    return entropy(24 * cosines, y, smoothing)


def cosface(e: Array, y: Array, weights: Array) -> float:
    cosines = e @ unit(weights, 0)
    cosines[np.arange(len(y)), y] -= 0.2
    return entropy(24 * cosines, y)


def proxy_anchor(e: Array, y: Array, proxies: Array) -> float:
    s, together, apart = e @ unit(proxies, 1).T, 0.0, 0.0
    for proxy in range(PRODUCTS):
        if (y == proxy).any():
            together += np.log(1 + np.exp(-32 * (s[y == proxy, proxy] - 0.1)).sum()) / len(set(y))
        apart += np.log(1 + np.exp(32 * (s[y != proxy, proxy] + 0.1)).sum()) / PRODUCTS
    return float(together + apart)


def anchors(e: Array, y: Array) -> list[tuple[int, list[int], list[int]]]:
    """Each photo with the others of its product, and those of other products."""
    numbers = range(len(y))
    return [(a, [p for p in numbers if p != a and y[p] == y[a]], [n for n in numbers if y[n] != y[a]]) for a in numbers]


def circle(e: Array, y: Array) -> float:
    s, m, gamma = e @ e.T, 0.4, 80
    losses = []
    for a, same, other in anchors(e, y):
        sp, sn = s[a, same], s[a, other]
        positive = np.exp(-gamma * np.maximum(1 + m - sp, 0) * (sp - (1 - m))).sum()
        negative = np.exp(gamma * np.maximum(sn + m, 0) * (sn - m)).sum()
        losses.append(np.log1p(positive * negative))
    return float(np.mean([value for value in losses if value > 0]))


def multi_similarity(e: Array, y: Array) -> float:
    s, losses = e @ e.T, []
    for a, same, other in anchors(e, y):
        sp, sn = s[a, same], s[a, other]
        kept_p, kept_n = sp[sp < sn.max() + 0.1], sn[sn > sp.min() - 0.1]
        losses.append(
            np.log1p(np.exp(-2 * (kept_p - 0.5)).sum()) / 2 + np.log1p(np.exp(50 * (kept_n - 0.5)).sum()) / 50
        )
    return float(np.mean(losses))


def supcon(e: Array, y: Array) -> float:
    s, losses = e @ e.T / 0.1, []
    for a, same, other in anchors(e, y):
        losses.append(-np.mean([s[a, p] - np.log(np.exp(s[a, same + other]).sum()) for p in same]))
    return float(np.mean(losses))


def triplets(e: Array, y: Array, kept: Callable[[float, float], bool] = lambda ap, an: True) -> float:
    distance = np.linalg.norm(e[:, None] - e[None], axis=2)
    losses = [
        distance[a, p] - distance[a, n] + 0.2
        for a, same, other in anchors(e, y)
        for p in same
        for n in other
        if kept(distance[a, p], distance[a, n])
    ]
    return float(np.mean([value for value in losses if value > 0]))


def triplets_hard(e: Array, y: Array) -> float:
    distance = np.linalg.norm(e[:, None] - e[None], axis=2)
    losses = [distance[a, same].max() - distance[a, other].min() + 0.2 for a, same, other in anchors(e, y)]
    return float(np.mean([value for value in losses if value > 0]))


def pair_similarities(e: Array, y: Array) -> tuple[Array, Array]:
    s = e @ e.T
    same = (y[:, None] == y[None]) & ~np.eye(len(y), dtype=bool)
    return s[same], s[y[:, None] != y[None]]


def contrastive(e: Array, y: Array) -> float:
    sp, sn = pair_similarities(e, y)
    return float((1 - sp)[sp < 1].mean() + (sn - 0.5)[sn > 0.5].mean())


def threshold_consistency(e: Array, y: Array) -> float:
    sp, sn = pair_similarities(e, y)
    return float((0.9 - sp)[sp <= 0.9].mean() + (sn - 0.5)[sn >= 0.5].mean())


def tree_distance(first: int, second: int) -> float:
    """By hand: Apple 1 high, Fruit 2, Dairy 1, the root 3."""
    return {(0, 1): 1 / 3, (0, 2): 2 / 3, (1, 2): 2 / 3}.get((min(first, second), max(first, second)), 1.0)


def hierarchical(e: Array, y: Array) -> float:
    s = e @ e.T
    losses = [
        s[a, n] - s[a, p] + 0.05 + 0.2 * tree_distance(y[a], y[n])
        for a, same, other in anchors(e, y)
        for p in same
        for n in other
    ]
    return float(np.mean([value for value in losses if value > 0]))


# Of embeddings, labels and the class centres of the first term.
FORMULAS: dict[str, Callable[[Array, Array, Array], float]] = {
    "arcface": arcface,
    "arcface_hierarchical": lambda e, y, w: arcface(e, y, w) + hierarchical(e, y),
    "arcface_smooth": lambda e, y, w: arcface(e, y, w, smoothing=0.1),
    # The memory of these two is not yet in use in the first step.
    "arcface_supcon": lambda e, y, w: arcface(e, y, w) + 0.5 * supcon(e, y),
    "contrastive_memory": lambda e, y, w: contrastive(e, y),
    "arcface_threshold": lambda e, y, w: arcface(e, y, w) + threshold_consistency(e, y),
    "circle": lambda e, y, w: circle(e, y),
    "cosface": cosface,
    "hierarchical_margin": lambda e, y, w: hierarchical(e, y),
    "multi_similarity": lambda e, y, w: multi_similarity(e, y),
    "proxy_anchor": proxy_anchor,
    "subcenter_arcface": lambda e, y, w: arcface(e, y, w, centres=2),
    "supcon": lambda e, y, w: supcon(e, y),
    "triplet": lambda e, y, w: triplets(e, y),
    "triplet_hard": lambda e, y, w: triplets_hard(e, y),
    "triplet_semihard": lambda e, y, w: triplets(e, y, lambda ap, an: 0 < an - ap <= 0.2),
}


def test_every_configuration_has_a_formula() -> None:
    assert sorted(FORMULAS) == CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_a_loss_is_its_papers_formula(name: str) -> None:
    loss = configured(name).double()
    for seed in range(2):
        embeddings, labels = photos([0, 0, 0, 1, 1, 1, 2, 2, 2, 4, 4, 4], seed=seed)
        centres = next(loss.parameters(), torch.zeros(0)).detach().double().numpy()
        found = loss(embeddings.double(), labels)
        wanted = FORMULAS[name](F.normalize(embeddings.double(), dim=1).numpy(), labels.numpy(), centres)
        assert wanted > 0.01
        assert float(found.detach()) == pytest.approx(wanted, rel=1e-6)
        assert float(found.detach()) == pytest.approx(sum(float(part) for part in loss.last.values()), rel=1e-9)


@pytest.mark.parametrize("name", ["hierarchical_margin", "arcface_threshold", "supcon", "multi_similarity"])
def test_gradients_are_those_of_the_value(name: str) -> None:
    loss = configured(name).double()
    embeddings, labels = photos([0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda e: loss(e, labels), embeddings.double().requires_grad_())


def test_distances_in_the_tree_of_categories() -> None:
    products = torch.arange(PRODUCTS)
    wanted = [[0.0 if i == j else tree_distance(i, j) for j in range(PRODUCTS)] for i in range(PRODUCTS)]
    torch.testing.assert_close(CategoryTree(PATHS)(products, products), torch.tensor(wanted))


def test_a_short_path_among_long_ones_in_the_tree() -> None:
    """A product that stands directly in Fruit is as far from an apple as a pear is; equal names in other branches differ."""
    paths = [("Fruit",), ("Fruit", "Apple", "Red"), ("Fruit", "Pear", "Red"), ("Drinks", "Apple", "Red"), ("Fruit",)]
    products = torch.arange(len(paths))
    distance = CategoryTree(paths)(products, products[[1, 4]])
    torch.testing.assert_close(distance, torch.tensor([[0.75, 0.75], [0, 0.75], [0.75, 0.75], [1, 1], [0.75, 0]]))
