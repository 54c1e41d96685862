"""The rates that were chosen hold on families of near twins, whatever the gallery holds."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from facings.benchmark.turnover_data import Embeddings, synthetic_families
from facings.runtime.gallery import non_mated_scores
from facings.runtime.priors import Prior
from facings.runtime.similarity_tops import Tree, item_similarities, own_similarities, tops
from facings.runtime.standard import STATUSES, Rates, Standard, lead
from facings.structures import Matches

DIMENSION = 24
CATEGORIES = {
    "gala": ("Fruit", "Apple"),
    "fuji": ("Fruit", "Apple"),
    "pear": ("Fruit", "Pear"),
    "milk": ("Dairy",),
    "bag": (),
}


def at(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def matched(crops: np.ndarray, views: np.ndarray, item: np.ndarray, items: int) -> Matches:
    similar = np.concatenate([part for _, part in item_similarities(crops, views, item, items)])
    order = np.argsort(-similar, axis=1, kind="stable")
    return Matches(order, np.take_along_axis(similar, order, 1))


def shop(
    data: Embeddings, seed: int, rates: Rates, **options: object
) -> tuple[Standard, Matches, np.ndarray, list[str]]:
    """A third of the products enrolled, a third stored for calibration, a third unknown; queries of the first and last."""
    products = np.random.default_rng(seed).permutation(data.usable(4)).tolist()
    third = len(products) // 3
    enrolled, stored, strange = products[:third], products[third : 2 * third], products[2 * third :]
    rows = np.concatenate([data.rows(name, enrol=True)[:4] for name in enrolled])
    views, item = data.vectors[rows], np.repeat(np.arange(third), 4)
    own = [(name, data.rows(name, enrol=False), data.rows(name, enrol=True)[:4]) for name in stored]
    mated = [np.maximum.accumulate(data.vectors[q] @ data.vectors[p].T, axis=1) for _, q, p in own]
    standard = Standard.fit(
        rates, vectors=views, item=item, items=enrolled,
        calibration_vectors=np.concatenate([data.vectors[q] for _, q, _ in own]),
        calibration_items=[name for name, q, _ in own for _ in q],
        calibration_mated=np.concatenate(mated), categories=data.categories, **options,
    )  # type: ignore[arg-type]  # fmt: skip
    asked = np.concatenate([data.rows(name, enrol=False)[:4] for name in enrolled + strange])
    truth = np.array([enrolled.index(p) if p in enrolled else -1 for p in data.product[asked].tolist()])
    return standard, matched(data.vectors[asked], views, item, third), truth, data.product[asked].tolist()


@pytest.fixture(scope="module")
def families() -> Embeddings:
    return synthetic_families(
        families=24,
        products_per_family=3,
        photos=4,
        queries=5,
        dimension=DIMENSION,
        family_spread=0.8,
        photo_spread=0.7,
    )


def test_rates_hold_over_many_shops(families: Embeddings) -> None:
    rates = Rates(false_accept=0.1, coverage=0.9, category_error=0.1, unit="products")
    accepted, covered, wrong, leaves, categories = [], [], [], 0, 0
    for seed in range(60):
        standard, matches, truth, products = shop(families, seed, rates)
        verdicts = standard.judge(matches)
        known = truth >= 0
        accepted.append((verdicts.status < 2)[~known].mean())
        covered.append(((matches.items == truth[:, None]) & verdicts.answers).any(axis=1)[known].mean())
        for product, first, level in zip(products, matches.items[:, 0].tolist(), verdicts.level.tolist(), strict=True):
            path, own = standard.path(first, level), families.categories[product]
            leaf = level == standard.tree.depth
            wrong.append(standard.tree.items[first] != product if leaf else own[: len(path)] != path)
            leaves, categories = leaves + leaf, categories + (0 <= level < standard.tree.depth)
    error = 2.5 * float(np.std(accepted)) / 60**0.5
    assert 0.1 - 1 / 25 - error <= np.mean(accepted) <= 0.1 + error
    assert 0.9 - 2.5 * float(np.std(covered)) / 60**0.5 <= np.mean(covered)
    assert np.mean(wrong) <= 0.1 and leaves > 100 and categories > 100


def test_a_prior_moves_the_answers_and_the_rates_hold_with_it(families: Embeddings) -> None:
    rates = Rates(false_accept=0.1, unit="products")
    accepted = []
    for seed in range(40):
        items = np.random.default_rng(seed).permutation(families.usable(4)).tolist()[:24]
        prior = Prior(dict.fromkeys(items[:12], 1.0), others=0.1, strength=0.1)
        standard, matches, truth, _ = shop(families, seed, rates, offsets=prior.offsets(items))
        moved = prior.applied(matches, items)
        assert (moved.items < 12).mean() == (matches.items < 12).mean()
        assert (moved.items[:, 0] < 12).mean() > (matches.items[:, 0] < 12).mean()
        accepted.append((standard.judge(moved).status < 2)[truth < 0].mean())
    assert 0.1 - 1 / 25 - 0.03 < np.mean(accepted) < 0.1 + 0.03


def test_tops_beside_brute_force() -> None:
    rng = np.random.default_rng(0)
    views = rng.normal(size=(30, 5)).astype(np.float32)
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    items = [*CATEGORIES, "soap"]
    item = np.concatenate([np.arange(6), rng.integers(0, 6, 24)])
    tree = Tree.of(items, CATEGORIES)
    owners = [None, "gala", "pear", "milk", "bag", "braeburn", "stranger"]
    tree = Tree.of(items, CATEGORIES | {"braeburn": ("Fruit", "Apple")})
    crops = views[rng.permutation(30)[:7]]
    found = tops(crops, owners, views, item, tree)
    assert np.allclose(found.first, non_mated_scores(crops, owners, views, item, items), atol=1e-6)

    def node(name: str, level: int) -> tuple[str, ...]:
        path = tree.categories.get(name, ())
        return ("of", name) if level == 2 or not path else path[: level + 1]

    for row, owner in enumerate(owners):
        best = {n: max(float(crops[row] @ v) for v in views[item == k]) for k, n in enumerate(items) if n != owner}
        first = max(best, key=best.__getitem__)
        assert items[found.item[row]] == first
        for level in range(3):
            rest = [s for n, s in best.items() if node(n, level) != node(first, level)]
            assert found.second[row, level] == pytest.approx(max(rest), abs=1e-6)
            same = owner is not None and node(first, level) == node(owner, level)
            assert found.wrong[row, level] == (not same)
            outer = {n: s for n, s in best.items() if owner is None or node(n, level) != node(owner, level)}
            assert found.outer_first[row, level] == pytest.approx(max(outer.values()), abs=1e-6)


def test_the_wrong_answer_looks_no_surer_when_the_right_product_is_enrolled_too(families: Embeddings) -> None:
    """What the back-off rests on: goods that are not enrolled are its hardest case."""
    names = list(families.usable(4))[:30]
    rows = np.concatenate([families.rows(name, enrol=True) for name in names])
    views, item = families.vectors[rows], np.repeat(np.arange(30), 4)
    asked = np.concatenate([families.rows(name, enrol=False) for name in names])
    truth = np.repeat(np.arange(30), 5)
    # Poor photos, so that some are wrong at every level.
    crops = families.vectors[asked] + 0.25 * np.random.default_rng(0).normal(size=(150, DIMENSION)).astype(np.float32)
    crops /= np.linalg.norm(crops, axis=1, keepdims=True)
    tree = Tree.of(names, families.categories)
    without = tops(crops, families.product[asked].tolist(), views, item, tree)
    matches = matched(crops, views, item, 30)
    nodes = tree.nodes[matches.items]
    for level in range(tree.depth + 1):
        apart = nodes[:, :, level] != nodes[:, :1, level]
        second = np.where(apart, matches.similarities, -1).max(axis=1)
        sure = lead(matches.similarities[:, 0], second, 3.0)
        wrong = nodes[:, 0, level] != tree.nodes[truth, level]
        alone = lead(without.outer_first[:, level], without.outer_second[:, level], 3.0)
        assert wrong.any() and (sure[wrong] <= alone[wrong] + 1e-6).all()


def test_statuses() -> None:
    """Calibration crops lie 40 degrees or more from all that is enrolled, and their own views 5 degrees away."""
    views, item, items = at(0, 4, 90), np.array([0, 1, 2]), ["gala", "fuji", "milk"]
    crops = at(*np.linspace(45, 50, 40))
    mated = np.full((40, 1), np.cos(np.radians(42)), np.float32)
    standard = Standard.fit(
        Rates(category_error=0.1), vectors=views, item=item, items=items, calibration_vectors=crops,
        calibration_items=[f"other {n}" for n in range(40)], calibration_mated=mated, categories=CATEGORIES,
    )  # fmt: skip
    verdicts = standard.judge(matched(at(90, 2.1, 47), views, item, 3))
    assert [STATUSES[s] for s in verdicts.status] == ["known", "ambiguous", "unknown"]
    assert verdicts.answers.tolist()[:2] == [[True, False, False], [True, True, False]]
    assert verdicts.p_values[2, 0] > 0.3 and verdicts.p_values[0, 0] == pytest.approx(1 / 41)
    assert (
        standard.path(2, -1) == ()
        and standard.path(0, 1) == ("Fruit", "Apple")
        and standard.path(0, 2) == ("Fruit", "Apple")
    )


def test_without_calibration_nothing_is_known_and_nothing_is_hidden() -> None:
    empty = np.zeros((0, 2), np.float32)
    standard = Standard.fit(
        Rates(),
        vectors=at(0),
        item=np.array([0]),
        items=["bag"],
        calibration_vectors=empty,
        calibration_items=[],
        categories={},
    )
    verdicts = standard.judge(matched(at(0, 50), at(0), np.array([0]), 1))
    assert verdicts.status.tolist() == [2, 2] and verdicts.level.tolist() == [-1, -1] and verdicts.answers.all()


def test_own_views_bear_witness_where_nothing_else_does(families: Embeddings) -> None:
    names = list(families.usable(4))[:30]
    rows = np.concatenate([families.rows(name, enrol=True) for name in names])
    views, item = families.vectors[rows], np.repeat(np.arange(30), 4)
    standard = Standard.fit(
        Rates(),
        vectors=views,
        item=item,
        items=names,
        calibration_vectors=views[:0],
        calibration_items=[],
        categories={},
    )
    assert len(standard.gap.ordered) == 120 and np.isfinite(standard.gap.threshold(0.05))
    owners = [names[i] for i in item]
    assert np.isnan(own_similarities(views, owners, views, item, names)).all()
    assert (own_similarities(views, owners, views, item, names, leave_out=True) < 0.99999).all()


def test_few_candidates_are_judged_no_more_boldly_than_all(families: Embeddings) -> None:
    standard, matches, _, _ = shop(families, 0, Rates(category_error=0.2))
    levels = [
        standard.judge(Matches(matches.items[:, :k], matches.similarities[:, :k])).level_p
        for k in (1, 2, 5, matches.items.shape[1])
    ]
    for fewer, more in pairwise(levels):
        assert (fewer >= more - 1e-9).all()


def test_refusals() -> None:
    for change, text in (
        ({"false_accept": 0}, "false_accept is 0"), ({"coverage": 1.0}, "coverage is 1.0"),
        ({"pick_list": 0}, "pick_list is 0"), ({"margin": -1}, "margin -1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            replace(Rates(), **change)  # type: ignore[arg-type]
    arrays = {"vectors": at(0), "item": np.array([0]), "items": ["bag"], "categories": {}}
    with pytest.raises(ValueError, match=r"calibration_mated is \(3, 1\); expected \(2, V\)"):
        Standard.fit(
            Rates(),
            calibration_vectors=at(1, 2),
            calibration_items=[None] * 2,
            calibration_mated=np.ones((3, 1), np.float32),
            **arrays,
        )  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one product for each calibration vector"):
        Standard.fit(Rates(), calibration_vectors=at(1, 2), calibration_items=[None], **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prior of 'gala' is 0"):
        Prior({"gala": 0.0})
    with pytest.raises(ValueError, match="strength is nan"):
        Prior(strength=float("nan"))
