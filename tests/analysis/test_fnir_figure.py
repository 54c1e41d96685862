"""Misses against gallery size, drawn: what is told, what is an upper bound."""

import numpy as np
import pytest

from facings.analysis.curve_figures import png
from facings.analysis.fnir_figure import draw_fnir


def content(views: int = 4) -> dict:  # type: ignore[type-arg]
    def entry(products: int, resolved: bool) -> dict:  # type: ignore[type-arg]
        names = ("fnir_0.01", "fnir_0.001", "rank1_miss", "fpir_fixed")
        figures = {name: {"value": products / 100, "low": 0.0, "high": 0.5} for name in names}
        return {"products": products, "figures": figures, "resolved": {"0.01": True, "0.001": resolved}}

    return {"views": views, "draws": 5, "fpirs": [0.01, 0.001], "sizes": [entry(4, True), entry(8, False)]}


def test_a_size_with_too_few_searches_is_hollow() -> None:
    figure = draw_fnir(content(), name="apples")
    left, right = figure.axes
    assert figure.get_suptitle() == "apples: 4 photos a product, 5 draws of the assortment"
    hollow = [line for line in left.get_lines() if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert len(hollow) == 1 and np.asarray(hollow[0].get_xdata()).tolist() == [8]
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels[:3] == ["FPIR 0.01", "FPIR 0.001", "no threshold: another product is nearest"] and len(labels) == 4
    np.testing.assert_allclose(right.get_lines()[1].get_ydata(), [0.04, 0.08])
    assert png(figure) == png(draw_fnir(content(), name="apples"))


def test_one_photo_is_one_and_no_size_is_refused() -> None:
    assert "1 photo a product" in draw_fnir(content(1), name="a").get_suptitle()
    with pytest.raises(ValueError, match="holds none"):
        draw_fnir(content() | {"sizes": []}, name="a")
