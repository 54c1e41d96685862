"""What stands around and before the goods: hooks, cabinets, promotion cards, people; and produce in nets and bags."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from facings.data.synthetic.dataset import Parameters
from facings.data.synthetic.foreground import draw_cards, draw_doors, draw_passer
from facings.data.synthetic.planogram import FALLEN, HANGING, Card, Fixtures, Wall, plan
from facings.data.synthetic.produce import draw_produce
from facings.data.synthetic.products import VARIETIES, Product, assortment
from facings.data.synthetic.scenes import Scenes
from facings.data.synthetic.wraps import SHAPES, draw_wrapped
from facings.errors import ConfigError
from tests.conftest import tiny_parameters

PRODUCTS = assortment(120, produce_share=0.4, seed=0)
GROWN = tuple(product for product in PRODUCTS if product.produce)


def wall(seed: int = 0, **chances: float) -> Wall:
    rng = np.random.default_rng(seed)
    return plan(PRODUCTS, rng, misplaced=0.0, gaps=0.0, width=200.0, fixtures=Fixtures(**chances))


def test_what_hangs_touches_its_hook() -> None:
    rows = [row for row in wall(pegs=1.0).rows if row.hooks]
    assert rows and not any(row.tags or row.crates for row in rows)
    for row in rows:
        hooks = dict(row.hooks)
        for piece in row.placements:
            assert piece.product.kind in HANGING
            assert (
                piece.bottom - piece.product.size[1] == pytest.approx(hooks[piece.x])
                and piece.bottom <= row.foot + 1e-9
            )
        # Packs on one hook are one product, one behind the other.
        for x in hooks:
            column = [piece for piece in row.placements if piece.x == x]
            assert len({piece.product.product_id for piece in column}) == 1
            assert sorted(piece.behind for piece in column) == list(range(len(column)))


def test_a_cabinet_holds_chilled_packs_behind_glass() -> None:
    cabinet = wall(cabinets=1.0)
    assert len(cabinet.doors) >= 2 and np.allclose(np.diff(cabinet.doors), 72.0)
    assert {piece.product.produce for row in cabinet.rows for piece in row.placements} == {False}
    assert not wall().doors and not any(row.cards or row.hooks for row in wall().rows)
    assert all(row.cards for row in wall(cards=1.0).rows)


def test_rows_stand_two_and_three_deep_and_the_fallen_take_their_room() -> None:
    rows = [row for seed in range(24) for row in wall(seed).rows if not row.crates]
    assert {piece.behind for row in rows for piece in row.placements} == {0, 1, 2}
    fallen = 0
    for row in rows:
        depths = [piece.behind for piece in row.placements]
        assert depths == sorted(depths, reverse=True)
        front = [piece for piece in row.placements if not piece.behind]
        for first, second in pairwise(front):
            half = [p.product.size[abs(p.angle) > FALLEN] / 2 for p in (first, second)]
            assert second.x - first.x >= sum(half) - 1e-6
            fallen += abs(first.angle) > FALLEN
    assert fallen


def test_heaps_stay_in_their_crates() -> None:
    for row in wall(3).rows:
        assert all(piece.bottom <= row.foot + 0.2 * piece.product.size[1] for piece in row.placements if row.crates)


@pytest.mark.parametrize("what", ["card", "disc", "doors", "passer"])
def test_what_is_before_the_goods_takes_their_numbers(what: str) -> None:
    """Where the picture changed much, no piece is seen; elsewhere all are where they were."""
    canvas, ids = np.full((300, 300, 3), 128, np.uint8), np.full((300, 300), 9, np.uint16)
    if what == "doors":
        draw_doors(canvas, ids, [20.0, 50.0], 4.0)
    elif what == "passer":
        draw_passer(canvas, ids, 4.0, np.random.default_rng(5))
    else:
        cards = [Card(40.0, 20.0, 18.0, 18.0, what == "disc"), Card(-2.0, 70.0, 10.0, 20.0, what == "disc")]
        draw_cards(canvas, ids, cards, 4.0, np.random.default_rng(1))
    changed = np.abs(canvas.astype(int) - 128).max(axis=2)
    assert 0.02 < (ids == 0).mean() < 0.9 and set(np.unique(ids).tolist()) == {0, 9}
    assert (changed[ids == 9] > 0).mean() < 0.15
    assert (changed[ids == 0] > 8).mean() > 0.7


def test_a_passer_hides_and_the_truth_says_so() -> None:
    """The same wall with and without somebody before it."""
    alone = Scenes(tiny_parameters(people=0.0, train_scenes=1), "train").frame(0)
    passed = Scenes(tiny_parameters(people=1.0, train_scenes=1), "train").frame(0)
    assert sum(entry["area"] for entry in passed.objects) < sum(entry["area"] for entry in alone.objects)


@pytest.mark.parametrize("name", ["people", "cards", "cabinets", "pegs"])
def test_chances_are_shares(name: str) -> None:
    parameters: Parameters = tiny_parameters(**{name: 1.2})
    with pytest.raises(ConfigError, match=f"{name}=1.2: expected a share"):
        parameters.check()


@pytest.mark.parametrize("product", [p for p in GROWN if p.content], ids=lambda p: p.product_id)
def test_nets_and_bags_hold_their_content(product: Product) -> None:
    assert product.content is not None and product.kind in SHAPES and product.gtin and not product.plu
    assert product.taxonomy()["sold_by"] == "piece" and product.content.taxonomy()["sold_by"] == "weight"
    first, second = (draw_wrapped(product, 120, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.shape == second.shape and first.shape[0] == 120 and not np.array_equal(first, second)
    assert np.array_equal(first, draw_wrapped(product, 120, np.random.default_rng(0)))
    assert 0.4 < (first[..., 3] > 127).mean() < 0.98


def test_every_sort_is_drawn_whole_and_no_two_alike() -> None:
    assert len(GROWN) == len(VARIETIES)
    for product in GROWN:
        if product.content is None:
            one, two = (draw_produce(product, 96, np.random.default_rng(seed)) for seed in (0, 1))
            solid = one[..., 3] > 127
            assert 0.15 < solid.mean() < 0.99 and not np.array_equal(one, two), product.name
            assert one[..., :3][solid].std() > 4, product.name


def test_ripeness_changes_the_colour() -> None:
    """A banana is greener before its best and darker past it."""
    banana = next(p for p in GROWN if p.name == "Banana")
    means = []
    for ripeness in (0.0, 0.5, 1.0):
        drawn = [draw_produce(banana, 64, np.random.default_rng(seed), ripeness) for seed in range(6)]
        means.append(np.mean([d[..., :3][d[..., 3] > 127].mean(axis=0) for d in drawn], axis=0))
    young, ripe, old = means
    assert young[1] - young[0] > ripe[1] - ripe[0] + 20 and old.sum() < ripe.sum() - 20


def test_a_sticker_tells_the_plu_of_loose_fruit_alone() -> None:
    """With and without a number, drawn from the same numbers: the difference is a small light spot, on some pieces."""
    apple = next(p for p in GROWN if p.name == "Apple Red")
    bare = replace(apple, plu=None)
    changed = []
    for seed in range(12):
        with_, without = (draw_produce(p, 96, np.random.default_rng(seed)).astype(int) for p in (apple, bare))
        changed.append(float((np.abs(with_ - without).max(axis=2) > 20).mean()))
    stuck = [share for share in changed if share > 0]
    assert 2 <= len(stuck) <= 9 and max(stuck) < 0.15
