"""Figures that can be read: no text on another text, none outside, and nothing global touched."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from facings.analysis.comparison import Kind
from facings.analysis.curve_figures import draw_calibration, draw_f1_score, draw_precision_recall, png
from facings.analysis.curves import ScoredHits, match_split
from tests.analysis.conftest import Shelf


def many_classes(rng: np.random.Generator, classes: int) -> ScoredHits:
    """Detections of classes with long names."""
    names = tuple(f"Sparkling water with lemon and mint, bottle {n}" for n in range(classes))
    scores = np.sort(rng.random(400))[::-1]
    hits = np.stack([rng.random(400) < scores, rng.random(400) < scores / 2])
    return ScoredHits(names, scores, rng.integers(0, classes, 400), hits, np.full(classes, 40), (0.5, 0.75))


def draw_all(found: dict[Kind, ScoredHits]) -> list[Figure]:
    return [draw_precision_recall(found), draw_f1_score(found), draw_calibration(found)]


def words_of(figure: Figure) -> list[Text]:
    """Titles, names of axes and legends: texts of any length. Numbers at the axes are matplotlib's own care."""
    texts = [figure._suptitle]  # type: ignore[attr-defined]
    for axis in figure.axes:
        legend = axis.get_legend()
        texts += [axis.title, axis.xaxis.label, axis.yaxis.label, *(legend.get_texts() if legend else ())]
    return [text for text in texts if text.get_text()]


@pytest.mark.parametrize("classes", [1, 5, 24])
def test_words_neither_meet_nor_leave_the_figure(classes: int, rng: np.random.Generator) -> None:
    hits = many_classes(rng, classes)
    for figure in draw_all({"boxes": hits, "masks": hits} if classes == 24 else {"boxes": hits}):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        texts = words_of(figure)
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
        assert len(texts) >= 5
        for number, box in enumerate(boxes):
            assert box.x0 >= 0 and box.y0 >= 0
            assert box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1, texts[number].get_text()
            for other, text in zip(boxes[:number], texts[:number], strict=True):
                apart = box.x0 >= other.x1 or other.x0 >= box.x1 or box.y0 >= other.y1 or other.y0 >= box.y1
                assert apart, f"{texts[number].get_text()!r} meets {text.get_text()!r}"


def test_figures_say_what_was_measured(shelf: Shelf, rng: np.random.Generator) -> None:
    truth, found = shelf(rng, masks=True)
    hits: dict[Kind, ScoredHits] = {kind: match_split(truth, found, kind=kind) for kind in ("boxes", "masks")}  # type: ignore[misc]
    words = [" ".join(t.get_text() for t in figure.findobj(Text)) for figure in draw_all(hits)]
    for kind, own in hits.items():
        for row, threshold in enumerate(own.thresholds):
            assert f"{kind}, right at IoU ≥ {threshold:g}: mean AP {own.average_precision(row):.3f}" in words[0]
        assert f"precision {own.best().precision:.2f}, recall {own.best().recall:.2f} at the best F1" in words[1]
        assert f"{kind}, right at IoU ≥ 0.5: calibration error" in words[2]
    assert "tea: AP" in words[0] and "pear: AP" in words[0]


@pytest.mark.parametrize("case", ["no detection", "nothing right", "no object"])
def test_empty_cases_are_drawn(case: str, shelf: Shelf, rng: np.random.Generator) -> None:
    truth, found = shelf(rng)
    if case == "no detection":
        found = []
    elif case == "nothing right":
        found = [{**record, "bbox": [0, 0, 1, 1]} for record in found]
    else:
        truth["annotations"] = []
    for figure in draw_all({"boxes": match_split(truth, found)}):
        image = np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))
        assert image.shape[0] > 400 and image.std() > 5


def test_no_global_state() -> None:
    code = "import sys, facings.analysis.curve_figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
