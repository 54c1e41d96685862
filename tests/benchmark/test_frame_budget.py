"""The budget of a frame, on a tiny bundle: every part is there and adds up."""

from pathlib import Path

import numpy as np
import pytest

from facings.benchmark.claims import claim_of
from facings.benchmark.frame_budget import METRICS, graph_calls, measure, noisy, peak_memory, run_alone
from facings.benchmark.frame_process import holding, shelf_picture
from facings.errors import BundleError, ConfigError
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import STAGES, Recognizer
from tests.benchmark.conftest import Shop


def test_a_budget_of_a_frame(shop: Shop) -> None:
    budget = measure(shop.bundle, products=9, height=96, width=96, threads=1, rounds=4)
    assert budget.products == 9 and set(budget.stages) == set(STAGES)
    assert list(budget.graphs) == ["preprocess", "detector", "crop", "embedder", "match"]
    assert all(len(ms) == 4 and (ms > 0).all() for ms in (budget.frame, budget.graph_sum, budget.stream))
    figures = budget.headline()
    assert figures["host_share"]["value"] == pytest.approx(1 - np.median(budget.graph_sum) / np.median(budget.frame))
    assert figures["p50_ms"]["value"] <= figures["p95_ms"]["value"]
    assert {*figures, "peak_mib_12mp_500"} == set(METRICS)
    assert claim_of("bundle-frame", available=METRICS)[1] == list(METRICS)
    with pytest.raises(ConfigError, match="gives 16 boxes a frame; ask for 16 products or fewer"):
        measure(shop.bundle, products=17, height=96, width=96, threads=1, rounds=1)


def test_the_graphs_alone_are_those_of_the_frame(shop: Shop) -> None:
    recognizer = Recognizer(holding(Bundle.open(shop.bundle), 5), threads=1)
    picture = shelf_picture(96, 96, 9)
    calls = graph_calls(recognizer, picture)
    assert [call.role for call in calls] == ["preprocess", "detector", *["crop"] * 5, "embedder", "match"]
    found = recognizer.run(picture)
    np.testing.assert_array_equal(calls[-2].session(**calls[-2].inputs)["embeddings"], found.embeddings)
    assert set(run_alone(calls)) == {"preprocess", "detector", "crop", "embedder", "match"}
    frames = noisy(picture, 0)
    assert len({frame.tobytes() for frame in frames}) == len(frames)
    assert np.abs(np.mean(frames, axis=0) - picture).mean() < 2


def test_peak_memory_is_that_of_a_process_of_its_own(shop: Shop, tmp_path: Path) -> None:
    found = peak_memory(shop.bundle, height=96, width=96, products=7, threads=1)
    assert found["products"] == 7 and 10 < found["loaded_mib"] <= found["peak_mib"] < 1024
    with pytest.raises(BundleError, match="not a bundle"):
        peak_memory(tmp_path)


@pytest.mark.parametrize(("height", "width", "products"), [(1080, 1920, 60), (96, 96, 9), (8, 8, 1)])
def test_a_drawn_shelf_holds_the_packs(height: int, width: int, products: int) -> None:
    picture = shelf_picture(height, width, products)
    assert picture.shape == (height, width, 3)
    np.testing.assert_array_equal(picture, shelf_picture(height, width, products))
