"""Heights of common ancestors against walks up a tree of parents."""

import numpy as np
import pytest

from facings.metrics.hierarchy import CategoryTree, hierarchical_errors

PATHS = [
    ("Fruit", "Apple", "Gala"),
    ("Fruit", "Apple", "Fuji"),
    ("Fruit", "Pear"),
    ("Fruit", "Apple"),
    ("Milk",),
    ("Dry", "Pasta", "Long", "Spaghetti", "No 5"),
    ("Dry", "Rice"),
]


def by_walk(first: int, second: int) -> int:
    """Up from one until a node that is above the other, and down from there to its deepest leaf."""
    if first == second:
        return 0
    one, two = PATHS[first], PATHS[second]
    while one != two[: len(one)]:
        one = one[:-1]
    return max(len(path) - len(one) for path in PATHS if path[: len(one)] == one)


def test_heights_of_a_ragged_tree_equal_a_walk() -> None:
    tree = CategoryTree(PATHS)
    classes = np.arange(len(PATHS))
    expected = [[by_walk(a, b) for b in classes] for a in classes]
    assert tree.lca_heights(classes[:, None], classes[None, :]).tolist() == expected
    assert (tree.height, len(tree)) == (5, 7)


def test_a_flat_tree_is_the_plain_error(rng: np.random.Generator) -> None:
    tree = CategoryTree([(str(n),) for n in range(6)])
    answers, truth = rng.integers(0, 6, (50, 3)), rng.integers(0, 6, 50)
    found = hierarchical_errors(answers, truth, tree)
    wrong = answers[:, 0] != truth
    assert found["mistake_height"] == 1.0
    assert found["height"] == found["mistakes"] == found["mistakes_at_height_1"] == wrong.mean()
    assert found["height_at_3"] == pytest.approx((answers != truth[:, None]).mean())


def test_shares_add_up_and_equal_a_loop(rng: np.random.Generator) -> None:
    tree = CategoryTree(PATHS)
    answers, truth = rng.integers(0, 7, (80, 4)), rng.integers(0, 7, 80)
    found = hierarchical_errors(answers, truth, tree)
    heights = [[by_walk(a, t) for a in row] for row, t in zip(answers.tolist(), truth.tolist(), strict=True)]
    first = [row[0] for row in heights]
    assert found["height"] == pytest.approx(np.mean(first))
    assert found["mistake_height"] == pytest.approx(np.mean([h for h in first if h]))
    assert found["height_at_4"] == pytest.approx(np.mean(heights))
    assert sum(found[f"mistakes_at_height_{h}"] for h in range(1, 6)) == pytest.approx(found["mistakes"])


def test_no_answer_is_the_root_and_no_mistake_is_nan() -> None:
    tree = CategoryTree(PATHS)
    assert hierarchical_errors(np.array([-1]), np.array([0]), tree)["height"] == 5.0
    sound = hierarchical_errors(np.array([0, 4]), np.array([0, 4]), tree)
    assert np.isnan(sound["mistake_height"]) and sound["mistakes"] == 0.0
    alone = CategoryTree([("Milk",)])
    assert hierarchical_errors(np.array([0]), np.array([0]), alone)["height"] == 0.0


def test_what_is_no_tree_or_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="two classes have the path Milk"):
        CategoryTree([("Milk",), ("Milk",)])
    for paths in ([], [()]):
        with pytest.raises(ValueError, match="one name or more"):
            CategoryTree(paths)
    with pytest.raises(ValueError, match="the tree has 0 to 6"):
        CategoryTree(PATHS).lca_heights(np.array([7]), np.array([0]))
    with pytest.raises(ValueError, match="expected one row a truth"):
        hierarchical_errors(np.zeros((0, 1), np.int64), np.zeros(0, np.int64), CategoryTree(PATHS))
