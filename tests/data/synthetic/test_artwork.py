"""What is printed on packs: bar codes that a scanner reads, and labels of every kind of pack."""

import numpy as np
import pytest

from facings.data.synthetic.artwork import bar_code
from facings.data.synthetic.packaging import SOFT, draw_package
from facings.data.synthetic.products import PACKAGES, assortment


def test_a_bar_code_is_that_of_the_standard() -> None:
    """5901234123457, the example of many handbooks, module for module."""
    modules = "".join(str(int(m)) for m in bar_code("5901234123457")[0])
    left = "0001011 0100111 0110011 0010011 0111101 0011101"
    right = "1100110 1101100 1000010 1011100 1001110 1000100"
    assert modules == f"101{left}01010{right}101".replace(" ", "")


@pytest.mark.parametrize("kind", sorted(set(PACKAGES)))
def test_every_kind_of_pack_is_drawn_the_same_each_time(kind: str) -> None:
    product = next(p for p in assortment(60, produce_share=0, seed=1) if p.kind == kind)
    pack = draw_package(product, 90)
    assert pack.shape[0] == 90 and pack.dtype == np.uint8
    assert 0.5 < (pack[..., 3] > 127).mean() <= 1
    assert np.array_equal(pack, draw_package(product, 90))
    # Film lies otherwise on the next piece; what is printed on board and tin does not move.
    assert np.array_equal(pack, draw_package(product, 90, 1)) == (kind not in SOFT)


def test_a_family_shares_its_layout() -> None:
    first, second, *_ = (p for p in assortment(9, produce_share=0, seed=1) if p.kind == "carton")
    one, two = (draw_package(p, 90).astype(int) for p in (first, second))
    assert first.words[0] == second.words[0] and 0 < np.abs(one - two).mean() < 60
