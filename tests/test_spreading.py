"""facings.spreading."""

import doctest

import facings.spreading
from facings.spreading import evenly


def test_examples() -> None:
    assert doctest.testmod(facings.spreading).failed == 0


def test_ends_are_kept_and_nothing_comes_twice() -> None:
    assert evenly(range(10), 4) == [0, 3, 6, 9]
    assert evenly(range(5), 9) == [0, 1, 2, 3, 4]


def test_one_or_none() -> None:
    assert evenly("abc", 1) == ["a"]
    assert evenly("abc", 0) == []
    assert evenly([], 3) == []
